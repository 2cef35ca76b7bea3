"""Files of labels with places: CSV tables of points, GeoParquet, and the vector formats of GDAL."""

import json
import os
import re
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import geopandas
import numpy as np
import pandas as pd
import pyogrio
from geopandas import GeoDataFrame, GeoSeries
from pyarrow import ArrowException, parquet
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS
from pyproj.exceptions import CRSError

from mmexact.datasets.labels import read_table
from mmexact.datasets.weak_labels.settings import LabelSettings

TABLES = ('.csv', '.tsv', '.txt')
"""Suffixes of tables of points; any other file is read as a vector file."""

Bounds = tuple[float, float, float, float]
"""Smallest x and y, largest x and y."""

Near = Callable[[CRS], Bounds]
"""Returns the bounds of the areas in the CRS of the labels."""


class LabelFile(NamedTuple):
    """The labels of a file.

    Attributes:
        labels: A row per label: ``name``, the value of the class column as text, '' without one;
            ``start`` and ``end``, the days from and to which it is valid, NaT where unknown; and
            ``geometry``, None where there is none.
        columns: All columns of the file but the geometry.
        total: Labels in the file, also those that were not read because they are far away.
    """

    labels: GeoDataFrame
    columns: list[str]
    total: int


def read_labels(settings: LabelSettings, near: Near | None = None) -> LabelFile:
    """Read a file of labels.

    Args:
        settings: The file, and how to read it.
        near: Where labels are needed; the others may be left out. By default all are read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file or a setting does not fit.
    """
    path = settings.file
    if not os.path.exists(path):
        raise FileNotFoundError(
            f'{os.path.abspath(path)}: no such file (labels.file); expected a CSV file of points, '
            f'or a vector file of points or polygons'
        )
    suffix = os.path.splitext(path)[1].lower()
    if suffix in TABLES:
        frame, columns, total = _read_points(settings)
    else:
        read = _read_parquet if suffix in ('.parquet', '.geoparquet') else _read_layer
        try:
            frame, columns, total = read(settings, near)
        except (DataSourceError, DataLayerError, ArrowException, OSError) as error:
            raise ValueError(
                f'{path}: cannot be read as a vector file: {error}; is it complete? Expected '
                f'GeoPackage, GeoJSON, Shapefile or another format of GDAL, GeoParquet named '
                f'.parquet, or a table of points named .csv'
            ) from None
    texts = {
        name: frame[name].astype(object).map(_as_text, na_action='ignore').fillna('')
        for name in (settings.column, *settings.date_columns)
    }
    labels = GeoDataFrame({'name': texts[settings.column]}, geometry=frame.geometry)
    undated = np.full((len(frame), 2), 'NaT', 'datetime64[s]')
    spans = [_days(texts[name], path) for name in settings.date_columns] or [undated]
    start, end = spans[0][:, 0], spans[-1][:, 1]
    missing, endless = np.isnat(start), np.isnat(end)
    labels['start'] = np.where(missing & ~endless, np.datetime64('0001-01-01', 's'), start)
    labels['end'] = np.where(endless & ~missing, np.datetime64('9999-12-31', 's'), end)
    return LabelFile(labels.reset_index(drop=True), columns, total)


def _as_text(value: object) -> str:
    """Return a value as it stands in a table: whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _days(texts: Any, path: str) -> np.ndarray:
    """Return the first and last day of dates and years, datetime64 (N, 2), NaT for ''."""
    codes, unique = pd.factorize(texts)
    spans = np.full((len(unique), 2), 'NaT', 'datetime64[s]')
    for number, text in enumerate(unique):
        try:
            if re.fullmatch(r'\d{4}', text):
                spans[number] = f'{text}-01-01', f'{text}-12-31'
            elif text:
                spans[number] = date.fromisoformat(text[:10].replace('/', '-'))
        except ValueError:
            line = texts.index[codes == number][0]
            where = f'line {line}' if texts.index.name else f'column {texts.name!r}'
            raise ValueError(
                f'{path}, {where}: date {text!r}; expected YYYY-MM-DD or a year, e.g. 2023-06-30'
            ) from None
    days: np.ndarray = spans[codes]
    return days


def _read_points(settings: LabelSettings) -> LabelFile:
    """Read a CSV file of points; rows without coordinates have no geometry."""
    path, (x, y) = settings.file, settings.coordinates
    columns = {
        x: 'labels.coordinates, x',
        y: 'labels.coordinates, y',
        settings.column: 'labels.column, the class',
        **dict.fromkeys(settings.date_columns, 'labels.date_column'),
    }
    found, rows = read_table(path, columns)
    lines = pd.Index([line for line, _ in rows], name='line')
    frame = pd.DataFrame([cells for _, cells in rows], lines, list(columns))
    texts = frame.loc[(frame[x] != '') & (frame[y] != ''), [x, y]]
    # Spreadsheets may write a decimal comma.
    numbers = texts.apply(lambda cells: pd.to_numeric(cells.str.replace(',', '.'), errors='coerce'))
    for row, column in np.argwhere(~np.isfinite(numbers.to_numpy(float)))[:1]:
        raise ValueError(
            f'{path}, line {texts.index[row]}: {texts.columns[column]}={texts.iat[row, column]!r}; '
            f'expected a number, e.g. 14.52'
        )
    points = GeoSeries.from_xy(numbers[x], numbers[y], crs=_choose_crs(settings, 'EPSG:4326'))
    return LabelFile(GeoDataFrame(frame, geometry=points.reindex(frame.index)), found, len(frame))


def _read_parquet(settings: LabelSettings, near: Near | None) -> LabelFile:
    """Read a GeoParquet file; only if it holds the bounds of its rows, others can be left out."""
    path = settings.file
    header = parquet.read_metadata(path)
    if b'geo' not in (header.metadata or {}):
        raise ValueError(f'{path}: has no geometries; write it as GeoParquet, or points as CSV')
    geo = json.loads(header.metadata[b'geo'])
    geometry = geo['primary_column']
    about = geo['columns'][geometry]
    columns = [name for name in header.schema.to_arrow_schema().names if name != geometry]
    _check_columns(settings, columns)
    crs = _choose_crs(settings, about.get('crs', 'OGC:CRS84'))
    frame = geopandas.read_parquet(
        path,
        columns=[settings.column, *settings.date_columns, geometry],
        bbox=near(crs) if near and 'covering' in about else None,
    )
    frame = frame.reset_index(drop=True).set_crs(crs, allow_override=True)
    return LabelFile(frame, columns, header.num_rows)


def _read_layer(settings: LabelSettings, near: Near | None) -> LabelFile:
    """Read the part of a layer that is near."""
    path, layer = settings.file, settings.layer
    layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
    if not layers:
        raise ValueError(
            f'{path}: has no layer with geometries; export points or polygons with their geometry'
        )
    if layer is None and len(layers) == 1:
        layer = layers[0]
    if layer not in layers:
        raise ValueError(
            f'{path}: layers with geometries are {layers}, labels.layer={layer!r}; set it '
            f'to one of these'
        )
    info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
    columns = list(info['fields'])
    _check_columns(settings, columns)
    crs = _choose_crs(settings, info['crs'])
    frame = geopandas.read_file(
        path,
        engine='pyogrio',
        layer=layer,
        columns=[settings.column, *settings.date_columns],
        bbox=near and near(crs),
        on_invalid='ignore',
    )
    return LabelFile(frame.set_crs(crs, allow_override=True), columns, info['features'])


def _check_columns(settings: LabelSettings, columns: list[str]) -> None:
    names = {settings.column: 'column', **dict.fromkeys(settings.date_columns, 'date_column')}
    for name, setting in names.items():
        if name not in columns:
            raise ValueError(
                f'{settings.file}: no column {name!r}; it has {columns}: set labels.{setting} to '
                f'one of these'
            )


def _choose_crs(settings: LabelSettings, found: Any) -> CRS:
    if found is None and settings.crs is None:
        raise ValueError(
            f'{settings.file}: has no coordinate reference system (CRS; of a Shapefile, the .prj '
            f"file); set labels.crs, e.g. 'EPSG:32633'"
        )
    try:
        return CRS.from_user_input(settings.crs or found)
    except CRSError as error:
        raise ValueError(
            f"{settings.file}: labels.crs={settings.crs!r}: {error}; expected e.g. 'EPSG:32633'"
        ) from None
