"""Data in other units than the statistics are noticed before a model is used on them."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.runner import Runner

from mmexact.engine import value_check
from mmexact.engine.value_check import check_dataset, check_values, sample_values
from tests.toy_classifier import toy_config, write_tree

MEAN, STD = np.array([900.0, 1200.0, 1100.0, 2800.0]), np.array([400.0, 450.0, 500.0, 900.0])
NAMES = ['B02', 'B03', 'B04', 'B08']


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(value_check, 'print_log', lambda text, *_: found.append(text))
    return found


def values(mean=MEAN, std=STD) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(4, 5000))
    return np.array(mean)[:, None] + std[:, None] * noise


def test_data_like_the_statistics_pass(warnings):
    check_values(values(), MEAN, STD)
    check_values(values(MEAN + STD, 3 * STD), MEAN, STD)
    check_values(np.zeros((4, 0)), MEAN, STD)
    assert warnings == []


@pytest.mark.parametrize(
    'wrong',
    [
        values() / 1e4,
        np.zeros((4, 100)),
        values() + 10_000,
        np.where(np.arange(5000) % 2, values(), -32768),
        values()[:, :1].repeat(100, 1),
    ],
    ids=['reflectance', 'zeros', 'offset', 'no data', 'constant'],
)
def test_data_far_from_the_statistics_are_refused(wrong):
    with pytest.raises(ValueError, match=r'^band \d \(B0\d\): .* data_preprocessor expects '):
        check_values(wrong, MEAN, STD, NAMES)


def test_what_is_odd_is_said(warnings):
    check_values(values(MEAN + 3 * STD), MEAN, STD)
    assert 'band ' in warnings[0]
    check_values(values(MEAN * [1, 0, 1, 1], STD * [1, 0, 1, 1]), MEAN, STD)
    assert 'band 2: some windows have a mean of 0' in warnings[1]
    check_values(values([1600, 1300, 1200, 1000], STD), MEAN, STD)
    assert 'were bands exchanged?' in warnings[2]


def test_windows_are_read_through_the_pipeline(tmp_path):
    cfg = toy_config(write_tree(tmp_path / 'tree'), tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    dataset = runner.test_dataloader.dataset
    found = sample_values(dataset, 3)
    dates = len(dataset.get_data_info(0)['day_of_year'])
    assert found.shape == (3, dates * 16 * 12)  # twelve windows of 4 x 4
    reader = dataset.get_data_info(0)['reader']
    first = reader.read(np.arange(dates), (0, 0, 4, 4))
    assert found[:, : dates * 16].tolist() == first.swapaxes(0, 1).reshape(3, -1).tolist()
    runner.model.data_preprocessor.mean /= 1e4
    runner.model.data_preprocessor.std /= 1e4
    with pytest.raises(ValueError, match=r'data_preprocessor expects 0\.1'):
        check_dataset(dataset, runner.model)
    check_dataset(SimpleNamespace(), runner.model)  # somebody else's


def test_of_a_scene_the_middle_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(value_check, 'SIDE', 4)
    cfg = toy_config(write_tree(tmp_path / 'tree'), tmp_path / 'run')
    cfg.test_dataloader.dataset.window_size = None
    dataset = Runner.from_cfg(cfg).test_dataloader.dataset
    assert dataset.get_data_info(0)['window'] == (0, 0, 10, 13)
    dates = len(dataset.get_data_info(0)['day_of_year'])
    assert sample_values(dataset, 3).shape == (3, dates * 16 * 2)
