"""What a model was trained on, in its checkpoint, compared with what it is used on."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import nn

NAMES = {'classes': 'classes', 'bands': 'bands', 'mean': 'means', 'std': 'standard deviations'}
"""Keys of a description, and what they are called."""


def describe_data(dataset: Any, model: nn.Module) -> dict[str, list[Any]]:
    """Describe the data of a training: classes, bands and their statistics, months of the dates.

    Args:
        dataset: Of the data loader; what it does not know is left out.
        model: The model with its data preprocessor, not wrapped.
    """
    found = dict(
        classes=getattr(dataset, 'metainfo', {}).get('classes'),
        bands=getattr(dataset, 'band_names', None),
        months=getattr(dataset, 'months', None),
    )
    preprocessor: Any = getattr(model, 'data_preprocessor', None)
    for key in ('mean', 'std'):
        value = getattr(preprocessor, key, None)
        found[key] = None if value is None else [round(one, 4) for one in value.flatten().tolist()]
    return {key: list(value) for key, value in found.items() if value is not None}


def check_data(checkpoint: Mapping[str, Any], dataset: Any, model: nn.Module, path: Any) -> None:
    """Check that data are as those that a model was trained on, as far as both are described.

    Warns of series from a season of which less than half is the same.

    Args:
        checkpoint: With ``meta``: what :func:`describe_data` returned under 'trained_on', or
            MMEngine's 'dataset_meta'.
        dataset: What the model is used on.
        model: The model as its config describes it.
        path: Of the checkpoint, for the message.

    Raises:
        ValueError: Classes, bands or statistics differ, or stand in another order; or no month of
            the series is one of the training.
    """
    meta = checkpoint.get('meta') or {}
    theirs = meta.get('trained_on') or dict(classes=(meta.get('dataset_meta') or {}).get('classes'))
    described = describe_data(dataset, model)
    _check_season(theirs.get('months') or (), described.pop('months', ()), path)
    for key, ours in described.items():
        known = list(theirs.get(key) or ())
        if not known or known == ours:
            continue
        order = ' in this order' if sorted(map(str, known)) == sorted(map(str, ours)) else ''
        raise ValueError(
            f'{path}: the model was trained on the {NAMES[key]} {known}{order}, but the config and '
            f'its data have {ours}; give the config that it was trained with, or data like those'
        )


def _check_season(theirs: Any, ours: Any, path: Any) -> None:
    both = set(theirs) & set(ours)
    if not theirs or not ours or 2 * len(both) >= len({*theirs, *ours}):
        return
    told = (
        f'{path}: the model was trained on series of the months {theirs}, but the data have {ours}'
    )
    if not both:
        raise ValueError(f'{told}; give data of that season')
    print_log(f'{told}; expect mistakes', 'current', logging.WARNING)
