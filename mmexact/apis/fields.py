"""What a class map shows in each field: the class that covers most of it, and how surely."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
from geopandas import GeoDataFrame, GeoSeries

from mmexact.apis.class_map import ClassMap
from mmexact.gdal_files import check_vector, open_gdal
from mmexact.sits import IGNORED

PARQUET = ('.parquet', '.geoparquet')
PIECE = 1000
"""Fields whose pixels are held at a time."""


def read_fields(path: str, layer: str | None = None) -> GeoDataFrame:
    """Read polygons with all of their columns.

    Args:
        path: GeoParquet, or a vector file of GDAL.
        layer: Of a file that has several.

    Raises:
        ValueError: It cannot be read, has no CRS or other geometries than polygons.
    """
    try:
        if path.lower().endswith(PARQUET):
            fields = geopandas.read_parquet(path)
        else:
            check_vector(path)
            layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
            if len(layers) > 1 and layer is None:
                raise ValueError(f'{path}: has the layers {layers}; name one of them (--layer)')
            fields = geopandas.read_file(path, layer=layer)
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        if isinstance(error, ValueError) and path in str(error):
            raise
        raise ValueError(f'{path}: cannot be read as a vector file: {error}') from None
    if not isinstance(fields, GeoDataFrame) or fields.crs is None:
        raise ValueError(
            f'{path}: has no geometries with a coordinate reference system; set one, e.g. with '
            f'ogr2ogr -a_srs EPSG:32633'
        )
    kinds = set(fields.geom_type.dropna()) - {'Polygon', 'MultiPolygon'}
    if kinds:
        raise ValueError(f'{path}: has geometries of type {sorted(kinds)[0]}; expected polygons')
    return fields


def _pixels(raster: str, fields: GeoSeries) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the values under each field that are not 255, and how much of each pixel is inside."""
    try:
        from exactextract import exact_extract
    except ImportError:
        raise ValueError(
            'fields are cut out by exactextract, which is not installed: pip install exactextract'
        ) from None
    with open_gdal(raster) as file:
        found = exact_extract(file, fields.to_frame('geometry'), ['values', 'coverage'],
                              output='pandas')  # fmt: skip
    pairs = zip(found['values'], found['coverage'], strict=True)
    return [(values[values != IGNORED], share[values != IGNORED]) for values, share in pairs]


def summarise_fields(
    class_map: ClassMap,
    fields: GeoDataFrame,
    probability: str | None = None,
    after_piece: Callable[[int], object] = lambda number: None,
) -> GeoDataFrame:
    """Add to fields what a map shows in them; pixels on their edge count by the share inside.

    Args:
        class_map: The map.
        fields: Polygons in any CRS.
        probability: Raster of percent with the map's pixels, as ``predict.py --scores
            probability`` writes it.
        after_piece: Called with the number of fields of each piece, for a progress bar.

    Returns:
        The fields with ``map_class``, the name of the class that covers most of a field, None
        where the map has no data; ``map_share``, how much of the field's mapped pixels it covers,
        0..1; ``map_pixels``, how many these are; and ``map_probability``, their mean score in
        percent. Columns of these names are replaced.

    Raises:
        ValueError: No field lies on the map.
    """
    shapes = fields.geometry.to_crs(class_map.crs).make_valid()
    usable = np.flatnonzero(~(shapes.isna() | shapes.is_empty))
    names = np.full(len(fields), None, object)
    pixels, shares, scores = np.zeros(len(fields)), *np.full((2, len(fields)), np.nan)
    for start in range(0, len(usable), PIECE):
        rows = usable[start : start + PIECE]
        piece = shapes.iloc[rows].reset_index(drop=True)
        for row, (classes, inside) in zip(rows, _pixels(class_map.path, piece), strict=True):
            if len(classes):
                covered = np.bincount(classes, inside)
                best = int(covered.argmax())
                names[row], pixels[row] = class_map.names[best], covered.sum()
                shares[row] = covered[best] / covered.sum()
        if probability is not None:
            for row, (values, inside) in zip(rows, _pixels(probability, piece), strict=True):
                if len(values):
                    scores[row] = np.average(values, weights=inside)
        after_piece(len(rows))
    if not pixels.any():
        raise ValueError(
            f'{class_map.path}: none of the {len(fields)} fields lies on pixels with a class. In '
            f'the CRS of the map the fields span {_span(shapes.total_bounds)}; the map spans '
            f'{_span(class_map.bounds())}'
        )
    added = dict(map_class=names, map_share=shares, map_pixels=pixels)
    return fields.assign(**added, **({} if probability is None else dict(map_probability=scores)))


def _span(bounds: Sequence[float]) -> str:
    west, south, east, north = bounds
    return f'x {west:.6g} to {east:.6g}, y {south:.6g} to {north:.6g}'


def write_fields(fields: GeoDataFrame, path: Path) -> None:
    """Write GeoParquet, or a GeoPackage where the name says so, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        if path.suffix.lower() == '.gpkg':
            fields.to_file(unfinished, layer='fields')
        else:
            fields.to_parquet(unfinished)
        os.replace(unfinished, path)
