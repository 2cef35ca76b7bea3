"""Labels that lie somewhere: the settings of their file, points of CSV files, areas of windows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as warp
from rasterio.warp import transform_bounds

from mmexact.datasets.labels import PRESENCE, read_table
from mmexact.sits import Window

Bounds = tuple[float, float, float, float]
"""Smallest x and y, largest x and y."""

Day = date | int
"""When a label was seen: a day, or only the year of the harvest."""

TABLES = ('.csv', '.tsv', '.txt')
"""Suffixes of tables of points; any other file is read as a vector file."""


@dataclass(frozen=True)
class LabelSettings:
    """Where labels with places come from and what they mean.

    Attributes:
        file: CSV file of points (suffix .csv, .tsv or .txt), or vector file of points or polygons
            (GeoPackage, GeoJSON, Shapefile, ...: whatever GDAL reads).
        column: Column with the class names.
        codes: Name of the class, or 'ignored', by value of that column. Names of classes need not
            be listed.
        other_codes: The same for all other values, e.g. the background; by default they are
            reported as unknown.
        coordinates: Columns of a CSV file with x and y, that is longitude before latitude.
        crs: Coordinate reference system of the places. By default what the vector file says, and
            'EPSG:4326' (longitude and latitude) for CSV files.
        layer: Layer of a vector file that has several.
        date_column: Column with the date of each label. Dates (YYYY-MM-DD) count for series whose
            first and last date they lie between, years (YYYY) for series that end in them.
        min_share: A crop occurs in a window when its polygons cover strictly more than this share
            of the window, 0..1. A single point is enough.
        problems: 'report' logs how many labels and windows cannot be used, and why; with 'error'
            they stop the run.
    """

    file: str
    column: str = 'label'
    codes: Mapping[int | str, str] = field(default_factory=dict)
    other_codes: str | None = None
    coordinates: Sequence[str] = ('longitude', 'latitude')
    crs: str | None = None
    layer: str | None = None
    date_column: str | None = None
    min_share: float = PRESENCE
    problems: str = 'report'

    def __post_init__(self) -> None:
        if self.problems not in ('error', 'report'):
            raise ValueError(f"labels.problems={self.problems!r}; expected 'error' or 'report'")
        if not 0 <= self.min_share < 1:
            raise ValueError(f'labels.min_share={self.min_share}; expected a share, 0 <= share < 1')
        if isinstance(self.coordinates, str) or len(self.coordinates) != 2:
            raise ValueError(
                f'labels.coordinates={self.coordinates!r}; expected the names of two columns, x '
                f"before y: ('longitude', 'latitude')"
            )

    @property
    def is_table(self) -> bool:
        """Whether the file is a CSV file."""
        return self.file.lower().endswith(TABLES)


@dataclass(frozen=True)
class LabelPlaces:
    """The N labels of a file and their places, in the file's coordinates.

    Attributes:
        crs: Of the coordinates.
        names: N values of the class column as text, '' where there is none.
        days: When each label was seen, None where unknown; None if dates do not matter.
        points: (P, 2) x and y.
        point_labels: (P,) which label a point belongs to.
        polygons: (Q,) valid polygons and multi-polygons of shapely.
        polygon_labels: (Q,) which label a polygon belongs to.
        span: Bounds of all labels of the file; None if there are none.
        num_distant: Labels of the file that were not read, because they are far from all areas.
        num_repaired: Polygons that were invalid, such as those that cross themselves.
    """

    crs: CRS
    names: list[str]
    days: list[Day | None] | None
    points: np.ndarray
    point_labels: np.ndarray
    polygons: np.ndarray
    polygon_labels: np.ndarray
    span: Bounds | None
    num_distant: int = 0
    num_repaired: int = 0


@dataclass(frozen=True)
class Area:
    """The windows of a series and where they lie.

    Attributes:
        name: Of the series.
        windows: A grid of equal windows, row-major from the top left.
        crs: Coordinate reference system, as WKT; None if the rasters have none.
        transform: From (column, row) to coordinates.
        days: First and last day of the series.
    """

    name: str
    windows: Sequence[Window]
    crs: str | None
    transform: Affine
    days: tuple[date, date]

    def is_timely(self, day: Day | None) -> bool:
        """Tell whether a label of that day or year counts."""
        if isinstance(day, int):
            return day == self.days[1].year
        return day is not None and self.days[0] <= day <= self.days[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of all windows together, in pixels."""
        row, column, height, width = self.windows[-1]
        return row + height, column + width

    def bounds(self, crs: CRS) -> Bounds:
        """Return the bounds of the windows in coordinates of ``crs``, and 1 % more on each side.

        Raises:
            ValueError: The rasters have no CRS, or none that goes together with ``crs``.
        """
        if self.crs is None:
            raise ValueError(
                f'{self.name}: the rasters declare no coordinate reference system (CRS), so that '
                f"labels cannot be placed in them; name it with search=dict(crs='EPSG:...'), or "
                f'label windows by their ids (image_labels_file)'
            )
        height, width = self.size
        corners = [(0, 0), (width, 0), (0, height), (width, height)]
        xs, ys = _apply(self.transform, np.array(corners, dtype=float)).T
        try:
            left, bottom, right, top = transform_bounds(
                CRS.from_wkt(self.crs), crs, xs.min(), ys.min(), xs.max(), ys.max()
            )
        except Exception as error:  # GDAL's errors have no public base class
            raise ValueError(
                f'{self.name}: the CRS of the rasters and that of the labels, {crs}, do not go '
                f'together: {error}; set labels.crs'
            ) from None
        margin_x, margin_y = 0.01 * (right - left), 0.01 * (top - bottom)
        return left - margin_x, bottom - margin_y, right + margin_x, top + margin_y

    def to_pixels(self, places: np.ndarray, crs: CRS) -> np.ndarray:
        """Transform (N, 2) x and y in ``crs``, within the bounds, to (N, 2) column and row."""
        own = CRS.from_wkt(self.crs)
        if own != crs:
            places = np.column_stack(warp(crs, own, places[:, 0], places[:, 1])[:2])
        # Rounding makes borders of windows what they are in the coordinates of the file.
        return _apply(~self.transform, places).round(6)


def _apply(transform: Affine, places: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = transform[:6]
    x, y = places.T
    return np.column_stack((a * x + b * y + c, d * x + e * y + f))


def parse_crs(text: str, setting: str) -> CRS:
    """Read a coordinate reference system such as 'EPSG:32633'.

    Raises:
        ValueError: It is none; the message names the setting or the file.
    """
    try:
        return CRS.from_user_input(text)
    except (RasterioError, ValueError) as error:
        raise ValueError(f"{setting}={text!r}: {error}; expected e.g. 'EPSG:32633'") from None


def parse_day(text: str, where: str) -> Day | None:
    """Read a date (YYYY-MM-DD, with '/' or a time as well) or a year; '' is None.

    Raises:
        ValueError: It is neither; the message starts with ``where``.
    """
    if not text:
        return None
    if re.fullmatch(r'\d{4}', text):
        return int(text)
    try:
        return date.fromisoformat(text[:10].replace('/', '-'))
    except ValueError:
        raise ValueError(
            f'{where}: date {text!r}; expected YYYY-MM-DD or a year, e.g. 2023-06-30'
        ) from None


def read_points(path: str, settings: LabelSettings) -> LabelPlaces:
    """Read a CSV file of points. Rows without coordinates are labels without a place.

    Raises:
        ValueError: A column is missing, or a coordinate is no number.
    """
    x, y = settings.coordinates
    columns = {
        x: 'labels.coordinates, x',
        y: 'labels.coordinates, y',
        settings.column: 'labels.column, the class',
    }
    if settings.date_column is not None:
        columns[settings.date_column] = 'labels.date_column'
    rows = read_table(path, columns)
    numbers = [
        (
            index,
            [_number(row[name], f'{path}, line {line}: {name}') for name in (x, y)],
        )
        for index, (line, row) in enumerate(rows)
        if row[x] and row[y]
    ]
    points = np.array([place for _, place in numbers], dtype=float).reshape(-1, 2)
    days = None
    if settings.date_column is not None:
        days = [parse_day(row[settings.date_column], f'{path}, line {line}') for line, row in rows]
    return LabelPlaces(
        crs=parse_crs(settings.crs or 'EPSG:4326', 'labels.crs'),
        names=[row[settings.column] for _, row in rows],
        days=days,
        points=points,
        point_labels=np.array([index for index, _ in numbers], dtype=int),
        polygons=np.empty(0, object),
        polygon_labels=np.empty(0, int),
        span=(*points.min(0), *points.max(0)) if len(points) else None,
    )


def _number(text: str, where: str) -> float:
    try:
        number = float(text.replace(',', '.'))  # spreadsheets may write a decimal comma
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f'{where}={text!r}; expected a number, e.g. 14.52')
    return number


def points_in_windows(places: LabelPlaces, area: Area) -> tuple[np.ndarray, np.ndarray]:
    """Find the window in which each point lies; its left and upper border belong to a window.

    Returns:
        Indices of windows, and of the labels that lie in them, of equal length.
    """
    left, bottom, right, top = area.bounds(places.crs)
    x, y = places.points.T
    near = (x >= left) & (x <= right) & (y >= bottom) & (y <= top)
    pixels = area.to_pixels(places.points[near], places.crs) if near.any() else np.empty((0, 2))
    height, width = area.windows[-1][2:]
    rows, columns = (side // step for side, step in zip(area.size, (height, width), strict=True))
    column, row = np.floor(pixels / (width, height)).astype(int).T
    hit = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    return (row * columns + column)[hit], places.point_labels[near][hit]
