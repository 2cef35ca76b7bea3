"""The data set of a fake area, and what it reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from mmexact.datasets import RasterSeriesDataset

COARSE = Affine(20, 0, 500000, 0, -20, 5100000)
"""Grid of 20 m with the corner of the fake rasters."""

CLASSES = ('Other', 'Crop', 'Grass')


def build(
    root: Path,
    rasters: str = '**/*.tif',
    search: dict | None = None,
    mask: str | None = None,
    **kwargs: Any,
) -> RasterSeriesDataset:
    """Build the data set of one area in windows of 4 x 4 pixels."""
    settings = dict(
        data_root=str(root),
        series=dict(area=dict(rasters=rasters, mask=mask)),
        search=search,
        window_size=4,
        metainfo=dict(classes=CLASSES),
        serialize_data=False,
    )
    return RasterSeriesDataset(**settings | kwargs)


def read(
    dataset: RasterSeriesDataset, index: int = 0, dates: list[int] | None = None
) -> np.ndarray:
    """Read some dates of a window, by default all."""
    info = dataset.get_data_info(index)
    chosen = range(len(info['day_of_year'])) if dates is None else dates
    return info['reader'].read(np.array(chosen), info['window'])


def read_mask(dataset: RasterSeriesDataset, index: int = 0) -> list[list[int]]:
    """Read the mask of a window."""
    info = dataset.get_data_info(index)
    return info['reader'].read_mask(info['window']).tolist()


def assert_windows_are_parts(root: Path, sides: tuple[int, ...], *args: Any, **kwargs: Any) -> None:
    """Check that windows, read before anything else is, equal parts of the whole area."""
    parts = []
    for side in sides:
        dataset = build(root, *args, window_size=side, **kwargs)
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        parts += [(infos[i]['window'], read(dataset, i)) for i in range(len(dataset))]
    whole = read(build(root, *args, window_size=None, **kwargs))
    for (row, column, height, width), part in parts:
        expected = whole[..., row : row + height, column : column + width]
        np.testing.assert_array_equal(np.ma.getdata(part), np.ma.getdata(expected))
        np.testing.assert_array_equal(np.ma.getmaskarray(part), np.ma.getmaskarray(expected))


def describe(path: Path, descriptions: Sequence[str], tags: Sequence[dict] = ()) -> None:
    """Give the bands of a raster descriptions and tags."""
    with rasterio.open(path, 'r+') as raster:
        for number, text in enumerate(descriptions, 1):
            raster.set_band_description(number, text)
        for number, band_tags in enumerate(tags, 1):
            raster.update_tags(number, **band_tags)
