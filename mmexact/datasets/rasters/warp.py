"""Bands of any resolution and coordinate reference system (CRS) on the grid of an area.

GDAL's warper aligns them when a window is read. The document that tells it how is that of a
:class:`~rasterio.vrt.WarpedVRT`, but for its blocks of 512 x 128 pixels, with which a window of
24 x 24 takes twenty times as long, and its coordinates, which are not exact.
"""

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from rasterio import warp
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from mmexact.datasets.rasters.files import OPTIONS, Grid, Plane, open_raster

TOLERANCE = 0.01
"""Pixels by which two rasters may be shifted and still count as aligned."""

BLOCK = 24
"""Side of the blocks that GDAL aligns at once, in pixels: that of the usual windows."""

ONE_BAND = """
<VRTDataset rasterXSize="{width}" rasterYSize="{height}">
  <SRS>{crs}</SRS><GeoTransform>{transform}</GeoTransform>
  <VRTRasterBand band="1" dataType="{dtype}">
    <NoDataValue>{nodata}</NoDataValue>
    <ComplexSource>
      <SourceFilename>{source}</SourceFilename><SourceBand>{band}</SourceBand>
      <UseMaskBand>{masked}</UseMaskBand>
    </ComplexSource>
  </VRTRasterBand>
</VRTDataset>"""
"""A band in which everything that is missing has one value, which is declared to be no data."""

CHANGES = {
    r'(?<=<Block[XY]Size>)\d+': str(BLOCK),
    r'</?(ApproxTransformer|BaseTransformer)>|<MaxError>.*</MaxError>': '',
}
"""What makes blocks as small as windows, and coordinates exact, in the document of a WarpedVRT."""

NO_CRS = CRS.from_epsg(3857)
"""Stands for both where neither the raster nor the grid has a CRS."""


def grid_of(path: str, crs: str | None) -> Grid:
    """Return the grid of a raster; ``crs`` holds if it declares none."""
    raster = open_raster(path).file
    declared = raster.crs or (CRS.from_user_input(crs) if crs else None)
    return Grid(path, raster.shape, declared, raster.transform)


def finest(paths: Sequence[str], crs: str | None) -> Grid:
    """Return the grid of the raster with the smallest pixels; ``crs`` as for :func:`grid_of`."""
    grids = [grid_of(path, crs) for path in paths]
    return min(grids, key=lambda grid: abs(np.linalg.det(_steps(grids[0], grid))))


def align(
    plane: Plane, grid: Grid, crs: str | None, codes: bool = False, masked: bool = True
) -> Plane:
    """Return a plane as it lies on a grid; the plane itself if it lies on it pixel by pixel.

    A pixel gets the same value whatever the window it is read in: GDAL works on fixed blocks, with
    exact coordinates and one scale for all of them. It is valid where the nearest pixel of the
    raster is, and only valid neighbours have a say in its value.

    Args:
        plane: The plane.
        grid: The grid.
        crs: CRS of rasters that declare none.
        codes: Take the nearest value, as of classes, instead of interpolating bilinearly (averaging
            what is finer than the grid).
        masked: Take what the file declares as no data for missing.

    Raises:
        ValueError: The raster has no CRS, though the grid has one, or the other way round; or it
            lies elsewhere.
    """
    own, (height, width) = grid_of(plane.path, crs), grid.size
    corners = np.array([[0, width, 0, width], [0, 0, height, height]])
    there = to_pixels(own, grid, corners)
    if (there.max(1) <= 0).any() or (there.min(1) >= own.size[::-1]).any():
        own_corners = np.array([[0, own.size[1]] * 2, [0, 0, own.size[0], own.size[0]]])
        raise ValueError(
            f'{plane.path}: bounds {_bounds(own, own_corners)} do not overlap those of the area, '
            f'{_bounds(own, there)} of {grid.source}; both are left, bottom, right, top in '
            f'{own.crs}; leave the raster out, or put its CRS right'
        )
    if masked and own.size == grid.size and np.abs(there - corners).max() <= TOLERANCE:
        return plane
    # Digital numbers of up to 16 bits are exact in 32.
    dtype = 'Float32' if np.result_type(plane.dtype, np.float32) == np.float32 else 'Float64'
    source, band, own_crs = plane.path, plane.number, own.crs or NO_CRS
    for kind, nodata in (('Float64', plane.nodata), (dtype, 'nan')):
        if nodata is not None:
            source = ONE_BAND.format(
                height=own.size[0], width=own.size[1], crs=escape(own_crs.to_wkt()), dtype=kind,
                transform=','.join(map(repr, own.transform.to_gdal())), nodata=nodata,
                source=escape(source), band=band, masked=str(masked).lower(),
            )  # fmt: skip
            band = 1
    right, down = (min(1.0, 1 / np.hypot(*step)) for step in _steps(own, grid))
    with (
        rasterio.Env(**OPTIONS),
        rasterio.open(source) as raster,
        WarpedVRT(
            raster,
            crs=grid.crs or NO_CRS,
            transform=grid.transform,
            height=height,
            width=width,
            dtype=dtype.lower(),
            resampling=Resampling.nearest if codes else Resampling.bilinear,
            XSCALE=right,
            YSCALE=down,
        ) as warped,
    ):
        document = warped.tags(ns='xml:VRT')['xml:VRT']
    for found, wanted in CHANGES.items():
        document = re.sub(found, wanted, document)
    return plane._replace(number=1, nodata=None, document=document)


def to_pixels(own: Grid, grid: Grid, places: np.ndarray) -> np.ndarray:
    """Return where places (2, N), columns and rows of a grid, lie in pixels of a raster's own."""
    if bool(own.crs) != bool(grid.crs):
        raise ValueError(
            f'{own.source}: CRS {own.crs} differs from {grid.crs} of {grid.source}; set '
            f"search=dict(crs='EPSG:...') for rasters that declare none"
        )
    x, y = grid.transform @ tuple(places)
    try:
        if own.crs != grid.crs:
            x, y = map(np.array, warp.transform(grid.crs, own.crs, x, y))
    except Exception as error:  # GDAL's errors have no public base class
        raise ValueError(
            f'{own.source}: GDAL knows no way from its CRS, {own.crs}, to {grid.crs} of '
            f'{grid.source}; put the CRS of one of them right'
        ) from error
    return np.array(~own.transform @ (x, y))


def _steps(own: Grid, grid: Grid) -> np.ndarray:
    """Return how far a column and a row of a grid, in its middle, reach in a raster's own pixels.

    Returns:
        (2, 2): columns and rows per column, columns and rows per row.
    """
    middle = np.array(grid.size[::-1])[:, None] / 2 + [[0, 1, 0], [0, 0, 1]]
    centre, right, below = to_pixels(own, grid, middle).T
    return np.array([right - centre, below - centre])


def _bounds(grid: Grid, places: np.ndarray) -> str:
    x, y = grid.transform @ tuple(places)
    bounds = (x.min(), y.min(), x.max(), y.max())
    return f'({", ".join(f"{bound:.8g}" for bound in bounds)})'
