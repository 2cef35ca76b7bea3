"""Values of the bands against the statistics that they are normalised by."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

SAMPLE, SIDE = 12, 64
"""Number of windows that are looked at, and the side in pixels that they are cut to."""

SHIFT, RATIO = (2.0, 5.0), (20.0, 100.0)
"""Difference of the means in standard deviations, and ratio of the standard deviations, from which
on there is a warning, and an error. Such mistakes concern all bands: the median band counts."""

ADVICE = (
    'Are they in other units (reflectance 0..1, an offset), in another order, or without data that '
    'no no-data value tells? tools/dataset_converters/compute_band_statistics.py computes '
    'data_preprocessor.mean and std of a config. Data that are meant to be so pass with '
    'default_hooks.segmentor_check.check_values=False'
)


def sample_values(dataset: Any, num_bands: int) -> np.ndarray:
    """Read some windows, spread over a dataset, through its pipeline.

    Returns:
        (C, values) float64, of pixels and dates that were observed.
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, SAMPLE).round().astype(int))
    found = []
    for index in chosen.tolist():
        info = dataset.get_data_info(index)
        row, column, height, width = info['window']
        if max(height, width) > 2 * SIDE:  # a whole scene
            row, column = row + (height - SIDE) // 2, column + (width - SIDE) // 2
            window = row, column, min(SIDE, height), min(SIDE, width)
            info |= dict(window=window, size=window[2:])
        packed = dataset.pipeline(info)
        if packed is None:  # nothing was observed in it
            continue
        series = np.asarray(packed['inputs'])
        series = series.reshape(-1, num_bands + 1, *series.shape[1:]).swapaxes(0, 1)
        found.append(series[:-1, series[-1] > 0].astype(np.float64))
    return np.concatenate(found, 1) if found else np.zeros((num_bands, 0))


def check_values(
    values: np.ndarray, mean: np.ndarray, std: np.ndarray, names: Sequence[str] | None = None
) -> None:
    """Compare values of bands with what they will be normalised by.

    Args:
        values: (C, values) in the unit of the data.
        mean: (C,) mean of each band that the preprocessor expects.
        std: (C,) its standard deviation.
        names: Of the bands, for the message.

    Raises:
        ValueError: They are far off: nothing that a model says of them could be trusted.
    """
    if not values.shape[1]:
        return

    def _say(band: int) -> str:
        name = f'band {band + 1}' + (f' ({names[band]})' if names else '')
        return (
            f'{name}: some windows have a mean of {found[band]:.4g} and a standard deviation of '
            f'{spread[band]:.4g}, data_preprocessor expects {mean[band]:.4g} and {std[band]:.4g}. '
            f'{ADVICE}'
        )

    found, spread = values.mean(1), values.std(1)
    shift = np.abs(found - mean) / std
    ratio = np.maximum(spread / std, std / np.maximum(spread, 1e-12))
    badness = np.maximum(shift / SHIFT[1], ratio / RATIO[1])
    middle = int(np.argsort(badness)[len(badness) // 2])
    if badness[middle] > 1:
        raise ValueError(_say(middle))
    far, constant = shift[middle] > SHIFT[0] or ratio[middle] > RATIO[0], spread == 0
    if far or constant.any():
        print_log(_say(middle if far else int(constant.argmax())), 'current', logging.WARNING)
    elif len(mean) > 3 and np.ptp(mean) > std.min() and np.corrcoef(found, mean)[0, 1] < 0:
        means = ', '.join(f'{value:.4g}' for value in found)
        print_log(
            f'the means of the bands are {means}, in another order than data_preprocessor.mean '
            f'({", ".join(f"{value:.4g}" for value in mean)}): were bands exchanged?',
            'current',
            logging.WARNING,
        )


def check_dataset(dataset: Any, model: Any) -> None:
    """Look at some windows of a dataset before a model is used on it; see :func:`check_values`.

    Does nothing with other datasets and preprocessors than ours.

    Raises:
        ValueError: Values are far from the statistics of the preprocessor.
    """
    preprocessor = getattr(model, 'data_preprocessor', None)
    if not hasattr(dataset, 'band_names') or not hasattr(preprocessor, 'num_dates'):
        return
    mean, std = (
        getattr(preprocessor, key).flatten().double().cpu().numpy() for key in ('mean', 'std')
    )
    if dataset.get_data_info(0)['reader'].num_bands == len(mean):  # else the model will say so
        check_values(sample_values(dataset, len(mean)), mean, std, dataset.band_names)
