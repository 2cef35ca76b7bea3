"""What hides the ground: cloud masks, what becomes of hidden dates, and the choice of dates."""

from datetime import datetime

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmexact.datasets import LoadSITS, LoadSITSAnnotations, PackSITSInputs
from mmexact.datasets.rasters.settings import Offset
from mmexact.models.data_preprocessor import SITSDataPreprocessor
from mmexact.sits import unfold_time
from tests.data import CORNER, write_pastis, write_raster
from tests.test_datasets.test_rasters import areas
from tests.test_datasets.test_rasters.areas import COARSE, read

TIMES = ('20170101', '20170111', '20170121', '20170131')


@pytest.fixture
def root(tmp_path):
    """Four dates of two bands of 8 x 8 pixels (100, 200, 300, 400), and their 20 m classes."""
    for number, time in enumerate(TIMES):
        values = np.full((2, 8, 8), 100 * (number + 1), np.uint16)
        values[1] += 1
        write_raster(tmp_path / 'bands' / f'{time}.tif', values, nodata=0)
        classes = np.full((1, 4, 4), 4, np.uint8)
        # The left window is hidden more and more; shadow counts, water and snow do not.
        classes[0, :, :2].flat[:number] = 9
        classes[0, 0, 2:] = (6, 11)
        classes[0, 3, 3] = 3
        if number == 1:
            classes[0, 2:, :2] = 8
        write_raster(tmp_path / 'scl' / f'{time}.tif', classes, COARSE)
    labels = np.ones((1, 8, 8), np.uint8)
    write_raster(tmp_path / 'labels.tif', labels)
    return tmp_path


SCL = dict(rasters='scl/*.tif')


def build(root, *pipeline, clouds=SCL, search=None, **kwargs):
    settings = dict(search or {}, clouds=clouds)
    return areas.build(root, 'bands/*.tif', settings, pipeline=list(pipeline), **kwargs)


def test_a_hidden_date_is_padding_for_that_pixel(root):
    dataset = build(root, LoadSITS(), PackSITSInputs(), gaps='pad')
    window = read(dataset, 2)
    # Lower left: all hidden on the second date, by cloud of medium probability.
    assert window.mask.all((1, 2, 3)).tolist() == [False, True, False, False]
    assert window.data[:, 1].max((1, 2)).tolist() == [101, 0, 301, 401]
    sample = dataset[1]
    series, days = unfold_time(sample['inputs'], 2)
    assert days.tolist() == [1, 11, 21, 31]
    # Upper right: nothing is hidden, by water and snow neither.
    assert (series[:, 0] == torch.tensor([100, 200, 300, 400])[:, None, None]).all()
    sample = dataset[3]
    # Lower right: the shadow lies on the last 20 m pixel of each date, which keeps its dates.
    assert (sample['inputs'].unflatten(0, (4, 3))[:, :2, 2:, 2:] == 0).all()
    assert sample['inputs'][2::3, 3, 3].tolist() == [1, 11, 21, 31]
    sample = dataset[0]
    assert sample['inputs'][2::3, 0, 0].tolist() == [1, 0, 0, 0]
    batch = SITSDataPreprocessor([50, 50], [10, 10])(pseudo_collate([sample]))['inputs'][0]
    assert batch[:3, 0, 0].tolist() == [5, pytest.approx(5.1), 1]
    assert (batch[3:, 0, 0] == 0).all()
    assert batch[3:6, 3, 3].tolist() == [15, pytest.approx(15.1), 11]


def test_or_it_is_interpolated_in_time(root):
    dataset = build(root, LoadSITS(), PackSITSInputs())
    assert not isinstance(read(dataset, 2), np.ma.MaskedArray)
    # Between 100 on day 1 and 300 on day 21.
    assert (read(dataset, 2)[1, 0] == 200).all()
    assert read(dataset, 2)[1, 1, 0, 0] == 201
    # The first pixel of the area is hidden from the second date on.
    assert read(dataset)[:, 0, 0, 0].tolist() == [100] * 4
    unobserved = dataset.pipeline.transforms[0](dataset.get_data_info(3))['unobserved']
    assert np.argwhere(unobserved).tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]


def test_which_codes_hide_the_ground_is_a_setting(root):
    clouds = dict(SCL, codes=(6,))
    window = read(build(root, clouds=clouds, gaps='pad'), 1)
    assert np.argwhere(window.mask[0, 0]).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_a_probability_with_a_threshold(root):
    for number, time in enumerate(TIMES):
        chance = np.full((1, 8, 8), 10 * number, np.uint8)
        chance[0, 0, 0] = 255
        write_raster(root / 'cld' / f'{time}.tif', chance, nodata=255)
    clouds = dict(rasters='cld/*.tif', above=20)
    window = read(build(root, clouds=clouds, gaps='pad'))
    # 20 is not above 20; where the mask has no data, nothing is known to be clear.
    assert window.mask[:, 0, 1, 1].tolist() == [False, False, False, True]
    assert window.mask[:, 0, 0, 0].all()


def test_the_mask_may_be_a_band_of_the_files(tmp_path):
    values = np.full((3, 4, 4), 7, np.int16)
    values[2, 0, 0] = 50
    write_raster(tmp_path / 'bands' / '20170101.tif', values)
    # No input: all bands but the mask are.
    window = read(build(tmp_path, clouds=dict(band=3, above=40), gaps='pad'))
    assert window.shape == (1, 2, 4, 4)
    assert np.argwhere(window.mask[0, 0]).tolist() == [[0, 0]]
    chosen = build(tmp_path, clouds=dict(band=3, above=40), search=dict(bands=[3, 1]))
    assert read(chosen).shape == (1, 2, 4, 4)


def test_the_mask_may_be_a_file_for_each_date(tmp_path):
    write_raster(tmp_path / 'bands' / '20170101_B02.tif', np.full((1, 4, 4), 7, np.int16))
    path = tmp_path / 'bands' / '20170101_SCL.tif'
    write_raster(path, np.array([[[4, 9], [4, 4]]], np.uint8), COARSE)
    search = dict(band_pattern=r'_(?P<band>\w+)\.', bands=('B02',))
    dataset = build(tmp_path, clouds=dict(band='SCL'), search=search, gaps='pad')
    assert read(dataset).mask[0, 0].sum(1).tolist() == [2, 2, 0, 0]
    path.unlink()
    with pytest.raises(ValueError, match=r"of 2017-01-01 .* no band 'SCL', only \['B02'\]"):
        build(tmp_path, clouds=dict(band='SCL'), search=search)


@pytest.mark.parametrize(
    ('clouds', 'message'),
    [
        (dict(codes=(8,)), 'clouds: neither band nor rasters is set'),
        (dict(SCL, codes=(8,), above=40), r'codes=\(8,\) and above=40; .*not both'),
        (dict(SCL, band='QA'), r"scl/20170101.tif: of 2017-01-01 .* no band 'QA', only \[1\]"),
    ],
)
def test_wrong_settings_of_clouds_are_named(root, clouds, message):
    with pytest.raises(ValueError, match=message):
        build(root, clouds=clouds)


def test_a_missing_cloud_mask_is_named_with_its_date(root):
    (root / 'scl' / '20170121.tif').unlink()
    with pytest.raises(ValueError, match=r'no cloud mask of 2017-01-21 00:00:00, only of 2017-01'):
        build(root)


def test_the_clearest_dates_of_a_window_are_chosen(root):
    # Upper left 4 x 4: none, 1, 2 and 3 of its four 20 m pixels are hidden.
    dataset = build(root, LoadSITS(2, 'clear'))
    info = dataset.get_data_info(0)
    assert info['reader'].clear_shares(info['window']).tolist() == [1, 0.75, 0.5, 0.25]
    assert dataset[0]['day_of_year'].tolist() == [1, 11]
    # Lower left: the second date is hidden.
    assert build(root, LoadSITS(3, 'clear'))[2]['day_of_year'].tolist() == [1, 21, 31]
    # Equally clear ones are taken evenly.
    assert dataset[1]['day_of_year'].tolist() == [1, 31]
    assert build(root, LoadSITS(9, 'clear'))[1]['day_of_year'].tolist() == [1, 11, 21, 31]


def test_without_a_mask_missing_values_count(root):
    values = np.full((2, 8, 8), 5, np.uint16)
    values[:, 0, :3] = 0
    write_raster(root / 'bands' / f'{TIMES[2]}.tif', values, nodata=0)
    info = build(root, clouds=None).get_data_info(0)
    assert info['reader'].clear_shares(info['window']).tolist() == [1, 1, 13 / 16, 1]


def test_a_dataset_that_knows_nothing_about_clouds_is_named(tmp_path):
    from mmexact.datasets import PASTISDataset

    root = write_pastis(tmp_path, {7: np.zeros((8, 8), np.uint8)})
    pipeline = [LoadSITS(2, 'clear')]
    dataset = PASTISDataset(data_root=str(root), folds=[1], window_size=4, pipeline=pipeline)
    with pytest.raises(ValueError, match=r"does not know about clouds, .*'clear' of LoadSITS"):
        dataset[0]


def hide_all_but_upper_left(root):
    for time in TIMES:
        classes = np.full((1, 4, 4), 9, np.uint8)
        classes[0, 0, 0] = 4
        write_raster(root / 'scl' / f'{time}.tif', classes, COARSE)


@pytest.mark.parametrize('gaps', ['pad', 'interpolate'])
def test_training_leaves_windows_out_that_were_never_observed(root, gaps):
    hide_all_but_upper_left(root)
    pipeline = [LoadSITS(), PackSITSInputs()]
    dataset = build(root, *pipeline, gaps=gaps)
    assert {dataset[index]['data_samples'].sample_id for index in range(4)} == {'area_0'}
    series = dict(area=dict(rasters='bands/*.tif', mask='labels.tif'))
    pipeline = [LoadSITS(), LoadSITSAnnotations(), PackSITSInputs()]
    dataset = build(root, *pipeline, gaps=gaps, test_mode=True, series=series)
    sample = dataset[3]
    assert sample['data_samples'].sample_id == 'area_3'
    assert (sample['inputs'].unflatten(0, (4, 3))[:, :2] == 0).all()
    # It keeps its dates, so that no model is left without any.
    assert sample['inputs'][2::3, 0, 0].tolist() == [1, 11, 21, 31]
    assert (sample['data_samples'].gt_sem_seg.data == 255).all()
    assert dataset[0]['data_samples'].gt_sem_seg.data[0, 0].tolist() == [1, 1, 255, 255]


def test_a_series_in_which_nothing_was_ever_observed_is_named(root):
    dataset = build(root, LoadSITS(), clouds=dict(SCL, above=0))
    with pytest.raises(ValueError, match=r'100 windows in a row .*20170101.tif; check .*above'):
        dataset[0]


def test_an_offset_of_newer_products_does_not_wrap(tmp_path):
    for time in ('20220124', '20220125', '20230101'):
        values = np.array([[[0, 1, 999, 1000], [1001, 5000, 65535, 0]]], np.uint16)
        write_raster(tmp_path / 'bands' / f'{time}.tif', values.repeat(2, 1), CORNER, nodata=0)
    search = dict(offset=dict(value=-1000))
    window = read(build(tmp_path, clouds=None, search=search, gaps='pad'))
    assert window.dtype == np.uint16
    assert window.data[0, 0, 0].tolist() == [0, 1, 999, 1000]
    assert window.data[1, 0, 0].tolist() == [0, 0, 0, 0]
    assert window.data[2, 0, 2].tolist() == [1, 4000, 64535, 0]
    # What was no data stays so, and what became 0 has been observed.
    assert window.mask[2, 0, 0].tolist() == [True, False, False, False]
    assert window.mask[2, 0, 2].tolist() == [False, False, False, True]


def test_the_type_bounds_the_offset():
    times = [datetime(2020, 1, 1), datetime(2022, 1, 25)]
    values = np.array([[-32000, 5], [-32000, 5]], np.int16)
    assert Offset(-1000).apply(values, times).tolist() == [[-32000, 5], [-32768, -995]]
    assert Offset(-1000, since=None).apply(values, times)[0].tolist() == [-32768, -995]
    floats = Offset(-1000).apply(values.astype(np.float32), times)
    assert floats.dtype == np.float32
    assert floats.tolist() == [[-32000, 5], [-33000, -995]]
    assert values[1, 1] == 5
    with pytest.raises(ValueError, match=r"offset: since: .*; expected 'YYYY-MM-DD' or None"):
        Offset(-1000, since='January')
