"""Checkpoints in: nothing but tensors and plain values is unpickled, and every weight must fit."""

import io
import logging
import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    _get_mmengine_home,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from torch import Tensor, nn

from mmexact.engine.training_data import check_data
from mmexact.pickle_bounds import check_size
from mmexact.plain_numpy import STAND_INS

STATISTICS = ('min', 'max', 'current', 'mean')
"""Methods of a training log's history that MMEngine saves with it."""


def _history_method(owner: type, name: str) -> Any:
    """Stand in for ``getattr`` in a checkpoint, which MMEngine's training log needs."""
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise pickle.UnpicklingError(f'getattr({owner}, {name!r})')
    return getattr(owner, name)


ADMITTED = [
    HistoryBuffer,
    (_history_method, 'builtins.getattr'),
    *((stand_in, name) for name, stand_in in STAND_INS.items()),
]
"""What MMEngine saves beside tensors: the log's history, in numpy arrays."""

PICKLES_BEFORE_1_6 = 5
"""In a file of older PyTorch: mark, version, machine, contents and the keys of what follows."""

TRUSTED = 'MMEXACT_TRUST_CHECKPOINTS'
"""Environment variable that has checkpoints unpickled without a look at what is in them."""


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
    checkpoint = _unpickle(path)
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path}: holds a {type(checkpoint).__name__}, expected a state dict')
    if 'state_dict' not in checkpoint:
        checkpoint = {'state_dict': checkpoint}
    state = checkpoint['state_dict']
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        found = list(state)[:5] if isinstance(state, dict) else type(state).__name__
        raise ValueError(f'{path}: expected weights by name; found {found}')
    if not isinstance(checkpoint.get('meta', {}), dict):
        raise ValueError(f"{path}: its 'meta' is no dict; is it written by MMEngine?")
    checkpoint['state_dict'] = {str(name).removeprefix('module.'): state[name] for name in state}
    return checkpoint


def _unpickle(path: Path, map_location: Any = 'cpu') -> Any:
    if os.environ.get(TRUSTED) == '1':
        print_log(
            f'{TRUSTED}=1: {path} is unpickled whatever it holds. If it is not yours, it can run '
            f'anything on this machine',
            'current',
            logging.WARNING,
        )
        return torch.load(path, map_location=map_location, weights_only=False)
    _check_file(path)
    try:
        with torch.serialization.safe_globals(ADMITTED):
            return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # what a broken file raises depends on where it is broken
        raise ValueError(
            f'{path}: cannot be read as a checkpoint of tensors and plain values '
            f'({_reason(error)}); is it complete, and written by torch.save? An old file of your '
            f'own that holds other objects is read with {TRUSTED}=1 in the environment, which runs '
            f'whatever is in it'
        ) from error


def _check_file(path: Path) -> None:
    """Check the sums that ``torch.save`` puts beside all it writes, and the sizes of what it holds.

    Nobody looks at the sums again otherwise.
    """
    is_zip = True
    try:
        is_zip = zipfile.is_zipfile(path)
        if not is_zip:
            with open(path, 'rb') as file:
                for _ in range(PICKLES_BEFORE_1_6):
                    check_size(file)
            return
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            for name in archive.namelist():
                if name.endswith('data.pkl'):
                    check_size(io.BytesIO(archive.read(name)))
    except pickle.UnpicklingError as error:
        raise ValueError(f'{path}: is no checkpoint: it holds {error}') from error
    except Exception as error:  # what a broken file raises depends on where it is broken
        if is_zip:
            raise ValueError(f'{path}: is damaged ({error})') from error
        return  # torch knows what it is
    if damaged is not None:
        raise ValueError(f'{path}: is damaged: {damaged} is not what was written')


def load_for_mmengine(filename: str, map_location: Any = None) -> Any:
    """Read a checkpoint for MMEngine, whose own way is to fall back to unsafe unpickling.

    The config that MMEngine saves in a checkpoint is left out: ``Runner.resume`` would run it.

    Args:
        filename: A file, or the address of one, which is downloaded first.
        map_location: Device of the tensors.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no checkpoint, is cut off, or holds other Python objects.
    """
    path = Path(filename).expanduser()
    if filename.startswith(('http://', 'https://')):
        path = Path(torch.hub.get_dir(), 'checkpoints', filename.rpartition('/')[2])
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(filename, str(path))
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such checkpoint file')
    checkpoint = _unpickle(path, map_location)
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
        checkpoint['meta'].pop('cfg', None)
    return checkpoint


def load_by_name(filename: str, map_location: Any = None) -> Any:
    """Read a checkpoint that torchvision or OpenMMLab has a name for, as :func:`load_for_mmengine`.

    Args:
        filename: Such as 'torchvision://resnet18', 'open-mmlab://resnet18_v1c' or
            'mmcls://mobilenet_v2', of which only the backbone is returned.
        map_location: Device of the tensors.

    Raises:
        ValueError: The name is unknown, or the file is no checkpoint.
    """
    scheme, name = filename.split('://', 1)
    places = CATALOGUES[f'{scheme}://']()
    if name not in places:
        raise ValueError(f'{filename}: unknown; give the address or the path of the file')
    place = places[name]
    if not place.startswith(('http://', 'https://')):
        place = os.path.join(_get_mmengine_home(), place)
    checkpoint = load_for_mmengine(place, map_location)
    if scheme != 'mmcls':
        return checkpoint
    weights = checkpoint.get('state_dict', checkpoint).items()
    prefix = 'backbone.'
    backbone = {key.removeprefix(prefix): one for key, one in weights if key.startswith(prefix)}
    return dict(state_dict=backbone)


def refuse_to_load(filename: str, _map_location: Any = None) -> Any:
    """Refuse a checkpoint of a store whose contents MMEngine would unpickle whatever they are.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f'{filename}: mmexact reads files and http addresses; download it first')


CATALOGUES = {
    'torchvision://': get_torchvision_models,
    'modelzoo://': get_torchvision_models,
    'open-mmlab://': get_external_models,
    'openmmlab://': get_external_models,
    'mmcls://': get_mmcls_models,
}
"""Where names lead, by scheme."""

STORES = ['pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://']

CheckpointLoader.register_scheme(['', 'http://', 'https://'], load_for_mmengine, force=True)
CheckpointLoader.register_scheme(list(CATALOGUES), load_by_name, force=True)
CheckpointLoader.register_scheme(STORES, refuse_to_load, force=True)


def load_weights(model: nn.Module, path: str | Path, dataset: Any = None) -> dict[str, Any]:
    """Load a checkpoint into a model, all of it or nothing.

    Args:
        model: The model, possibly in MMEngine's data-parallel or test-time-augmentation wrapper.
        path: The checkpoint file, see :func:`read_checkpoint`.
        dataset: What the model is to be used on; None where that does not matter.

    Returns:
        The whole checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no checkpoint, one of another model (names or shapes differ), or
            has weights that are not finite; or the data are others than it was trained on.
    """
    checkpoint = read_checkpoint(path)
    check_weights(model, checkpoint['state_dict'], path)
    if dataset is not None:
        check_data(checkpoint, dataset, _bare(model), path)
    _bare(model).load_state_dict(checkpoint['state_dict'])
    return checkpoint


def check_weights(model: nn.Module, theirs: Mapping[str, Tensor], path: str | Path) -> None:
    """Check that weights are those of a model, and numbers.

    Args:
        model: The model, possibly in a wrapper as for :func:`load_weights`.
        theirs: A state dict.
        path: Where it was read, for the message.

    Raises:
        ValueError: Names or shapes differ, or there are weights that are not finite.
    """
    bare = _bare(model)
    ours = bare.state_dict()
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
    if lost := [name for name, value in theirs.items() if not value.isfinite().all()]:
        raise ValueError(
            f'{path}: {len(lost)} weights hold NaN or infinity ({_few(lost)}): the training went '
            f'wrong before it was saved; go back to an earlier checkpoint'
        )


def _bare(model: Any) -> Any:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


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
