"""What every source of data offers: one reader per patch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmexact.sits import Georeference, Window


@dataclass(kw_only=True, eq=False)
class PatchReader(ABC):
    """Reads the series and the mask of one patch, window by window.

    Made once per patch and handed to worker processes: it holds paths and numbers, and opens files
    when it reads. Nothing else knows how a source keeps its data.

    Attributes:
        source: File or folder of the series, for messages.
        mask_source: File of the mask, None without one.
        size: (height, width) of the patch in pixels.
        bands: Names of the bands in their order, or None where they have none.
        num_bands: Number of bands C.
        days: Days of year of the dates, int16 (T,), 1..366.
    """

    source: str
    mask_source: str | None = None
    size: tuple[int, int]
    bands: Sequence[str] | None = None
    num_bands: int
    days: np.ndarray

    @abstractmethod
    def read(self, dates: np.ndarray, window: Window) -> np.ndarray:
        """Read the chosen dates of a window, ready for a model.

        Args:
            dates: (T',) indices into the series, ascending.
            window: Pixels to read.

        Returns:
            (T', C, h, w) digital numbers in the type of the file; a masked array where pixels were
            not observed at a date and the gap was not filled.
        """

    def read_mask(self, window: Window) -> np.ndarray:
        """Read the mask of a window: uint8 (h, w), index of the class, 255 ignored."""
        raise ValueError(f'{self.source}: there is no mask')

    def read_observed(self, dates: np.ndarray, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read what was really observed: no gap filled, no cloud kept.

        Returns:
            Values (T', C, h, w), finite, and where they are valid, bool of that shape.
        """
        series = self.read(dates, window)
        values, valid = np.ma.getdata(series), ~np.ma.getmaskarray(series)
        if values.dtype.kind == 'f':
            finite = np.isfinite(values)
            values, valid = np.where(finite, values, 0), valid & finite
        return values, valid

    def clear_shares(self, window: Window) -> np.ndarray:
        """Return the share of a window that no cloud hides at each date, float (T,) in 0..1.

        Raises:
            ValueError: The source does not know about clouds.
        """
        raise ValueError(
            f'{self.source}: this source of data does not know about clouds, which '
            f"date_choice='clear' of LoadSITS asks for; set 'even', 'random' or 'first'"
        )

    def georeference(self, window: Window) -> Georeference | None:
        """Return where a window lies on the ground, None where that is not known."""
        return None
