import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from rasterio.warp import transform_bounds

from mmexact.masks import map_files, read_manifest
from tests.data import CORNER, SIZE
from tests.scenes import write_scenes

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'predict.py'


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """A folder with a config, two checkpoints of it and two areas."""
    folder = tmp_path_factory.mktemp('scene')
    cfg = Config.fromfile(write_scenes(folder))
    init_default_scope('mmseg')
    for name in ('seg.pth', 'other.pth'):
        torch.save(MODELS.build(cfg.model).state_dict(), folder / name)
    return folder


@pytest.fixture
def predict(scene, monkeypatch, tmp_path):
    """Run the tool in this process on the first checkpoint, and return its folder of maps."""
    monkeypatch.chdir(scene)
    monkeypatch.setenv('LOCAL_RANK', '0')

    def call(*args, checkpoint='seg.pth', out=tmp_path / 'maps'):
        command = ['predict.py', 'scene.py', checkpoint, '--out', out, *args]
        monkeypatch.setattr('sys.argv', [str(part) for part in command])
        runpy.run_path(str(TOOL), run_name='__main__')
        return out

    return call


def refused(predict, capsys, *args, **kwargs):
    with pytest.raises(SystemExit) as stop:
        predict(*args, **kwargs)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith('predict.py: error: ')
    return message


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_area_becomes_a_map(predict, capsys):
    out = predict('--scores', '--block-windows', 2)
    files = [
        name
        for scene in ('area', 'field')
        for name in (*map_files(scene), f'{scene}_probability.tif')
    ]
    assert names(out) == sorted([*files, 'manifest.json'])
    with rasterio.open(out / 'area.tif') as raster:
        classes = raster.read(1)
        assert classes.shape == SIZE
    with rasterio.open(out / 'area_probability.tif') as raster:
        percent = raster.read(1)
    # No data in both at the same pixels; with three classes the winner has over a third.
    assert ((classes == 255) == (percent == 255)).all()
    assert 33 <= percent.min() <= percent[percent < 255].max() <= 100
    manifest = read_manifest(out, 'maps')
    assert manifest['complete'] is True
    assert manifest['files'] == files
    assert manifest['pixels']['area']['Crop'] == (classes == 1).sum()
    assert manifest['pixels']['area']['no data'] == 25
    assert f'patches mapped: 2, in {out}' in capsys.readouterr().out


def test_a_second_run_makes_what_is_missing(predict, capsys):
    out = predict()
    before = read_manifest(out, 'maps')
    (out / 'field.tif').unlink()
    os.utime(out / 'area.tif', (1, 1))
    predict('--block-windows', 1)
    assert '1 of 2 maps are there' in capsys.readouterr().out
    assert (out / 'area.tif').stat().st_mtime == 1
    assert read_manifest(out, 'maps') == before
    predict('--scores')
    assert len(names(out)) == 9
    with rasterio.open(out / 'area.tif') as raster:
        assert raster.shape == SIZE


def test_maps_of_another_checkpoint_or_config_are_kept_unless_told(predict, capsys):
    out = predict()
    message = refused(predict, capsys, checkpoint='other.pth')
    assert 'maps of other inputs (checkpoint: ' in message
    denser = ['--cfg-options', 'model.test_cfg.stride="(2, 2)"']
    assert 'maps of other inputs (config: ' in refused(predict, capsys, *denser)
    first = read_manifest(out, 'maps')
    predict('--overwrite', checkpoint='other.pth')
    second = read_manifest(out, 'maps')
    assert first['inputs'].keys() == second['inputs'].keys()
    assert first['inputs'] != second['inputs']
    assert names(out) == sorted([*map_files('area'), *map_files('field'), 'manifest.json'])


def test_maps_go_to_the_work_folder_by_default(scene, predict, monkeypatch, tmp_path):
    command = ['predict.py', 'scene.py', 'seg.pth', '--work-dir', str(tmp_path / 'work')]
    monkeypatch.setattr('sys.argv', command)
    runpy.run_path(str(TOOL), run_name='__main__')
    assert names(tmp_path / 'work') == ['maps']


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--cfg-options', 'model.type=ExactClassifier'], 'a classifier of stage 1'),
        (['--cfg-options', 'model.backbone.embed_dims=4'], 'checkpoint of another model'),
        (['--cfg-options', 'model.test_cfg.temperature=0'], 'temperature=0; expected a number'),
        (
            ['--cfg-options', 'model.test_cfg.crop_size="(8, 8)"'],
            'field has 4 x 4 pixels, less than a window of the model, 8 x 8',
        ),
        (['--cfg-options', 'test_dataloader.dataset.data_root=gone'], 'gone: data_root is no such'),
        (['--block-windows', '0'], '--block-windows: 0; expected 1 or more'),
        (['--launcher', 'pytorch'], 'one process makes all maps; --ray shares'),
        (['--ray', '127.0.0.1:1'], '--ray 127.0.0.1:1: no Ray cluster answers: [Errno '),
        (['--ray', 'here'], '--ray here: no Ray cluster answers: Invalid address format'),
    ],
)
def test_wrong_input_is_named_before_anything_is_written(predict, capsys, tmp_path, args, message):
    assert message in refused(predict, capsys, *args)
    assert names(tmp_path) == []


def test_ray_that_is_not_there_is_named(predict, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'ray', None)
    assert "--ray needs Ray: pip install 'mmexact[ray]'" in refused(predict, capsys, '--ray')


def test_a_temperature_makes_probabilities_less_sure(predict, tmp_path):
    def read(out):
        with rasterio.open(out / 'area.tif') as classes, rasterio.open(out / name) as raster:
            return classes.read(1), raster.read()

    name, options = 'area_classes.tif', ['--scores', 'classes', '--overlap', 0]
    classes, sure = read(predict(*options))
    hot = predict(*options, '--cfg-options', 'model.test_cfg.temperature=4', out=tmp_path / 'hot')
    other, unsure = read(hot)
    assert (classes == other).all()
    known = classes != 255
    expected = sure[:, known] ** 0.25
    # Logits divided by 4 are probabilities to the power of 1 / 4, up to their sum.
    expected = 100 * expected / expected.sum(0)
    np.testing.assert_allclose(unsure[:, known], expected, atol=2)
    assert (unsure[:, known].max(0) < sure[:, known].max(0)).mean() > 0.9


def test_a_box_is_mapped_and_another_one_is_refused_in_its_folder(predict, capsys):
    bounds = transform_bounds(32633, 4326, *(CORNER @ (6, 9)), *(CORNER @ (10, 2)))
    out = predict('--scores', 'margin', 'classes', '--bbox', *bounds)
    assert 'area_margin.tif' in names(out)
    with rasterio.open(out / 'area_classes.tif') as raster:
        assert raster.descriptions == ('Other', 'Crop', 'Grass')
    with rasterio.open(out / 'area.tif') as raster:
        assert 20 <= (raster.read(1) < 255).sum() <= 45  # some 4 x 7 pixels
    assert 'area: ' in refused(predict, capsys, '--scores', 'margin', 'classes', out=out)
    assert 'is no box in degrees' in refused(predict, capsys, '--bbox', 3, 2, 1, 0)
