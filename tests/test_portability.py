"""What a system without POSIX has to do without: the product runs where these names are missing."""

import subprocess
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmexact.masks import read_manifest
from tests.scenes import write_scenes
from tests.toy_classifier import toy_config, write_tree

REPO = Path(__file__).resolve().parents[1]

RUN = """
import builtins, os, runpy, sys

POSIX = 'fcntl', 'grp', 'pwd', 'resource', 'termios'
FUNCTIONS = 'fork', 'memfd_create', 'posix_fadvise', 'sched_getaffinity'
plain_import = builtins.__import__

def without_posix(name, globals=None, *rest, **named):
    ours = (globals or {{}}).get('__name__', '').startswith(('mmexact', '__main__'))
    if ours and name in POSIX:  # MMEngine asks which system it runs on
        raise ImportError(f'{{globals["__name__"]}} imports {{name}}')
    return plain_import(name, globals, *rest, **named)

builtins.__import__ = without_posix
for name in FUNCTIONS:
    if hasattr(os, name):
        delattr(os, name)
for command in {commands!r}:
    sys.argv = command
    runpy.run_path(command[0], run_name='__main__')
"""


def test_masks_and_maps_are_made_without_posix(tmp_path):
    cfg = toy_config(write_tree(tmp_path / 'PASTIS'), tmp_path / 'run')
    cfg.dump(tmp_path / 'cls.py')
    init_default_scope('mmseg')
    scenes = Config.fromfile(write_scenes(tmp_path))
    for name, model in (('cls', cfg.model), ('seg', scenes.model)):
        torch.save(MODELS.build(model).state_dict(), tmp_path / f'{name}.pth')
    commands = [
        [f'{REPO}/tools/gen_pseudo.py', 'cls.py', 'cls.pth', '--out', 'masks'],
        [f'{REPO}/tools/predict.py', 'scene.py', 'seg.pth', '--out', 'maps'],
    ]
    done = subprocess.run(
        [sys.executable, '-c', RUN.format(commands=commands)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert read_manifest(tmp_path / 'masks', 'pseudo masks')['windows'] == 12
    assert read_manifest(tmp_path / 'maps', 'maps')['complete'] is True
