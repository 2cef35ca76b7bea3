import gzip
import importlib.util
import pickle
import shutil
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from tfrecord.reader import tfrecord_loader

from mmexact.datasets.mtlcc.index import look_up
from mmexact.datasets.mtlcc.mtlcc import CLASSES, MTLCCDataset, TileReader
from mmexact.datasets.mtlcc.tiles import load_tile, read_bands
from mmexact.datasets.synthetic.mtlcc_tree import write_mtlcc_tree, write_pickle, write_tfrecord
from mmexact.datasets.transforms.loading import LoadSITS, LoadSITSAnnotations, PackSITSInputs
from mmexact.datasets.windows import presence
from tests.mtlcc_data import DAYS, tile_arrays, write_mtlcc

STRIPES = np.repeat([0, 1, 26, 4], 3)[None].repeat(12, 0)
"""12 x 12 codes: unknown, sugar beet, maize, and code 4, which is no class."""
FORMATS = ('240', '240pkl')


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    wheat = np.full((12, 12), 22)
    tiles = {'7': STRIPES, '11': wheat, '3': np.zeros((12, 12), int)}
    splits = {'train_fold0': ['11', '7', '404'], 'test_fold0': ['3'], 'eval': ['7']}
    return write_mtlcc(tmp_path_factory.mktemp('mtlcc'), tiles, splits, years=(2016, 2017))


def build(root, **settings) -> MTLCCDataset:
    return MTLCCDataset(data_root=str(root), serialize_data=False, **settings)


def ids(dataset: MTLCCDataset) -> list[str]:
    return [dataset.get_data_info(index)['sample_id'] for index in range(len(dataset))]


def load(dataset: MTLCCDataset, index: int, **dates):
    info = LoadSITS(**dates)(dataset.get_data_info(index))
    return PackSITSInputs()(LoadSITSAnnotations()(info))


@pytest.mark.parametrize('folder', FORMATS)
def test_entries(tree, folder):
    dataset = build(tree / folder)
    assert ids(dataset) == ['2016_11', '2016_7']  # in the order of the list, 404 is not there
    assert dataset.metainfo['background'] is False
    info = dataset.get_data_info(1)
    assert info['size'] == (12, 12)
    assert info['window'] == (0, 0, 12, 12)
    assert info['num_classes'] == 17
    assert info['day_of_year'].tolist() == list(DAYS)  # two padded dates are gone
    # Sugar beet (0) and maize (16) occur; code 4 does not count, nor does unknown.
    assert np.flatnonzero(info['gt_score']).tolist() == [0, 16]
    assert info['gt_score'].shape == (17,)
    assert np.flatnonzero(dataset.get_data_info(0)['gt_score']).tolist() == [12]


def test_both_formats_give_the_same_samples(tree):
    first, second = (load(build(tree / folder), 1) for folder in FORMATS)
    assert (first['inputs'] == second['inputs']).all()
    assert (first['data_samples'].gt_sem_seg.data == second['data_samples'].gt_sem_seg.data).all()


@pytest.mark.parametrize('folder', FORMATS)
def test_masks_by_hand(tree, folder):
    mask = load(build(tree / folder), 1)['data_samples'].gt_sem_seg.data
    assert mask[0, 0].tolist() == [255] * 3 + [0] * 3 + [16] * 3 + [255] * 3


def test_codes_by_hand():
    codes = np.array([[0, 1, 2, 3, 4, 5, 8, 9, 22, 25, 26, 27, 200]], np.uint8)
    classes = [255, 0, 1, 2, 255, 3, 4, 5, 12, 15, 16, 255, 255]
    reader = TileReader(
        source='', size=(1, 13), num_bands=13, days=np.array([1]), codes=codes, label_map=None
    )
    assert reader.read_mask((0, 0, 1, 13)).tolist() == [classes]
    assert reader.read_mask((0, 2, 1, 3)).tolist() == [classes[2:5]]
    assert list(CLASSES) == [1, 2, 3, 5, 8, 9, 12, 13, 15, 16, 17, 19, 22, 23, 24, 25, 26]


def test_a_subset_of_the_classes(tree):
    dataset = build(tree / '240', metainfo=dict(classes=('Maize', 'Winter wheat')))
    assert dataset.get_data_info(0)['gt_score'].tolist() == [0, 1]
    assert dataset.get_data_info(1)['gt_score'].tolist() == [1, 0]
    mask = load(dataset, 1)['data_samples'].gt_sem_seg.data
    assert mask[0, 0].tolist() == [255] * 6 + [0] * 3 + [255] * 3


def test_bands_by_hand(tmp_path):
    arrays = tile_arrays(np.ones((4, 4), int), days=(9, 10))
    arrays['x20'][1, :, :, 2] = [[0, 8], [100, 108]]  # date 10, B7
    arrays['x60'][:] = np.array([5, 40_000, 7])
    write_tfrecord(tmp_path / '1.tfrecord.gz', arrays)
    series = read_bands(str(tmp_path / '1.tfrecord.gz'), np.array([1]))
    assert series.shape == (1, 13, 4, 4)
    assert series.dtype == np.int16
    # B4 B3 B2 B8 are as they were: (date, row, column, band) counts in steps of 64, 16, 4, 1.
    for band in range(4):
        np.testing.assert_array_equal(series[0, band], 64 + 4 * np.arange(16).reshape(4, 4) + band)
    # Centres of 20 m pixels lie between those of 10 m: a quarter of the way, and flat outside.
    across = np.array([0, 2, 6, 8])
    expected = np.stack([across, across + 25, across + 75, across + 100])
    np.testing.assert_array_equal(series[0, 6], expected)
    # One pixel of 60 m is the same everywhere; what int16 cannot hold is its maximum.
    assert (series[0, 10:] == np.array([5, 32767, 7])[:, None, None]).all()


def test_dates_are_chosen_from_the_real_ones(tree):
    sample = load(build(tree / '240'), 1, num_dates=2, date_choice='even')
    assert sample['inputs'].shape == (2 * 14, 12, 12)
    assert sample['inputs'][13].unique().item() == 5
    assert sample['inputs'][27].unique().item() == 366
    assert sample['inputs'][14, 0, 0].item() == 700 + 2 * 12 * 12 * 4  # the third date of tile 7


def test_years_have_ids_of_their_own(tree):
    dataset = build(tree / '240', split='eval', years=(2016, 2017))
    assert ids(dataset) == ['2016_7', '2017_7']
    assert load(dataset, 1)['inputs'][0, 0, 0].item() == 701


def test_tiles_can_be_cut_into_windows(tree):
    dataset = build(tree / '240', split='eval', window_size=6)
    assert ids(dataset) == [f'2016_7_{number}' for number in range(4)]
    assert np.flatnonzero(dataset.get_data_info(1)['gt_score']).tolist() == [16]
    whole, part = load(build(tree / '240', split='eval'), 0), load(dataset, 3)
    assert (part['inputs'] == whole['inputs'][:, 6:, 6:]).all()
    mask = part['data_samples'].gt_sem_seg.data
    assert (mask == whole['data_samples'].gt_sem_seg.data[:, 6:, 6:]).all()


def test_presence_without_background():
    mask = np.zeros((10, 10), np.uint8)  # class 0 is a crop
    mask[0, :2], mask[1, :1], mask[2:4] = 1, 2, 255
    assert presence(mask, [(0, 0, 10, 10)], 3, background=False).tolist() == [[1, 1, 0]]
    assert presence(mask, [(0, 0, 10, 10)], 2, background=True).tolist() == [[1, 0]]


def test_image_labels_from_a_file_name_any_class(tree, tmp_path):
    table = tmp_path / 'labels.csv'
    table.write_text('sample_id,classes\n2016_7,Sugar beet;Hop\n')
    dataset = build(tree / '240', image_labels_file=str(table))
    assert ids(dataset) == ['2016_7']
    assert np.flatnonzero(dataset.get_data_info(0)['gt_score']).tolist() == [0, 4]


def test_windows_without_a_known_crop_can_be_left_out(tree):
    with pytest.raises(ValueError, match='no window is left of the 1'):
        build(tree / '240', split='test_fold0', filter_cfg=dict(require_crop=True))


# ---- splits -------------------------------------------------------------------------------------


def test_pickles_without_the_download_know_two_splits(tree, tmp_path):
    shutil.copytree(tree / '240pkl', tmp_path / '240pkl')
    folder = 'data_IJGI18/datasets/full/240pkl/data16'
    (tmp_path / '240pkl/eval_paths.csv').write_text(f'{folder}/7.pickle\n{folder}/3.pickle\n')
    assert ids(build(tmp_path / '240pkl', split='eval')) == ['2016_7', '2016_3']
    with pytest.raises(
        FileNotFoundError, match=r"split='test_fold0': no folder tileids in .*240pkl"
    ):
        build(tmp_path / '240pkl', split='test_fold0')


def test_a_link_to_the_pickles_finds_the_lists_beside_them(tree, tmp_path):
    (tmp_path / 'MTLCC').symlink_to(tree / '240pkl')
    assert ids(build(tmp_path / 'MTLCC', split='eval')) == ['2016_7']


def test_unknown_split(tree):
    with pytest.raises(ValueError, match=r"split='train_fold9'.*'eval.tileids', 'test_fold0.tile"):
        build(tree / '240', split='train_fold9')


def test_tiles_and_lists_that_do_not_belong_together(tree, tmp_path):
    shutil.copytree(tree / '240', tmp_path / '240')
    (tmp_path / '240/tileids/eval.tileids').write_text('1000\n')
    with pytest.raises(ValueError, match=r"none of the 1 tiles of eval \(first \['1000'\]\)"):
        build(tmp_path / '240', split='eval')


@pytest.mark.parametrize('root', [None, 'nowhere'])
def test_a_missing_download_says_where_to_get_it(root):
    with pytest.raises(FileNotFoundError, match=r'github\.com/TUM-LMF/MTLCC'):
        MTLCCDataset(data_root=root)


def test_a_missing_year(tree):
    with pytest.raises(FileNotFoundError, match=r'data18: no tiles \*\.tfrecord\.gz or \*\.pickle'):
        build(tree / '240', years=(2018,))


# ---- damaged tiles ------------------------------------------------------------------------------


def damaged(tmp_path, change, **arrays):
    path = tmp_path / '5.tfrecord.gz'
    write_tfrecord(path, tile_arrays(STRIPES) | arrays)
    content = path.read_bytes()
    if change == 'half':
        path.write_bytes(content[: len(content) // 2])
    elif change == 'record':
        path.write_bytes(gzip.compress(gzip.decompress(content)[:-400]))
    elif change == 'other':
        path.write_bytes(b'no gzip at all')
    elif change == 'empty':
        path.write_bytes(gzip.compress(b''))
    elif change == 'feature':  # the same length, so that the record stays whole
        path.write_bytes(gzip.compress(gzip.decompress(content).replace(b'x20/data', b'x21/data')))
    return str(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('half', r'5\.tfrecord\.gz: truncated or damaged, \d+ bytes .*download the tile again'),
        ('record', r'\d+ bytes unpacked, expected one record of \d+'),
        ('other', 'truncated or damaged, 14 bytes .*move it away'),
        ('empty', '0 bytes unpacked'),
        ('feature', r"no feature \['x20/data'\], found .*'x21/data'"),
    ],
)
def test_damaged_tfrecords(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_tile(damaged(tmp_path, change))


def test_shapes_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r'shapes .*expected x10 \(T, h, w, 4\)'):
        load_tile(damaged(tmp_path, None, labels=np.ones((3, 6, 6))))
    with pytest.raises(ValueError, match='no dates'):
        load_tile(damaged(tmp_path, None, day=np.array([0, 0, -1])))
    with pytest.raises(ValueError, match='day of year 400'):
        load_tile(damaged(tmp_path, None, day=np.array([0, 400, 3])))


def test_wrong_pickles(tmp_path):
    path = tmp_path / '5.pickle'
    path.write_bytes(pickle.dumps({'img': 1, 'doy': 2}))
    with pytest.raises(ValueError, match=r"found \['doy', 'img'\].*PASTIS24Dataset"):
        load_tile(str(path))
    write_pickle(path, tile_arrays(STRIPES))
    with open(path, 'rb') as file:
        content = pickle.load(file)
    path.write_bytes(pickle.dumps(content | {'x10': content['x10'].astype(float)}))
    with pytest.raises(ValueError, match='x10 is of type float64; expected integers'):
        load_tile(str(path))
    path.write_bytes(pickle.dumps(OrderedDict(content)))
    with pytest.raises(ValueError, match=r'refers to collections\.OrderedDict'):
        load_tile(str(path))


def test_a_missing_package_is_named(tree, monkeypatch):
    monkeypatch.setitem(sys.modules, 'tfrecord.example_pb2', None)
    with pytest.raises(ImportError, match=r"pip install 'mmexact\[mtlcc\]', or .* \(240pkl\)"):
        build(tree / '240')
    assert len(build(tree / '240pkl')) == 2  # pickles need nothing


# ---- index --------------------------------------------------------------------------------------


def test_the_index_spares_reading(tree, tmp_path, monkeypatch):
    index = tmp_path / 'runs' / 'tiles.pickle'
    before = build(tree / '240', index_file=str(index))
    build(tree / '240pkl', index_file=str(index))  # shares the file
    assert [path.name for path in index.parent.iterdir()] == ['tiles.pickle']
    assert not list((tree / '240').rglob('tiles.pickle'))
    stamp = index.stat().st_mtime_ns

    read = []
    monkeypatch.setattr('mmexact.datasets.mtlcc.index.load_tile', lambda path: read.append(path))
    for folder in FORMATS:
        after = build(tree / folder, index_file=str(index))
        assert ids(after) == ids(before)
        for number in range(2):
            one, other = before.get_data_info(number), after.get_data_info(number)
            assert one['day_of_year'].tolist() == other['day_of_year'].tolist()
            assert one['gt_score'].tolist() == other['gt_score'].tolist()
    assert read == []
    assert index.stat().st_mtime_ns == stamp


def test_the_index_notices_changed_tiles_and_keeps_what_was_read(tree, tmp_path):
    shutil.copytree(tree / '240', tmp_path / '240')
    index = str(tmp_path / 'tiles.pickle')
    build(tmp_path / '240', index_file=index)
    write_tfrecord(tmp_path / '240/data16/7.tfrecord.gz', tile_arrays(np.full((12, 12), 3)))
    changed = build(tmp_path / '240', index_file=index)
    assert np.flatnonzero(changed.get_data_info(1)['gt_score']).tolist() == [2]
    # A tile that is damaged later does not undo the reading of those before it.
    write_tfrecord(tmp_path / '240/data16/11.tfrecord.gz', tile_arrays(np.full((12, 12), 5)))
    (tmp_path / '240/data16/7.tfrecord.gz').write_bytes(b'')
    with pytest.raises(ValueError, match=r'7\.tfrecord\.gz'):
        build(tmp_path / '240', index_file=index)
    kept = look_up(str(tmp_path / '240/data16'), ['11.tfrecord.gz'], index)
    assert kept[0].codes[0, 0] == 5


def test_another_file_is_no_index(tree, tmp_path):
    (tmp_path / 'tiles.pickle').write_text('something else')
    with pytest.raises(ValueError, match=r'tiles\.pickle: not an index of MTLCC tiles .*delete it'):
        build(tree / '240', index_file=str(tmp_path / 'tiles.pickle'))
    assert (tmp_path / 'tiles.pickle').read_text() == 'something else'


@pytest.fixture
def said(monkeypatch):
    """What building a dataset reports."""
    lines = []
    monkeypatch.setattr(
        'mmexact.datasets.mtlcc.mtlcc.print_log', lambda text, _: lines.append(text)
    )
    return lines


def test_listed_tiles_that_are_not_there_are_counted(tree, said):
    build(tree / '240')
    assert said == [f'{tree}/240/data16: 1 of the 3 tiles of train_fold0 are not there']


def test_labels_that_change_over_time(tree, tmp_path, said):
    arrays = tile_arrays(STRIPES)
    arrays['labels'][2, 0, 0] = 9
    (tmp_path / 'data16').mkdir()
    (tmp_path / 'tileids').mkdir()
    (tmp_path / 'tileids/eval.tileids').write_text('5\n')
    write_tfrecord(tmp_path / 'data16/5.tfrecord.gz', arrays)
    _, facts = load_tile(str(tmp_path / 'data16/5.tfrecord.gz'))
    assert not facts.codes_repeat
    assert facts.codes[0, 0] == 0
    assert load_tile(str(tree / '240/data16/7.tfrecord.gz'))[1].codes_repeat
    mask = load(build(tmp_path, split='eval'), 0)['data_samples'].gt_sem_seg.data
    assert mask[0, 0, 0] == 255
    assert said == [f'{tmp_path}/data16: labels of 1 tiles change over time; the first are used']


# ---- the synthetic tree -----------------------------------------------------------------------


@pytest.fixture(scope='module')
def synthetic(tmp_path_factory):
    root = tmp_path_factory.mktemp('synthetic') / 'tree'
    write_mtlcc_tree(root, num_patches=5, num_dates=(3, 5), seed=4)
    return root


def test_synthetic_tree_has_the_layout_of_the_download(synthetic):
    assert len(list((synthetic / '240/data16').glob('*.tfrecord.gz'))) == 125
    listed = [
        (synthetic / f'240/tileids/{split}.tileids').read_text().split()
        for split in ('train_fold0', 'test_fold0', 'eval')
    ]
    assert [len(names) for names in listed] == [75, 25, 25]
    assert len({name for names in listed for name in names}) == 125
    # As the package reads it, with the checksums of its own writer.
    path = str(synthetic / '240/data16/60.tfrecord.gz')
    (example,) = tfrecord_loader(path, None, compression_type='gzip')
    assert example['x20/shape'].tolist()[1:] == [12, 12, 6]
    assert example['x60/shape'].tolist()[1:] == [4, 4, 3]
    dates = example['x10/shape'][0]
    days = np.frombuffer(example['dates/doy'], np.int64)
    assert len(days) == dates == example['dates/shape'][0]
    assert days[-2:].tolist() == [0, 0]
    assert (days[:-2] > 0).all()


@pytest.mark.parametrize('folder', FORMATS)
def test_synthetic_tiles_are_read_in_both_formats(synthetic, folder):
    dataset = build(synthetic / folder, filter_cfg=dict(require_crop=True))
    labels = np.stack([dataset.get_data_info(n)['gt_score'] for n in range(len(dataset))])
    assert 60 < len(dataset) <= 75
    assert (labels.sum(0) > 0).sum() >= 5  # kinds of crops
    sample = load(dataset, 0)
    assert sample['inputs'].shape[1:] == (24, 24)
    mask = sample['data_samples'].gt_sem_seg.data.numpy()
    present = [k for k in range(17) if (mask == k).mean() > 0.01]
    assert np.flatnonzero(labels[0]).tolist() == present
    # Plants are bright in the near infrared (B8) and dark in the red (B4), as in reflectances.
    assert sample['inputs'][3].float().mean() > sample['inputs'][0].float().mean()


def test_the_tool_writes_a_tree_or_says_in_one_line_why_not(tmp_path, monkeypatch, capsys):
    path = Path(__file__).parents[3] / 'tools/dataset_converters/make_synthetic_mtlcc.py'
    spec = importlib.util.spec_from_file_location('make_synthetic_mtlcc', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    options = ['--patches', '1', '--min-dates', '2', '--max-dates', '2']
    monkeypatch.setattr(sys, 'argv', [str(path), '--out', str(tmp_path / 'tree'), *options])
    tool.main()
    assert len(list((tmp_path / 'tree/240pkl/data16').iterdir())) == 25
    assert capsys.readouterr().out.endswith(f'wrote 1 patches to {tmp_path / "tree"}\n')
    tool.main()
    assert capsys.readouterr().out == f'{tmp_path / "tree"}: complete\n'
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--seed', '1'])
    with pytest.raises(SystemExit, match='2'):
        tool.main()
    message = capsys.readouterr().err
    assert 'seed: 0 there, 1 now' in message
    assert message.count('\n') == 1
    monkeypatch.setitem(sys.modules, 'tfrecord', None)
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--overwrite'])
    with pytest.raises(SystemExit, match='2'):
        tool.main()
    assert "pip install 'mmexact[mtlcc]'" in capsys.readouterr().err


def test_an_interrupted_synthetic_tree_goes_on(synthetic, tmp_path):
    def stop_after_one(patches):
        yield patches[0]
        raise KeyboardInterrupt

    arguments = dict(num_patches=2, num_dates=(3, 5), seed=4)
    with pytest.raises(KeyboardInterrupt):
        write_mtlcc_tree(tmp_path / 'tree', **arguments, track=stop_after_one)
    first = tmp_path / 'tree/240pkl/data16/7.pickle'
    written = first.stat().st_mtime_ns
    assert write_mtlcc_tree(tmp_path / 'tree', **arguments)
    assert first.stat().st_mtime_ns == written
    for tile in (7, 50):
        name = f'240pkl/data16/{tile}.pickle'
        assert (tmp_path / 'tree' / name).read_bytes() == (synthetic / name).read_bytes()


def test_synthetic_tree_is_seeded_and_leaves_other_folders_alone(synthetic, tmp_path):
    write_mtlcc_tree(tmp_path / 'again', num_patches=1, num_dates=(3, 5), seed=4)
    for name in ('240/data16/7.tfrecord.gz', '240pkl/data16/7.pickle'):
        assert (tmp_path / 'again' / name).read_bytes() == (synthetic / name).read_bytes()
    with pytest.raises(FileExistsError, match='something else than synthetic MTLCC'):
        write_mtlcc_tree(tmp_path)
    with pytest.raises(ValueError, match='num_patches=0'):
        write_mtlcc_tree(tmp_path / 'none', num_patches=0)
