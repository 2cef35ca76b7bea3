"""A few of the kills of `make stress`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_tools_that_are_killed_lose_nothing():
    command = [sys.executable, '-m', 'tests.stress', '--kills=5', '--seed=1']
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    ended = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = [line.split('|') for line in ended.stdout.splitlines() if '.py |' in line]
    assert [line[1].strip() for line in lines] == [
        'train.py',
        'gen_pseudo.py',
        'refine_pseudo.py',
        'predict.py',
    ]
    assert all(int(line[2]) == 5 for line in lines)
    assert all(int(line[3]) >= 1 for line in lines)
