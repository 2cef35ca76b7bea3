"""The four formats that benchmark_loading.py compares hold the same windows, and are timed."""

import pickle
import sys

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from mmexact.apis.configs import shipped
from mmexact.sits import unfold_time

sys.path.insert(0, str(shipped('tools/benchmarks')))

import benchmark_loading


@pytest.fixture(scope='module')
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp('trees')
    benchmark_loading.write_trees(root, 1, iter)
    return root


def upright(dataset, index):
    """Load a window that was flipped by chance until it was not."""
    for seed in range(100):
        np.random.seed(seed)
        packed = dataset[index]
        if not packed['data_samples'].flip:
            return packed
    raise AssertionError


def test_all_formats_hold_the_same_windows(trees):
    init_default_scope('mmseg')
    first = pickle.loads((trees / 'pastis24' / 'pickle24x24' / '10000_7.pickle').read_bytes())
    for dataset, files in benchmark_loading.open_sources(trees).values():
        assert files
        names = [dataset.get_data_info(index)['sample_id'] for index in range(len(dataset))]
        assert len(names) == 25
        packed = upright(dataset, names.index('10000_7'))
        series, days = unfold_time(packed['inputs'], 10)
        np.testing.assert_array_equal(series.numpy(), first['img'][:60])
        assert len(days) == len(first['doy'][:60])


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux forgets files when asked')
def test_the_tool_prints_its_table_and_keeps_the_trees(trees, capsys):
    before = {path: path.stat().st_mtime_ns for path in trees.rglob('*.[npt]*')}
    arguments = ['--work-dir', trees, '--patches', 1, '--rounds', 1, '--batch-size', 2]
    benchmark_loading.main([str(argument) for argument in [*arguments, '--seconds', 0.05]])
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:32].strip(): line[32:].split() for line in lines if len(line) > 60}
    for name in ('PASTIS, raw', 'PASTIS24, pickles', 'GeoTIFF, one per date'):
        cold, read, here, with_worker = map(float, rows[name])
        assert min(cold, here, with_worker) > 0
        assert read >= 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    with pytest.raises(SystemExit):
        benchmark_loading.main(['--work-dir', str(trees), '--patches', '2'])
    assert 'num_patches' in capsys.readouterr().err
