"""Settings of how a user's series is found and read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from rasterio.crs import CRS
from rasterio.errors import CRSError

from mmexact.datasets.rasters.dates import DATE_PATTERN
from mmexact.datasets.rasters.values import CloudMask, Offset


@dataclass(frozen=True)
class Search:
    """Which bands and dates of the rasters of an area to use, and how to read them.

    Attributes:
        bands: Bands in the order wanted: numbers, from 1 on, of bands of files with one date each,
            by default all; or names. Without ``band_pattern`` names are the descriptions of the
            bands in the files; bands of a date may be spread over files.
        band_pattern: Regular expression with the group ``band`` for the file names; says that there
            is one file per date and band.
        stack: Says that the files hold several dates; 'description', or a tag of their bands, whose
            text has the date and, by ``band_pattern``, the name of the band. Without
            ``band_pattern`` there is one band.
        date_pattern: Regular expression as for :func:`~mmexact.datasets.rasters.dates.parse_date`.
        date_tag: Tag of the rasters, or of the bands of a ``stack``, that has the date.
        dates_file: CSV file with the columns ``file`` and ``date``.
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

    def __post_init__(self) -> None:
        named = all(isinstance(band, str) for band in self.bands or ('',))
        numbered = not isinstance(self.bands, str) and all(
            isinstance(band, int) and band > 0 for band in self.bands or (1,)
        )
        wanted = (
            'names of bands with a band_pattern'
            if self.band_pattern
            else 'no bands, since without a band_pattern a stack has only one'
            if self.stack
            else 'None, numbers from 1 on, or names, that is, descriptions of bands in the files'
        )
        fits = (
            self.bands and named
            if self.band_pattern
            else self.bands is None
            if self.stack
            else self.bands is None or (self.bands and (named or numbered))
        )
        if not fits or isinstance(self.bands, str):
            raise ValueError(
                f'bands={self.bands!r} with band_pattern={self.band_pattern!r}, '
                f'stack={self.stack!r}; expected {wanted}'
            )
        try:
            CRS.from_user_input(self.crs or 'EPSG:4326')
        except CRSError as error:
            raise ValueError(f"crs={self.crs!r}: {error}; expected e.g. 'EPSG:32633'") from None


Settings = TypeVar('Settings', Search, CloudMask, Offset)


def _make(kind: type[Settings], given: Mapping[str, Any], name: str) -> Settings:
    known = [setting.name for setting in fields(kind)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f'{name}: no such setting {unknown[0]!r}; expected some of {known}')
    return kind(**given)


def read_search(given: Mapping[str, Any]) -> Search:
    """Read the settings ``search`` of a config; ``clouds`` and ``offset`` are dicts there.

    Raises:
        ValueError: There is no such setting, or they contradict one another.
    """
    settings = dict(given)
    if settings.get('clouds') is not None:
        settings['clouds'] = _make(CloudMask, settings['clouds'], 'search: clouds')
    if settings.get('offset') is not None:
        settings['offset'] = _make(Offset, settings['offset'], 'search: offset')
    return _make(Search, settings, 'search')
