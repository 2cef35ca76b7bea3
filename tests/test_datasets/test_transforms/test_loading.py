import numpy as np
import pytest
import torch
from mmcv.transforms import RandomFlip
from mmengine.dataset import pseudo_collate
from mmseg.datasets.transforms import PackSegInputs, RandomCrop
from torch.utils.data import DataLoader

from mmexact.datasets import LoadSITS, LoadSITSAnnotations, PackSITSInputs, PASTISDataset
from mmexact.datasets.reader import PatchReader
from mmexact.sits import unfold_time
from tests.data import DAYS, SIZE, position_code, write_pastis


@pytest.fixture
def root(tmp_path):
    mask = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 19
    return write_pastis(tmp_path, {7: mask.astype(np.uint8)})


def build(root, *pipeline, **kwargs):
    settings = dict(data_root=str(root), folds=[1], window_size=4, serialize_data=False)
    return PASTISDataset(pipeline=list(pipeline), **settings | kwargs)


class ArrayReader(PatchReader):
    """Reads a whole series from memory."""

    mask_source = 'mask'

    def __init__(self, series, mask=None):
        self.series, self.mask = series, mask

    def read(self, dates, window):
        return self.series[dates]

    def read_mask(self, window):
        return self.mask


def entry(series, days=DAYS, **more):
    """An entry of a data list whose reader returns ``series``."""
    days = np.array(days, dtype=np.int16)
    return dict(
        day_of_year=days, window=(0, 0, *series.shape[2:]), reader=ArrayReader(series), **more
    )


def test_load_sits_makes_an_image_of_dates_and_bands(root):
    results = build(root, LoadSITS())[5]
    assert results['img'].shape == (4, 4, 20)
    assert results['img_shape'] == results['ori_shape'] == (4, 4)
    # Channel-first memory, so that packing costs no copy.
    assert results['img'].transpose(2, 0, 1).flags.c_contiguous
    series, days = unfold_time(results['img'].transpose(2, 0, 1), 3)
    np.testing.assert_array_equal(series, position_code(5, 3, *SIZE)[:, :, 4:8, 8:12] + 7)
    assert days.tolist() == list(DAYS)
    # Row 1, column 2, date 3, band 1 of the window at (4, 8).
    assert results['img'][1, 2, 3 * 4 + 1] == ((3 * 3 + 1) * 10 + 5) * 13 + 10 + 7


@pytest.mark.parametrize(
    ('num_dates', 'choice', 'expected'),
    [
        (None, 'first', [0, 1, 2, 3, 4]),
        (9, 'random', [0, 1, 2, 3, 4]),
        (3, 'first', [0, 1, 2]),
        (3, 'even', [0, 2, 4]),
        (2, 'even', [0, 4]),
        (1, 'even', [0]),
    ],
)
def test_dates_are_chosen(num_dates, choice, expected):
    assert LoadSITS(num_dates, choice).choose(5).tolist() == expected


def test_random_dates_are_ordered_and_follow_numpys_seed():
    load = LoadSITS(4, 'random')
    np.random.seed(3)
    draws = [tuple(load.choose(9)) for _ in range(200)]
    assert all(len(set(draw)) == 4 and list(draw) == sorted(draw) for draw in draws)
    assert set(np.concatenate(draws)) == set(range(9))
    np.random.seed(3)
    assert draws == [tuple(load.choose(9)) for _ in range(200)]


def test_the_days_go_with_the_dates(root):
    results = build(root, LoadSITS(2, 'even'))[0]
    assert results['day_of_year'].tolist() == [260, 301]
    series, days = unfold_time(results['img'].transpose(2, 0, 1), 3)
    assert days.tolist() == [260, 301]
    np.testing.assert_array_equal(series, position_code(5, 3, *SIZE)[[0, 4], :, :4, :4] + 7)


@pytest.mark.parametrize(
    ('stored', 'loaded'),
    [
        ('uint8', 'int16'),
        ('int8', 'int16'),
        ('int16', 'int16'),
        ('uint16', 'int32'),
        ('float16', 'float32'),
        ('float32', 'float32'),
        ('float64', 'float32'),
    ],
)
def test_types_hold_a_day_of_year_and_torch_knows_them(stored, loaded):
    series = np.full((5, 3, 2, 2), 100).astype(stored)
    results = PackSITSInputs()(LoadSITS()(entry(series)))
    assert results['inputs'].dtype == getattr(torch, loaded)
    assert results['inputs'][:4, 0, 0].tolist() == [100, 100, 100, 260]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_dates=0), 'num_dates=0; expected a positive'),
        (
            dict(date_choice='last'),
            "date_choice='last'; expected 'first', 'random', 'even' or 'clear'",
        ),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        LoadSITS(**settings)


def test_annotations_are_loaded(root):
    results = build(root, LoadSITS(), LoadSITSAnnotations())[5]
    expected = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)[4:8, 8:12] % 19
    np.testing.assert_array_equal(results['gt_seg_map'], expected)
    assert results['gt_seg_map'].dtype == np.uint8
    assert results['seg_fields'] == ['gt_seg_map']


def test_pixels_without_any_observation_are_ignored():
    series = np.ma.masked_array(np.ones((5, 3, 2, 2), np.int16), False)
    series[:, 1, 0, 1] = np.ma.masked
    mask = np.array([[1, 2], [3, 4]], np.uint8)
    info = entry(series, seg_map_path='mask', pseudo_mask=False, seg_fields=[])
    info['reader'].mask = mask
    results = LoadSITSAnnotations()(LoadSITS()(info))
    assert type(results['img']) is np.ndarray
    assert results['gt_seg_map'].tolist() == [[1, 255], [3, 4]]
    assert results['gt_seg_map'].dtype == np.uint8
    assert mask.tolist() == [[1, 2], [3, 4]]


def test_a_window_without_a_mask_is_named():
    with pytest.raises(ValueError, match=r'area_3: there is no mask to load'):
        LoadSITSAnnotations()(dict(sample_id='area_3', seg_map_path=None))


def test_packing_copies_nothing_unless_flipped(root):
    loaded = build(root, LoadSITS())[5]
    packed = PackSITSInputs()(loaded)
    assert packed['inputs'].shape == (20, 4, 4)
    assert np.shares_memory(packed['inputs'].numpy(), loaded['img'])
    flipped = RandomFlip(prob=1.0)(loaded)
    packed = PackSITSInputs()(flipped)
    np.testing.assert_array_equal(
        packed['inputs'].numpy(), loaded['img'].transpose(2, 0, 1), strict=True
    )
    assert packed['inputs'].is_contiguous()


def test_packed_samples_keep_labels_and_meta_information(root):
    sample = build(root, LoadSITS(3), LoadSITSAnnotations(), PackSITSInputs())[5]['data_samples']
    # 16 pixels per window, all above 1 %: classes of 60..63, 73..76, 86..89, 99..102 modulo 19.
    codes = {value % 19 for row in range(4) for value in range(60 + 13 * row, 64 + 13 * row)}
    assert sample.gt_score.dtype == torch.float32
    assert (np.flatnonzero(sample.gt_score) + 1).tolist() == sorted(codes - {0})
    assert sample.gt_sem_seg.data.shape == (1, 4, 4)
    assert sample.gt_sem_seg.data.dtype == torch.int64
    assert sample.sample_id == '7_5'
    assert sample.window == (4, 8, 4, 4)
    assert sample.day_of_year.tolist() == [260, 365, 1]
    assert sample.img_path.endswith('S2_7.npy')
    assert sample.ori_shape == (4, 4)


def test_samples_without_image_labels_are_packed():
    sample = PackSITSInputs()(LoadSITS()(entry(np.zeros((5, 3, 2, 2), np.int16))))
    assert 'gt_score' not in sample['data_samples']


@pytest.mark.parametrize(
    ('direction', 'rows', 'columns'),
    [('horizontal', 1, -1), ('vertical', -1, 1), ('diagonal', -1, -1)],
)
def test_stock_flips_turn_series_and_mask_alike(root, direction, rows, columns):
    plain = build(root, LoadSITS(), LoadSITSAnnotations(), PackSITSInputs())[4]
    flip = RandomFlip(prob=1.0, direction=direction)
    flipped = build(root, LoadSITS(), LoadSITSAnnotations(), flip, PackSITSInputs())[4]
    np.testing.assert_array_equal(
        flipped['inputs'].numpy(), plain['inputs'].numpy()[:, ::rows, ::columns]
    )
    np.testing.assert_array_equal(
        flipped['data_samples'].gt_sem_seg.data.numpy(),
        plain['data_samples'].gt_sem_seg.data.numpy()[:, ::rows, ::columns],
    )
    assert flipped['data_samples'].flip_direction == direction
    assert unfold_time(flipped['inputs'], 3)[1].tolist() == list(DAYS)


def test_stock_crops_cut_series_and_mask_alike(root):
    crop = RandomCrop(crop_size=(3, 6))
    dataset = build(root, LoadSITS(), LoadSITSAnnotations(), crop, window_size=None)
    np.random.seed(0)
    results = dataset[0]
    assert results['img'].shape == (3, 6, 20)
    assert results['img_shape'] == (3, 6)
    place = int(results['img'][0, 0, 0]) - 7
    row, column = divmod(place, SIZE[1])
    expected = position_code(5, 3, *SIZE)[:, :, row : row + 3, column : column + 6] + 7
    packed = PackSITSInputs()(results)
    np.testing.assert_array_equal(unfold_time(packed['inputs'], 3)[0].numpy(), expected)
    labels = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)[row : row + 3, column : column + 6] % 19
    np.testing.assert_array_equal(packed['data_samples'].gt_sem_seg.data[0].numpy(), labels)


def test_mmsegs_own_packing_works_as_well(root):
    packed = build(root, LoadSITS(), LoadSITSAnnotations(), PackSegInputs())[0]
    assert packed['inputs'].shape == (20, 4, 4)
    assert packed['data_samples'].gt_sem_seg.data.shape == (1, 4, 4)


def test_workers_read_the_same_as_the_main_process(root):
    dataset = build(root, LoadSITS(), LoadSITSAnnotations(), PackSITSInputs())
    loader = DataLoader(dataset, batch_size=4, num_workers=2, collate_fn=pseudo_collate)
    inputs = [image for batch in loader for image in batch['inputs']]
    assert len(inputs) == 6
    for index, image in enumerate(inputs):
        assert torch.equal(image, dataset[index]['inputs'])
