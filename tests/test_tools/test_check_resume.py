"""check_resume.py: two processes that are really killed."""

import subprocess
import sys
from pathlib import Path

import torch

from tests.toy_classifier import toy_config, write_tree
from tools.benchmarks import check_resume

REPO = Path(__file__).resolve().parents[2]


def test_two_ranks_that_are_killed_end_as_if_they_were_not(tmp_path):
    cfg = toy_config(write_tree(tmp_path / 'tree'), tmp_path / 'unused')
    cfg.train_cfg.max_iters = 60
    cfg.default_hooks.checkpoint = dict(
        type='ResumableCheckpointHook', by_epoch=False, interval=3, max_keep_ckpts=2
    )
    cfg.train_dataloader.sampler = dict(type='SeededSampler')
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='LoadSITS', num_dates=2, date_choice='random'),
        dict(type='PackSITSInputs'),
    ]
    cfg.custom_imports = dict(imports=['mmexact'], allow_failed_imports=False)
    cfg.dump(tmp_path / 'toy.py')
    tool = REPO / 'tools/benchmarks/check_resume.py'
    command = [sys.executable, str(tool), str(tmp_path / 'toy.py'), '--kills=1', '--processes=2']
    command += ['--work-dir', str(tmp_path / 'out')]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=REPO)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert 'killed after iteration' in ended.stdout
    assert ended.stdout.rstrip().endswith('all equal')


def test_names_what_differs():
    ours = dict(a=torch.zeros(2), b=[dict(lr=1.0), 3], c=1)
    theirs = dict(a=torch.tensor([0.0, 1e-30]), b=[dict(lr=0.5), 3], c=1, d=2)
    assert list(check_resume.differences(ours, theirs, 'x')) == ['x.a', 'x.b[0].lr', 'x.d']
    assert list(check_resume.differences(ours, dict(ours))) == []
