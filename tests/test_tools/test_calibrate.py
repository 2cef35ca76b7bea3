"""calibrate.py on a tree in the format of PASTIS, with a segmentor that was not trained."""

import re
import runpy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmexact.apis.configs import shipped
from tests.scenes import write_scenes
from tests.toy_classifier import toy_config, write_tree


@pytest.fixture
def calibrate(tmp_path, monkeypatch, capsys):
    """Run the tool on validation data with masks, and return what it prints."""
    cfg = toy_config(write_tree(tmp_path / 'tree'), tmp_path / 'run')
    model = Config.fromfile(write_scenes(tmp_path / 'scenes')).model
    model.data_preprocessor.update(mean=[1000.0] * 3, std=[1000.0] * 3)
    model.backbone.update(in_channels=3, num_classes=4)
    model.decode_head.num_classes = 4
    cfg.model = model
    cfg.val_dataloader = cfg.test_dataloader.copy()
    cfg.default_hooks.segmentor_check = dict(type='SegmentorCheckHook')
    cfg.custom_imports = dict(imports=['mmexact'], allow_failed_imports=False)
    init_default_scope('mmseg')
    torch.save(MODELS.build(model).state_dict(), tmp_path / 'seg.pth')
    monkeypatch.setenv('LOCAL_RANK', '0')

    def call(**settings):
        cfg.update(settings)
        cfg.dump(tmp_path / 'seg.py')
        command = ['calibrate.py', str(tmp_path / 'seg.py'), str(tmp_path / 'seg.pth')]
        monkeypatch.setattr('sys.argv', command)
        runpy.run_path(str(shipped('tools/analysis_tools/calibrate.py')), run_name='__main__')
        return capsys.readouterr().out

    return call


def test_a_temperature_is_found_that_is_no_worse(calibrate):
    printed = calibrate()
    error, temperature, scaled = map(
        float,
        re.search(r'error: ([\d.]+) %\nwith temperature ([\d.]+): ([\d.]+) %', printed).groups(),
    )
    assert 0 <= scaled <= error + 1
    assert f'model.test_cfg.temperature={temperature:g}' in printed


def test_data_without_validation_are_refused(calibrate, capsys):
    with pytest.raises(SystemExit):
        calibrate(val_dataloader=None)
    assert 'has no val_dataloader' in capsys.readouterr().err
