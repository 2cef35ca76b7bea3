import json

import numpy as np
import pytest
import rasterio

from mmexact.masks.map_folder import MapFolder
from mmexact.masks.rasters import describe_classes, open_map
from tests.data import CORNER

INPUTS = dict(config='abc', checkpoint='def')
FILES = ['field.tif', 'field_scores.tif']


def finish(folder, names=FILES):
    for name in names:
        (folder.out_dir / name).write_text('a map')
    folder.add('field', names, {'Corn': 4, 'no data': 0})


def test_finished_maps_are_known_to_the_next_run(tmp_path):
    folder = MapFolder(tmp_path / 'maps', INPUTS)
    assert not folder.has('field', FILES)
    finish(folder)
    again = MapFolder(tmp_path / 'maps', INPUTS)
    assert again.has('field', FILES)
    assert again.has('field', FILES[:1])
    assert not again.has('other', ['other.tif'])
    assert again.content['maps']['field'] == dict(files=FILES, pixels={'Corn': 4, 'no data': 0})
    (tmp_path / 'maps' / FILES[1]).unlink()
    assert not again.has('field', FILES)
    assert again.has('field', FILES[:1])


def test_maps_of_other_inputs_stay_unless_told(tmp_path):
    finish(MapFolder(tmp_path, INPUTS))
    other = dict(INPUTS, checkpoint='ghi')
    with pytest.raises(FileExistsError, match=r'other inputs \(other checkpoint\).*--overwrite'):
        MapFolder(tmp_path, other)
    assert (tmp_path / FILES[0]).exists()
    (tmp_path / 'photo.tif').write_text('not ours')
    folder = MapFolder(tmp_path, other, overwrite=True)
    assert not folder.has('field', FILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['manifest.json', 'photo.tif']
    assert json.loads((tmp_path / 'manifest.json').read_text()) == dict(inputs=other, maps={})


@pytest.mark.parametrize('overwrite', [False, True])
def test_files_of_others_are_never_replaced(tmp_path, overwrite):
    (tmp_path / 'field.tif').write_text('not ours')
    with pytest.raises(FileExistsError, match=r'field\.tif is there, but manifest\.json does not'):
        MapFolder(tmp_path, INPUTS, overwrite).has('field', FILES)
    (tmp_path / 'manifest.json').write_text('{"inputs": {}, "windows": 3}')
    with pytest.raises(FileExistsError, match='no manifest of maps'):
        MapFolder(tmp_path, INPUTS, overwrite)
    assert json.loads((tmp_path / 'manifest.json').read_text())['windows'] == 3


def test_a_map_gets_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / 'm.tif'
    with open_map(path, (3, 2), dict(crs='EPSG:32633', transform=CORNER[:6]), 2) as raster:
        describe_classes(raster, ['Other', 'Corn'], [[1, 2, 3], [250, 200, 0]])
        raster.write(np.array([[0, 1], [1, 255], [0, 0]], np.uint8), 1)
        assert not path.exists()
    assert [file.name for file in tmp_path.iterdir()] == ['m.tif']
    with rasterio.open(path) as raster:
        assert raster.read(1, masked=True).tolist() == [[0, 1], [1, None], [0, 0]]
        assert raster.transform == CORNER
        assert raster.crs.to_epsg() == 32633
        assert raster.block_shapes == [(2, 2)]
        assert raster.colormap(1)[1] == (250, 200, 0, 255)
        assert raster.tags(1)['class_1'] == 'Corn'


def test_a_failed_map_disappears_and_an_earlier_one_stays(tmp_path):
    with open_map(tmp_path / 'm.tif', (2, 2)) as raster:
        raster.write(np.full((1, 2, 2), 7, np.uint8))
    before = (tmp_path / 'm.tif').read_bytes()
    with pytest.raises(RuntimeError, match='power'), open_map(tmp_path / 'm.tif', (2, 2)):
        raise RuntimeError('power')
    assert [file.name for file in tmp_path.iterdir()] == ['m.tif']
    assert (tmp_path / 'm.tif').read_bytes() == before
