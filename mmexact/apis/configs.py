"""Configs as our tools read them: with bases that mmexact ships, and bound to a user's area."""

import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmexact.apis.areas import bind_area

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(inside: str) -> Path:
    """Find a file of configs/ or tools/: in the package of a wheel, beside that of a checkout."""
    installed = PACKAGE / '.mim' / inside
    return installed if installed.exists() else PACKAGE.parent / inside


def from_here(path: Path) -> str:
    """Name a file as a user types it in the working folder."""
    try:
        return os.path.relpath(path)
    except ValueError:  # on another drive of Windows
        return str(path)


def read_config(path: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Config:
    """Read a config, whether or not it describes a user's own area.

    Bases such as 'mmexact::_base_/stages/cls_area.py' are those that mmexact ships. What an
    ``area`` says is filled in by :func:`~mmexact.apis.areas.bind_area`, so that the result needs
    neither and runs with MMSeg's own tools once it is dumped.

    Args:
        path: The config file.
        options: Settings that replace those of the config, such as ``{'train_cfg.max_iters': 100}``
            or ``{'area.window_size': 12}``.

    Raises:
        ValueError: The area lacks a setting or has one that does not fit, or an option replaces a
            part of something that has none.
    """
    options = options or {}
    of_area = {key: value for key, value in options.items() if key.split('.')[0] == 'area'}
    with _bases_of_mmexact():
        cfg = Config.fromfile(path)
    with settings_at_fault(f'with {dict(options)}'):
        cfg.merge_from_dict(of_area)
        bind_area(cfg)
        cfg.merge_from_dict({key: options[key] for key in options.keys() - of_area.keys()})
    return cfg


@contextmanager
def settings_at_fault(what: str) -> Iterator[None]:
    """Turn what goes wrong while something is made from settings into a ValueError in one line.

    Args:
        what: What is made, for the message. Errors of files and values pass as they are.
    """
    try:
        yield
    except (OSError, ValueError):
        raise
    except Exception as error:  # a value of another kind ends in any error, at any place
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ValueError(
            f'{what}: {type(error).__name__}: {error or place.line} ({Path(place.filename).name}, '
            f'line {place.lineno}); look for a setting of another kind than it should be'
        ) from error


@contextmanager
def _bases_of_mmexact() -> Iterator[None]:
    """Let MMEngine find bases that start with 'mmexact::'.

    Its own way there asks for an installed package with metadata, and gives every component of the
    base the scope of a registry that we do not have.
    """
    find = Config._get_cfg_path

    def find_ours(base: str, filename: str) -> tuple[str, str | None]:
        package, _, inside = base.partition('::')
        return (str(shipped(f'configs/{inside}')), None) if package == 'mmexact' and inside else (
            find(base, filename)
        )  # fmt: skip

    Config._get_cfg_path = staticmethod(find_ours)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(find)
