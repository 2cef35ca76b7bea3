"""Two processes of a training, of which one is stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmexact.engine import RankWatchHook
from tests.toy_classifier import toy_config, write_tree

TOOL = Path(__file__).resolve().parents[2] / 'tools/train.py'


def test_a_stopped_process_ends_the_other_which_names_it(tmp_path):
    cfg = toy_config(write_tree(tmp_path / 'tree'), tmp_path / 'out')
    cfg.train_cfg.max_iters = 100_000
    cfg.default_hooks.rank_watch = dict(type='RankWatchHook', timeout=3)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    cfg.log_level = 'INFO'
    cfg.custom_imports = dict(imports=['mmexact'], allow_failed_imports=False)
    cfg.dump(tmp_path / 'toy.py')
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    command += [str(TOOL), str(tmp_path / 'toy.py'), '--launcher=pytorch']
    log = tmp_path / 'log.txt'
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    with (
        log.open('w') as file,
        subprocess.Popen(command, stdout=file, stderr=file, env=environment) as launcher,
    ):
        try:
            wait_for(r'loss_affinity', log)
            second = next(pid for pid in children(launcher.pid) if rank(pid) == '1')
            os.kill(second, signal.SIGSTOP)
            wait_for(r'process 0 of 2 is at step \d+ and has waited for 3 s: no answer', log)
            os.kill(second, signal.SIGKILL)  # the launcher would do it after half a minute
            assert launcher.wait(60) != 0
        finally:
            launcher.terminate()  # and it ends what it started
    assert re.search(r'from process 1 \(step \d+, silent\)\. It ends here', log.read_text())


def wait_for(pattern: str, log: Path, seconds: float = 60) -> None:
    """Wait until the log says something."""
    end = time.monotonic() + seconds
    while not re.search(pattern, log.read_text()):
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    tasks = Path(f'/proc/{pid}/task')
    if not tasks.is_dir():
        pytest.skip('needs /proc')
    return [int(one) for task in tasks.iterdir() for one in (task / 'children').read_text().split()]


def rank(pid: int) -> str:
    """Return the rank in the environment of a process."""
    found = re.search(rb'\0RANK=(\d+)\0', Path(f'/proc/{pid}/environ').read_bytes())
    return found.group(1).decode() if found else ''


def test_a_single_process_is_not_watched_and_the_timeout_is_checked():
    hook = RankWatchHook()
    hook.before_train(None)  # would need a runner
    assert hook.steps == 0
    hook.before_train_iter(None, 0)
    assert hook.steps == 1
    with pytest.raises(ValueError, match='expected seconds above 0'):
        RankWatchHook(timeout=0)
