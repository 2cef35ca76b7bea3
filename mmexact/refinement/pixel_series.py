"""The year of single pixels: every band on one even grid of dates, in which clouds hardly count.

Of each date, reflectances count by their shares: slope, texture and haze make a pixel brighter or
darker in all bands, what grows there changes their ratios.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mmexact.datasets.bands import find_band, find_reflectances
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.sits import season_days

STEP = 12
"""Days between two dates of the grid."""


class PixelSeries(Dataset[np.ndarray]):
    """The pixels of a dataset's windows, each by what it did over the season.

    Entry n is a float32 array (h * w, G * (C + 1)) of the n-th window's pixels, row by row: the C
    bands of G dates, see :func:`to_grid`, and after these the brightness of each, see
    :func:`split_brightness`. The G dates are the same for all windows.

    Args:
        dataset: The windows.
    """

    def __init__(self, dataset: SITSDataset) -> None:
        dataset.full_init()
        self.dataset = dataset
        calendar = season_days([reader.days for reader in dataset.readers.values()])
        self.days = dict(zip(dataset.readers, calendar, strict=True))
        first, last = min(map(np.min, calendar)), max(map(np.max, calendar))
        self.grid = np.arange(first, last + STEP, STEP)
        self.blue = find_band(dataset.band_names, 'blue')
        self.reflectances = find_reflectances(dataset.band_names)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> np.ndarray:
        info = self.dataset.get_data_info(index)
        days = self.days[info['patch']]
        values, valid = info['reader'].read_observed(np.arange(len(days)), info['window'])
        series = to_grid(values, valid, days, self.grid, self.blue)
        return split_brightness(series, values.shape[1], self.reflectances)


def to_grid(
    values: np.ndarray, valid: np.ndarray, days: np.ndarray, grid: np.ndarray, blue: int | None
) -> np.ndarray:
    """Put the series of pixels on a grid of dates.

    A date of the grid takes the mean over a pixel's clear dates, weighed by 1 / (1 + days)^2: the
    nearest ones count most, and a cloud that was overlooked is outvoted. A pixel that is never
    clear takes all dates at which it was observed.

    Args:
        values: (T, C, h, w) digital numbers.
        valid: (T, C, h, w) bool, False where ``values`` means nothing.
        days: (T,) the dates in days.
        grid: (G,) dates of the grid in days.
        blue: Index of the blue band, by which clouds are told; None where there is none.

    Returns:
        (h * w, G * C) float32 digital numbers, date by date; NaN for pixels without observation.
    """
    dates, bands = values.shape[:2]
    series = values.reshape(dates, bands, -1).astype(np.float32)
    seen = valid.reshape(dates, bands, -1).all(1)
    clear = seen if blue is None else seen & ~is_cloud(series[:, blue], seen)
    clear = np.where(clear.any(0), clear, seen)
    nearness = (1 / (1 + np.abs(grid[:, None] - days)) ** 2).astype(np.float32)
    total = nearness @ np.where(clear[:, None], series, 0).reshape(dates, -1)
    weight = nearness @ clear.astype(np.float32)
    with np.errstate(invalid='ignore'):  # 0 / 0 of pixels without observation
        mean = total.reshape(len(grid), bands, -1) / weight[:, None]
    return mean.reshape(len(grid) * bands, -1).T


def split_brightness(series: np.ndarray, bands: int, reflectances: Sequence[int]) -> np.ndarray:
    """Divide the reflectances of each date by their mean, the brightness.

    Args:
        series: (P, G * C), as :func:`to_grid` returns it.
        bands: Number of bands C.
        reflectances: Which of them are reflectances; the others stay as they are.

    Returns:
        (P, G * C + G), the brightness of the G dates last; ``series`` where less than two bands
        are reflectances.
    """
    if len(reflectances) < 2:
        return series
    values = series.reshape(len(series), -1, bands).copy()
    brightness = values[:, :, reflectances].mean(2)
    values[:, :, reflectances] /= np.where(brightness > 0, brightness, 1)[:, :, None]
    return np.concatenate([values.reshape(series.shape), brightness], 1)


def is_cloud(blue: np.ndarray, seen: Any) -> np.ndarray:
    """Tell clouds by the blue band: more than twice as bright as the pixel is in the median.

    Args:
        blue: (T, P) digital numbers of the blue band.
        seen: (T, P) bool, False where they mean nothing.

    Returns:
        (T, P) bool.
    """
    ranked = np.sort(np.where(seen, blue, np.inf), axis=0)
    middle = np.maximum(seen.sum(0) - 1, 0) // 2
    return blue > 2 * np.take_along_axis(ranked, middle[None], 0)
