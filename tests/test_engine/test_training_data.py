"""A model is used on data like those it was trained on, or not at all."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch import nn

from mmexact.engine.checkpoint import load_weights, read_checkpoint
from mmexact.engine.training_data import check_data, describe_data
from tests.toy_classifier import toy_config, write_tree


def data(**changes):
    facts = dict(metainfo=dict(classes=('Background', 'Corn', 'Rape')), band_names=['B04', 'B08'])
    return SimpleNamespace(**(facts | changes))


def model(mean=(100.0, 200.0)):
    network = nn.Module()
    network.data_preprocessor = nn.Module()
    network.data_preprocessor.mean = torch.tensor(mean).view(-1, 1, 1)
    network.data_preprocessor.std = torch.ones(2, 1, 1)
    return network


def test_what_differs_is_named():
    described = describe_data(data(), model())
    assert described == dict(
        classes=['Background', 'Corn', 'Rape'], bands=['B04', 'B08'], mean=[100, 200], std=[1, 1]
    )
    checkpoint = dict(meta=dict(trained_on=described))
    check_data(checkpoint, data(), model(), 'x.pth')
    other = data(metainfo=dict(classes=('Background', 'Rape', 'Corn')))
    with pytest.raises(
        ValueError, match=r"x.pth: .* classes \['Background', 'Corn', 'Rape'\] in this order, but"
    ):
        check_data(checkpoint, other, model(), 'x.pth')
    with pytest.raises(ValueError, match=r"bands \['B04', 'B08'\], but .* \['B03', 'B08'\]"):
        check_data(checkpoint, data(band_names=['B03', 'B08']), model(), 'x.pth')
    with pytest.raises(ValueError, match=r'means \[100.0, 200.0\], but .* \[0.1, 0.2\]'):
        check_data(checkpoint, data(), model((0.1, 0.2)), 'x.pth')


def test_what_is_not_known_is_not_compared():
    check_data(dict(state_dict={}), data(), model(), 'x.pth')
    check_data(dict(meta=dict(trained_on=dict(mean=[1, 2]))), data(), nn.Module(), 'x.pth')
    bands_unknown = dict(meta=dict(trained_on=describe_data(data(band_names=None), model())))
    check_data(bands_unknown, data(), model(), 'x.pth')
    by_mmengine = dict(meta=dict(dataset_meta=dict(classes=('Corn', 'Background'))))
    with pytest.raises(ValueError, match='classes'):
        check_data(by_mmengine, data(), model(), 'x.pth')


def test_another_season_is_refused_and_half_of_one_warned_of(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmexact.engine.training_data.print_log', lambda text, *_: said.append(text)
    )
    checkpoint = dict(meta=dict(trained_on=describe_data(data(months=[10, 11, 12, 1]), model())))
    check_data(checkpoint, data(months=[11, 12]), model(), 'x.pth')
    assert not said
    check_data(checkpoint, data(months=[12, 1, 2, 3]), model(), 'x.pth')
    assert 'of the months [10, 11, 12, 1], but the data have [12, 1, 2, 3]' in said[0]
    with pytest.raises(ValueError, match='give data of that season'):
        check_data(checkpoint, data(months=[5, 6]), model(), 'x.pth')


def config(tree: Path, work_dir: Path, **settings):
    cfg = toy_config(tree, work_dir, **settings)
    cfg.default_hooks.checkpoint = dict(type='ResumableCheckpointHook', by_epoch=False, interval=1)
    cfg.default_hooks.segmentor_check = dict(type='SegmentorCheckHook')
    return cfg


def test_training_notes_its_data_and_they_are_compared(tmp_path):
    tree = write_tree(tmp_path / 'tree')
    runner = Runner.from_cfg(config(tree, tmp_path / 'run'))
    runner.train()
    path = tmp_path / 'run/iter_2.pth'
    noted = read_checkpoint(path)['meta']['trained_on']
    assert noted['classes'] == ['Background', 'Meadow', 'Soft winter wheat', 'Corn']
    assert noted['mean'] == [1000] * 3
    assert noted['months'] == runner.train_dataloader.dataset.months
    load_weights(runner.model, path, runner.test_dataloader.dataset)
    runner.test_dataloader.dataset._metainfo['classes'] = ('Background', 'Corn', 'Meadow', 'Wheat')
    with pytest.raises(ValueError, match='the model was trained on the classes'):
        load_weights(runner.model, path, runner.test_dataloader.dataset)


@pytest.mark.parametrize('held_out', [True, False])
def test_a_validation_says_how_many_windows_it_scores(tmp_path, held_out):
    cfg = config(write_tree(tmp_path / 'tree'), tmp_path / 'run')
    cfg.train_cfg.val_interval = 1
    dataset = dict(cfg.test_dataloader.dataset)
    if held_out:
        cfg.train_dataloader.dataset.ann_file = str(tmp_path / 'ids.txt')
        dataset['ann_file'] = str(tmp_path / 'others.txt')
        (tmp_path / 'ids.txt').write_text('7_0\n7_1\n')
        (tmp_path / 'others.txt').write_text('7_2\n7_3\n')
    cfg.val_dataloader = dict(cfg.test_dataloader, dataset=dataset)
    cfg.val_cfg, cfg.val_evaluator = dict(type='ValLoop'), cfg.test_evaluator
    runner = Runner.from_cfg(cfg)
    said = []
    runner.logger.info, runner.logger.warning = said.append, said.append
    runner.train()
    told = [text for text in said if str(text).startswith('validation scores')]
    assert len(told) == 1
    assert told[0].startswith(
        'validation scores 2 windows'
        if held_out
        else 'validation scores 12 windows, of which 6 are'
    )


def test_a_value_that_is_no_number_ends_the_training_and_names_its_window(tmp_path):
    tree = write_tree(tmp_path / 'tree')
    path = tree / 'DATA_S2/S2_7.npy'
    series = np.load(path).astype(np.float32)
    series[1, 2, 0, 0] = np.nan
    np.save(path, series)
    with pytest.raises(ValueError, match=r'S2_7\.npy: NaN or infinity in window 7_0, date 1, band'):
        Runner.from_cfg(config(tree, tmp_path / 'run')).train()


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    tree = write_tree(tmp_path / 'tree')
    path = tree / 'DATA_S2/S2_7.npy'
    series = np.load(path).astype(np.float32)
    series[:, :, 0, 0] = 3e38  # finite, its square is not
    np.save(path, series)
    cfg = config(tree, tmp_path / 'run')
    cfg.default_hooks.segmentor_check.check_values = False
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match=r'iteration \d+: .*loss.* not finite. The windows .*7_0'):
        runner.train()
    for path in (tmp_path / 'run').glob('*.pth'):
        load_weights(runner.model, path)
