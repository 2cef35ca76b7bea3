import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from loading_speed import (
    PlainWindows,
    cold_speed,
    evict,
    measure,
    open_sources,
    warm_speed,
    write_trees,
)
from mmengine.registry import init_default_scope

from mmexact.sits import unfold_time

TOOL = Path(__file__).parents[2] / 'tools' / 'benchmarks' / 'benchmark_loading.py'


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp('trees')
    write_trees(root, 1, iter)
    return root


@pytest.fixture(scope='module')
def sources(trees):
    init_default_scope('mmseg')
    return open_sources(trees)


def upright(dataset, index):
    """Load a window that was flipped by chance until it was not."""
    for seed in range(100):
        np.random.seed(seed)
        packed = dataset[index]
        if not packed['data_samples'].flip:
            return packed
    raise AssertionError


def test_all_formats_hold_the_same_windows(sources, trees):
    plain, *others = [dataset for dataset, _ in sources.values()]
    assert {len(dataset) for dataset, _ in sources.values()} == {25}
    first = pickle.loads((trees / 'pastis24' / 'pickle24x24' / '10000_7.pickle').read_bytes())
    for dataset in others:
        index = next(
            index for index in range(25) if dataset.get_data_info(index)['sample_id'] == '10000_7'
        )
        series, days = unfold_time(upright(dataset, index)['inputs'], 10)
        np.testing.assert_array_equal(series.numpy(), first['img'][:60])
        assert len(days) == len(first['doy'][:60])
    assert plain.paths[0].name == '10000_0.pickle'


def test_the_plain_loader_normalises_and_pads(trees):
    plain = PlainWindows(trees / 'pastis24')
    window = pickle.loads(plain.paths[3].read_bytes())
    dates = min(60, len(window['doy']))
    for seed in range(100):
        np.random.seed(seed)
        if (np.random.rand(2) >= 0.5).all():
            np.random.seed(seed)
            sample = plain[3]
            break
    assert sample['inputs'].shape == (60, 24, 24, 11)
    assert sample['inputs'].dtype == torch.float32
    expected = (window['img'][:dates].transpose(0, 2, 3, 1) - 2400.0) / 1800.0
    np.testing.assert_allclose(sample['inputs'][:dates, ..., :10], expected, rtol=1e-5)
    assert sample['inputs'][0, 0, 0, 10] * 365.0001 == pytest.approx(int(window['doy'][0]))
    assert (sample['inputs'][dates:] == 0).all()
    assert sample['labels'].tolist() == window['labels'].tolist()
    assert set(sample['crops'].nonzero().flatten().tolist()) == set(np.unique(window['labels'])) - {
        19
    }


def test_a_second_run_writes_nothing(trees):
    before = {path: path.stat().st_mtime_ns for path in trees.rglob('*') if path.is_file()}
    write_trees(trees, 1, iter)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_speeds_are_measured(sources):
    for name, (dataset, files) in sources.items():
        assert files, name
        speed, read = cold_speed(dataset, files, 1)
        assert speed > 0
        assert read >= 0
    dataset, files = sources['PASTIS, window-contiguous copy']
    evict(files)
    assert warm_speed(dataset, 1, 0.05, batch_size=4) > 0
    row = measure(dataset, files, 1, [], 0.05)
    assert len(row) == 3


def test_the_tool_prints_its_table(trees, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location('benchmark_loading', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arguments = ['--work-dir', trees, '--patches', 1, '--rounds', 1, '--batch-size', 2]
    monkeypatch.setattr(sys, 'argv', ['benchmark_loading.py'])
    module.main([str(argument) for argument in [*arguments, '--seconds', 0.05]])
    out = capsys.readouterr().out
    rows = {line[:32].strip(): line[32:].split() for line in out.splitlines() if len(line) > 60}
    assert rows['plain loader, pickles'][0].isdigit()
    assert len(rows['GeoTIFF, one per date']) == 4
    with pytest.raises(SystemExit):
        module.main(['--work-dir', str(trees), '--patches', '2'])
    assert (
        'was written with other arguments: num_patches 1 (asked for 2)' in capsys.readouterr().err
    )
