"""Settings of a config, each replaced by values of other kinds, given to predict.py."""

import contextlib
import io
import os
import random
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from tests.scenes import write_scenes

TOOL = Path(__file__).resolve().parents[1] / 'tools/predict.py'
VALUES = (
    *('-1', '0', '3', '1.5', '1e99', 'nan'),
    *('x', '../x', '', 'None', 'True', '[]', '[1,2]', '"(1,a)"', '{}'),
)


def keys(settings: Any, prefix: str = '') -> Iterator[str]:
    """Yield the dotted names of all settings in a config, and in lists of it."""
    inside = settings.items() if isinstance(settings, dict) else ()
    inside = enumerate(settings) if isinstance(settings, list) else inside
    for key, value in inside:
        yield f'{prefix}{key}'
        yield from keys(value, f'{prefix}{key}.')


def try_settings(
    folder: Path, number: int, rng: random.Random, within_limits: Callable
) -> Iterator[str]:
    """Yield what comes of so many predictions, each with another value of another setting."""
    cfg = Config.fromfile(write_scenes(folder))
    torch.save(MODELS.build(cfg.model).state_dict(), folder / 'seg.pth')
    names = list(keys(dict(model=cfg.model, test_dataloader=cfg.test_dataloader)))
    given = [f'{name}={value}' for name in names for value in VALUES]
    for option in rng.sample(given, min(number, len(given))):
        outcome = 'not finished'
        with within_limits(option) as beyond:
            outcome = _predict(folder, option)
        yield beyond[0] if beyond else outcome


def _predict(folder: Path, option: str) -> str:
    shutil.rmtree(folder / 'maps', ignore_errors=True)
    files = [str(folder / name) for name in ('scene.py', 'seg.pth', 'maps')]
    command = [str(TOOL), *files[:2], '--out', files[2], '--cfg-options', option]
    told = io.StringIO()
    quiet = contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO())
    environment = mock.patch.dict(os.environ, LOCAL_RANK='0')
    with quiet[0], quiet[1], environment, mock.patch('sys.argv', command):
        try:
            runpy.run_path(command[0], run_name='__main__')
        except SystemExit as end:
            in_one_line = (
                told.getvalue().count('\n') < 5 and 'predict.py: error: ' in told.getvalue()
            )
            return 'refused' if end.code == 2 and in_one_line else f'{option}: exit {end.code}'
        except Exception as error:
            return f'{option}: {type(error).__name__}: {str(error)[:80]}'
    return 'read'
