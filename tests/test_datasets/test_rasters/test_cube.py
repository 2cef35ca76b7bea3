"""Series in data cubes, Zarr and NetCDF."""

import builtins

import numpy as np
import pytest
import rasterio
import torch
import xarray
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmexact.datasets import LoadSITS, PackSITSInputs
from mmexact.datasets.rasters.cube import _open_in
from tests.cubes import make_cube, write_cube
from tests.data import CORNER, SIZE, position_code, write_raster
from tests.test_datasets.test_rasters.areas import build, read

BANDS = ('B02', 'B04', 'B08')
TIMES = ('2016-12-30', '2017-01-05T10:30', '2017-03-01')
VALUES = position_code(3, 3, *SIZE)


@pytest.mark.parametrize('name', ['cube.zarr', 'cube.nc'])
@pytest.mark.parametrize('south_up', [False, True])
def test_a_window_of_a_cube(tmp_path, name, south_up):
    write_cube(tmp_path / name, make_cube(VALUES, BANDS, TIMES, south_up))
    dataset = build(tmp_path, name, dict(bands=('B08', 'B02')))
    info = dataset.get_data_info(5)
    assert info['day_of_year'].tolist() == [365, 5, 60]
    assert info['georeference'].transform == (10, 0, 500080, 0, -10, 5099960)
    assert rasterio.crs.CRS.from_wkt(info['georeference'].crs).to_epsg() == 32633
    window = read(dataset, 5, [0, 2])
    assert window.dtype == np.int16
    np.testing.assert_array_equal(window, VALUES[[0, 2]][:, [2, 0], 4:8, 8:12])


def test_all_bands_of_the_season_with_labels_on_the_grid(tmp_path):
    write_cube(tmp_path / 'cube.zarr', make_cube(VALUES, BANDS, TIMES))
    write_raster(tmp_path / 'labels.tif', np.ones((1, *SIZE), np.uint8))
    series = dict(area=dict(rasters='cube.zarr', mask='labels.tif'))
    dataset = build(tmp_path, '', dict(date_range=('2017-01', '2017-03')), series=series)
    assert dataset.get_data_info(0)['gt_score'].tolist() == [1, 0]
    np.testing.assert_array_equal(read(dataset), VALUES[1:, :, :4, :4])
    assert list(dataset.band_names) == list(BANDS)
    assert (
        read(build(tmp_path, 'cube.zarr', dict(bands=('nir', 'blue'))))[0, 0, 0, 0]
        == VALUES[0, 2, 0, 0]
    )


def test_dates_that_are_stored_in_another_order(tmp_path):
    order = [2, 0, 1]
    times = [TIMES[place] for place in order]
    write_cube(tmp_path / 'cube.nc', make_cube(VALUES[order], BANDS, times))
    np.testing.assert_array_equal(read(build(tmp_path, 'cube.nc'), 1), VALUES[:, :, :4, 4:8])


def test_one_variable_for_each_band(tmp_path):
    cube = make_cube(VALUES, BANDS, TIMES).reflectance.to_dataset('band')
    cube = cube.rename(time='t').drop_vars('spatial_ref').assign_attrs(crs='EPSG:32633')
    mask = np.full((3, *SIZE), 4, np.uint8)
    mask[1] = 9
    cube['SCL'] = (('t', 'y', 'x'), mask)
    write_cube(tmp_path / 'cube.zarr', cube)
    search = dict(bands=('B04', 'B02'), clouds=dict(band='SCL'))
    dataset = build(tmp_path, 'cube.zarr', search, gaps='pad')
    window = read(dataset, 1)
    np.testing.assert_array_equal(window.data[0], VALUES[0, [1, 0], :4, 4:8])
    assert window.mask.all((1, 2, 3)).tolist() == [False, True, False]
    assert dataset.get_data_info(0)['georeference'].crs is not None
    assert read(build(tmp_path, 'cube.zarr', dict(clouds=dict(band='SCL')))).shape[1] == 3


def test_missing_values_of_a_cube(tmp_path):
    values = VALUES.astype(np.uint16) + 100
    values[1, :, 0, 0] = 0
    values[2, :, 0, 1] = 65535
    cube = make_cube(values, BANDS, TIMES)
    cube['reflectance'].attrs['_FillValue'] = np.uint16(65535)
    write_cube(tmp_path / 'cube.nc', cube)
    window = read(build(tmp_path, 'cube.nc', dict(nodata=0), gaps='pad'))
    assert window.dtype == np.uint16
    assert np.argwhere(window.mask[:, 0]).tolist() == [[1, 0, 0], [2, 0, 1]]
    # The two after the missing one: from 2016-12-30 to 2017-03-01 are 61 days, 6.4375 to January 5.
    filled = read(build(tmp_path, 'cube.nc', dict(nodata=0)))
    low, high = (int(values[date, 0, 0, 0]) for date in (0, 2))
    assert filled[1, 0, 0, 0] == round(low + (high - low) * 6.4375 / 61)


def test_float_cubes_have_nan_for_missing_values(tmp_path):
    values = VALUES.astype(np.float32)
    values[1, 1, 2, 3] = np.nan
    write_cube(tmp_path / 'cube.zarr', make_cube(values, BANDS, TIMES))
    window = read(build(tmp_path, 'cube.zarr', gaps='pad'))
    assert np.argwhere(window.mask[:, 0]).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize('name', ['cube.zarr', 'cube.nc'])
def test_workers_read_cubes(tmp_path, name):
    write_cube(tmp_path / name, make_cube(VALUES, BANDS, TIMES))
    dataset = build(tmp_path, name, pipeline=[LoadSITS(), PackSITSInputs()])
    expected = [dataset[index]['inputs'] for index in range(6)]
    loader = DataLoader(dataset, batch_size=3, num_workers=2, collate_fn=pseudo_collate)
    images = [image for batch in loader for image in batch['inputs']]
    assert all(torch.equal(*pair) for pair in zip(images, expected, strict=True))


def two_variables(cube):
    return cube.assign(other=cube.reflectance)


def irregular(cube):
    return cube.assign_coords(x=cube.x.values + np.arange(13) ** 2)


def undated(cube):
    return cube.assign_coords(time=[1, 2, 3])


def without_x(cube):
    return cube.drop_vars('x')


@pytest.mark.parametrize(
    ('change', 'search', 'message'),
    [
        (None, dict(bands=('B11',)), r"cube.zarr: no band 'B11'; expected one of .*'B02'"),
        (
            two_variables,
            {},
            r"several variables have bands; set variable to one of \['other', 'refl",
        ),
        (two_variables, dict(variable='x'), r"variable='x'; expected one of \['other', 'refl"),
        (irregular, {}, 'cube.zarr: x is not evenly spaced'),
        (undated, {}, r'cube.zarr: time has no dates, but \[1 2 3\]'),
        (without_x, {}, 'cube.zarr: x has no coordinates'),
        (lambda cube: cube.rename(y='j'), {}, r'dimensions .*; expected time, y, x'),
        (lambda cube: cube.isel(time=0), {}, r'time is none of'),
        (lambda cube: cube.isel(x=slice(None, None, -1)), {}, 'x descends'),
        (lambda cube: cube.astype(bool), {}, r'types .*bool.*; expected numbers of one type'),
        (None, dict(clouds=dict(rasters='scl/*.tif')), 'clouds: rasters is set'),
        (None, dict(date_range=('2020-01', '2020-12')), 'from 2016-12-30 to 2017-03-01'),
    ],
)
def test_what_is_wrong_with_a_cube_is_named(tmp_path, change, search, message):
    cube = make_cube(VALUES, BANDS, TIMES)
    write_cube(tmp_path / 'cube.zarr', change(cube) if change else cube)
    with pytest.raises(ValueError, match=message):
        build(tmp_path, 'cube.zarr', search)


def test_a_crs_can_be_given_but_must_make_sense(tmp_path):
    write_cube(tmp_path / 'cube.nc', make_cube(VALUES, BANDS, TIMES, crs=None))
    assert build(tmp_path, 'cube.nc').get_data_info(0)['georeference'].crs is None
    dataset = build(tmp_path, 'cube.nc', dict(crs='EPSG:32633'))
    assert 'UTM zone 33N' in dataset.get_data_info(0)['georeference'].crs
    cube = make_cube(VALUES, BANDS, TIMES, crs=None).assign_attrs(crs='my own')
    write_cube(tmp_path / 'other.nc', cube)
    with pytest.raises(ValueError, match=r"other.nc: CRS 'my own'"):
        build(tmp_path, 'other.nc')


def test_one_cube_per_area_and_not_a_damaged_one(tmp_path):
    for name in ('a.nc', 'b.nc'):
        write_cube(tmp_path / name, make_cube(VALUES, BANDS, TIMES))
    with pytest.raises(ValueError, match=r'\*.nc: 2 cubes; expected one per area'):
        build(tmp_path, '*.nc')
    content = (tmp_path / 'a.nc').read_bytes()
    (tmp_path / 'a.nc').write_bytes(content[:1000])
    with pytest.raises(ValueError, match=r'a.nc: cannot be opened as a data cube'):
        build(tmp_path, 'a.nc')


def test_the_extra_is_named_when_xarray_is_missing(tmp_path, monkeypatch):
    write_cube(tmp_path / 'cube.zarr', make_cube(VALUES, BANDS, TIMES))
    real = builtins.__import__

    def without_xarray(name, *args, **kwargs):
        if name == 'xarray':
            raise ImportError('No module named xarray')
        return real(name, *args, **kwargs)

    _open_in.cache_clear()
    monkeypatch.setattr(builtins, '__import__', without_xarray)
    with pytest.raises(ValueError, match=r"cube.zarr: .*pip install 'mmexact\[cubes\]'"):
        build(tmp_path, 'cube.zarr')


def test_only_the_window_is_read(tmp_path):
    write_cube(tmp_path / 'cube.zarr', make_cube(VALUES, BANDS, TIMES))
    for chunk in (tmp_path / 'cube.zarr' / 'reflectance').rglob('*'):
        # All but the first date cannot be read any more.
        if chunk.is_file() and chunk.name != 'zarr.json' and chunk.parts[-4] != '0':
            chunk.write_bytes(b'damaged')
    dataset = build(tmp_path, 'cube.zarr')
    assert read(dataset, 0, [0]).shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match=r'reflectance cannot be read at row 0.*complete'):
        read(dataset, 0, [1])


def test_cubes_of_the_writer_lie_on_the_grid_of_the_rasters():
    cube = make_cube(VALUES, BANDS, TIMES)
    assert isinstance(cube, xarray.Dataset)
    assert float(cube.x[0]) == CORNER.c + 5
    assert float(cube.y[0]) == CORNER.f - 5


def as_openeo_netcdf(cube):
    """Bands are variables, crs is one without dimensions, the time is t."""
    wkt = cube.spatial_ref.attrs['crs_wkt']
    cube = cube.reflectance.drop_vars('spatial_ref').to_dataset('band').rename(time='t')
    for name in BANDS:
        cube[name].attrs = dict(grid_mapping='crs')
    return cube.assign(crs=((), '', dict(crs_wkt=wkt)))


def as_openeo_array(cube):
    """One array without a name of its own, whose bands come last but for x and y."""
    cube = cube.rename(time='t', band='bands', reflectance='__xarray_dataarray_variable__')
    return cube.transpose('x', 'y', 'bands', 't')


def as_to_array(cube):
    """What Dataset.to_array() makes, with a second coordinate of the time."""
    cube = cube.rename(time='T', band='variable', y='Y', x='X')
    return cube.assign_coords(time=('T', [1, 2, 3]))


@pytest.mark.parametrize('name', ['cube.zarr', 'cube.nc'])
@pytest.mark.parametrize('change', [as_openeo_netcdf, as_openeo_array, as_to_array])
def test_names_of_dimensions(tmp_path, change, name):
    write_cube(tmp_path / name, change(make_cube(VALUES, BANDS, TIMES)))
    dataset = build(tmp_path, name, dict(bands=['red', 'B08']))
    info = dataset.get_data_info(1)
    assert info['day_of_year'].tolist() == [365, 5, 60]
    assert rasterio.crs.CRS.from_wkt(info['georeference'].crs).to_epsg() == 32633
    np.testing.assert_array_equal(read(dataset, 1), VALUES[:, 1:, :4, 4:8])


@pytest.mark.parametrize('names', [('lat', 'lon'), ('latitude', 'longitude'), ('Lat', 'Lon')])
def test_degrees(tmp_path, names):
    cube = make_cube(VALUES, BANDS, TIMES, crs=None)
    cube = cube.assign_coords(y=47 - 0.001 * np.arange(10), x=15 + 0.001 * np.arange(13))
    cube.x.attrs['units'] = 'degrees_east'
    write_cube(tmp_path / 'cube.nc', cube.rename(dict(zip('yx', names, strict=True))))
    dataset = build(tmp_path, 'cube.nc')
    place = dataset.get_data_info(0)['georeference']
    assert rasterio.crs.CRS.from_wkt(place.crs).to_epsg() == 4326
    np.testing.assert_allclose(place.transform, (0.001, 0, 14.9995, 0, -0.001, 47.0005))
    other = build(tmp_path, 'cube.nc', dict(crs='EPSG:4258')).get_data_info(0)['georeference']
    assert rasterio.crs.CRS.from_wkt(other.crs).to_epsg() == 4258
