"""What a user's rasters and labels hold: bands that all dates have, labels and their names."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as XML

import numpy as np
import rasterio
from rasterio.shutil import copy, delete
from rasterio.transform import array_bounds
from rasterio.warp import transform_bounds

from mmexact.datasets.rasters.cube import CUBES
from mmexact.datasets.rasters.dates import DateFinder, choose_season, parse_date
from mmexact.datasets.rasters.files import open_raster, read_planes
from mmexact.datasets.rasters.reader import RasterReader
from mmexact.datasets.rasters.search import ITEMS
from mmexact.datasets.rasters.settings import DATE_PATTERN, Search
from mmexact.datasets.rasters.warp import align

BAND_PATTERNS = (
    r'(?:^|[_.-])(?P<band>B\d[\dA]|SCL)(?=[_.-]|$)',
    r'[_.-](?P<band>[A-Za-z]\w*?)(?:\.\w+)?$',
)
"""Where a name has the band: that of a band of Sentinel-2 anywhere, or the last word."""
SCENES = 'SCL'
"""The scene classification of Sentinel-2, which tells clouds."""
STRIP = 1024
"""Rows of a label raster that are read at once."""
NAME, VALUE = '2', '5'
"""Usages of columns in GDAL's attribute tables."""


def find_bands(root: str, paths: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Find out which bands all dates have, and where their names stand.

    Args:
        root: Folder that the names of the rasters start at.
        paths: The rasters.
        given: Settings ``search``, which hold whatever is found.

    Returns:
        Settings ``search`` with ``bands`` and, where needed, ``band_pattern``, ``stack`` and
        ``clouds``.

    Raises:
        ValueError: A file has no date, or no band is there at all dates.
    """
    if paths[0].lower().endswith((*CUBES, *ITEMS)) or 'stack' in given:
        return dict(given)
    texts = [text or '' for text in open_raster(paths[0]).file.descriptions]
    if not given.keys() & {'date_tag', 'dates_file'} and all(
        parse_date(text, given.get('date_pattern', DATE_PATTERN)) for text in texts
    ):
        return dict(_name_bands(texts), stack='description', **given)
    how = {key: given[key] for key in ('date_pattern', 'date_tag', 'dates_file') if key in given}
    finder = DateFinder(root, Search.parse(how))
    times = [finder.of_file(path) for path in paths]
    season = choose_season(times, given.get('date_range'))
    pattern = given.get('band_pattern')
    if pattern is None and len({times[index] for index in season}) < len(season):
        names = [os.path.basename(paths[index]) for index in season]
        pattern = _name_bands(names).get('band_pattern')
    dates: dict[Any, list[int | str]] = {}
    for index in season:
        dates.setdefault(times[index], []).extend(_bands_of(paths[index], pattern))
    (first, bands), *others = dates.items()
    bands = list(dict.fromkeys(bands))
    for time, held in others:
        common = [band for band in bands if band in held]
        if not common:
            raise ValueError(
                f'{root}: no band is there at all dates: {first} has {bands}, {time} has {held}; '
                f'choose other --rasters, or narrow the dates with --date-range'
            )
        bands = common
    found: dict[str, Any] = dict(bands=bands)
    if pattern is not None:
        found = dict(bands=sorted(bands, key=str), band_pattern=pattern)
    if SCENES in bands and len(bands) > 1:
        found['bands'].remove(SCENES)
        found['clouds'] = dict(band=SCENES)
    return {**found, **given}


def _name_bands(texts: Sequence[str]) -> dict[str, Any]:
    """Find the pattern of the bands' names, and the names; nothing where a text has none."""
    for pattern in BAND_PATTERNS:
        found = [re.search(pattern, text) for text in texts]
        if all(found):
            names = {match['band'] for match in found if match}
            return dict(bands=sorted(names), band_pattern=pattern)
    return {}


def _bands_of(path: str, pattern: str | None) -> list[int | str]:
    if pattern is not None:
        match = re.search(pattern, os.path.basename(path))
        return [match['band']] if match else []
    raster = open_raster(path)
    named = list(raster.described())
    return named if len(named) == raster.file.count else list(raster.file.indexes)


def is_raster(path: str) -> bool:
    """Tell whether a file of labels is a raster."""
    if path.lower().endswith(('.csv', '.tsv', '.txt')):
        return False
    try:
        return bool(open_raster(path).file.count)
    except ValueError:
        return False


def count_codes(path: str, area: RasterReader) -> Counter[int]:
    """Count the pixels of an area by the value of a label raster; no data does not count.

    Raises:
        ValueError: The raster does not touch the area, or its values are no classes.
    """
    plane = align(open_raster(path).planes()[1], area.grid, area.search.crs, codes=True)
    if np.dtype(plane.dtype).kind not in 'iu':
        raise ValueError(f'{path}: labels of type {plane.dtype}; expected integers')
    (height, width), counts = area.size, Counter[int]()
    for row in range(0, height, STRIP):
        (values,), (valid,) = read_planes([plane], (row, 0, min(STRIP, height - row), width))
        found, pixels = np.unique(values[valid], return_counts=True)
        counts.update(dict(zip(found.tolist(), pixels.tolist(), strict=True)))
    if not counts:
        raise ValueError(f'{path}: has no labels where {area.source} lies; check the CRS of both')
    return counts


def category_names(path: str) -> dict[int, str]:
    """Read the names of a raster's values: GDAL's category names or its attribute table."""
    name = f'/vsimem/{uuid4()}.vrt'
    copy(open_raster(path).file, name, driver='VRT')  # it says in XML what rasterio does not
    with rasterio.open(name) as raster:
        band = XML.fromstring(raster.tags(ns='xml:VRT')['xml:VRT']).find('VRTRasterBand')
    delete(name, driver='VRT')
    assert band is not None
    names = [category.text or '' for category in band.iterfind('CategoryNames/Category')]
    fields = {field.findtext('Usage'): i for i, field in enumerate(band.iterfind('.//FieldDefn'))}
    if names or not {NAME, VALUE} <= fields.keys():
        return dict(enumerate(names))
    rows = [[cell.text or '' for cell in row] for row in band.iterfind('.//Row')]
    return {int(float(row[fields[VALUE]])): row[fields[NAME]] for row in rows}


def count_names(labels: Mapping[str, Any], root: str, area: RasterReader) -> Counter[str]:
    """Count points or polygons near an area by the value of their class column.

    Args:
        labels: Settings of :class:`~mmexact.datasets.weak_labels.LabelSettings`.
        root: Folder that their file starts at.
        area: Where they are needed.

    Raises:
        ValueError: The file or a setting does not fit.
    """
    from mmexact.datasets.weak_labels import LabelSettings, read_labels  # needs geopandas

    crs = area.grid.crs
    bounds = array_bounds(*area.size, area.grid.transform)

    def near(other: Any) -> Any:
        return transform_bounds(crs, other.to_wkt(), *bounds)

    frame, total = read_labels(LabelSettings.parse(labels, root), near if crs else None)
    counts = Counter(name for name in frame['name'] if name)
    if not counts:
        raise ValueError(
            f'{labels["file"]}: none of its {total} labels lies where the rasters do, '
            f'{tuple(bounds)} in {crs}; check the CRS of both'
        )
    return counts
