"""What was not observed: filled by interpolation in time, or marked as padding."""

import numpy as np

BLOCK = 1 << 20
"""Values that are filled at once, so that the memory for it does not depend on the window."""


def hide_gaps(values: np.ndarray, valid: np.ndarray) -> np.ma.MaskedArray:
    """Mask the dates of a pixel at which a band of it was not observed, and make them 0.

    Args:
        values: (T, C, h, w); not modified.
        valid: (T, C, h, w) bool, False where ``values`` means nothing.
    """
    hidden = np.broadcast_to(~valid.all(1, keepdims=True), values.shape)
    return np.ma.MaskedArray(np.where(hidden, values.dtype.type(0), values), hidden)


def fill_gaps(values: np.ndarray, valid: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Fill what was not observed from the same pixel and band at other dates.

    Linear in time between the observations before and after; the nearest one before the first and
    after the last. What was never observed becomes 0 and is masked.

    Args:
        values: (T, C, h, w); not modified.
        valid: (T, C, h, w) bool, False where ``values`` means nothing.
        days: (T,) when the dates were taken, ascending, in days.

    Returns:
        (T, C, h, w) of the same type, rounded for integers; a masked array, masked at all dates,
        where there are pixels that were never observed in a band.
    """
    result = values.copy()
    dates, bands = values.shape[:2]
    pixels = result.reshape(dates, bands, -1)
    # A cloud hides all bands of a date, so that one search for neighbours serves them all.
    alike = bool((valid == valid[:, :1]).all())
    seen = valid[:, :1].reshape(dates, 1, -1) if alike else valid.reshape(dates, bands, -1)
    never = np.zeros(seen.shape[1:], dtype=bool)
    step = max(1, BLOCK // (dates * bands))
    for band in range(seen.shape[1]):
        chosen = slice(None) if alike else slice(band, band + 1)
        for start in range(0, pixels.shape[2], step):
            block = slice(start, start + step)
            never[band, block] = _fill(pixels[:, chosen, block], seen[:, band, block], days)
    if not never.any():
        return result
    unobserved = never.reshape(-1, *values.shape[2:])
    return np.ma.MaskedArray(result, np.broadcast_to(unobserved, values.shape))


def _fill(values: np.ndarray, seen: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Fill a block (T, C, pixels) in place; return which pixels were never seen (T, pixels)."""
    dates = len(values)
    steps = np.arange(dates, dtype=np.int32)[:, None]
    before = np.maximum.accumulate(np.where(seen, steps, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen, steps, dates)[::-1], axis=0)[::-1]
    never: np.ndarray = after[0] == dates
    date, pixel = np.nonzero(~seen & ~never)
    first, last = before[date, pixel], after[date, pixel]
    first, last = np.where(first < 0, last, first), np.where(last == dates, first, last)
    span = days[last] - days[first]
    share = np.divide(days[date] - days[first], span, out=np.zeros(span.shape), where=span > 0)
    share = share.astype(np.result_type(values.dtype, np.float32))
    for band in range(values.shape[1]):
        plane = values[:, band]
        low, high = (plane[index, pixel].astype(share.dtype) for index in (first, last))
        filled = low + share * (high - low)
        plane[date, pixel] = np.rint(filled) if values.dtype.kind in 'iu' else filled
        plane[:, never] = 0
    return never
