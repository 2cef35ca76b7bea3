"""What all series datasets share, tested on a small PASTIS tree."""

import pickle

import numpy as np
import pytest
from PIL import Image

from mmexact.datasets import PASTISDataset
from mmexact.datasets.labels import map_labels
from mmexact.datasets.transforms.loading import load_mask
from mmexact.datasets.windows import presence, window_grid
from tests.data import SIZE, write_json, write_pastis


def blocks():
    """A mask of 10 x 13 pixels whose 4 x 4 window n carries label n."""
    mask = np.full(SIZE, 17, dtype=np.uint8)
    mask[:8, :12] = np.kron(np.arange(6).reshape(2, 3), np.ones((4, 4)))
    return mask


@pytest.fixture
def root(tmp_path):
    return write_pastis(tmp_path / 'pastis', {7: blocks(), 1000: np.zeros(SIZE, np.uint8)})


def build(root, **kwargs):
    # Serialising collects garbage, which takes longer than the test; two tests do it.
    settings = dict(data_root=str(root), folds=[1], window_size=4, serialize_data=False)
    return PASTISDataset(**settings | kwargs)


def ids(dataset):
    return [dataset.get_data_info(index)['sample_id'] for index in range(len(dataset))]


def test_windows_are_numbered_row_major_and_the_rest_is_dropped():
    assert window_grid((10, 13), 4, 'p') == [
        (0, 0, 4, 4),
        (0, 4, 4, 4),
        (0, 8, 4, 4),
        (4, 0, 4, 4),
        (4, 4, 4, 4),
        (4, 8, 4, 4),
    ]
    assert window_grid((10, 13), None, 'p') == [(0, 0, 10, 13)]
    # PASTIS24: 5 x 5 windows of a 128 x 128 patch, the last one ends at 120.
    grid = window_grid((128, 128), 24, 'p')
    assert len(grid) == 25
    assert grid[7] == (24, 48, 24, 24)
    assert grid[-1] == (96, 96, 24, 24)


@pytest.mark.parametrize('window_size', [11, 0])
def test_a_window_that_does_not_fit_names_patch_and_sizes(root, window_size):
    with pytest.raises(ValueError, match=rf'7: .* 10 x 13 .* window_size={window_size}.*1 and 10'):
        build(root, window_size=window_size)


def test_a_crop_occurs_above_one_percent_only():
    mask = np.zeros((10, 20), np.uint8)
    mask[0, :1] = 1  # 1 of 100 pixels: not more than 1 %
    mask[0, 5:7] = 2  # 2 of 100
    mask[:, 10:] = 255  # void is background
    mask[9, 19] = 3
    mask[8:, 18:19] = 1
    windows = [(0, 0, 10, 10), (0, 10, 10, 10)]
    np.testing.assert_array_equal(presence(mask, windows, 3), [[0, 1, 0], [1, 0, 0]])
    # 2 of 200 pixels are 1 %; 3 are more.
    np.testing.assert_array_equal(presence(mask, [(0, 0, 10, 20)], 3), [[1, 0, 0]])


def test_presence_counts_each_window_by_itself():
    windows = window_grid(SIZE, 4, 'p')
    expected = np.vstack([np.zeros(5), np.eye(5)])
    np.testing.assert_array_equal(presence(blocks(), windows, 5), expected)


def test_entries_hold_the_contract(root):
    dataset = build(root)
    assert len(dataset) == 12
    info = dataset.get_data_info(5)
    assert info['sample_id'] == '7_5'
    assert info['window'] == (4, 8, 4, 4)
    assert info['img_path'].endswith('S2_7.npy')
    assert info['seg_map_path'].endswith('TARGET_7.npy')
    assert info['day_of_year'].dtype == np.int16
    assert info['gt_score'].dtype == np.float32
    np.testing.assert_array_equal(info['gt_score'], np.eye(18)[4])
    assert info['reduce_zero_label'] is False
    assert info['seg_fields'] == []
    assert info['reader'] is dataset.get_data_info(0)['reader']
    assert info['reader'] is not dataset.get_data_info(6)['reader']
    assert info['georeference'] is None


def test_whole_patches(root):
    dataset = build(root, window_size=None)
    assert ids(dataset) == ['7', '1000']
    info = dataset.get_data_info(0)
    assert info['window'] == (0, 0, *SIZE)
    assert info['size'] == SIZE
    # 16 of 130 pixels of each of 1..5 and 34 of class 17 are more than 1 %.
    assert np.flatnonzero(info['gt_score']).tolist() == [0, 1, 2, 3, 4, 16]
    np.testing.assert_array_equal(info['reader'].read_mask(info['window']), blocks())


def test_a_subset_of_classes_renumbers_labels_and_masks(root):
    classes = ('Background', 'Corn', 'Meadow')  # 3 and 1 in PASTIS
    dataset = build(root, metainfo=dict(classes=classes))
    scores = [dataset.get_data_info(index)['gt_score'].tolist() for index in range(6)]
    assert scores == [[0, 0], [0, 1], [0, 0], [1, 0], [0, 0], [0, 0]]
    masks = [
        np.unique(info['reader'].read_mask(info['window'])).tolist()
        for info in (dataset.get_data_info(index) for index in range(6))
    ]
    assert masks == [[0], [2], [255], [1], [255], [255]]
    palette = PASTISDataset.METAINFO['palette']
    assert dataset.metainfo['palette'] == [palette[0], palette[3], palette[1]]


def test_classes_start_with_the_background(root):
    with pytest.raises(ValueError, match="start with 'Corn'; expected 'Background'"):
        build(root, metainfo=dict(classes=('Corn', 'Background')))
    with pytest.raises(ValueError, match=r'Maize'):
        build(root, metainfo=dict(classes=('Background', 'Maize')))


def test_map_labels_swaps_without_chaining():
    mask = np.array([[0, 1, 2, 255]], np.uint8)
    assert map_labels(mask, {1: 2, 2: 1}).tolist() == [[0, 2, 1, 255]]
    assert mask.tolist() == [[0, 1, 2, 255]]


def test_filter_drops_windows_without_a_crop(root):
    dataset = build(root, filter_cfg=dict(require_crop=True))
    assert ids(dataset) == ['7_1', '7_2', '7_3', '7_4', '7_5']
    with pytest.raises(ValueError, match=r'filter_cfg=.*require_corn.*require_crop'):
        build(root, filter_cfg=dict(require_corn=True))


def test_nothing_left_is_an_error(root, tmp_path):
    (tmp_path / 'ids.txt').write_text('1000_0\n')
    with pytest.raises(ValueError, match=r'no window is left of the 1 .*require_crop'):
        build(root, filter_cfg=dict(require_crop=True), ann_file=str(tmp_path / 'ids.txt'))


def test_ann_file_chooses_windows_in_its_order(root):
    (root / 'val.txt').write_text('1000_2\n7_4\n\n')
    assert ids(build(root, ann_file='val.txt')) == ['1000_2', '7_4']
    (root / 'val.txt').write_text('1000_2\n7_6\n8_0\n')
    with pytest.raises(ValueError, match=r"val.txt: 2 of 3 .* first '7_6'.*such as '7_0'"):
        build(root, ann_file='val.txt')
    with pytest.raises(FileNotFoundError, match=r'train.txt: no such ann_file'):
        build(root, ann_file='train.txt')


def test_indices_and_lazy_init_are_mmengines(root):
    assert ids(build(root, indices=3)) == ['7_0', '7_1', '7_2']
    assert ids(build(root, indices=[-1, 0])) == ['1000_5', '7_0']
    dataset = build(root, lazy_init=True)
    assert dataset.data_list == []
    dataset.full_init()
    assert ids(dataset.get_subset(2)) == ['7_0', '7_1']


def test_dataset_travels_to_a_worker(root):
    dataset = pickle.loads(pickle.dumps(build(root, serialize_data=True)))
    info = dataset.get_data_info(4)
    assert (info['reader'].read_mask(info['window']) == 4).all()


def test_image_labels_from_a_table(root, tmp_path):
    table = tmp_path / 'labels.csv'
    table.write_text(
        'sample_id,classes\n7_3,Corn; Meadow\n7_0,\n"1000_1","Fruits, vegetables, flowers"\n'
    )
    (root / 'ANNOTATIONS' / 'TARGET_7.npy').unlink()  # not read
    dataset = build(root, image_labels_file=str(table))
    assert ids(dataset) == ['7_0', '7_3', '1000_1']
    scores = [np.flatnonzero(dataset.get_data_info(i)['gt_score']).tolist() for i in range(3)]
    assert scores == [[], [0, 2], [11]]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('sample_id,labels\n7_0,Corn\n', r"no column 'classes' among .*'labels'"),
        ('sample_id,classes\n7_0,Maize\n', r"line 2: no such crop \['Maize'\]"),
        ('sample_id,classes\n7_0,Background\n', 'no such crop'),
        ('sample_id,classes\n7_9,Corn\n', "1 of 1 sample ids are not in the data, first '7_9'"),
    ],
)
def test_a_wrong_table_is_named(root, text, message):
    (root / 'labels.csv').write_text(text)
    with pytest.raises(ValueError, match=rf'labels.csv.*{message}'):
        build(root, image_labels_file='labels.csv')


def test_a_missing_table_is_named(root):
    with pytest.raises(FileNotFoundError, match=r'labels.csv: no such image_labels_file'):
        build(root, image_labels_file='labels.csv')


def write_pseudo_masks(directory, dataset, labels=2):
    directory.mkdir(exist_ok=True)
    for sample_id in ids(dataset):
        mask = np.full((4, 4), labels, np.uint8)
        mask[0, 3] = 255
        Image.fromarray(mask).save(directory / f'{sample_id}.png')
    manifest = dict(kind='pseudo masks', complete=True, classes=list(dataset.metainfo['classes']))
    write_json(directory / 'manifest.json', manifest)


def test_pseudo_masks_replace_the_masks_as_they_are(root, tmp_path):
    directory = tmp_path / 'pseudo'
    classes = ('Background', 'Corn', 'Meadow')
    metainfo = dict(classes=classes)
    write_pseudo_masks(directory, build(root, metainfo=metainfo))
    dataset = build(root, pseudo_label_dir=str(directory), metainfo=metainfo)
    info = dataset.get_data_info(3)
    assert info['seg_map_path'] == str(directory / '7_3.png')
    # They are in the classes of the model already: label 2 must not go through the label map.
    mask = load_mask(info)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[2, 2, 2, 255]] + [[2] * 4] * 3
    # Image-level labels stay those of the data.
    assert info['gt_score'].tolist() == [1, 0]


def test_missing_pseudo_masks_are_counted_and_the_first_is_named(root, tmp_path):
    directory = tmp_path / 'pseudo'
    write_pseudo_masks(directory, build(root))
    (directory / '7_4.png').unlink()
    (directory / '1000_0.png').unlink()
    message = r'pseudo: pseudo masks of 2 of 12 windows are missing, first 7_4.png; .*gen_pseudo'
    with pytest.raises(FileNotFoundError, match=message):
        build(root, pseudo_label_dir=str(directory))
    # Only the windows that are used have to be there.
    dataset = build(root, pseudo_label_dir=str(directory), indices=4, serialize_data=True)
    assert ids(dataset) == ['7_0', '7_1', '7_2', '7_3']
    with pytest.raises(FileNotFoundError, match=r'12 of 12'):
        build(root, pseudo_label_dir=str(tmp_path / 'nowhere'))


def test_pseudo_masks_of_another_kind_are_refused(root, tmp_path):
    directory = tmp_path / 'pseudo'
    write_pseudo_masks(directory, build(root, metainfo=dict(classes=('Background', 'Corn'))))
    with pytest.raises(ValueError, match=r'pseudo holds masks of other classes'):
        build(root, pseudo_label_dir=str(directory))
    write_pseudo_masks(directory, build(root), labels=19)
    info = build(root, pseudo_label_dir=str(directory)).get_data_info(0)
    with pytest.raises(ValueError, match=r'7_0.png: label 19 .*15 pixels; expected 0\.\.18'):
        load_mask(info)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(directory / '7_0.png')
    with pytest.raises(ValueError, match=r'7_0.png: expected a mask of \(4, 4\).*got \(4, 5\)'):
        load_mask(info)
