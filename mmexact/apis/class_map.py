"""A finished class map: pixels by class and region, classes at points, pixels drawn at random."""

from collections.abc import Iterator, Mapping

import geopandas
import numpy as np
import rasterio
from geopandas import GeoDataFrame
from rasterio.features import rasterize
from rasterio.transform import Affine

from mmexact.gdal_files import open_gdal
from mmexact.sits import IGNORED


class ClassMap:
    """A class map of ``tools/predict.py``, or any raster of one uint8 band, 255 no data.

    Args:
        path: The file.

    Raises:
        ValueError: It cannot be read, has another type, or does not say where it lies.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            with open_gdal(path) as raster:
                kind, self.crs = raster.dtypes[0], raster.crs
                tags, self.transform = raster.tags(1), raster.transform
                self.shape = raster.shape
        except rasterio.errors.RasterioIOError as error:
            raise ValueError(f'{path}: cannot be read as a map: {error}') from None
        if kind != 'uint8' or self.crs is None:
            raise ValueError(
                f'{path}: {kind} with the CRS {self.crs}; expected a map of uint8 classes that '
                f'says where it lies, as tools/predict.py makes of georeferenced data'
            )
        self.names = {value: tags.get(f'class_{value}', str(value)) for value in range(IGNORED)}

    def bounds(self) -> tuple[float, float, float, float]:
        """Return west, south, east and north in the map's CRS."""
        return rasterio.transform.array_bounds(*self.shape, self.transform)

    def strips(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the first row and the values, uint8 (h, W), of one strip after the other."""
        with open_gdal(self.path) as raster:
            for row in range(0, self.shape[0], 512):
                window = ((row, min(row + 512, self.shape[0])), (0, self.shape[1]))
                try:
                    values = raster.read(1, window=window)
                except rasterio.errors.RasterioIOError as error:
                    raise ValueError(
                        f'{self.path}: cannot be read from row {row} on: {error}; is it complete?'
                    ) from None
                yield row, values

    def count(self, regions: GeoDataFrame | None = None) -> np.ndarray:
        """Count pixels by class, (R, 255), in each region or (R = 1) in the whole map."""
        total = np.zeros((1 if regions is None else len(regions), 256), np.int64)
        shapes = [] if regions is None else list(zip(regions.geometry, range(1, 1 + len(regions)),
                                                     strict=True))  # fmt: skip
        for row, values in self.strips():
            inside = np.ones(values.shape, np.int32)
            if regions is not None:
                place = self.transform @ Affine.translation(0, row)
                inside = rasterize(shapes, values.shape, transform=place, dtype='int32')
            cells = (inside.astype(np.int64) - 1) * 256 + values
            counts = np.bincount(cells[inside > 0], minlength=total.size)
            total += counts.reshape(total.shape)
        return total[:, :IGNORED]

    def by_name(self, counts: np.ndarray) -> dict[str, int]:
        """Name the classes of counts (255,) by value, of those that there are."""
        return {self.names[value]: int(counts[value]) for value in np.flatnonzero(counts).tolist()}

    def sample(self, points: GeoDataFrame) -> np.ndarray:
        """Return the class at points in the map's CRS; 255 outside and where there is no data."""
        columns, rows = ~self.transform @ (
            points.geometry.x.to_numpy(),
            points.geometry.y.to_numpy(),
        )
        rows, columns = np.floor(rows).astype(int), np.floor(columns).astype(int)
        height, width = self.shape
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        found = np.full(len(points), IGNORED, np.uint8)
        with open_gdal(self.path) as raster:
            places = points.geometry[inside]
            values = raster.sample(zip(places.x, places.y, strict=True), indexes=1)
            found[inside] = [value[0] for value in values]
        return found

    def draw(self, numbers: Mapping[int, int], seed: int) -> GeoDataFrame:
        """Draw pixels of each class at random; points in their middle, in random order.

        Args:
            numbers: How many, by value of the class.
            seed: Of the draw.
        """
        rng = np.random.default_rng(seed)
        counts = self.count()[0]
        ranks = {
            value: np.sort(rng.choice(counts[value], number, replace=False))
            for value, number in numbers.items()
        }
        seen, pixels = dict.fromkeys(numbers, 0), []
        for row, values in self.strips():
            for value, wanted in ranks.items():
                places = np.flatnonzero(values == value)
                here = wanted[(wanted >= seen[value]) & (wanted < seen[value] + len(places))]
                chosen = places[here - seen[value]]
                pixels.append(np.stack([chosen % self.shape[1], chosen // self.shape[1] + row]))
                seen[value] += len(places)
        columns, rows = rng.permutation(np.concatenate(pixels, 1) + 0.5, axis=1)
        x, y = self.transform @ (columns, rows)
        points = geopandas.points_from_xy(x, y, crs=self.crs)
        return GeoDataFrame(dict(id=range(1, len(x) + 1), crop=''), geometry=points)
