"""Class maps on disk: Cloud-Optimised GeoTIFFs, whole or not at all, with a legend for GIS."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as XML

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetWriter
from rasterio.transform import Affine

from mmexact.gdal_files import open_gdal
from mmexact.masks.folder import whole_file
from mmexact.sits import IGNORED, Georeference, Window

Legend = Sequence[tuple[str, Sequence[int]]]
"""Name and RGB colour (0..255) of each class, in the order of their indices."""


def map_files(name: str) -> list[str]:
    """List the files of a class map: the GeoTIFF and its legend for GDAL and for QGIS."""
    return [f'{name}.tif', f'{name}.tif.aux.xml', f'{name}.qml']


def join_windows(
    windows: Sequence[tuple[np.ndarray, Georeference]],
) -> tuple[np.ndarray, Georeference]:
    """Put windows of one grid side by side.

    Args:
        windows: Masks uint8 (H, W), and where each lies.

    Returns:
        uint8 (rows, columns), 255 where there is no window, and where it lies.
    """
    crs, grid = windows[0][1].crs, Affine(*windows[0][1].transform)
    places = []
    for mask, georeference in windows:
        corner = Affine(*georeference.transform)
        column, row = ~grid @ (corner.c, corner.f)
        places.append((round(row), round(column), mask))
    top, left = min(place[0] for place in places), min(place[1] for place in places)
    height = max(row - top + mask.shape[0] for row, _, mask in places)
    width = max(column - left + mask.shape[1] for _, column, mask in places)
    mosaic = np.full((height, width), IGNORED, np.uint8)
    for row, column, mask in places:
        mosaic[row - top :, column - left :][: mask.shape[0], : mask.shape[1]] = mask
    return mosaic, Georeference(crs, (grid @ Affine.translation(left, top))[:6])


@contextmanager
def open_map(
    path: str | os.PathLike[str],
    size: tuple[int, int],
    georeference: Georeference | None = None,
    strip: int | None = None,
    legend: Legend = (),
    bands: Sequence[str] = ('',),
) -> Iterator[DatasetWriter]:
    """Open a Cloud-Optimised GeoTIFF of uint8 for writing, 255 as no data.

    It is tiled and gets overviews and its name when the block under ``with`` is left, and
    disappears if that fails. Until then twice its space is needed on the disk.

    Args:
        path: The file.
        size: (height, width) in pixels.
        georeference: Where it lies; None where that is not known.
        strip: Rows that are compressed together while the file is written. Write in strips of
            that height, top down.
        legend: Of the classes. The file keeps colours and names (as tags ``class_<index>`` of the
            band); beside it come a ``.aux.xml``, from which GDAL reads names and a colour table
            without unused colours, and a ``.qml``, which QGIS takes for the style.
        bands: What each band is called.

    Yields:
        The open raster.
    """
    place: dict[str, Any] = {}
    if georeference is not None:
        place = dict(crs=georeference.crs, transform=Affine(*georeference.transform))
    with whole_file(path) as finished:
        strips = finished.with_name(f'{finished.stem}-strips{finished.suffix}')
        try:
            with _open(
                strips,
                'w',
                driver='GTiff',
                height=size[0],
                width=size[1],
                count=len(bands),
                dtype='uint8',
                nodata=IGNORED,
                compress='deflate',
                bigtiff='IF_SAFER',
                **({} if strip is None else dict(blockysize=strip)),
                **place,
            ) as raster:
                raster.descriptions = [name or None for name in bands]
                if legend:
                    raster.write_colormap(1, {i: tuple(rgb) for i, (_, rgb) in enumerate(legend)})
                    raster.update_tags(
                        1, **{f'class_{i}': name for i, (name, _) in enumerate(legend)}
                    )
                yield raster
            # Seen from afar, a pixel has the most frequent of the classes under it.
            rasterio.shutil.copy(
                strips,
                finished,
                driver='COG',
                compress='deflate',
                bigtiff='IF_SAFER',
                overview_resampling='mode' if legend else 'average',
            )
        finally:
            strips.unlink(missing_ok=True)
        if legend:
            _write_xml(Path(f'{path}.aux.xml'), _gdal_legend(legend))
            _write_xml(Path(path).with_suffix('.qml'), _qgis_style(legend))


def count_classes(path: str | os.PathLike[str], classes: Sequence[str]) -> dict[str, int]:
    """Count the pixels of a finished map by name of the class, and those of 'no data'."""
    counts = np.zeros(256, np.int64)
    with _open(path) as raster:
        for _, window in raster.block_windows(1):
            counts += np.bincount(raster.read(1, window=window).ravel(), minlength=256)
    pixels = dict(zip(classes, counts.tolist(), strict=False))
    return pixels | {'no data': int(counts[IGNORED])}


def read_map(path: str | os.PathLike[str], window: Window | None = None) -> np.ndarray:
    """Read a map or a mask, GeoTIFF or PNG, or a window of it: uint8 (h, w)."""
    with _open(path) as raster:
        row, column, height, width = window or (0, 0, *raster.shape)
        part: np.ndarray = raster.read(1, window=((row, row + height), (column, column + width)))
    return part


def pixel_hectares(path: str | os.PathLike[str]) -> float | None:
    """Tell how large a pixel of a map is, None without projected coordinates."""
    with _open(path) as raster:
        if raster.crs is None or not raster.crs.is_projected:
            return None
        metres = raster.crs.linear_units_factor[1]
        return float(abs(raster.transform.determinant) * metres**2 / 10_000)


def _open(path: str | os.PathLike[str], *args: Any, **settings: Any) -> Any:
    """Open a raster, without a warning where it does not say where it lies."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        if args:
            return rasterio.open(path, *args, **settings)
        return open_gdal(path)


def _gdal_legend(legend: Legend) -> XML.Element:
    """Describe the band as GDAL does what a GeoTIFF has no room for."""
    root = XML.Element('PAMDataset')
    band = XML.SubElement(root, 'PAMRasterBand', band='1')
    XML.SubElement(band, 'ColorInterp').text = 'Palette'
    colours, names = (XML.SubElement(band, key) for key in ('ColorTable', 'CategoryNames'))
    for name, (red, green, blue) in legend:
        XML.SubElement(colours, 'Entry', c1=f'{red}', c2=f'{green}', c3=f'{blue}', c4='255')
        XML.SubElement(names, 'Category').text = name
    return root


def _qgis_style(legend: Legend) -> XML.Element:
    """Describe a paletted renderer of QGIS."""
    root = XML.Element('qgis', version='3.22.0', styleCategories='Symbology')
    renderer = XML.SubElement(
        XML.SubElement(root, 'pipe'), 'rasterrenderer', type='paletted', band='1', opacity='1'
    )
    palette = XML.SubElement(renderer, 'colorPalette')
    for index, (name, rgb) in enumerate(legend):
        colour = '#{:02x}{:02x}{:02x}'.format(*rgb)
        XML.SubElement(
            palette, 'paletteEntry', value=f'{index}', color=colour, alpha='255', label=name
        )
    return root


def _write_xml(path: Path, root: XML.Element) -> None:
    XML.indent(root)
    with whole_file(path) as unfinished:
        XML.ElementTree(root).write(unfinished, encoding='utf-8')
