"""Gaps of a series: filled by interpolation in time, or marked as padding."""

import numpy as np
import pytest

from mmexact.datasets import LoadSITS, LoadSITSAnnotations, PackSITSInputs
from mmexact.datasets.gaps import fill_gaps, hide_gaps
from tests.data import write_raster
from tests.test_datasets.test_rasters.areas import build


def test_gaps_are_filled_linearly_in_time():
    days = np.array([0.0, 1.0, 4.0, 10.0])
    values = np.array([[0, 7, 40, 0], [10, -9, -9, -9], [-9, -9, 100, -9]], np.int16).T
    valid = values != -9
    valid[[0, 3], 0] = False
    filled = fill_gaps(values[:, :, None, None], valid[:, :, None, None], days)
    assert filled.dtype == np.int16
    assert type(filled) is np.ndarray
    # Between days 1 (7) and 4 (40); the ends repeat the nearest observation.
    assert filled[:, 0, 0, 0].tolist() == [7, 7, 40, 40]
    assert filled[:, 1, 0, 0].tolist() == [10, 10, 10, 10]
    assert filled[:, 2, 0, 0].tolist() == [100, 100, 100, 100]
    assert values[0, 0] == 0

    values = np.array([0, -9, -9, 5], np.int16).reshape(4, 1, 1, 1)
    filled = fill_gaps(values, values != -9, days)
    # 0.5 and 2 of 5 at day 1 and day 4 of 10; halves go to the even number.
    assert filled.ravel().tolist() == [0, 0, 2, 5]
    filled = fill_gaps(values.astype(np.float32), values != -9, days)
    np.testing.assert_allclose(filled.ravel(), [0, 0.5, 2, 5])
    assert filled.dtype == np.float32


@pytest.mark.parametrize('alike', [True, False])
def test_gaps_are_filled_the_same_in_blocks(monkeypatch, alike):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 60000, (6, 3, 5, 7)).astype(np.uint16)
    valid = np.broadcast_to(rng.random((6, 1 if alike else 3, 5, 7)) > 0.6, values.shape)
    days = np.array([0, 2, 3, 7, 20, 21.5])
    filled = fill_gaps(values, valid, days)
    # Pixel by pixel with numpy's own interpolation.
    for band, row, column in np.ndindex(3, 5, 7):
        place = (slice(None), band, row, column)
        seen = valid[place]
        if seen.any():
            expected = np.rint(np.interp(days, days[seen], values[place][seen]))
            assert np.abs(filled.data[place].astype(int) - expected).max() <= 1
            assert (filled.data[place][seen] == values[place][seen]).all()
            assert not filled.mask[place].any()
        else:
            assert filled.mask[place].all()
            assert not filled.data[place].any()
    monkeypatch.setattr('mmexact.datasets.gaps.BLOCK', 50)
    blocked = fill_gaps(values, valid, days)
    np.testing.assert_array_equal(blocked.data, filled.data)
    np.testing.assert_array_equal(blocked.mask, filled.mask)


def test_gaps_become_padding_for_all_bands_of_a_date():
    values = np.arange(8, dtype=np.int16).reshape(2, 2, 1, 2) + 1
    valid = values != 3
    hidden = hide_gaps(values, valid)
    # Band 2 of the first date misses the left pixel.
    assert hidden.mask[:, :, 0].tolist() == [[[True, False]] * 2, [[False, False]] * 2]
    assert hidden.data.ravel().tolist() == [0, 2, 0, 4, 5, 6, 7, 8]
    assert values[0, 0, 0, 0] == 1


def test_gaps_between_two_acquisitions_at_the_same_time():
    values = np.array([3, -9, 5], np.int16).reshape(3, 1, 1, 1)
    assert fill_gaps(values, values != -9, np.zeros(3)).ravel().tolist() == [3, 3, 5]


def test_what_was_never_observed_is_zero_and_masked():
    values = np.full((3, 2, 1, 2), -9, np.int16)
    values[1, :, 0, 0] = 5
    values[2, 0, 0, 1] = 6
    filled = fill_gaps(values, values != -9, np.arange(3.0))
    assert filled.data[:, 1, 0].tolist() == [[5, 0]] * 3
    assert filled.data[:, 0, 0].tolist() == [[5, 6]] * 3
    assert filled.mask.tolist() == [[[[False, False]], [[False, True]]]] * 3


@pytest.mark.parametrize(
    ('dtype', 'missing', 'declared', 'search'),
    [
        ('int16', -32768, -32768, {}),
        ('uint16', 0, 0, {}),
        ('uint16', 0, None, {'nodata': 0}),
        ('float32', np.nan, None, {}),
        ('float32', np.nan, np.nan, {}),
    ],
)
def test_no_data_is_filled_on_reading(tmp_path, dtype, missing, declared, search):
    for month, value in ((1, 100), (2, missing), (3, 300)):
        values = np.full((1, 4, 4), value, dtype)
        values[0, 3, 3] = missing
        write_raster(tmp_path / 'series' / f'2017{month:02}01.tif', values, nodata=declared)
    write_raster(tmp_path / 'mask.tif', np.ones((1, 4, 4), np.uint8))
    pipeline = [LoadSITS(), LoadSITSAnnotations(), PackSITSInputs()]
    dataset = build(tmp_path, 'series/*.tif', search, 'mask.tif', pipeline=pipeline)
    sample = dataset[0]
    # 31 of 59 days from January to March.
    middle = 100 + 200 * 31 / 59
    if dtype != 'float32':
        middle = round(middle)
    assert sample['inputs'][::2, 0, 0].tolist() == pytest.approx([100, middle, 300])
    assert sample['inputs'][::2, 3, 3].tolist() == [0, 0, 0]
    assert sample['inputs'][1::2, 3, 3].tolist() == [1, 32, 60]
    mask = sample['data_samples'].gt_sem_seg.data[0]
    assert mask[3].tolist() == [1, 1, 1, 255]
    assert (mask[:3] == 1).all()
