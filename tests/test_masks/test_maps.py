from xml.etree import ElementTree as XML

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rio_cogeo.cogeo import cog_validate

from mmexact.masks.maps import join_windows, map_files, open_map, read_map
from mmexact.masks.png import write_mask
from mmexact.sits import Georeference
from tests.data import CORNER

PLACE = Georeference('EPSG:32633', CORNER[:6])
LEGEND = [('Other', [1, 2, 3]), ('Corn & rye', [250, 200, 0])]


@pytest.fixture
def path(tmp_path):
    """A map of 3 x 2 pixels with a legend."""
    with open_map(tmp_path / 'm.tif', (3, 2), PLACE, 2, LEGEND) as raster:
        raster.write(np.array([[0, 1], [1, 255], [0, 0]], np.uint8), 1)
        assert not (tmp_path / 'm.tif').exists()
    return tmp_path / 'm.tif'


def test_a_map_gets_its_name_when_it_is_complete(path):
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(map_files('m'))
    with rasterio.open(path) as raster:
        assert raster.read(1, masked=True).tolist() == [[0, 1], [1, None], [0, 0]]
        assert raster.transform == CORNER
        assert raster.crs.to_epsg() == 32633
        assert raster.block_shapes == [(512, 512)]


def test_a_map_is_a_cloud_optimised_geotiff_that_keeps_fields_from_afar(tmp_path):
    # 2 x 2 pixels become one: three of Corn beat one of Other, and no data do not count.
    tile = np.array([[1, 1, 255, 255], [1, 0, 255, 1]], np.uint8)
    pixels = np.tile(tile, (300, 200))
    with open_map(tmp_path / 'm.tif', pixels.shape, PLACE, 7, LEGEND) as raster:
        for row in range(0, 600, 7):
            raster.write(pixels[row : row + 7], 1, window=((row, min(row + 7, 600)), (0, 800)))
    valid, errors, warned = cog_validate(tmp_path / 'm.tif', strict=True, quiet=True)
    assert (valid, errors, warned) == (True, [], [])
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(map_files('m'))
    np.testing.assert_array_equal(read_map(tmp_path / 'm.tif'), pixels)
    with rasterio.open(tmp_path / 'm.tif') as raster:
        assert raster.overviews(1) == [2]
        assert (raster.read(1, out_shape=(300, 400)) == 1).all()


def test_scores_are_averaged_from_afar(tmp_path):
    with open_map(tmp_path / 's.tif', (600, 800), PLACE) as raster:
        raster.write(np.tile(np.array([[40, 60], [80, 100]], np.uint8), (300, 400)), 1)
    with rasterio.open(tmp_path / 's.tif') as raster:
        assert (raster.read(1, out_shape=(300, 400)) == 70).all()


def test_a_disk_that_is_full_leaves_no_map(tmp_path, monkeypatch):
    def full(*args, **settings):
        raise rasterio.errors.RasterioIOError('No space left on device')

    monkeypatch.setattr(rasterio.shutil, 'copy', full)
    with (
        pytest.raises(rasterio.errors.RasterioIOError),
        open_map(tmp_path / 'm.tif', (2, 2), legend=LEGEND) as raster,
    ):
        raster.write(np.zeros((1, 2, 2), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_gdal_knows_the_classes_and_no_other_colour(path, tmp_path):
    with rasterio.open(path) as raster:
        assert raster.colormap(1) == {0: (1, 2, 3, 255), 1: (250, 200, 0, 255)}
        assert raster.files == [str(path), f'{path}.aux.xml']
    # rasterio has no name for category names; GDAL hands them on to a copy.
    rasterio.shutil.copy(path, tmp_path / 'copy.vrt', driver='VRT')
    copy = XML.parse(tmp_path / 'copy.vrt')
    assert [name.text for name in copy.iter('Category')] == ['Other', 'Corn & rye']


def test_without_its_neighbours_the_file_still_names_the_classes(path):
    for name in map_files('m')[1:]:
        (path.parent / name).unlink()
    with rasterio.open(path) as raster:
        assert raster.colormap(1)[1] == (250, 200, 0, 255)
        assert raster.tags(1)['class_1'] == 'Corn & rye'


def test_qgis_finds_a_style_of_the_classes(path):
    root = XML.parse(path.with_suffix('.qml')).getroot()
    assert root.tag == 'qgis'
    renderer = root.find('pipe/rasterrenderer')
    assert renderer.get('type') == 'paletted'
    assert renderer.get('band') == '1'
    entries = renderer.findall('colorPalette/paletteEntry')
    assert [(e.get('value'), e.get('color'), e.get('label')) for e in entries] == [
        ('0', '#010203', 'Other'),
        ('1', '#fac800', 'Corn & rye'),
    ]


def test_a_failed_map_disappears_and_an_earlier_one_stays(tmp_path):
    with open_map(tmp_path / 'm.tif', (2, 2)) as raster:
        raster.write(np.full((1, 2, 2), 7, np.uint8))
    before = (tmp_path / 'm.tif').read_bytes()
    with pytest.raises(RuntimeError, match='power'), open_map(tmp_path / 'm.tif', (2, 2)):
        raise RuntimeError('power')
    assert [file.name for file in tmp_path.iterdir()] == ['m.tif']
    assert (tmp_path / 'm.tif').read_bytes() == before


def located(column, row):
    """A window of pixels of 10 m at this place of a grid."""
    return Georeference('EPSG:32633', (10, 0, 500000 + 10 * column, 0, -10, 5000000 - 10 * row))


def test_windows_are_joined_where_they_lie():
    # Not starting at the corner, one place without a window.
    pieces = [
        (np.full((2, 2), 2, np.uint8), located(4, 2)),
        (np.array([[0, 1], [2, 1]], np.uint8), located(2, 2)),
        (np.full((2, 2), 1, np.uint8), located(2, 4)),
    ]
    mosaic, place = join_windows(pieces)
    assert mosaic.tolist() == [[0, 1, 2, 2], [2, 1, 2, 2], [1, 1, 255, 255], [1, 1, 255, 255]]
    assert place == Georeference('EPSG:32633', (10, 0, 500020, 0, -10, 4999980))


def test_a_window_of_a_map_or_a_mask_is_read(tmp_path):
    mask = np.arange(20, dtype=np.uint8).reshape(4, 5)
    write_mask(tmp_path / 'mask.png', mask)
    with open_map(tmp_path / 'map.tif', mask.shape) as raster:
        raster.write(mask, 1)
    for name in ('mask.png', 'map.tif'):
        np.testing.assert_array_equal(read_map(tmp_path / name), mask)
        np.testing.assert_array_equal(read_map(tmp_path / name, (1, 2, 2, 3)), mask[1:3, 2:])
