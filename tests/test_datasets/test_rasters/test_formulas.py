"""Bands that are computed from others."""

import pickle

import numpy as np
import pytest

from mmexact.datasets.rasters.formulas import compute_bands, parse_formula, stored_bands
from mmexact.datasets.rasters.settings import Search
from mmexact.datasets.statistics import band_statistics
from tests.cubes import make_cube, write_cube
from tests.data import SIZE, position_code, write_raster
from tests.test_datasets.test_rasters.areas import build, describe, read

NDVI = 'ndvi=(B08-B04)/(B08+B04)'
RED, NIR = 1000, 3000
"""NDVI 0.5."""


def pixels(*bands):
    """One date of one pixel."""
    return np.array(bands).reshape(1, -1, 1, 1)


@pytest.mark.parametrize(
    ('formula', 'value'),
    [
        (NDVI, 0.5),
        ('x = B08 / B04 - 1', 2),
        ('x=-(B04 - B08) * 2.5', 5000),
        ('x=2.5*(B08-B04)/(B08+6*B04-7.5*B02+10000)', 5000 / 18250),
        ('x=B04-B08', -2000),  # of unsigned integers
        ('x=B08*B08', 9e6),
    ],
)
def test_a_value(formula, value):
    values = pixels(RED, NIR, 100).astype(np.uint16)
    wanted = ['B04', 'B08', 'B02', formula]
    result, valid = compute_bands(wanted, values, values > 0)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.ravel(), [RED, NIR, 100, value], rtol=1e-6)
    assert valid.all()


def test_gaps_of_bands_and_divisions_by_zero_are_gaps():
    red, nir = np.array([[1, 1, 0, 2], [3, 3, 0, 2]], np.int16)
    values = np.stack([red, nir]).reshape(1, 2, 1, 4)
    valid = np.array([[1, 0, 1, 1], [1, 1, 1, 1]], bool).reshape(values.shape)
    result, known = compute_bands(['B08', 'B04', NDVI], values, valid)
    assert known[0, :, 0].astype(int).tolist() == [[1, 0, 1, 1], [1, 1, 1, 1], [1, 0, 0, 1]]
    assert result[0, 2, 0, [0, 2, 3]].tolist() == [-0.5, 0, 0]
    assert np.isfinite(result).all()
    huge = compute_bands(['x=1e38*B04*B04'], pixels(10), pixels(True))
    assert huge[0].item() == 0
    assert not huge[1].item()


def test_which_bands_are_read():
    assert stored_bands(['B02', NDVI, 'B04']) == ['B02', 'B04', 'B08']
    assert stored_bands([3, 'x=b3/b1']) == [3, 1]
    search = Search(bands=[2, 'x=b2/b1'])
    assert (search.band_names, search.by_name) == (['2', 'x'], False)
    assert pickle.loads(pickle.dumps(parse_formula(NDVI))).operands == ('B04', 'B08')


@pytest.mark.parametrize(
    ('bands', 'message'),
    [
        (['ndvi=(B08-B04'], r"'ndvi=\(B08-B04': .*never closed; expected a name and a formula"),
        (['x=B08**2'], r'B08 \*\* 2 is no arithmetic'),
        (['x=__import__("os")'], r"__import__\('os'\) is no arithmetic"),
        (['x=B08.real'], r'B08.real is no arithmetic'),
        (['x=B08 if B04 else 1'], 'is no arithmetic'),
        (['x=[B08]'], 'is no arithmetic'),
        (['x=B08=B04'], 'invalid syntax|cannot assign|Maybe you meant'),
        (['x=True*B08'], 'True is no arithmetic'),
        (['x=1j*B08'], '1j is no arithmetic'),
        (['x=1e999*B08'], 'is too large'),
        ([f'x=1{"0" * 200}*B08'], 'is too large'),
        (['x='], 'invalid syntax'),
        (['x=3+4'], 'uses no band'),
        (['=B08'], 'no name before ='),
        (['a-b=B08'], 'no name before ='),
        ([f'x={"-" * 301}B08'], 'more than 300 characters'),
        ([f'x={"(" * 150}B08'], 'expected a name and a formula'),
        (['x=\0'], 'expected a name and a formula'),
        (['x=B08', 'x=B04'], 'two bands have the same name'),
        (['B04', 'B04=B04/10000'], 'two bands have the same name'),
        ([1, 'x=red/b1'], r'bands=\[1, .*expected None, numbers'),
    ],
)
def test_what_is_no_formula(bands, message):
    with pytest.raises(ValueError, match=message):
        Search(bands=bands)


def test_as_deep_as_allowed():
    text = f'x={"-" * 290}B08'
    assert compute_bands([text], pixels(7), pixels(True))[0].item() == 7


CODE = position_code(3, 2, *SIZE).astype(np.uint16) + 1
RATIO = CODE[:, 1].astype(np.float32) / CODE[:, 0]
DATES = ('20170105', '20170301', '20170502')


def described_files(root):
    for date, values in zip(DATES, CODE, strict=True):
        describe(write_raster(root / f'{date}.tif', values), ['B04', 'B08'])
    return '*.tif', {}


def a_file_per_band(root):
    for date, values in zip(DATES, CODE, strict=True):
        for band, plane in zip(('B04', 'B08'), values, strict=True):
            write_raster(root / f'{date}_{band}.tif', plane[None])
    return '*.tif', dict(band_pattern=r'_(?P<band>B\d\d)\.')


def stack(root):
    names = [f'{date}_{band}' for date in DATES for band in ('B04', 'B08')]
    describe(write_raster(root / 'stack.tif', CODE.reshape(-1, *SIZE)), names)
    return 'stack.tif', dict(stack='description', band_pattern=r'_(?P<band>B\d\d)$')


def cube(root):
    write_cube(
        root / 'cube.nc',
        make_cube(CODE, ['B04', 'B08'], ['2017-01-05', '2017-03-01', '2017-05-02']),
    )
    return 'cube.nc', {}


@pytest.mark.parametrize('write', [described_files, a_file_per_band, stack, cube])
def test_every_kind_of_series(tmp_path, write):
    rasters, search = write(tmp_path)
    dataset = build(tmp_path, rasters, dict(search, bands=['ratio=nir/red', 'B08']))
    assert list(dataset.band_names) == ['ratio', 'B08']
    window = read(dataset, 1)
    assert window.dtype == np.float32
    np.testing.assert_array_equal(window, np.stack([RATIO, CODE[:, 1]], 1)[..., :4, 4:8])
    mean, _, count = band_statistics(dataset)
    np.testing.assert_allclose(mean[0], RATIO[:, :8, :12].mean(), rtol=1e-6)
    assert count.tolist() == [3 * 8 * 12] * 2
    with pytest.raises(ValueError, match=r"no band 'B11'.*'B08'"):
        build(tmp_path, rasters, dict(search, bands=['B04', 'x=B11/B08'])).get_data_info(0)


def test_bands_by_number(tmp_path):
    for date, values in zip(DATES, CODE, strict=True):
        write_raster(tmp_path / f'{date}.tif', values)
    window = read(build(tmp_path, search=dict(bands=[1, 'ratio=b2/b1'])))
    np.testing.assert_array_equal(window, np.stack([CODE[:, 0], RATIO], 1)[..., :4, :4])


def test_clouds_and_the_offset_come_first(tmp_path):
    for date, red, scene in (('20170105', 500, 4), ('20220301', 2000, 4), ('20220502', 9, 9)):
        values = np.array([red, 4000, scene], np.uint16)[:, None, None]
        path = write_raster(tmp_path / f'{date}.tif', np.broadcast_to(values, (3, *SIZE)))
        describe(path, ['B04', 'B08', 'SCL'])
    search = dict(bands=['x=B08/B04'], clouds=dict(band='SCL'), offset=dict(value=-1000))
    window = read(build(tmp_path, search=search, gaps='pad'))
    assert window[:2, 0, 0, 0].tolist() == [8, 3]
    assert window.mask[:, 0, 0, 0].tolist() == [False, False, True]
    # The last date becomes what the one before was.
    assert read(build(tmp_path, search=search))[:, 0, 0, 0].tolist() == [8, 3, 3]
