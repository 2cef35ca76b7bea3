"""The part of a scene that is to be mapped: polygons of a file, or a box in degrees."""

import hashlib
from collections.abc import Sequence

import geopandas
import numpy as np
from geopandas import GeoDataFrame
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from shapely import box, union_all

from mmexact.gdal_files import check_vector
from mmexact.sits import Georeference

DEGREES = 'EPSG:4326'


def read_area(path: str) -> GeoDataFrame:
    """Read the polygons of a vector file (GeoPackage, GeoJSON, Shapefile, GeoParquet).

    Raises:
        ValueError: It holds no polygons, or no coordinate reference system.
    """
    if path.endswith(('.parquet', '.geoparquet')):
        frame = geopandas.read_parquet(path)
    else:
        check_vector(path)
        frame = geopandas.read_file(path)
    frame = frame[frame.geom_type.isin(['Polygon', 'MultiPolygon'])]
    if frame.empty:
        raise ValueError(f'{path}: holds no polygons; expected those of the area to map')
    if frame.crs is None:
        raise ValueError(f'{path}: has no coordinate reference system; save it with one')
    return frame[['geometry']]


def box_in_degrees(bounds: Sequence[float]) -> GeoDataFrame:
    """Make a box of west, south, east and north in degrees (WGS 84).

    Raises:
        ValueError: They are no box on the globe.
    """
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise ValueError(
            f'{west} {south} {east} {north} is no box in degrees; expected west, south, east, north'
        )
    # Its sides are parallels, which are not straight in most maps.
    return GeoDataFrame(geometry=[box(west, south, east, north).segmentize(0.01)], crs=DEGREES)


def area_digest(area: GeoDataFrame) -> str:
    """SHA-256 of the polygons."""
    shapes = b''.join(area.geometry.to_wkb())
    return hashlib.sha256(f'{area.crs.to_wkt()}'.encode() + shapes).hexdigest()


class SceneArea:
    """An area on the grid of a scene.

    Args:
        area: Polygons in any coordinate reference system.
        georeference: Where the scene lies.
        width: Of the scene in pixels.
        source: The scene, for messages.

    Raises:
        ValueError: Nobody knows where the scene lies.
    """

    def __init__(
        self, area: GeoDataFrame, georeference: Georeference | None, width: int, source: str
    ) -> None:
        if georeference is None or georeference.crs is None:
            raise ValueError(
                f'{source}: has no coordinate reference system, so that an area of interest has no '
                f'place in it'
            )
        self.shape = union_all(area.to_crs(georeference.crs).geometry.make_valid().to_numpy())
        self.transform, self.width = Affine(*georeference.transform), width

    def touches(self, top: int, left: int, height: int, width: int) -> bool:
        """Tell whether any of the area lies in a part of the scene."""
        corners = [
            self.transform @ (left + x, top + y)
            for x, y in ((0, 0), (width, 0), (width, height), (0, height))
        ]
        columns, rows = zip(*corners, strict=True)
        return bool(self.shape.intersects(box(min(columns), min(rows), max(columns), max(rows))))

    def inside(self, top: int, rows: int) -> np.ndarray:
        """Tell which pixels of some rows have their centre in the area, bool (rows, width)."""
        if self.shape.is_empty:
            return np.zeros((rows, self.width), bool)
        strip = self.transform @ Affine.translation(0, top)
        return geometry_mask([self.shape], (rows, self.width), strip, invert=True)
