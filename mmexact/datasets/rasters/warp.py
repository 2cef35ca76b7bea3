"""Bands of any resolution and coordinate reference system (CRS) on the grid of an area.

GDAL's warper aligns them when a window is read. A document tells it how, as rasterio's
:class:`~rasterio.vrt.WarpedVRT` does; but that class has blocks of 512 x 128 pixels, so that a
window of 24 x 24 takes twenty times as long, knows one no-data value, and no exact coordinates.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np
from rasterio import warp
from rasterio.crs import CRS
from rasterio.transform import Affine

from mmexact.datasets.rasters.files import Grid, Plane, open_raster

TOLERANCE = 0.01
"""Pixels by which two rasters may be shifted and still count as aligned."""

BLOCK = 24
"""Side of the blocks that GDAL aligns at once, in pixels: that of the usual windows."""

MASKED = """
<VRTDataset rasterXSize="{width}" rasterYSize="{height}">
  <VRTRasterBand band="1" dataType="{dtype}">
    <NoDataValue>{nodata}</NoDataValue>
    <ComplexSource>
      <SourceFilename>{source}</SourceFilename><SourceBand>{band}</SourceBand>
      <UseMaskBand>true</UseMaskBand>
    </ComplexSource>
  </VRTRasterBand>
</VRTDataset>"""
"""A band in which everything that is missing has one value, which is declared to be no data."""

WARPED = """
<VRTDataset rasterXSize="{width}" rasterYSize="{height}" subClass="VRTWarpedDataset">
  <GeoTransform>{transform}</GeoTransform>
  <VRTRasterBand band="1" dataType="{dtype}" subClass="VRTWarpedRasterBand">
    <NoDataValue>nan</NoDataValue>
  </VRTRasterBand>
  <BlockXSize>{block}</BlockXSize><BlockYSize>{block}</BlockYSize>
  <GDALWarpOptions>
    <ResampleAlg>{resampling}</ResampleAlg><WorkingDataType>{dtype}</WorkingDataType>
    <Option name="INIT_DEST">NO_DATA</Option><Option name="UNIFIED_SRC_NODATA">YES</Option>
    <Option name="XSCALE">{scale[0]}</Option><Option name="YSCALE">{scale[1]}</Option>
    <SourceDataset>{source}</SourceDataset>
    <Transformer><GenImgProjTransformer>
      <SrcGeoTransform>{own}</SrcGeoTransform><SrcInvGeoTransform>{own_back}</SrcInvGeoTransform>
      {reproject}
      <DstGeoTransform>{transform}</DstGeoTransform><DstInvGeoTransform>{back}</DstInvGeoTransform>
    </GenImgProjTransformer></Transformer>
    <BandList><BandMapping src="{band}" dst="1">
      {missing}<DstNoDataReal>nan</DstNoDataReal>
    </BandMapping></BandList>
  </GDALWarpOptions>
</VRTDataset>"""
"""The band of a source on a grid, as ``gdalwarp -of VRT`` writes it."""

REPROJECT = """
<ReprojectTransformer><ReprojectionTransformer>
  <SourceSRS>{own}</SourceSRS><TargetSRS>{grid}</TargetSRS>
</ReprojectionTransformer></ReprojectTransformer>"""


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
    there = _to_pixels(own, grid, corners)
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
    source, band, missing = _source(plane, dtype, own.size, masked)
    reproject = ''
    if own.crs and grid.crs and own.crs != grid.crs:
        wkts = dict(own=escape(own.crs.to_wkt()), grid=escape(grid.crs.to_wkt()))
        reproject = REPROJECT.format(**wkts)
    document = WARPED.format(
        block=BLOCK,
        height=height,
        width=width,
        dtype=dtype,
        resampling='NearestNeighbour' if codes else 'Bilinear',
        scale=[min(1.0, 1 / np.hypot(*step)) for step in _steps(own, grid)],
        source=escape(source),
        band=band,
        missing=missing,
        reproject=reproject,
        own=_six(own.transform),
        own_back=_six(~own.transform),
        transform=_six(grid.transform),
        back=_six(~grid.transform),
    )
    return plane._replace(number=1, nodata=None, document=document)


def _source(plane: Plane, dtype: str, size: tuple[int, int], masked: bool) -> tuple[str, int, str]:
    """Return what holds a plane, the band there, and which value says that one is missing."""
    raster = open_raster(plane.path)
    declared = raster.file.nodatavals[plane.number - 1] if masked else None
    values = {repr(float(value)) for value in (declared, plane.nodata) if value is not None}
    if np.dtype(plane.dtype).kind == 'f':
        values.add('nan')
    if len(values) > 1 or (masked and raster.nodata is None):
        source, band = plane.path, plane.number
        for kind, nodata in (('Float64', plane.nodata), (dtype, 'nan')):
            if nodata is not None:
                source = MASKED.format(
                    height=size[0], width=size[1], dtype=kind, nodata=nodata, band=band,
                    source=escape(source),
                )  # fmt: skip
                band = 1
        return source, 1, '<SrcNoDataReal>nan</SrcNoDataReal>'
    return plane.path, plane.number, ''.join(f'<SrcNoDataReal>{v}</SrcNoDataReal>' for v in values)


def _to_pixels(own: Grid, grid: Grid, places: np.ndarray) -> np.ndarray:
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
    centre, right, below = _to_pixels(own, grid, middle).T
    return np.array([right - centre, below - centre])


def _bounds(grid: Grid, places: np.ndarray) -> str:
    x, y = grid.transform @ tuple(places)
    bounds = (x.min(), y.min(), x.max(), y.max())
    return f'({", ".join(f"{bound:.8g}" for bound in bounds)})'


def _six(transform: Affine) -> str:
    return ','.join(repr(float(number)) for number in transform.to_gdal())
