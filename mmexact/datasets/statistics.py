"""Mean and standard deviation of bands, in one pass over any amount of data."""

from collections.abc import Callable, Iterable

import numpy as np

from mmexact.datasets.sits_dataset import SITSDataset


def band_statistics(
    dataset: SITSDataset,
    percentiles: tuple[float, float] | None = None,
    track: Callable[[range], Iterable[int]] = iter,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the statistics of what was really observed: no gap filled, no cloud kept.

    Args:
        dataset: Its windows are read once.
        percentiles: Count only the values of a band between these two, for data whose clouds no
            mask tells (integers of up to 16 bits only).
        track: Wraps the windows that are read, for instance mmengine's ``track_iter_progress``.

    Returns:
        Mean (C,), standard deviation (C,) and number of values (C,).

    Raises:
        ValueError: A band was observed nowhere, or has no percentiles.
    """
    num_bands = dataset.get_data_info(0)['reader'].num_bands
    moments, histograms = BandMoments(num_bands), BandHistograms(num_bands if percentiles else 0)
    for index in track(range(len(dataset))):
        info = dataset.get_data_info(index)
        dates = np.arange(len(info['day_of_year']))
        block = info['reader'].read_observed(dates, info['window'])
        (histograms if percentiles else moments).add(*block)
    mean, std, count = moments.mean, moments.std, moments.count
    if percentiles:
        mean, std = histograms.moments_between(*percentiles)
        count = histograms.counts.sum(1)
    if not count.all():
        raise ValueError(
            f'band {count.argmin() + 1} was observed nowhere in {len(dataset)} windows'
        )
    return mean, std, count


class BandMoments:
    """Running mean and variance of each band, in float64.

    Sums are those of the differences from the first block's mean, so that large means cost no
    digits.

    Attributes:
        count: (C,) values so far.
    """

    def __init__(self, num_bands: int) -> None:
        self.count = np.zeros(num_bands)
        self._origin = np.zeros(num_bands)
        self._sums, self._squares = np.zeros(num_bands), np.zeros(num_bands)

    def add(self, values: np.ndarray, valid: np.ndarray) -> None:
        """Add the valid values of a block (T, C, h, w); ``valid`` is bool of that shape.

        Values that are not valid must be finite.
        """
        bands = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).astype(np.float64)
        counted = np.moveaxis(valid, 1, 0).reshape(bands.shape)
        count = counted.sum(1)
        first = (bands * counted).sum(1) / np.maximum(count, 1)
        self._origin = np.where(self.count == 0, first, self._origin)
        bands = (bands - self._origin[:, None]) * counted
        self.count += count
        self._sums += bands.sum(1)
        self._squares += np.einsum('bn,bn->b', bands, bands)

    @property
    def mean(self) -> np.ndarray:
        """(C,) mean of the values so far."""
        return self._origin + self._sums / np.maximum(self.count, 1)

    @property
    def std(self) -> np.ndarray:
        """(C,) standard deviation of the values so far (divided by their number)."""
        count = np.maximum(self.count, 1)
        return np.sqrt(np.maximum(self._squares / count - np.square(self._sums / count), 0))


class BandHistograms:
    """Counts of every digital number of each band, for statistics between percentiles.

    Clouds are the brightest and their shadows the darkest digital numbers. Where no mask tells
    them, leaving out a few percent at both ends is the next best.
    """

    RANGE = 2**16

    def __init__(self, num_bands: int) -> None:
        self.counts = np.zeros((num_bands, self.RANGE), np.int64)
        self._lowest = 0

    def add(self, values: np.ndarray, valid: np.ndarray) -> None:
        """Add the valid values of a block (T, C, h, w) of integers of up to 16 bits."""
        if values.dtype.kind not in 'iu' or values.dtype.itemsize > 2:
            raise ValueError(
                f'values of type {values.dtype}: percentiles need integers of up to 16 bits'
            )
        self._lowest = int(np.iinfo(values.dtype).min)
        for band, counts in enumerate(self.counts):
            chosen = values[:, band][valid[:, band]].astype(np.int64) - self._lowest
            counts += np.bincount(chosen, minlength=self.RANGE)

    def moments_between(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        """Work out mean (C,) and standard deviation (C,) of the values between two percentiles.

        Args:
            low: Percentile 0..100; the smallest value with at least that share up to it counts.
            high: Percentile above ``low``.
        """
        shares = self.counts.cumsum(1) / np.maximum(self.counts.sum(1, keepdims=True), 1)
        first = (shares >= low / 100).argmax(1)[:, None]
        # Sums of many shares end a little off 1.
        last = (shares >= high / 100 - 1e-12).argmax(1)[:, None]
        place = np.arange(self.RANGE)
        kept = np.where((place >= first) & (place <= last), self.counts, 0)
        numbers, total = place + self._lowest, np.maximum(kept.sum(1), 1)
        mean = kept @ numbers / total
        variance = (kept * np.square(numbers - mean[:, None])).sum(1) / total
        return mean, np.sqrt(variance)
