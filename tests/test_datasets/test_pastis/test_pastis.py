import json
import os
import pickle
import re
import shutil
from collections import OrderedDict

import numpy as np
import pytest

from mmexact.datasets import (
    LoadSITS,
    LoadSITSAnnotations,
    PackSITSInputs,
    PASTIS24Dataset,
    PASTISDataset,
)
from mmexact.datasets.numpy_files import load_plain_pickle
from mmexact.datasets.pastis.pastis import METAINFO
from tests.data import DAYS, SIZE, position_code, write_pastis, write_pastis24


def striped():
    """A mask with background, class 18, void, and one class per row below."""
    mask = np.repeat(np.arange(SIZE[0]), SIZE[1]).reshape(SIZE).astype(np.uint8)
    mask[0, :3] = (0, 18, 19)
    return mask


@pytest.fixture
def root(tmp_path):
    masks = {7: striped(), 8: np.zeros(SIZE, np.uint8), 9: np.zeros(SIZE, np.uint8)}
    return write_pastis(tmp_path / 'pastis', masks, folds={7: 1, 8: 2, 9: 5})


def build(root, **kwargs):
    settings = dict(data_root=str(root), folds=(1, 2), window_size=4, serialize_data=False)
    return PASTISDataset(**settings | kwargs)


def edit_metadata(root, change):
    path = root / 'metadata.geojson'
    content = json.loads(path.read_text())
    change(content['features'][0]['properties'])
    path.write_text(json.dumps(content))


def test_palette_tells_the_classes_apart():
    assert len(METAINFO['classes']) == len(set(METAINFO['classes'])) == 19
    colours = np.array(METAINFO['palette'])
    assert colours.shape == (19, 3)
    distances = np.abs(colours[:, None] - colours[None]).sum(-1)
    assert distances[~np.eye(19, dtype=bool)].min() >= 60


def test_folds_choose_patches(root):
    dataset = build(root)
    assert [dataset.get_data_info(i)['sample_id'] for i in (0, 6)] == ['7_0', '8_0']
    assert len(dataset) == 12
    assert len(build(root, folds=[5])) == 6


@pytest.mark.parametrize('dates_as_text', [False, True])
def test_days_of_year_come_from_the_calendar(tmp_path, dates_as_text):
    root = write_pastis(tmp_path, {7: striped()}, dates_as_text=dates_as_text)
    info = build(root, folds=[1]).get_data_info(0)
    assert info['day_of_year'].tolist() == list(DAYS)


def test_a_window_is_read_from_where_it_lies(root):
    info = build(root).get_data_info(5)
    window = info['reader'].read(np.array([1, 4]), info['window'])
    assert window.dtype == np.int16
    assert window.flags.c_contiguous
    assert type(window) is np.ndarray
    expected = position_code(5, 3, *SIZE)[[1, 4], :, 4:8, 8:12] + 7
    np.testing.assert_array_equal(window, expected)
    mask = info['reader'].read_mask(info['window'])
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.repeat([[4], [5], [6], [7]], 4, axis=1))


def test_a_whole_patch_is_read(root):
    info = build(root, window_size=None).get_data_info(0)
    expected = position_code(5, 3, *SIZE)[[0, 2]] + 7
    np.testing.assert_array_equal(info['reader'].read(np.array([0, 2]), info['window']), expected)


def test_void_is_ignored_and_a_mask_alone_is_accepted(root):
    info = build(root).get_data_info(0)
    assert info['reader'].read_mask(info['window'])[0].tolist() == [0, 18, 255, 0]
    np.save(root / 'ANNOTATIONS' / 'TARGET_7.npy', striped().astype(np.int64))
    assert info['reader'].read_mask(info['window'])[0].tolist() == [0, 18, 255, 0]


def test_band_statistics_are_averaged_over_the_folds(root):
    metainfo = build(root).metainfo
    assert metainfo['mean'] == [1.5, 11.5, 21.5]
    assert metainfo['std'] == [1.5, 1.5, 1.5]
    (root / 'NORM_S2_patch.json').unlink()
    assert 'mean' not in build(root).metainfo


def test_a_missing_download_says_what_to_do(tmp_path):
    message = (
        rf'{re.escape(str(tmp_path / "nowhere"))}: no such directory. PASTIS .*Zenodo, record '
        r'5012942.*data_root.*make demo'
    )
    with pytest.raises(FileNotFoundError, match=message):
        build(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match=r'no metadata\.geojson in it\. PASTIS'):
        build(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'data_root is not set'):
        PASTISDataset()


def test_a_relative_data_root_is_named_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / 'data' / 'PASTIS'))):
        build('data/PASTIS')


def test_a_fold_that_is_not_there_is_named(root):
    with pytest.raises(ValueError, match=r'no fold \[3\], only \[1, 2, 5\]'):
        build(root, folds=(1, 2, 3))


@pytest.mark.parametrize('name', ['DATA_S2/S2_8.npy', 'ANNOTATIONS/TARGET_8.npy'])
def test_missing_and_truncated_arrays_are_named(root, name):
    path = root / name
    size = path.stat().st_size
    os.truncate(path, size - 10)
    message = rf'{path.name}: not a complete .*{size - 10} bytes.*download it again'
    with pytest.raises(ValueError, match=message):
        build(root)
    os.truncate(path, 5)
    with pytest.raises(ValueError, match=rf'{path.name}: not a complete .*5 bytes'):
        build(root)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf'{path.name}: no such file'):
        build(root)


@pytest.mark.parametrize('dates', [None, {}, '{}'])
def test_a_patch_without_dates_is_named(root, dates):
    edit_metadata(root, lambda properties: properties.update({'dates-S2': dates}))
    with pytest.raises(ValueError, match=r'metadata.geojson, patch 7: no dates'):
        build(root)


def test_dates_that_do_not_fit_the_series_are_named(root):
    edit_metadata(root, lambda properties: properties['dates-S2'].pop('2'))
    message = r'S2_7.npy: shape \(5, 3, 10, 13\), but .*4 dates for patch 7'
    with pytest.raises(ValueError, match=message):
        build(root)
    edit_metadata(root, lambda properties: properties['dates-S2'].update({'2': 20180231}))
    with pytest.raises(ValueError, match=r'patch 7: dates-S2: .*expected dates as YYYYMMDD'):
        build(root)


def test_labels_outside_the_classes_are_named(root):
    mask = striped()
    mask[2, 3:5] = 20
    np.save(root / 'ANNOTATIONS' / 'TARGET_7.npy', mask)
    with pytest.raises(ValueError, match=r'TARGET_7.npy: label 20 in 2 pixels; PASTIS has'):
        build(root)


def test_a_mask_of_another_size_is_named(root):
    np.save(root / 'ANNOTATIONS' / 'TARGET_7.npy', striped()[:, :-1])
    with pytest.raises(ValueError, match=r'TARGET_7.npy: .*\(10, 12\).*\(10, 13\)'):
        build(root)


def test_patches_with_other_bands_are_named(root):
    np.save(root / 'DATA_S2' / 'S2_8.npy', position_code(5, 2, *SIZE))
    with pytest.raises(ValueError, match=r'S2_8.npy has 2 bands, .*S2_7.npy has 3'):
        build(root)


def test_patches_of_one_name_are_named(root):
    path = root / 'metadata.geojson'
    content = json.loads(path.read_text())
    content['features'].append(content['features'][0])
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'S2_7.npy and .*S2_7.npy are both named 7'):
        build(root)


WINDOWS = {'40562_9': striped()[:4, :4], '40562_10': np.stack([striped()[4:8, :4]] * 3)}


@pytest.fixture
def root24(tmp_path):
    return write_pastis24(tmp_path / 'p24', WINDOWS, {1: ['40562_9', '40562_10'], 4: ['40562_9']})


def build24(root, **kwargs):
    return PASTIS24Dataset(
        **{'data_root': str(root), 'folds': [1], 'serialize_data': False} | kwargs
    )


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_pickles_are_windows(tmp_path, protocol):
    root = write_pastis24(tmp_path, WINDOWS, {1: list(WINDOWS), 4: ['40562_9']}, protocol)
    dataset = build24(root)
    assert [dataset.get_data_info(i)['sample_id'] for i in range(2)] == ['40562_9', '40562_10']
    assert len(build24(root, folds=(4,))) == 1
    info = dataset.get_data_info(1)
    assert info['window'] == (0, 0, 4, 4)
    assert info['size'] == (4, 4)
    assert info['day_of_year'].tolist() == list(DAYS)
    assert np.flatnonzero(info['gt_score']).tolist() == [3, 4, 5, 6]
    series = info['reader'].read(np.array([0, 3]), info['window'])
    np.testing.assert_array_equal(series, position_code(5, 3, 4, 4)[[0, 3]] + 1)
    np.testing.assert_array_equal(info['reader'].read_mask(info['window'])[:, 0], [4, 5, 6, 7])
    info = dataset.get_data_info(0)
    assert info['reader'].read_mask(info['window'])[0].tolist() == [0, 18, 255, 0]


def test_a_patch_cannot_leave_its_folder(root):
    path = root / 'metadata.geojson'
    path.write_text(
        re.sub(r'"ID_PATCH": ?"?\w+"?', '"ID_PATCH": "../escaped"', path.read_text(), count=1)
    )
    with pytest.raises(ValueError, match=r"'\.\./escaped' cannot be the name of a file"):
        build(root)


def test_numpy_1_pickles_are_read(tmp_path):
    content = pickle.dumps(np.arange(3, dtype=np.int16), protocol=2)
    (tmp_path / 'a.pickle').write_bytes(content.replace(b'numpy._core', b'numpy.core'))
    array = load_plain_pickle(str(tmp_path / 'a.pickle'))
    assert array.tolist() == [0, 1, 2]
    assert array.dtype == np.int16


class Harmful:
    def __reduce__(self):
        return (os.mkdir, ('harm',))


@pytest.mark.parametrize('content', [Harmful(), OrderedDict(img=1), {'img': np.dtype, 'f': print}])
def test_nothing_but_numpy_data_is_unpickled(root24, content, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = root24 / 'pickle24x24' / '40562_10.pickle'
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r'40562_10.pickle: .*refers to \w+\.\w+, but only numpy'):
        build24(root24)
    assert not (tmp_path / 'harm').exists()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([1, 2], 'found list; expected a dict'),
        ({'img': 1}, r"found \['img'\]; expected a dict with img, labels, doy"),
        (
            {'img': np.zeros((2, 3, 4, 4)), 'labels': np.zeros((4, 4)), 'doy': [1]},
            r'shapes .*\(2, 3, 4, 4\).*expected img',
        ),
        (
            {'img': np.zeros((2, 3, 4, 4)), 'labels': np.zeros((4, 4)), 'doy': [0, 5]},
            'day of year 0; expected 1..366',
        ),
        (
            {'img': np.zeros((1, 3, 4, 4)), 'labels': np.full((4, 4), 20), 'doy': [5]},
            'label 20 in 16 pixels',
        ),
        (
            {'img': np.full((1, 3, 4, 4), None), 'labels': np.zeros((4, 4)), 'doy': [5]},
            "not a pickle of plain numpy data: a numpy type 'O8'; expected numbers",
        ),
    ],
)
def test_pickles_with_other_contents_are_named(root24, content, message):
    path = root24 / 'pickle24x24' / '40562_9.pickle'
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf'40562_9.pickle: {message}'):
        build24(root24)


def test_missing_and_truncated_pickles_are_named(root24):
    path = root24 / 'pickle24x24' / '40562_10.pickle'
    os.truncate(path, 300)
    with pytest.raises(ValueError, match=r'40562_10.pickle: damaged pickle: expected 480 bytes'):
        build24(root24)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'40562_10.pickle: no such file'):
        build24(root24)


def test_missing_and_wrong_listings_are_named(root24, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'fold_2_paths.csv: no such file'):
        build24(root24, folds=(1, 2))
    listing = root24 / 'fold-paths' / 'fold_1_paths.csv'
    listing.write_text('path\n' + listing.read_text())
    with pytest.raises(ValueError, match=r"fold_1_paths.csv, line 1: 'path'; expected a path"):
        build24(root24)
    for entry in ('../elsewhere.pickle', '/tmp/elsewhere.pickle', 'a/../b.pickle'):
        listing.write_text(f'{entry}\n')
        with pytest.raises(ValueError, match=r'fold_1_paths\.csv, line 1: .*cannot be the name of'):
            build24(root24)
    with pytest.raises(FileNotFoundError, match=r'no fold-paths in it\. PASTIS24 .*make demo'):
        build24(tmp_path)


def test_without_masks_nothing_of_them_is_read(root):
    shutil.rmtree(root / 'ANNOTATIONS')
    load, annotate = LoadSITS(), LoadSITSAnnotations()
    dataset = build(root, with_masks=False, pipeline=[load, PackSITSInputs()])
    assert len(dataset) == 12
    assert 'gt_score' not in dataset[0]['data_samples']
    with pytest.raises(ValueError, match='7_0: there is no mask to load'):
        build(root, with_masks=False, pipeline=[load, annotate])[0]
