"""Labels of vector files: read with pyogrio, intersected with windows by shapely."""

import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio.crs import CRS

from mmexact.datasets.label_places import (
    Area,
    Bounds,
    LabelPlaces,
    LabelSettings,
    parse_crs,
    parse_day,
)

POINTS = (shapely.GeometryType.POINT, shapely.GeometryType.MULTIPOINT)
POLYGONS = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def read_vector(path: str, settings: LabelSettings, areas: list[Area]) -> LabelPlaces:
    """Read the points and polygons of a vector file that are near the areas.

    Heights are dropped. Geometries that are missing or empty, and lines, are labels without a
    place.

    Raises:
        ValueError: The file cannot be read, a layer or a column is missing, or it has no CRS.
    """
    layer = _choose_layer(path, settings.layer)
    info = pyogrio.read_info(path, layer=layer, force_feature_count=True, force_total_bounds=True)
    columns = [settings.column, *([settings.date_column] if settings.date_column else [])]
    for column, setting in zip(columns, ('column', 'date_column'), strict=False):
        if column not in info['fields']:
            raise ValueError(
                f'{path}, layer {layer}: no column {column!r}; it has {list(info["fields"])}: set '
                f'labels.{setting} to one of these'
            )
    crs = _find_crs(path, info['crs'], settings.crs)
    near = _union([area.bounds(crs) for area in areas])
    try:
        meta, _, geometries, fields = pyogrio.raw.read(
            path, layer=layer, columns=columns, bbox=near, force_2d=True
        )
    except (DataSourceError, DataLayerError) as error:
        raise ValueError(f'{path}, layer {layer}: {error}; is the file complete?') from None
    shapes = shapely.from_wkb(geometries, on_invalid='ignore')
    values = dict(zip(meta['fields'], fields, strict=True))
    days = None
    if settings.date_column is not None:
        days = [
            parse_day(as_text(value), f'{path}, {settings.date_column}')
            for value in values[settings.date_column]
        ]
    kinds = shapely.get_type_id(shapes)
    filled = ~(shapely.is_empty(shapes) | shapely.is_missing(shapes))
    has_points, has_polygons = (
        np.flatnonzero(filled & np.isin(kinds, k)) for k in (POINTS, POLYGONS)
    )
    points, owners = shapely.get_coordinates(shapes[has_points], return_index=True)
    polygons = shapes[has_polygons]
    invalid = ~shapely.is_valid(polygons)
    polygons[invalid] = _repair(polygons[invalid])
    return LabelPlaces(
        crs=crs,
        names=[as_text(value) for value in values[settings.column]],
        days=days,
        points=points,
        point_labels=has_points[owners],
        polygons=polygons,
        polygon_labels=has_polygons,
        span=info['total_bounds'],
        num_distant=info['features'] - len(shapes),
        num_repaired=int(invalid.sum()),
    )


def as_text(value: object) -> str:
    """Return a value of a column as in a table: whole numbers without a point, '' for none."""
    if value is None or value != value:  # NaN, or NaT of dates
        return ''
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def _choose_layer(path: str, wanted: str | None) -> str:
    try:
        layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
    except DataSourceError as error:
        raise ValueError(
            f'{path}: cannot be opened as a vector file: {error}; expected GeoPackage, GeoJSON, '
            f'Shapefile or another format of GDAL, or a table of points named .csv'
        ) from None
    if wanted in layers or (wanted is None and len(layers) == 1):
        return wanted or layers[0]
    raise ValueError(
        f'{path}: layers with geometries are {layers}, labels.layer={wanted!r}; set it to one of '
        f'these'
        if layers
        else f'{path}: has no layer with geometries; export points or polygons with their geometry'
    )


def _find_crs(path: str, found: str | None, wanted: str | None) -> CRS:
    if wanted is not None:
        return parse_crs(wanted, 'labels.crs')
    if found is None:
        raise ValueError(
            f'{path}: has no coordinate reference system (CRS; of a Shapefile, the .prj file); set '
            f"labels.crs, e.g. 'EPSG:32633'"
        )
    return parse_crs(found, f'CRS of {path}')


def _union(bounds: list[Bounds]) -> Bounds:
    lows, highs = np.array(bounds)[:, :2].min(0), np.array(bounds)[:, 2:].max(0)
    return (*lows.tolist(), *highs.tolist())


def _repair(polygons: np.ndarray) -> np.ndarray:
    return shapely.make_valid(polygons, method='structure', keep_collapsed=False)


def polygons_in_windows(
    places: LabelPlaces, area: Area
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut polygons along the borders of windows.

    Returns:
        Indices of windows and of labels, and the part of the label's polygon in the window, in
        pixels; of equal length, parts without an area left out.
    """
    near = shapely.box(*area.bounds(places.crs))
    hit = shapely.intersects(near, places.polygons)
    # Only what is near can be transformed: a polygon may reach around the world.
    shapes = shapely.intersection(places.polygons[hit], near)
    shapes = shapely.transform(shapes, lambda xy: area.to_pixels(xy, places.crs))
    invalid = ~shapely.is_valid(shapes)  # slivers that rounding has collapsed
    shapes[invalid] = _repair(shapes[invalid])
    owners = places.polygon_labels[hit]
    rows, columns, heights, widths = np.array(area.windows).T
    # Rows of windows first, so that a large polygon is not cut from scratch for each window.
    tops, last_column = np.unique(rows), columns[-1] + widths[-1]
    strips = shapely.box(0, tops, last_column, tops + heights[0])
    which, _, shapes = _cut(shapes, strips)
    windows = shapely.box(columns, rows, columns + widths, rows + heights)
    again, window, parts = _cut(shapes, windows)
    return window, owners[which[again]], parts


def _cut(shapes: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intersect polygons and boxes: indices of both, and what they share, if it has an area."""
    shape, box = shapely.STRtree(boxes).query(shapes, predicate='intersects')
    parts = shapely.intersection(shapes[shape], boxes[box])
    large = shapely.area(parts) > 0
    return shape[large], box[large], parts[large]


def covered(groups: np.ndarray, parts: np.ndarray, area: float) -> np.ndarray:
    """Find the groups whose parts together cover more than an area; what overlaps counts once.

    Args:
        groups: (M,) group of each part.
        parts: (M,) polygons.
        area: In pixels. A millionth of a pixel more is not more: coordinates are no more exact.

    Returns:
        The groups, ascending.
    """
    area = area + 1e-6
    order = np.argsort(groups, kind='stable')
    found, starts = np.unique(groups[order], return_index=True)
    if not len(found):
        return found
    areas = shapely.area(parts)[order]
    sure = np.maximum.reduceat(areas, starts) > area
    open_ = ~sure & (np.add.reduceat(areas, starts) > area)
    for index in np.flatnonzero(open_):
        # Overlapping polygons, of several years for instance, must not add up.
        members = order[starts[index] : np.append(starts, len(order))[index + 1]]
        sure[index] = shapely.union_all(parts[members]).area > area
    return found[sure]
