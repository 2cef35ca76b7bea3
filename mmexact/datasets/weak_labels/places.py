"""The windows of an area on the ground, and which labels lie in them."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from mmexact.datasets.weak_labels.files import Bounds
from mmexact.sits import Georeference, Window

CELL = ['window', 'number']
"""Columns: index of a window, and number of a class that may occur there."""


class Area(NamedTuple):
    """The windows of a series and where they lie.

    Attributes:
        name: Of the series.
        windows: A grid of equal windows, row-major from the top left.
        georeference: Of the patch that is cut into windows.
        days: First and last day of the series.
    """

    name: str
    windows: Sequence[Window]
    georeference: Georeference
    days: tuple[date, date]

    def boxes(self, windows: Sequence[Window], name: str = 'window') -> GeoDataFrame:
        """Return windows in the coordinates of the rasters; ``name`` has their index."""
        top, left, height, width = np.array(windows).T
        a, b, c, d, e, f = self.georeference.transform
        pixels = shapely.box(left, top, left + width, top + height)
        ground = shapely.transform(pixels, lambda xy: xy @ [[a, d], [b, e]] + (c, f))
        return GeoDataFrame({name: range(len(ground))}, geometry=ground, crs=self.georeference.crs)

    def bounds(self, crs: CRS) -> Bounds:
        """Return the bounds of the windows in ``crs``, and 1 % more on each side."""
        if self.georeference.crs is None:
            raise ValueError(
                f'{self.name}: the rasters declare no coordinate reference system (CRS), so that '
                f"labels cannot be placed in them; name it with search=dict(crs='EPSG:...'), or "
                f'label windows by their ids (image_labels_file)'
            )
        bounds = self.boxes(self.windows).total_bounds
        try:
            transformer = Transformer.from_crs(self.georeference.crs, crs, always_xy=True)
            left, bottom, right, top = transformer.transform_bounds(*bounds)
        except ProjError as error:
            raise ValueError(
                f'{self.name}: the CRS of the rasters and that of the labels, {crs.name}, do not '
                f'go together: {error}; set labels.crs'
            ) from None
        x, y = 0.01 * (right - left), 0.01 * (top - bottom)
        return left - x, bottom - y, right + x, top + y

    def is_timely(self, labels: GeoDataFrame, date_columns: int) -> np.ndarray:
        """Tell which labels, valid from ``start`` to ``end``, hold at the time of the series.

        Without ``date_columns`` all do. One has days, which must lie in the series, or years, in
        which it must end. What two say has to cover more than half of the series.
        """
        first, last = np.array(self.days, 'datetime64[s]')
        start, end = labels['start'].to_numpy(), labels['end'].to_numpy()
        if date_columns == 0:
            return np.ones(len(labels), bool)
        if date_columns == 1:
            is_year, ends = start < end, (start <= last) & (last <= end)
            return np.where(is_year, ends, (first <= start) & (start <= last))
        day = np.timedelta64(1, 'D')
        shared = np.minimum(end, last) - np.maximum(start, first) + day
        return 2 * shared > last - first + day


def repair(labels: GeoDataFrame) -> int:
    """Make invalid polygons valid, in place, and return how many there were."""
    invalid = ~labels.is_valid
    valid = labels.geometry[invalid].make_valid(method='structure', keep_collapsed=False)
    labels.loc[invalid, 'geometry'] = valid
    return int(invalid.sum())


def in_windows(parts: GeoDataFrame, area: Area) -> GeoDataFrame:
    """Find the valid points, and cut the valid polygons, that lie in the windows of an area.

    A point on the border of two windows lies in the right or the lower one.

    Returns:
        A row for each part in each ``window`` (its index), with what of the part lies there as
        geometry, in the coordinates of the rasters.
    """
    windows, boxes = np.array(area.windows), area.boxes(area.windows)
    # Only what is near can be transformed: a polygon may reach around the world.
    parts = parts.clip(area.bounds(parts.crs)).explode(ignore_index=True).to_crs(boxes.crs)
    points = parts[parts.geom_type == 'Point'].sjoin(boxes).sort_values('window')
    points = points[~points.index.duplicated(keep='last')]
    polygons = parts[parts.geom_type == 'Polygon']
    repair(polygons)  # slivers that rounding has collapsed
    # Rows of windows first, so that a large polygon is not cut from scratch for each window.
    rows = windows[windows[:, 1] == windows[0, 1]]
    rows[:, 3] = windows[-1, 1] + windows[-1, 3]
    strips = area.boxes(rows, 'row')
    polygons = polygons.overlay(strips, keep_geom_type=True).overlay(boxes, keep_geom_type=True)
    return pd.concat([points, polygons])


def occurrences(
    touching: GeoDataFrame, area: Area, num_classes: int, min_share: float
) -> np.ndarray:
    """Tell which classes occur in which windows, bool (windows, classes).

    That is where there is a point with the ``number`` of the class, or more than ``min_share`` of
    the window is covered by polygons with it.
    """
    occurs = np.zeros((len(area.windows), num_classes), bool)
    touching = touching[touching['number'].between(0, num_classes - 1)]
    is_point = touching.geom_type == 'Point'
    occurs[tuple(touching.loc[is_point, CELL].to_numpy().T)] = True
    polygons = touching[~is_point].set_index(CELL)[['geometry']]
    # Coordinates are no more exact than 1e-8.
    limit = (min_share + 1e-8) * area.boxes(area.windows[:1]).area[0]
    sizes = pd.Series(shapely.area(polygons.geometry), polygons.index)
    sizes = sizes.groupby(level=CELL).agg(['max', 'sum'])
    # Polygons that overlap, those of several years for instance, must not add up.
    unsure = sizes.index[(sizes['max'] <= limit) & (sizes['sum'] > limit)]
    united = polygons[polygons.index.isin(unsure)].dissolve(level=CELL)
    covered = united.index[shapely.area(united.geometry) > limit]
    for cell in (*sizes.index[sizes['max'] > limit], *covered):
        occurs[cell] = True
    return occurs
