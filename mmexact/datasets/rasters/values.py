"""What digital numbers mean: which of a cloud mask hide a pixel, and offsets of newer products."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

CLOUDY = (0, 1, 3, 8, 9, 10)
"""Codes of Sentinel-2's scene classification that hide the ground: no data, saturated or defective,
cloud shadow, cloud of medium and of high probability, thin cirrus."""


@dataclass(frozen=True)
class CloudMask:
    """Which pixels of a date clouds hide.

    Attributes:
        band: Band of the mask, a number or a name as in ``bands``.
        rasters: Glob pattern of rasters that hold it, by default as their first band. There is one
            per date, and their dates are found as those of the series are. None if the mask stands
            among the bands of the series.
        codes: Values that hide a pixel; by default :data:`CLOUDY`.
        above: Instead of codes: values above this one hide a pixel, such as a probability of 40.
    """

    band: int | str | None = None
    rasters: str | None = None
    codes: Sequence[int] | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        if self.band is None and self.rasters is None:
            raise ValueError(
                'clouds: neither band nor rasters is set; expected the band of the mask, such as '
                "'SCL', or the pattern of its rasters"
            )
        if self.codes is not None and self.above is not None:
            raise ValueError(
                f'clouds: codes={self.codes} and above={self.above}; expected the codes of a '
                f'classification or a threshold of a probability, not both'
            )

    def hidden(self, mask: np.ndarray) -> np.ndarray:
        """Return where the values of a mask hide the ground, bool of the same shape."""
        if self.above is not None:
            return mask > self.above
        return np.isin(mask, CLOUDY if self.codes is None else self.codes)


@dataclass(frozen=True)
class Offset:
    """What to add to the digital numbers of newer products.

    Sentinel-2 Level-1C and 2A of processing baseline 04.00 and later are 1000 too high; it came on
    2022-01-25, but the archive has been reprocessed since.

    Attributes:
        value: What to add, such as -1000.
        since: First day ('YYYY-MM-DD') of such products; None if all are.
    """

    value: int
    since: str | None = '2022-01-25'

    def __post_init__(self) -> None:
        try:
            _ = self.first_day
        except ValueError as error:
            raise ValueError(f"offset: since: {error}; expected 'YYYY-MM-DD' or None") from None

    @property
    def first_day(self) -> date:
        """First day of the products that need it."""
        return date.min if self.since is None else date.fromisoformat(self.since)

    def apply(self, values: np.ndarray, times: Sequence[datetime]) -> np.ndarray:
        """Return (T, ...) with the offset added to later dates, kept within the type."""
        late = np.array([time.date() >= self.first_day for time in times], dtype=bool)
        if not late.any():
            return values
        if values.dtype.kind == 'f':
            moved = values[late] + values.dtype.type(self.value)
        else:
            limits = np.iinfo(values.dtype)
            moved = (values[late].astype(np.int64) + self.value).clip(limits.min, limits.max)
        result = values.copy()
        result[late] = moved
        return result
