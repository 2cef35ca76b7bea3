"""Series of STAC items: their bands by common names, their days, and one grid for their tiles."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pystac
from odc.geo.geobox import GeoBox
from odc.stac import ParsedItem, parse_item
from rasterio.crs import CRS
from rasterio.transform import Affine

from mmexact.datasets.rasters.dates import choose_season
from mmexact.datasets.rasters.files import Grid, Plane, open_raster
from mmexact.datasets.rasters.mosaic import MosaicReader, Place, Tile
from mmexact.datasets.rasters.settings import Search, pick
from mmexact.datasets.rasters.stac_items import locate, read_items
from mmexact.datasets.rasters.warp import grid_of

PICTURES = {'visual', 'thumbnail', 'overview'}
"""Roles of assets that are to be looked at."""


class Scene(NamedTuple):
    """An item.

    Attributes:
        item: As it stands in the file.
        parsed: Its metadata.
        names: Asset and number, from 1 on, of each band by any of its names.
    """

    item: pystac.Item
    parsed: ParsedItem
    names: dict[int | str, tuple[str, int]]


class Source(NamedTuple):
    """A band of an item.

    Attributes:
        file: What GDAL opens.
        number: The band, from 1 on.
        nodata: Value that is missing, as the item has it.
        grid: Its pixels.
    """

    file: str
    number: int
    nodata: float | None
    grid: GeoBox


def open_items(path: str, search: Search) -> MosaicReader:
    """Read the items of a file and find their bands; of the rasters only the first date is opened.

    Bands are known by the keys of assets and by the names and common names that ``eo:bands`` or
    ``bands`` of an asset have. Items of one (solar) day are one date; of tiles that overlap, the
    earlier one counts. The grid of the area is that of most tiles, extended to all.

    Args:
        path: An item collection, a catalog, or STAC-GeoParquet.
        search: Which bands and dates to use.

    Raises:
        FileNotFoundError: An asset is not there.
        ValueError: Items lead elsewhere, lack a band, a date or a CRS, or there are none.
    """
    if search.clouds is not None and search.clouds.rasters is not None:
        raise ValueError(f'{path}: clouds: rasters is set; expected a band of the items')
    days = _group_by_day(path, read_items(path))
    times = [scenes[0].parsed.nominal_datetime.replace(tzinfo=None) for scenes in days]
    season = choose_season(times, search.date_range)
    wanted = search.stored or _all_bands(days[season[0]][0], search)
    clouds = None if search.clouds is None else search.clouds.band
    bands = [_sources(path, days[date], wanted, search) for date in season]
    masks = (
        [] if clouds is None else [_sources(path, days[date], [clouds], search) for date in season]
    )
    area = _area(path, [tiles for date in bands for tiles in zip(*date, strict=True)])
    types = [_dtype(tiles[0]) for tiles in bands[0]]
    if len(set(types)) > 1:
        found = ', '.join(f'{kind} of {band}' for kind, band in zip(types, wanted, strict=True))
        raise ValueError(
            f'{path}: types {found}; expected the same in all bands: choose some with bands'
        )
    grids = {tile.grid for date in (*bands, *masks) for tiles in date for tile in tiles}
    places = {grid: Place.find(_to_grid(path, grid), area) for grid in grids}
    return MosaicReader(
        grid=area,
        times=[times[date] for date in season],
        bands=search.band_names or [str(band) for band in wanted],
        num_bands=len(search.bands or wanted),
        search=search,
        tiles=[[_put(places, tiles, types[0], search.nodata) for tiles in date] for date in bands],
        masks=[_put(places, tiles, _dtype(masks[0][0][0]), None) for (tiles,) in masks],
    )


def _group_by_day(path: str, items: Sequence[pystac.Item]) -> list[list[Scene]]:
    """Return the items of each solar day, in the order of their times."""
    days: dict[date, list[Scene]] = {}
    for item in items:
        try:
            parsed = parse_item(item)
            scene = Scene(item, parsed, _names(item, parsed))
            days.setdefault(parsed.solar_date.date(), []).append(scene)
        except Exception as error:  # wrong metadata raise whatever they like
            raise ValueError(
                f'{path}: item {item.id!r} cannot be understood: {error}; correct it, or take it '
                f'out'
            ) from error
    for scenes in days.values():
        scenes.sort(key=lambda scene: (scene.parsed.nominal_datetime, scene.item.id))
    return [days[day] for day in sorted(days)]


def _names(item: pystac.Item, parsed: ParsedItem) -> dict[int | str, tuple[str, int]]:
    described = {
        key: item.assets[key].extra_fields.get('eo:bands')
        or item.assets[key].extra_fields.get('bands')
        or [{}]
        for key in dict.fromkeys(key for key, _ in parsed.bands)
    }
    found: dict[int | str, tuple[str, int]] = {
        key: (key, 1) for key, bands in described.items() if len(bands) == 1
    }
    # A picture in true colours has a red band as well.
    for key in sorted(described, key=lambda key: len(described[key])):
        for number, band in enumerate(described[key], 1):
            for name in ('name', 'common_name', 'eo:common_name'):
                if name in band:
                    found.setdefault(str(band[name]), (key, number))
    return found


def _all_bands(scene: Scene, search: Search) -> list[int | str]:
    """Return a name for each band of an item, but for the cloud mask and pictures."""
    names: dict[tuple[str, int], int | str] = {}
    for name, (key, number) in scene.names.items():
        if not set(scene.item.assets[key].roles or []) & PICTURES:
            names.setdefault((key, number), name)
    clouds = pick(scene.names, search.clouds.band if search.clouds else None)
    return [name for place, name in names.items() if place != clouds]


def _sources(
    path: str, scenes: Sequence[Scene], wanted: Sequence[int | str | None], search: Search
) -> list[list[Source]]:
    """Find bands in the items of a date; returns the tiles of each band."""
    found: list[list[Source]] = [[] for _ in wanted]
    for scene in scenes:
        for band, tiles in zip(wanted, found, strict=True):
            place = pick(scene.names, band)
            if place is None:
                raise ValueError(
                    f'{path}: item {scene.item.id!r} of {scene.parsed.nominal_datetime} has no '
                    f'band {band!r}, only {list(scene.names)}; take it out, leave the date out '
                    f'with date_range, or set bands to those that all items have'
                )
            tiles.append(_source(path, scene, *place, search))
    return found


def _source(path: str, scene: Scene, key: str, number: int, search: Search) -> Source:
    asset, what = scene.item.assets[key], f'asset {key!r} of item {scene.item.id!r}'
    file = locate(str(asset.get_absolute_href()), path, what)
    known: Any = scene.parsed.bands[key, 1]
    grid = known.geobox
    if grid is None or grid.crs is None:
        own = grid_of(file, search.crs)
        if own.crs is None:
            raise ValueError(
                f'{path}: {what} has no coordinate reference system (CRS), neither in its metadata '
                f"(proj:) nor in its file; set search=dict(crs='EPSG:...') if you know it"
            )
        grid = GeoBox(own.size, own.transform, own.crs.to_wkt())
    fields = asset.extra_fields
    described = fields.get('raster:bands') or fields.get('bands') or []
    about = described[number - 1] if number <= len(described) else {}
    nodata = about.get('nodata', fields.get('nodata'))
    if not isinstance(nodata, int | float) or not math.isfinite(nodata):
        nodata = None  # what is not a number is missing anyway
    return Source(file, number, nodata, grid)


def _area(path: str, images: Sequence[Sequence[Source]]) -> Grid:
    """Return the grid for images, each in several bands: that of most, extended to all."""
    finest = [min((band.grid for band in bands), key=_pixel) for bands in images]
    common = Counter((grid.crs, grid.resolution) for grid in finest)
    most = max(common, key=common.__getitem__)
    first = next(grid for grid in finest if (grid.crs, grid.resolution) == most)
    origin = _to_grid(path, first)
    grids = [_to_grid(path, grid) for grid in dict.fromkeys(finest)]
    windows = np.array([Place.find(grid, origin).window for grid in grids])
    top, left = windows[:, :2].min(0).tolist()
    bottom, right = (windows[:, :2] + windows[:, 2:]).max(0).tolist()
    transform = origin.transform @ Affine.translation(left, top)
    return Grid(path, (bottom - top, right - left), origin.crs, transform)


def _pixel(grid: GeoBox) -> float:
    return abs(float(np.prod(grid.resolution.xy)))


def _to_grid(path: str, box: GeoBox) -> Grid:
    return Grid(path, box.shape.yx, _crs(str(box.crs)), box.affine)


@lru_cache
def _crs(text: str) -> CRS:
    return CRS.from_user_input(text)


def _dtype(source: Source) -> str:
    """Return the type of a band; opens its file."""
    raster = open_raster(source.file).file
    if source.number > raster.count:
        raise ValueError(
            f'{source.file}: {raster.count} bands; expected band {source.number}, of which its '
            f'item tells'
        )
    return raster.dtypes[source.number - 1]


def _put(
    places: dict[GeoBox, Place], tiles: Sequence[Source], dtype: str, nodata: float | None
) -> list[Tile]:
    """Make the tiles of a band; ``nodata`` is missing instead of what items say."""
    return [
        Tile(
            Plane(tile.file, tile.number, dtype, tile.nodata if nodata is None else nodata),
            places[tile.grid],
        )
        for tile in tiles
    ]
