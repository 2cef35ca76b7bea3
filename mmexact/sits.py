"""The array contract: a satellite image time series is an image whose channels are dates x bands.

Everywhere at MMSegmentation's boundary a series of T dates and C bands is one array of
T * (C + 1) channels, date-major: the C bands of a date in digital numbers, then one constant
plane with that date's day of year (1..366; 0 marks a padded date, or pixels for which the date is
padding because a cloud hides them). This module alone knows the
layout. Channel-first arrays are (..., T * (C + 1), H, W), numpy or torch; an *image* is the
(H, W, T * (C + 1)) view of one, as MMSeg's transforms expect it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

DAYS = 367
"""Rows of a day-of-year table: 0 for padded dates, then days 1..366."""

LAST_DAYS = np.array([31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 366])
"""Last day of year of each month; day 366 counts as December."""

YEAR = 365
"""Days by which :func:`season_days` counts years."""

IGNORED = 255
"""Mask value of pixels that no loss and no metric looks at."""

Window = tuple[int, int, int, int]
"""(row, column, height, width) in pixels of the patch."""


class Georeference(NamedTuple):
    """Where pixels lie on the ground.

    Attributes:
        crs: Coordinate reference system as WKT, None where the data declare none.
        transform: From (column, row) to coordinates, the six numbers of an affine transform.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]


def cut(array: np.ndarray, window: Window) -> np.ndarray:
    """View a window of an array (..., H, W)."""
    row, column, height, width = window
    return array[..., row : row + height, column : column + width]


Array = TypeVar('Array', np.ndarray, torch.Tensor)


def fold_time(series: Array, day_of_year: Array) -> Array:
    """Interleave a series with its days of year into one channel-first array.

    Args:
        series: (..., T, C, H, W), any numeric type that holds 0..366.
        day_of_year: (..., T), whole days 1..366, 0 for padded dates; or (..., T, H, W) where dates
            are padding for some of the pixels.

    Returns:
        (..., T * (C + 1), H, W) of the series' type; the day is the last plane of each date.

    Raises:
        ValueError: The shapes do not belong together, or the type cannot hold a day of year.
    """
    per_date, per_pixel = series.shape[:-3], (*series.shape[:-3], *series.shape[-2:])
    if series.ndim < 4 or tuple(day_of_year.shape) not in (tuple(per_date), per_pixel):
        raise ValueError(
            f'expected a series of shape (..., T, C, H, W) and days of year of shape (..., T) or '
            f'(..., T, H, W), got {tuple(series.shape)} and {tuple(day_of_year.shape)}'
        )
    if series.dtype in (np.uint8, np.int8, torch.uint8, torch.int8):
        raise ValueError(
            f'a series of type {series.dtype} cannot hold days of year up to 366: '
            f'convert it to int16 first'
        )
    *lead, dates, bands, height, width = series.shape
    shape = (*lead, dates, bands + 1, height, width)
    folded: Any
    if isinstance(series, np.ndarray):
        folded = np.empty(shape, series.dtype)
    else:
        folded = series.new_empty(shape)
    folded[..., :bands, :, :] = series
    constant = day_of_year.ndim == series.ndim - 3
    folded[..., bands, :, :] = day_of_year[..., None, None] if constant else day_of_year
    return folded.reshape(*lead, dates * (bands + 1), height, width)


def unfold_time(folded: Array, num_bands: int) -> tuple[Array, Array]:
    """Split a channel-first array into the series and its days of year.

    Call this before any cast to half precision: bfloat16 has no 301.

    Args:
        folded: (..., T * (num_bands + 1), H, W) as :func:`fold_time` makes it. Pixels for which a
            date is padding, or that a geometric transform filled with 0, do not disturb the day of
            year.
        num_bands: Number of bands C, the day-of-year plane not counted.

    Returns:
        The series (..., T, C, H, W), a view, and the days of year (..., T) as int64.

    Raises:
        ValueError: The channels are not a multiple of ``num_bands + 1``.
    """
    planes = num_bands + 1
    if folded.ndim < 3 or folded.shape[-3] == 0 or folded.shape[-3] % planes:
        raise ValueError(
            f'expected (..., T * {planes}, H, W): {num_bands} bands and the day of year for each '
            f"date; got {tuple(folded.shape)}. Does num_bands (the model's in_channels) match "
            f'the data?'
        )
    *lead, channels, height, width = folded.shape
    dated = folded.reshape(*lead, channels // planes, planes, height, width)
    series = dated[..., :num_bands, :, :]
    plane = dated[..., num_bands, :, :]
    days: Any
    if isinstance(plane, np.ndarray):
        days = plane.max(axis=(-2, -1)).astype(np.int64)
    else:
        days = plane.amax(dim=(-2, -1)).long()
    return series, days


def observed(folded: Array, num_bands: int) -> Array:
    """Return where dates are no padding, bool (..., T, H, W).

    Args:
        folded: (..., T * (num_bands + 1), H, W) as :func:`fold_time` makes it.
        num_bands: Number of bands C, the day-of-year plane not counted.
    """
    result: Any = folded[..., num_bands :: num_bands + 1, :, :] > 0
    return result


def season_days(series: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Lay the dates of series side by side on one calendar, in days.

    A date earlier in the year than the one before it is one of the next year. The calendar begins
    where no series begins for the longest time of the year, so that one that begins in January
    comes after those that began in October.

    Args:
        series: Days of year 1..366 of the dates of each series, in order of time.

    Returns:
        The dates in days, int: 1 is the first of January of the year in which the calendar begins.
    """
    firsts = np.unique([days[0] for days in series])
    start = firsts[np.diff(firsts, prepend=firsts[-1] - YEAR).argmax()]
    calendar = []
    for days in series:
        years = np.cumsum(np.diff(days, prepend=days[0]) < 0) + (days[0] < start)
        calendar.append(days.astype(int) + YEAR * years)
    return calendar


def months_of(day_of_year: np.ndarray) -> np.ndarray:
    """Return the months, 0 (January) to 11, of days of year 1..366."""
    return np.searchsorted(LAST_DAYS, day_of_year)


def check_days(day_of_year: np.ndarray, source: str) -> None:
    """Refuse days of year that no calendar has.

    Args:
        day_of_year: (T,) whole days.
        source: The file or object that the days come from, for the message.

    Raises:
        ValueError: There is no date at all, or a day lies outside 1..366.
    """
    days = np.asarray(day_of_year)
    if days.size == 0:
        raise ValueError(f'{source}: no dates; expected at least one acquisition')
    if days.min() < 1 or days.max() > 366:
        bad = days[(days < 1) | (days > 366)]
        raise ValueError(f'{source}: day of year {bad[0]}; expected 1..366')


def to_image(folded: np.ndarray) -> np.ndarray:
    """View a channel-first array (T * (C + 1), H, W) as an image (H, W, T * (C + 1))."""
    return folded.transpose(1, 2, 0)


def from_image(image: np.ndarray) -> np.ndarray:
    """View an image (H, W, T * (C + 1)) as a channel-first array (T * (C + 1), H, W)."""
    return image.transpose(2, 0, 1)
