"""Checkpoints in: nothing but tensors and plain values is unpickled, and every weight must fit."""

import pickle
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

multiarray = import_module('numpy._core.multiarray')


def _history_method(owner: type, name: str) -> Any:
    """Stand in for ``getattr`` in a checkpoint, which MMEngine's training log needs."""
    if owner is not HistoryBuffer:
        raise pickle.UnpicklingError(f'getattr({owner}, {name!r})')
    return getattr(owner, name)


ADMITTED = [
    HistoryBuffer,
    (_history_method, 'builtins.getattr'),
    # numpy 1 wrote other names for the same two functions.
    *(
        (getattr(multiarray, name), f'{module}.multiarray.{name}')
        for name in ('_reconstruct', 'scalar')
        for module in ('numpy._core', 'numpy.core')
    ),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in np.typecodes['AllInteger'] + np.typecodes['Float'] + '?'),
]
"""What MMEngine saves beside tensors: the log's history, in numpy arrays."""

# For the whole process, so that MMEngine can resume: its upstream releases read checkpoints with
# torch's default, which since torch 2.6 refuses their own log.
torch.serialization.add_safe_globals(ADMITTED)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint file without running what a stranger may have put into it.

    Args:
        path: A file of ``torch.save``: a state dict, or a dict with one under 'state_dict' as
            MMEngine writes it.

    Returns:
        The file's dict with a 'state_dict' of tensors on the CPU, whose names have lost the
        'module.' of a wrapper.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no checkpoint, is cut off, or holds other Python objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such checkpoint file')
    try:
        # Again, for MMEngine's OneDL releases withdraw what they share with us after each loading.
        torch.serialization.add_safe_globals(ADMITTED)
        checkpoint = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # what a broken file raises depends on where it is broken
        raise ValueError(
            f'{path}: cannot be read as a checkpoint of tensors and plain values '
            f'({_reason(error)}); is it complete, and written by torch.save?'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path}: holds a {type(checkpoint).__name__}, expected a state dict')
    if 'state_dict' not in checkpoint:
        checkpoint = {'state_dict': checkpoint}
    checkpoint['state_dict'] = {
        name.removeprefix('module.'): value for name, value in checkpoint['state_dict'].items()
    }
    return checkpoint


def load_weights(model: nn.Module, path: str | Path) -> dict[str, Any]:
    """Load a checkpoint into a model, all of it or nothing.

    Args:
        model: The model, possibly in MMEngine's data-parallel or test-time-augmentation wrapper.
        path: The checkpoint file, see :func:`read_checkpoint`.

    Returns:
        The whole checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no checkpoint, or one of another model: names or shapes differ.
    """
    checkpoint = read_checkpoint(path)
    bare: Any = model
    while is_model_wrapper(bare) or isinstance(bare, BaseTTAModel):
        bare = bare.module
    ours, theirs = bare.state_dict(), checkpoint['state_dict']
    problems = []
    if missing := sorted(ours.keys() - theirs.keys()):
        problems.append(f'{len(missing)} weights are missing ({_few(missing)})')
    if unknown := sorted(theirs.keys() - ours.keys()):
        problems.append(f'{len(unknown)} are unknown to the model ({_few(unknown)})')
    shapes = [
        f'{name}: {tuple(theirs[name].shape)} in the file, {tuple(ours[name].shape)} in the model'
        for name in sorted(ours.keys() & theirs.keys())
        if ours[name].shape != theirs[name].shape
    ]
    if shapes:
        problems.append(f'{len(shapes)} have another shape ({_few(shapes)})')
    if problems:
        raise ValueError(
            f'{path} is a checkpoint of another model than {type(bare).__name__} as the config '
            f'describes it: {"; ".join(problems)}. Test with the config it was trained with'
        )
    bare.load_state_dict(theirs)
    return checkpoint


def _reason(error: Exception) -> str:
    """Find what torch has against a file in its advice on how to load it all the same."""
    if refusal := re.search(r'Unsupported (global|class).*?(?= was not|\n|$)', str(error)):
        return refusal.group()
    if 'weights_only' in str(error):
        return 'it holds something else'
    return re.split(r'\. |\n', f'{type(error).__name__}: {error}')[0]


def _few(names: list[str]) -> str:
    """List up to three of many."""
    return ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
