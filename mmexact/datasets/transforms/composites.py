"""Monthly composites: a series as a fixed number of images without clouds, without learning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmexact.datasets.gaps import fill_gaps
from mmexact.sits import fold_time, from_image, months_of, to_image, unfold_time

MONTHS = 12
MIDDLE_DAYS = np.array([16, 45, 75, 105, 136, 166, 197, 228, 258, 289, 319, 350])
"""Day of year that stands for each month."""


def clear_observations(brightness: np.ndarray, ratio: float) -> np.ndarray:
    """Tell clear observations from clouds, which are brighter than the pixel usually is.

    Clouds are above ``ratio`` times the pixel's median over the dates of a band that is bright in
    clouds (T, H, W). Returns bool of that shape; at least half of the dates of a pixel are clear.
    """
    usual = np.maximum(np.median(brightness, axis=0), 0)
    return brightness <= ratio * usual


def monthly_medians(series: np.ndarray, days: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Take the median of every month's clear observations (T, H, W) of a series (T, C, H, W).

    Returns:
        float32 (12, C, H, W), January first; NaN where a month has no clear observation.
    """
    months = months_of(days)
    medians = np.full((MONTHS, *series.shape[1:]), np.nan, np.float32)
    for month in np.unique(months):
        chosen = months == month
        count = clear[chosen].sum(0)
        # Clouds go to the end; the middle of the others is their median.
        values = np.where(clear[chosen, None], series[chosen], np.float32(np.inf))
        values = np.sort(values, axis=0)
        below, above = (
            np.take_along_axis(values, rank[None, None], axis=0)[0]
            for rank in (np.maximum(count - 1, 0) // 2, count // 2)
        )
        medians[month] = np.where(count > 0, (below + above) / 2, np.nan)
    return medians


def interpolate_months(composite: np.ndarray) -> np.ndarray:
    """Fill missing months from the nearest months before and after, pixel by pixel.

    Linear in steps of a month. The year is a circle: January follows December. Missing months of
    (12, C, H, W) are NaN in all bands of a pixel; one without any month becomes 0.
    """
    known = ~np.isnan(composite)
    if known.all():
        return composite
    # Three years in a row, of which the second has its neighbours on both sides.
    years, seen = (np.tile(array, (3, 1, 1, 1)) for array in (composite, known))
    return np.ma.getdata(fill_gaps(years, seen, np.arange(3.0 * MONTHS)))[MONTHS : 2 * MONTHS]


@TRANSFORMS.register_module()
class MonthlyComposite(BaseTransform):
    """Turn a series into one image per calendar month: the median of its clear observations.

    Stands behind :class:`LoadSITS`. ``img`` becomes (H, W, M * (C + 1)) float32 in the layout of
    all series, so that everything goes on as it does for dates, and ``day_of_year`` the middle
    days of the months. Months are taken from the day of the year: equal months of two years go
    together. A month without clear observations at a pixel is interpolated linearly between the
    nearest months that have one there, around the turn of the year too.

    Args:
        months: Calendar months to keep, 1..12, in this order.
        cloud_band: Index of the band that tells clouds (0 is B2 in PASTIS); None takes every
            observation as clear, and leaves clouds to the median.
        cloud_ratio: An observation is a cloud where this band exceeds ``cloud_ratio`` times the
            pixel's median over all dates.

    Raises:
        ValueError: A setting is out of range, or the series has no ``cloud_band``.
    """

    def __init__(
        self,
        months: Sequence[int] = tuple(range(1, MONTHS + 1)),
        cloud_band: int | None = 0,
        cloud_ratio: float = 2.0,
    ) -> None:
        if not months or len(set(months)) < len(months) or not set(months) <= set(range(1, 13)):
            raise ValueError(f'months={list(months)}; expected different numbers from 1 to 12')
        if cloud_ratio < 1:
            raise ValueError(f'cloud_ratio={cloud_ratio}; expected 1 or more')
        self.months = tuple(months)
        self.cloud_band = cloud_band
        self.cloud_ratio = cloud_ratio

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace the dates of ``img`` by months."""
        folded = from_image(results['img'])
        bands = len(folded) // len(results['day_of_year']) - 1
        series, days = unfold_time(folded, bands)
        if self.cloud_band is None:
            clear = np.ones((len(days), *series.shape[-2:]), bool)
        elif 0 <= self.cloud_band < bands:
            clear = clear_observations(series[:, self.cloud_band], self.cloud_ratio)
        else:
            raise ValueError(
                f'cloud_band={self.cloud_band} of MonthlyComposite, but the series has {bands} '
                f'bands; expected 0 to {bands - 1}, or None'
            )
        chosen = np.array(self.months) - 1
        composite = interpolate_months(monthly_medians(series, days, clear))[chosen]
        results['img'] = to_image(fold_time(composite, MIDDLE_DAYS[chosen]))
        results['day_of_year'] = MIDDLE_DAYS[chosen].astype(np.int16)
        return results

    def __repr__(self) -> str:
        return (
            f'MonthlyComposite(months={self.months}, cloud_band={self.cloud_band}, '
            f'cloud_ratio={self.cloud_ratio})'
        )
