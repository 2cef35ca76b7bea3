import json

import numpy as np
import pytest
import rasterio
from PIL import Image

from mmexact.masks import PseudoMaskWriter, open_masks
from mmexact.sits import Georeference

META = dict(
    classes=('Background', 'Meadow', 'Corn'), palette=[[0, 0, 0], [0, 200, 0], [250, 200, 0]]
)
SURE = np.ones((2, 2))
INPUTS = dict(checkpoint='abc', background_score=0.33)


def window(sample_id, place=None, patch=None):
    patch = patch or sample_id.rpartition('_')[0]
    return dict(sample_id=sample_id, patch=patch, georeference=place)


WINDOWS = [window('p_0'), window('p_1')]


def writer(folder, inputs=INPUTS, windows=WINDOWS, meta=META, **kwargs):
    return PseudoMaskWriter(folder, inputs, windows, meta, **kwargs)


def mask(value):
    return np.full((2, 2), value, np.uint8)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def test_masks_confidence_and_manifest(tmp_path):
    masks = writer(tmp_path)
    masks.write('p_0', np.array([[0, 1], [2, 255]], np.uint8), np.array([[0, 1], [0.5, 0.2]]))
    masks.write('p_1', mask(2), SURE)
    manifest = masks.finish({'pseudo/OA': 75.0})
    with Image.open(tmp_path / 'p_0.png') as image:
        assert np.asarray(image).tolist() == [[0, 1], [2, 255]]
    with Image.open(tmp_path / 'confidence' / 'p_0.png') as image:
        # 127.5 is rounded to the even neighbour, 0.2 is 51 of 255.
        assert np.asarray(image).tolist() == [[0, 255], [128, 51]]
    assert manifest == json.loads((tmp_path / 'manifest.json').read_text())
    files = ['p_0.png', 'confidence/p_0.png', 'p_1.png', 'confidence/p_1.png']
    assert manifest == dict(
        kind='pseudo masks',
        complete=True,
        inputs=INPUTS,
        classes=list(META['classes']),
        palette=META['palette'],
        background=True,
        windows=2,
        pixels={'Background': 1, 'Meadow': 1, 'Corn': 5, 'ignored': 1},
        scores={'pseudo/OA': 75.0},
        files=files,
    )
    assert names(tmp_path) == sorted([*files, 'manifest.json'])
    assert open_masks(tmp_path, META['classes'], ['p_1', 'p_0']) == manifest


def test_an_interrupted_run_goes_on(tmp_path):
    writer(tmp_path).write('p_0', mask(1), SURE)
    with pytest.raises(ValueError, match='unfinished'):
        open_masks(tmp_path, META['classes'], ['p_0'])
    again = writer(tmp_path)
    assert again.has('p_0')
    assert not again.has('p_1')
    with pytest.raises(FileNotFoundError, match=r'2 of 4 files are missing, first p_1\.png'):
        again.finish()
    again.write('p_1', mask(0), SURE)
    assert again.finish()['pixels']['Meadow'] == 4


def test_a_mask_without_its_confidence_is_made_again(tmp_path):
    masks = writer(tmp_path)
    masks.write('p_0', mask(1), SURE)
    (tmp_path / 'confidence' / 'p_0.png').unlink()
    assert not masks.has('p_0')


def test_scores_of_an_earlier_run_are_kept(tmp_path):
    for scores in ({'pseudo/OA': 75.0}, None):
        masks = writer(tmp_path)
        for name in masks.sample_ids:
            masks.write(name, mask(1), SURE)
        assert masks.finish(scores)['scores'] == {'pseudo/OA': 75.0}


def test_masks_of_other_inputs_or_classes_are_not_touched_unless_told(tmp_path):
    writer(tmp_path).write('p_0', mask(1), SURE)
    other = dict(INPUTS, background_score=0.5)
    with pytest.raises(
        FileExistsError, match=r'background_score: 0\.33 there, 0\.5 now.*--overwrite'
    ):
        writer(tmp_path, other)
    assert (tmp_path / 'p_0.png').exists()
    assert not writer(tmp_path, other, overwrite=True).has('p_0')
    assert names(tmp_path) == ['manifest.json']


@pytest.mark.parametrize('overwrite', [False, True])
def test_masks_of_others_are_never_replaced(tmp_path, overwrite):
    Image.fromarray(mask(1)).save(tmp_path / 'p_1.png')
    with pytest.raises(FileExistsError, match=r'p_1\.png is there, but manifest\.json does not'):
        writer(tmp_path, overwrite=overwrite)
    assert names(tmp_path) == ['p_1.png']


def test_located_windows_become_a_map(tmp_path):
    transform = (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0)
    right = (10.0, 0.0, 500020.0, 0.0, -10.0, 5000000.0)
    windows = [
        window('field_0', Georeference('EPSG:32633', transform)),
        window('field_1', Georeference('EPSG:32633', right)),
        window('whole_patch', Georeference('EPSG:32633', transform), patch='whole_patch'),
        window('nowhere_0', Georeference(None, transform)),
    ]
    masks = writer(tmp_path, windows=windows)
    for value, name in enumerate(masks.sample_ids):
        masks.write(name, mask(value % 3), SURE)
    manifest = masks.finish()
    assert {name for name in manifest['files'] if not name.endswith('.png')} == {
        f'{patch}{ending}'
        for patch in ('field', 'whole_patch')
        for ending in ('.tif', '.tif.aux.xml', '.qml')
    }
    with rasterio.open(tmp_path / 'field.tif') as raster:
        assert raster.read(1).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]
        assert raster.crs.to_epsg() == 32633
        assert raster.transform.to_gdal() == (500000, 10, 0, 5000000, 0, -10)
        assert raster.nodata == 255
        assert raster.colormap(1)[2][:3] == (250, 200, 0)
        assert raster.tags(1)['class_2'] == 'Corn'
    with rasterio.open(tmp_path / 'whole_patch.tif') as raster:
        assert raster.read(1).tolist() == [[2, 2], [2, 2]]
