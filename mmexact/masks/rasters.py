"""Class maps on disk: GeoTIFFs that appear whole or not at all."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetWriter
from rasterio.transform import Affine

from mmexact.sits import IGNORED


@contextmanager
def open_map(
    path: str | os.PathLike,
    size: tuple[int, int],
    georeference: Mapping[str, Any] | None = None,
    strip: int | None = None,
) -> Iterator[DatasetWriter]:
    """Open a GeoTIFF of one uint8 band for writing, 255 as no data.

    It gets its name when the block under ``with`` is left, and disappears if that fails.

    Args:
        path: The file.
        size: (height, width) in pixels.
        georeference: ``crs`` (WKT, 'EPSG:...' or None) and ``transform`` (from (column, row) to
            coordinates, 6 numbers or an Affine); None where unknown.
        strip: Rows that are compressed together. Write in strips of that height, top down.

    Yields:
        The open raster.
    """
    path = Path(path)
    unfinished = path.with_name(f'{path.name}.part')
    place: dict[str, Any] = {}
    if georeference is not None:
        place = dict(crs=georeference['crs'], transform=Affine(*georeference['transform'][:6]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            raster = rasterio.open(
                unfinished,
                'w',
                driver='GTiff',
                height=size[0],
                width=size[1],
                count=1,
                dtype='uint8',
                nodata=IGNORED,
                compress='deflate',
                bigtiff='IF_SAFER',
                **({} if strip is None else dict(blockysize=strip)),
                **place,
            )
        with raster:
            yield raster
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.replace(path)


def describe_classes(
    raster: DatasetWriter, names: Sequence[str], palette: Sequence[Sequence[int]]
) -> None:
    """Give an open class map its colours and class names, before anything is written to it.

    Args:
        raster: From :func:`open_map`.
        names: Name of each class, kept in the tags of the band as ``class_<index>``.
        palette: An RGB triple of 0..255 per class.
    """
    raster.write_colormap(1, {index: tuple(rgb) for index, rgb in enumerate(palette)})
    raster.update_tags(1, **{f'class_{index}': name for index, name in enumerate(names)})
