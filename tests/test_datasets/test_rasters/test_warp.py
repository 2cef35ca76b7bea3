"""Bands and labels of other resolutions and projections, aligned to the grid of an area."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from mmengine.dataset import pseudo_collate
from rasterio.enums import Resampling
from rasterio.warp import transform
from torch.utils.data import DataLoader

from mmexact.datasets import LoadSITS, PackSITSInputs
from tests.data import CORNER, SIZE, write_raster
from tests.test_datasets.test_rasters.areas import (
    COARSE,
    assert_windows_are_parts,
    build,
    describe,
    read,
    read_mask,
)


@pytest.fixture
def sentinel(tmp_path):
    """10 m and 20 m files of two dates, and a 60 m file larger than the area."""
    rng = np.random.default_rng(0)
    for time in ('20170105', '20170301'):
        for band, size, grid in (
            ('B02', (12, 24), CORNER),
            ('B11', (6, 12), COARSE),
            ('B01', (3, 5), Affine(60, 0, 499970, 0, -60, 5100030)),
        ):
            values = rng.integers(1, 9000, (1, *size)).astype(np.uint16)
            write_raster(tmp_path / f'T33_{time}_{band}.tif', values, grid, nodata=0)
    return tmp_path


NAMED = dict(band_pattern=r'_(?P<band>B\d\d)\.', bands=('B11', 'B02', 'B01'))


def test_coarser_bands_come_onto_the_finest_grid(sentinel):
    whole = read(build(sentinel, '*.tif', NAMED, window_size=None))
    assert whole.shape == (2, 3, 12, 24)
    assert whole.dtype == np.uint16
    with rasterio.open(sentinel / 'T33_20170105_B11.tif') as raster:
        coarse = raster.read(1).astype(float)
        by_gdal = raster.read(1, out_shape=(12, 24), resampling=Resampling.bilinear)
    # Row 0 lies outside the outermost centres; column 1 a quarter of the way to the next one.
    assert whole[0, 0, 0, 1] == round(0.75 * coarse[0, 0] + 0.25 * coarse[0, 1])
    assert whole[0, 0, 2, 2] == round(
        0.75 * (0.75 * coarse[1, 1] + 0.25 * coarse[1, 0])
        + 0.25 * (0.75 * coarse[0, 1] + 0.25 * coarse[0, 0])
    )
    assert np.abs(whole[0, 0].astype(int) - by_gdal).max() <= 1
    with rasterio.open(sentinel / 'T33_20170301_B02.tif') as raster:
        np.testing.assert_array_equal(whole[1, 1], raster.read(1))


def test_a_finer_band_is_averaged(tmp_path):
    write_raster(tmp_path / '20170105.tif', np.zeros((1, 4, 4), np.float32), COARSE)
    fine = np.zeros((1, 8, 8), np.float32)
    fine[0] = [0, 0, 8, 0, 0, 0, 0, 16]
    write_raster(tmp_path / '20170301.tif', fine)
    # Neighbours at half a pixel of 10 m weigh 3/8, at one and a half 1/8; three at the border.
    assert read(build(tmp_path))[1, 0].tolist() == [pytest.approx([8 / 7, 3, 0, 48 / 7])] * 4


def test_a_raster_in_degrees_whose_nearest_values_are_known(tmp_path):
    # Metre 500000 east is the meridian of 15 degrees: columns 0..4 lie west of it.
    west = Affine(10, 0, 499950, 0, -10, 5100000)
    write_raster(tmp_path / '20170105.tif', np.ones((1, *SIZE), np.int16), west)
    labels = np.array([[[1, 2]]], np.uint8)
    write_raster(tmp_path / 'mask.tif', labels, Affine(1, 0, 14, 0, -1, 46.5), 'EPSG:4326')
    assert (
        read_mask(build(tmp_path, '2*.tif', mask='mask.tif', window_size=10))
        == [[1] * 5 + [2] * 5] * 10
    )


def test_a_band_in_degrees_is_interpolated(tmp_path):
    # The centre of column 4 is the meridian of 15 degrees, where a pixel of the other raster has
    # its centre; as far east as west of it the values differ from 500 by as much.
    west = Affine(10, 0, 499955, 0, -10, 5100000)
    write_raster(tmp_path / '20170105.tif', np.ones((1, 9, 9), np.float32), west)
    slope = np.arange(11, dtype=np.float32).repeat(11).reshape(1, 11, 11).swapaxes(1, 2) * 100
    degrees = Affine(0.001, 0, 15 - 0.0055, 0, -0.001, 46.057)
    write_raster(tmp_path / '20170301.tif', slope, degrees, 'EPSG:4326')
    row = read(build(tmp_path, window_size=9))[1, 0, 0]
    assert row[4] == pytest.approx(500, abs=1e-3)
    assert row + row[::-1] == pytest.approx([1000] * 9, abs=1e-3)
    # 0.001 degrees are 77.3 m at a latitude of 46.05.
    assert np.diff(row) == pytest.approx([100 * 10 / 77.3] * 8, rel=0.01)


ZONE = Affine(20, 0, 35600, 0, -20, 5117900)
"""20 m in UTM zone 34, from some 300 m west and 300 m north of the corner on."""


def scatter(root, kind):
    """Write two dates of bands in other places and projections, with missing values."""
    rng = np.random.default_rng(0)
    for time, side in (('20170105', 14), ('20170301', 3)):
        for band, shape, grid, crs, nodata in (
            ('B02', (40, 52), CORNER, 'EPSG:32633', 0),
            ('B03', (150, 190), Affine(side, 0, 499990, 0, -side, 5100010), 'EPSG:32633', None),
            ('B04', (30, 40), Affine(2e-4, 2e-5, 14.999, 0, -2e-4, 46.0535), 'EPSG:4326', None),
            ('B08', (50, 60), ZONE, 'EPSG:32634', 7),
        ):
            values = rng.integers(1, 100, (1, *shape)).astype(kind)
            values[rng.random(values.shape) < 0.1] = 0
            if kind == 'float32':
                values[values > 1] += rng.random((values > 1).sum())
                values[rng.random(values.shape) < 0.1] = np.nan
            write_raster(root / f'{time}_{band}.tif', values, grid, crs, nodata)


@pytest.mark.parametrize('kind', ['uint16', 'int32', 'float32'])
def test_windows_are_parts_of_the_whole_area(tmp_path, kind):
    scatter(tmp_path, kind)
    search = dict(NAMED, bands=('B02', 'B03', 'B04', 'B08'), nodata=0)
    assert_windows_are_parts(tmp_path, (7, 24), '*.tif', search, gaps='pad')
    observed = build(tmp_path, '*.tif', search, window_size=None).readers['area']
    values, valid = observed.read_observed(np.array([1]), (0, 0, 40, 52))
    # Of each pixel the nearest value of zone 34 is there, or one between its neighbours.
    with rasterio.open(tmp_path / '20170301_B08.tif') as raster:
        coarse = raster.read(1)
    columns, rows = np.meshgrid(np.arange(52) + 0.5, np.arange(40) + 0.5)
    x, y = transform('EPSG:32633', 'EPSG:32634', *(CORNER @ (columns.ravel(), rows.ravel())))
    column, row = (np.floor(place).astype(int) for place in ~ZONE @ (np.array(x), np.array(y)))
    nearest = coarse[row, column].reshape(40, 52)
    expected = np.isfinite(nearest) & (nearest != 0) & (nearest != 7)
    np.testing.assert_array_equal(valid[0, 3], expected)
    assert 0.5 < expected.mean() < 0.95
    assert values[0, 3][expected].min() > 0
    assert values.dtype == kind


@pytest.mark.parametrize(
    ('kind', 'declared', 'nodata', 'missing'),
    [
        ('uint16', 0, None, (0, 0, 0)),
        ('uint16', None, 0, (0, 0, 0)),
        ('uint16', 9, 0, (0, 9, 0)),
        ('float32', None, None, (np.nan, np.nan, np.nan)),
        ('float32', 9, 0, (0, np.nan, 9)),
    ],
)
def test_missing_values_do_not_leak_into_their_neighbours(
    tmp_path, kind, declared, nodata, missing
):
    coarse = np.full((1, 2, 4), 1000, kind)
    coarse[0, 0, 2:], coarse[0, 1, 2:] = missing[:2], (missing[2], 3000)
    write_raster(tmp_path / '20170105_B02.tif', np.full((1, 4, 8), 5, kind))
    write_raster(tmp_path / '20170105_B11.tif', coarse, COARSE, nodata=declared)
    search = dict(NAMED, bands=('B02', 'B11'), nodata=nodata)
    window = read(build(tmp_path, '*.tif', search, window_size=None, gaps='pad'))
    assert window.mask[0, 1, 0].tolist() == [False] * 4 + [True] * 4
    assert window.data[0, 1, 0].tolist() == [1000] * 4 + [0] * 4
    assert window.data[0, 1, 3].tolist() == [1000] * 4 + [0] * 2 + [3000] * 2


def test_a_mask_file_holds_on_another_grid(tmp_path):
    write_raster(tmp_path / '20170105_B02.tif', np.full((1, 4, 4), 5, np.uint16))
    path = write_raster(tmp_path / '20170105_B11.tif', np.full((1, 2, 2), 9, np.uint16), COARSE)
    with rasterio.open(path, 'r+') as raster:
        raster.write_mask(np.array([[255, 255], [0, 255]], np.uint8))
    search = dict(NAMED, bands=('B02', 'B11'), nodata=0)
    window = read(build(tmp_path, search=search, gaps='pad'))
    assert window.mask[0, 1].tolist() == [[False] * 4] * 2 + [[True, True, False, False]] * 2
    assert window.data[0, 1, 3].tolist() == [0, 0, 9, 9]


def test_each_band_has_its_own_no_data(tmp_path):
    write_raster(tmp_path / '20170105_10m.tif', np.full((1, 2, 4), 5, np.uint16))
    describe(tmp_path / '20170105_10m.tif', ['green'])
    write_raster(tmp_path / 'both.tif', np.array([[[8, 9]]], np.uint16), COARSE)
    bands = [
        f'<VRTRasterBand dataType="UInt16" band="{band}"><Description>{name}</Description>'
        f'<NoDataValue>{nodata}</NoDataValue><SimpleSource><SourceFilename relativeToVRT="1">'
        f'both.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        for band, name, nodata in ((1, 'red', 8), (2, 'nir', 9))
    ]
    (tmp_path / '20170105.vrt').write_text(
        f'<VRTDataset rasterXSize="2" rasterYSize="1"><SRS>EPSG:32633</SRS><GeoTransform>'
        f'{",".join(map(str, COARSE.to_gdal()))}</GeoTransform>{"".join(bands)}</VRTDataset>'
    )
    search = dict(bands=('red', 'nir', 'green'))
    reader = build(tmp_path, '2*', search, window_size=2).readers['area']
    values, valid = reader.read_observed(np.array([0]), (0, 0, 2, 4))
    assert valid[0, :, 1].tolist() == [
        [False] * 2 + [True] * 2,
        [True] * 2 + [False] * 2,
        [True] * 4,
    ]
    assert values[0, :, 1].tolist() == [[0, 0, 9, 9], [8, 8, 0, 0], [5] * 4]


def test_labels_on_other_grids(tmp_path):
    write_raster(tmp_path / '20170105.tif', np.ones((1, 4, 4), np.int16), COARSE)
    fine = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    write_raster(tmp_path / 'fine.tif', fine)
    codes = {code: 'Crop' for code in range(0, 64, 2)}
    # Centres of 20 m pixels lie between 10 m pixels; the further one counts: 9, 11, 13, 15.
    mask = read_mask(build(tmp_path, '2*.tif', mask='fine.tif', codes=codes | {11: 'Grass'}))
    assert mask[0] == [255, 2, 255, 255]
    # Half of the area, and the code that stands for no data there.
    write_raster(tmp_path / 'half.tif', fine[:, :4], nodata=9)
    for codes, row in (({9: 'Grass'}, [2] + [255] * 3), ({11: 'Crop'}, [255, 1, 255, 255])):
        mask = read_mask(build(tmp_path, '2*.tif', mask='half.tif', codes=codes))
        assert mask[0] == row
        assert mask[2:] == [[255] * 4] * 2


def test_workers_read_aligned_bands_as_the_main_process_does(sentinel):
    dataset = build(sentinel, search=NAMED, pipeline=[LoadSITS(), PackSITSInputs()])
    # Reading here first leaves open files to the workers that are forked afterwards.
    expected = [dataset[index]['inputs'] for index in range(18)]
    loader = DataLoader(dataset, batch_size=3, num_workers=2, collate_fn=pseudo_collate)
    images = [image for batch in loader for image in batch['inputs']]
    assert all(map(np.array_equal, images, expected))
