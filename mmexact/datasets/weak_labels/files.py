"""Files of labels with places: CSV tables of points, GeoParquet, and the vector formats of GDAL."""

import json
import os
import re
from collections.abc import Callable
from datetime import date
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
from geopandas import GeoDataFrame, GeoSeries
from pyarrow import parquet
from pyproj import CRS
from pyproj.exceptions import CRSError

from mmexact.datasets.labels import read_table
from mmexact.datasets.weak_labels.settings import LabelSettings
from mmexact.gdal_files import check_vector

TABLES = ('.csv', '.tsv', '.txt')
"""Suffixes of tables of points; any other file is read as a vector file."""

Bounds = tuple[float, float, float, float]
"""Smallest x and y, largest x and y."""


def read_labels(
    settings: LabelSettings, near: Callable[[CRS], Bounds] | None = None
) -> tuple[GeoDataFrame, int]:
    """Read a file of labels.

    Args:
        settings: The file, and how to read it.
        near: Returns where labels are needed, in the CRS of the labels; the others may be left out.
            By default all are read.

    Returns:
        A row per label: ``name``, the value of the class column as text, '' without one; ``start``
        and ``end``, the days from and to which it is valid, NaT where unknown; and ``geometry``,
        None where there is none. And how many labels the file has, also those that were left out.

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
    if os.path.splitext(path)[1].lower() in TABLES:
        frame = _read_points(settings)
        texts, total = _texts(frame, settings), len(frame)
    else:
        try:
            frame, total = _read_vector(settings, near)
            texts = _texts(frame, settings)
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            if isinstance(error, ValueError) and path in str(error):
                raise
            raise ValueError(
                f'{path}: cannot be read as a vector file: {error}; is it complete? Expected '
                f'GeoPackage, GeoJSON, Shapefile or another format of GDAL, GeoParquet named '
                f'.parquet, or a table of points named .csv'
            ) from None
    name, *dates = texts
    undated = np.full((len(frame), 2), 'NaT', 'datetime64[s]')
    spans = [_days(texts, path) for texts in dates] or [undated]
    start, end = spans[0][:, 0], spans[-1][:, 1]
    missing, endless = np.isnat(start), np.isnat(end)
    columns = dict(
        name=name,
        start=np.where(missing & ~endless, np.datetime64('0001-01-01', 's'), start),
        end=np.where(endless & ~missing, np.datetime64('9999-12-31', 's'), end),
    )
    return GeoDataFrame(columns, geometry=frame.geometry).reset_index(drop=True), total


def _texts(frame: GeoDataFrame, settings: LabelSettings) -> list[pd.Series]:
    """Return the class column and those of the dates as text, '' where there is nothing."""
    return [
        frame[column].astype(object).map(_as_text, na_action='ignore').fillna('')
        for column in (settings.column, *settings.date_columns)
    ]


def _as_text(value: object) -> str:
    """Return a value as it stands in a table: whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _days(texts: pd.Series, path: str) -> np.ndarray:
    """Return the first and last day of dates and years, datetime64 (N, 2), NaT for ''."""
    spans = {'': ('NaT', 'NaT')}
    for line, text in texts.drop_duplicates().items():
        if re.fullmatch(r'\d{4}', text):
            spans[text] = f'{text}-01-01', f'{text}-12-31'
        elif text:
            try:
                day = date.fromisoformat(text[:10].replace('/', '-')).isoformat()
            except ValueError:
                where = f'line {line}' if texts.index.name else f'column {texts.name!r}'
                raise ValueError(
                    f'{path}, {where}: date {text!r}; expected YYYY-MM-DD or a year, '
                    f'e.g. 2023-06-30'
                ) from None
            spans[text] = day, day
    return np.array([spans[text] for text in texts], 'datetime64[s]').reshape(-1, 2)


def _read_points(settings: LabelSettings) -> GeoDataFrame:
    """Read a CSV file of points; rows without coordinates have no geometry."""
    path, (x, y) = settings.file, settings.coordinates
    columns = {
        x: 'labels.coordinates, x',
        y: 'labels.coordinates, y',
        settings.column: 'labels.column, the class',
        **dict.fromkeys(settings.date_columns, 'labels.date_column'),
    }
    rows = read_table(path, columns)[1]
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
    return GeoDataFrame(frame, geometry=points.reindex(frame.index))


def _read_vector(
    settings: LabelSettings, near: Callable[[CRS], Bounds] | None
) -> tuple[GeoDataFrame, int]:
    """Read what is near; of a GeoParquet file all, unless it holds the bounds of its rows."""
    path, bounded = settings.file, True
    if is_parquet := path.lower().endswith(('.parquet', '.geoparquet')):
        header = parquet.read_metadata(path)
        if b'geo' not in (header.metadata or {}):
            raise ValueError(f'{path}: has no geometries; write it as GeoParquet, or points as CSV')
        geo = json.loads(header.metadata[b'geo'])
        geometry = geo['primary_column']
        columns = [name for name in header.schema.to_arrow_schema().names if name != geometry]
        about, total = geo['columns'][geometry], header.num_rows
        found, bounded = about.get('crs', 'OGC:CRS84'), 'covering' in about
    else:
        check_vector(path)
        layer = _choose_layer(settings)
        info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
        columns, found, total = list(info['fields']), info['crs'], info['features']
    wanted = {settings.column: 'column', **dict.fromkeys(settings.date_columns, 'date_column')}
    for name, setting in wanted.items():
        if name not in columns:
            raise ValueError(
                f'{path}: no column {name!r}; it has {columns}: set labels.{setting} to one of '
                f'these'
            )
    crs = _choose_crs(settings, found)
    bbox = near(crs) if near and bounded else None
    if is_parquet:
        frame = geopandas.read_parquet(path, columns=[*wanted, geometry], bbox=bbox)
        frame = frame.reset_index(drop=True)
    else:
        frame = geopandas.read_file(
            path, layer=layer, columns=list(wanted), bbox=bbox, on_invalid='ignore'
        )
    return frame.set_crs(crs, allow_override=True), total


def _choose_layer(settings: LabelSettings) -> Any:
    layers = [name for name, kind in pyogrio.list_layers(settings.file) if kind is not None]
    if not layers:
        raise ValueError(
            f'{settings.file}: has no layer with geometries; export points or polygons with their '
            f'geometry'
        )
    layer = layers[0] if settings.layer is None and len(layers) == 1 else settings.layer
    if layer not in layers:
        raise ValueError(
            f'{settings.file}: layers with geometries are {layers}, labels.layer={layer!r}; set it '
            f'to one of these'
        )
    return layer


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
