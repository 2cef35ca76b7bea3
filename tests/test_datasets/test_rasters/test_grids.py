"""Where rasters lie: on the grid of an area, partly beside it, or elsewhere."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from tests.data import SIZE, position_code, write_raster
from tests.test_datasets.test_rasters.areas import build, read


def test_what_a_raster_does_not_cover_is_missing(tmp_path):
    write_raster(tmp_path / '20170105.tif', np.full((1, 4, 8), 5, np.int16))
    east = Affine(10, 0, 500030, 0, -10, 5100000)
    write_raster(tmp_path / '20170301.tif', np.full((1, 4, 8), 6, np.int16), east)
    window = read(build(tmp_path, window_size=None, gaps='pad'))
    assert window.mask[1, 0].tolist() == [[True] * 3 + [False] * 5] * 4
    assert window.data[1, 0].tolist() == [[0] * 3 + [6] * 5] * 4


def test_rows_from_south_to_north(tmp_path):
    values = position_code(2, 1, *SIZE)
    write_raster(tmp_path / '20170105.tif', values[0])
    south_up = Affine(10, 0, 500000, 0, 10, 5100000 - 10 * SIZE[0])
    write_raster(tmp_path / '20170301.tif', values[1][:, ::-1], south_up)
    np.testing.assert_array_equal(read(build(tmp_path, window_size=None)), values)


def test_equal_grids_are_read_as_they_are(tmp_path):
    values = position_code(3, 1, *SIZE)
    write_raster(tmp_path / '20170105.tif', values[0])
    shifted = Affine(10, 0, 500000.01, 0, -10, 5100000)
    write_raster(tmp_path / '20170301.tif', values[1], shifted)
    # ETRS89 instead of WGS 84 is no other place to GDAL.
    write_raster(tmp_path / '20170401.tif', values[2], crs='EPSG:25833')
    dataset = build(tmp_path, window_size=None)
    assert [date[0].document for date in dataset.readers['area'].planes] == [''] * 3
    np.testing.assert_array_equal(read(dataset), values)


def test_rasters_elsewhere_are_named(tmp_path):
    write_raster(tmp_path / '20170105.tif', np.ones((1, 4, 4), np.int16))
    write_raster(tmp_path / 'zone.tif', np.ones((1, 4, 4), np.uint8), crs='EPSG:32634')
    message = (
        r'zone.tif: bounds \(500000, 5099960, 500040, 5100000\) do not overlap those of the '
        r'area, \(3588\d.*, 5117485, 3592\d.*, 5117528\) of .*20170105.tif; .* in EPSG:32634'
    )
    with pytest.raises(ValueError, match=message):
        build(tmp_path, '2*.tif', mask='zone.tif')
    east = Affine(10, 0, 500040, 0, -10, 5100000)
    write_raster(tmp_path / '20170301.tif', np.ones((1, 4, 4), np.int16), east)
    with pytest.raises(ValueError, match=r'20170301.tif: bounds \(500040, .* do not overlap'):
        build(tmp_path, '2*.tif')


def test_a_crs_of_another_world_is_named(tmp_path):
    write_raster(tmp_path / '20170105.tif', np.ones((1, 4, 4), np.int16))
    crs = 'LOCAL_CS["mine",UNIT["metre",1]]'
    write_raster(tmp_path / '20170301.tif', np.ones((1, 4, 4), np.int16), crs=crs)
    with pytest.raises(ValueError, match=r'20170301.tif: GDAL knows no way from its CRS, .*mine'):
        build(tmp_path)


def test_rasters_without_a_crs(tmp_path):
    for name in ('20170105.tif', '20170301.tif'):
        write_raster(tmp_path / name, position_code(1, 2, *SIZE)[0], crs=None)
    assert build(tmp_path).get_data_info(0)['georeference'].crs is None
    crs = build(tmp_path, search=dict(crs='EPSG:32633')).get_data_info(0)['georeference'].crs
    assert rasterio.crs.CRS.from_wkt(crs).to_epsg() == 32633
    with pytest.raises(ValueError, match=r"crs='mine'.*expected e.g. 'EPSG:32633'"):
        build(tmp_path, search=dict(crs='mine'))
    write_raster(tmp_path / '20170401.tif', position_code(1, 2, *SIZE)[0])
    with pytest.raises(ValueError, match=r"20170401.tif: CRS EPSG:32633 differs from None .*crs='"):
        build(tmp_path)
    assert len(read(build(tmp_path, search=dict(crs='EPSG:32633')))) == 3
