"""Settings of how a user's series is found and read: the dict ``search`` of a config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, TypeVar

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from mmexact.datasets.bands import find_band
from mmexact.datasets.rasters.formulas import is_formula, name_bands, stored_bands

T = TypeVar('T')

DATE_PATTERN = (
    r'(?<!\d)(?P<year>(?:19|20)\d\d)[-:._/]?(?P<month>0[1-9]|1[0-2])[-:._/]?(?P<day>[0-3]\d)'
    r'(?:[T _-](?P<hour>[01]\d|2[0-3]):?(?P<minute>[0-5]\d):?(?P<second>[0-5]\d))?(?!\d)'
)
"""YYYYMMDD or YYYY-MM-DD (or with ':', '.', '_', '/'), optionally followed by a time."""

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
            self.applies(date.max)
        except ValueError as error:
            raise ValueError(f"offset: since: {error}; expected 'YYYY-MM-DD' or None") from None

    def applies(self, day: date) -> bool:
        """Tell whether products of a day are newer ones."""
        return self.since is None or day >= date.fromisoformat(self.since)

    def apply(self, values: np.ndarray, times: Sequence[datetime]) -> np.ndarray:
        """Return (T, ...) with the offset added to later dates, kept within the type."""
        late, result = [self.applies(time.date()) for time in times], values.copy()
        if values.dtype.kind == 'f':
            result[late] += values.dtype.type(self.value)
        else:
            limits = np.iinfo(values.dtype)
            moved = values[late].astype(np.int64) + self.value
            result[late] = moved.clip(limits.min, limits.max)
        return result


@dataclass(frozen=True)
class Search:
    """Which bands and dates of the rasters of an area to use, and how to read them.

    Attributes:
        bands: Bands in the order wanted: numbers, from 1 on, of bands of files with one date each,
            by default all; or names. Without ``band_pattern`` names are the descriptions of the
            bands in the files; bands of a date may be spread over files. Common names, such as
            'red' for B04, are known. A band 'ndvi=(B08-B04)/(B08+B04)' is computed from others,
            see :mod:`mmexact.datasets.rasters.formulas`; all bands are float32 then.
        band_pattern: Regular expression with the group ``band`` for the file names; says that there
            is one file per date and band, or per band with a ``stack`` of dates in 'dates_file'.
        stack: Says that the files hold several dates, and where those stand: 'description', or a
            tag of the bands, whose text has the date and, by ``band_pattern``, the name of the
            band; or 'dates_file', one date per band in their order. Without ``band_pattern`` there
            is one band.
        date_pattern: Regular expression as for :func:`~mmexact.datasets.rasters.dates.parse_date`.
        date_tag: Tag of the rasters, or of the bands of a ``stack``, that has the date.
        dates_file: CSV file with the columns ``file`` and ``date``. For ``stack='dates_file'`` the
            column ``file`` may be left out, or the file has one date per line and nothing else.
        date_range: First and last day ('YYYY-MM-DD') or month ('YYYY-MM') to use, both included.
        nodata: Value of the bands that counts as missing besides what the files declare.
        crs: Coordinate reference system, such as 'EPSG:32633', of rasters that declare none.
        clouds: Where clouds hide the ground.
        offset: What to add to newer products.
        variable: Variable of a cube that holds several with bands.
    """

    bands: Sequence[int] | Sequence[str] | None = None
    band_pattern: str | None = None
    stack: str | None = None
    date_pattern: str = DATE_PATTERN
    date_tag: str | None = None
    dates_file: str | None = None
    date_range: Sequence[str] | None = None
    nodata: float | None = None
    crs: str | None = None
    clouds: CloudMask | None = None
    offset: Offset | None = None
    variable: str | None = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> 'Search':
        """Read the settings of a config, in which ``clouds`` and ``offset`` are dicts.

        Raises:
            ValueError: There is no such setting, or they contradict one another.
        """
        settings = dict(given)
        for name, kind in (('clouds', CloudMask), ('offset', Offset)):
            if settings.get(name) is not None:
                settings[name] = _make(kind, settings[name], f'search: {name}')
        search: Search = _make(cls, settings, 'search')
        return search

    def __post_init__(self) -> None:
        stored = [] if isinstance(self.bands, str) else self.stored
        named = all(isinstance(band, str) for band in stored)
        numbered = all(isinstance(band, int) and band > 0 for band in stored)
        if self.band_pattern:
            fits, wanted = self.bands and named, 'names of bands with a band_pattern'
        elif self.stack:
            fits = self.bands is None
            wanted = 'no bands, since without a band_pattern a stack has only one'
        else:
            fits = self.bands is None or (self.bands and (named or numbered))
            wanted = (
                'None, numbers from 1 on, or names, that is, descriptions of bands in the files'
            )
        if not fits or isinstance(self.bands, str):
            raise ValueError(
                f'bands={self.bands!r} with band_pattern={self.band_pattern!r}, '
                f'stack={self.stack!r}; expected {wanted}'
            )
        if self.computes and len(set(self.band_names or ())) < len(self.bands or ()):
            raise ValueError(f'bands={self.bands!r}: two bands have the same name; rename one')
        if self.stack == 'dates_file' and self.dates_file is None:
            raise ValueError(
                "stack='dates_file', but dates_file is not set; expected the file that has the "
                'dates of the bands, one per line'
            )
        try:
            CRS.from_user_input(self.crs or 'EPSG:4326')
        except CRSError as error:
            raise ValueError(f"crs={self.crs!r}: {error}; expected e.g. 'EPSG:32633'") from None

    @property
    def band_names(self) -> Sequence[str] | None:
        """Names of the bands, None if they go by numbers."""
        bands = self.bands or ()
        return name_bands(bands) if any(isinstance(band, str) for band in bands) else None

    @property
    def stored(self) -> list[int | str]:
        """The bands to read for ``bands``: those themselves, and what others are computed from."""
        return stored_bands(self.bands or ())

    @property
    def by_name(self) -> bool:
        """Whether bands go by names, not by numbers."""
        return any(isinstance(band, str) for band in self.stored)

    @property
    def computes(self) -> bool:
        """Whether a band is computed from others."""
        return any(is_formula(band) for band in self.bands or ())

    @property
    def wanted(self) -> list[int | str]:
        """The bands to read, that of a cloud mask among them included."""
        clouds = self.clouds
        mask = clouds.band if clouds is not None and clouds.rasters is None else None
        return [*self.stored, *([] if mask is None else [mask])]


def pick(bands: Mapping[Any, T], wanted: int | str | None) -> T | None:
    """Return what belongs to a band: of its very name or, if there is none, of a common one.

    Args:
        bands: Names or numbers of the bands there are, and what belongs to each.
        wanted: A name, such as 'red' for B04, or a number.
    """
    if isinstance(wanted, str) and wanted not in bands:
        for name in bands:
            # The other way round as well: B8A may stand for B08 elsewhere, but is another band.
            if (
                isinstance(name, str)
                and find_band([name], wanted) == find_band([wanted], name) == 0
            ):
                return bands[name]
    return bands.get(wanted)


def _make(kind: type[Any], given: Mapping[str, Any], name: str) -> Any:
    known = [setting.name for setting in fields(kind)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f'{name}: no such setting {unknown[0]!r}; expected some of {known}')
    return kind(**given)
