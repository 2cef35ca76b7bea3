import json

import numpy as np
import pytest
import rasterio
from PIL import Image

from mmexact.masks.pseudo_masks import PseudoMaskWriter, join_windows

CLASSES = ('Background', 'Meadow', 'Corn')
PALETTE = [[0, 0, 0], [0, 200, 0], [250, 200, 0]]
SURE = np.ones((2, 2))
INPUTS = dict(checkpoint='abc', background_score=0.33)


def writer(folder, inputs=INPUTS, **kwargs):
    return PseudoMaskWriter(folder, inputs, CLASSES, PALETTE, **kwargs)


def mask(value, side=2):
    return np.full((side, side), value, np.uint8)


def test_masks_weights_and_manifest(tmp_path):
    masks = writer(tmp_path)
    masks.write('p_0', np.array([[0, 1], [2, 255]], np.uint8), np.array([[0, 1], [0.5, 0.2]]))
    masks.write('p_1', mask(2), SURE)
    manifest = masks.finish({'p_0': None, 'p_1': None})
    with Image.open(tmp_path / 'p_0.png') as image:
        assert np.asarray(image).tolist() == [[0, 1], [2, 255]]
    with Image.open(tmp_path / 'weights' / 'p_0.png') as image:
        # 127.5 is rounded to the even neighbour, 0.2 is 51 of 255.
        assert np.asarray(image).tolist() == [[0, 255], [128, 51]]
    assert manifest == json.loads((tmp_path / 'manifest.json').read_text())
    assert manifest['complete'] is True
    assert manifest['windows'] == 2
    assert manifest['inputs'] == INPUTS
    assert manifest['pixels'] == {'Background': 1, 'Meadow': 1, 'Corn': 5, 'ignored': 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'manifest.json',
        'p_0.png',
        'p_1.png',
        'weights',
    ]
    assert len(list((tmp_path / 'weights').iterdir())) == 2


def test_an_interrupted_run_goes_on(tmp_path):
    writer(tmp_path).write('p_0', mask(1), SURE)
    assert json.loads((tmp_path / 'manifest.json').read_text())['complete'] is False
    again = writer(tmp_path)
    assert again.has('p_0')
    assert not again.has('p_1')
    with pytest.raises(FileNotFoundError, match=r'1 of 2 masks are missing, first p_1\.png'):
        again.finish({'p_0': None, 'p_1': None})
    again.write('p_1', mask(0), SURE)
    assert again.finish({'p_0': None, 'p_1': None})['pixels']['Meadow'] == 4


def test_masks_of_other_inputs_are_not_touched_unless_told(tmp_path):
    writer(tmp_path).write('p_0', mask(1), SURE)
    other = dict(INPUTS, background_score=0.5)
    with pytest.raises(
        FileExistsError, match=r'background_score: 0\.33 there, 0\.5 now.*--overwrite'
    ):
        writer(tmp_path, other)
    assert (tmp_path / 'p_0.png').exists()
    assert not writer(tmp_path, other, overwrite=True).has('p_0')
    assert not list((tmp_path / 'weights').iterdir())


def test_a_folder_of_foreign_pictures_is_refused(tmp_path):
    Image.fromarray(mask(1)).save(tmp_path / 'holiday.png')
    with pytest.raises(FileExistsError, match='pseudo masks of other inputs'):
        writer(tmp_path)


def located(column, row):
    """A window of 2 x 2 pixels of 10 m at this place of a grid."""
    transform = (10.0, 0.0, 500000 + 10.0 * column, 0.0, -10.0, 5000000 - 10.0 * row)
    return dict(crs='EPSG:32633', transform=transform)


def test_windows_are_joined_where_they_lie():
    # Not starting at the corner, one place without a window.
    pieces = [
        (mask(2), located(4, 2)),
        (np.array([[0, 1], [2, 1]], np.uint8), located(2, 2)),
        (mask(1), located(2, 4)),
    ]
    mosaic, crs, transform = join_windows(pieces)
    assert mosaic.tolist() == [[0, 1, 2, 2], [2, 1, 2, 2], [1, 1, 255, 255], [1, 1, 255, 255]]
    assert crs == 'EPSG:32633'
    assert (transform.c, transform.f) == (500020, 4999980)


def test_located_windows_become_a_geotiff(tmp_path):
    masks = writer(tmp_path)
    masks.write('field_0', mask(1), SURE)
    masks.write('field_1', mask(2), SURE)
    masks.finish({'field_0': located(0, 0), 'field_1': located(2, 0)})
    with rasterio.open(tmp_path / 'field.tif') as raster:
        assert raster.read(1).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
        assert raster.crs.to_epsg() == 32633
        assert raster.transform.to_gdal() == (500000, 10, 0, 5000000, 0, -10)
        assert raster.nodata == 255
        assert raster.colormap(1)[2][:3] == (250, 200, 0)
        assert raster.tags(1)['class_2'] == 'Corn'
