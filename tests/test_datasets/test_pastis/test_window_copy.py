import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from mmexact.datasets import LoadSITS, LoadSITSAnnotations, PackSITSInputs, PASTISDataset
from mmexact.datasets.pastis.window_copy import WindowLayout, copy_windows
from tests.data import SIZE, position_code, write_pastis

MASKS = {
    7: (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 20).astype(np.uint8),
    8: np.full(SIZE, 3, np.uint8),
}


@pytest.fixture
def root(tmp_path):
    return write_pastis(tmp_path / 'pastis', MASKS, folds={7: 1, 8: 2})


@pytest.fixture
def copy(root, tmp_path):
    assert copy_windows(root, tmp_path / 'copy', 4) == 2
    return tmp_path / 'copy'


def build(root, *pipeline, **kwargs):
    settings = dict(data_root=str(root), folds=(1, 2), window_size=4)
    return PASTISDataset(pipeline=list(pipeline), **settings | kwargs)


def test_a_window_lies_in_one_piece(copy):
    windows = np.load(copy / 'DATA_S2' / 'S2_7.npy')
    assert windows.shape == (6, 5, 3, 4, 4)
    np.testing.assert_array_equal(windows[5], position_code(5, 3, *SIZE)[:, :, 4:8, 8:12] + 7)
    border = np.load(copy / 'DATA_S2' / 'BORDER_7.npy')
    # 10 x 13 pixels less 8 x 12: the last column of the upper rows first.
    assert border.shape == (5, 3, 34)
    assert border[0, 0, :3].tolist() == [12 + 7, 25 + 7, 38 + 7]


@pytest.mark.parametrize('window_size', [4, None])
@pytest.mark.parametrize('load', [LoadSITS(), LoadSITS(3), LoadSITS(2, 'even')])
def test_samples_are_those_of_the_download(root, copy, window_size, load):
    steps = (load, LoadSITSAnnotations(), PackSITSInputs())
    datasets = [build(place, *steps, window_size=window_size) for place in (root, copy)]
    assert len(datasets[0]) == len(datasets[1]) == (12 if window_size else 2)
    for index in range(len(datasets[0])):
        expected, found = (dataset[index] for dataset in datasets)
        assert found['inputs'].equal(expected['inputs'])
        samples = expected['data_samples'], found['data_samples']
        assert samples[1].sample_id == samples[0].sample_id
        assert samples[1].day_of_year.tolist() == samples[0].day_of_year.tolist()
        assert samples[1].gt_score.equal(samples[0].gt_score)
        assert samples[1].gt_sem_seg.data.equal(samples[0].gt_sem_seg.data)
    assert datasets[0].metainfo == datasets[1].metainfo


def test_patches_without_a_border_are_copied(tmp_path):
    root = write_pastis(tmp_path / 'pastis', {7: np.zeros((8, 12), np.uint8)})
    copy_windows(root, tmp_path / 'copy', 4)
    assert not (tmp_path / 'copy' / 'DATA_S2' / 'BORDER_7.npy').exists()
    pair = [build(place, folds=[1], window_size=None) for place in (root, tmp_path / 'copy')]
    infos = [dataset.get_data_info(0) for dataset in pair]
    series = [info['reader'].read(np.array([1, 3]), info['window']) for info in infos]
    np.testing.assert_array_equal(*series)


@pytest.mark.parametrize('window', [(0, 0, 4, 4), (2, 3, 5, 9), (8, 10, 2, 3), (0, 0, *SIZE)])
def test_any_window_of_a_copy_is_read(root, copy, window):
    readers = [build(place).readers['8'] for place in (root, copy)]
    expected, found = (reader.read(np.array([0, 3]), window) for reader in readers)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_an_interrupted_copy_goes_on(root, tmp_path):
    class Interrupt(Exception):
        pass

    def stop_after_one(patches):
        yield patches[0]
        raise Interrupt

    copy = tmp_path / 'copy'
    with pytest.raises(Interrupt):
        copy_windows(root, copy, 4, stop_after_one)
    with pytest.raises(FileNotFoundError, match=r'manifest.json: the copy is incomplete; run'):
        build(copy).get_data_info(0)
    first = (copy / 'DATA_S2' / 'S2_7.npy').stat().st_mtime_ns
    assert copy_windows(root, copy, 4) == 1
    assert copy_windows(root, copy, 4) == 0
    assert (copy / 'DATA_S2' / 'S2_7.npy').stat().st_mtime_ns == first
    assert len(build(copy)) == 12
    assert not list(copy.rglob('*.part'))


def test_a_full_disk_is_noticed_before_copying(root, tmp_path, monkeypatch):
    monkeypatch.setattr('shutil.disk_usage', lambda path: SimpleNamespace(free=100))
    with pytest.raises(
        OSError, match=r'copy: the copy needs 0\.0 GB more, but the disk has 0\.0 GB'
    ):
        copy_windows(root, tmp_path / 'copy', 4)
    assert os.listdir(tmp_path / 'copy') == ['manifest.json']


def test_other_folders_and_layouts_are_refused(root, copy, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere: no metadata.geojson and DATA_S2'):
        copy_windows(tmp_path / 'nowhere', tmp_path / 'new')
    with pytest.raises(ValueError, match='is a window-contiguous copy already'):
        copy_windows(copy, tmp_path / 'new')
    with pytest.raises(FileExistsError, match=r'by windows .*window_size: 4 there, 2 now'):
        copy_windows(root, copy, 2)
    copy_windows(root, copy, 2, overwrite=True)
    assert len(build(copy, window_size=2)) == 2 * 5 * 6
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'mine.txt').touch()
    with pytest.raises(FileExistsError, match='other holds something else than a copy of PASTIS'):
        copy_windows(root, tmp_path / 'other', 4)
    assert os.listdir(tmp_path / 'other') == ['mine.txt']
    with pytest.raises(ValueError, match='window_size=24 does not fit'):
        copy_windows(root, tmp_path / 'new')
    assert not (tmp_path / 'new').exists()


def test_the_copy_knows_its_windows(copy):
    with pytest.raises(
        ValueError, match=r'in windows of 4 pixels, but window_size=5; make another'
    ):
        build(copy, window_size=5)
    manifest = json.loads((copy / 'manifest.json').read_text())
    manifest['inputs']['patch_size'] = [12, 13]
    (copy / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r'S2_7.npy: shape \(6, 5, 3, 4, 4\); expected \(9, dates'):
        build(copy)


def test_patches_of_other_sizes_are_named(tmp_path):
    masks = {7: MASKS[7], 8: np.zeros((10, 12), np.uint8)}
    root = write_pastis(tmp_path / 'pastis', masks)
    with pytest.raises(ValueError, match=r'S2_8.npy: shape \(5, 3, 10, 12\); expected'):
        copy_windows(root, tmp_path / 'copy', 4)


def test_windows_are_numbered_as_samples_are():
    layout = WindowLayout(4, SIZE)
    assert layout.windows[4] == (4, 4, 4, 4)
    assert layout.border.sum() == 34
