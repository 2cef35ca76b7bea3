"""What holds for any input, tried on drawn ones."""

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmexact.datasets.gaps import fill_gaps
from mmexact.datasets.labels import map_labels
from mmexact.datasets.rasters.dates import choose_season, parse_date
from mmexact.datasets.windows import presence, window_grid
from mmexact.masks import check_name, read_mask, write_mask
from mmexact.pseudo_labels import (
    cams_to_mask,
    confidence,
    confusion_by_score,
    confusion_scores,
    scale_cams,
    score_histogram,
)
from mmexact.sits import IGNORED, YEAR, fold_time, observed, season_days, unfold_time

settings.register_profile(
    'mmexact', max_examples=60, deadline=None, derandomize=True, database=None
)
settings.load_profile('mmexact')

SIDE = st.integers(1, 7)
DAY = st.integers(1, 366)
MASKS = arrays(np.uint8, st.tuples(SIDE, SIDE), elements=st.integers(0, 3) | st.just(IGNORED))
CAMS = arrays(np.float32, (3, 5, 4), elements=st.floats(-1e6, 1e6, width=32)).map(torch.tensor)
TRUTH = arrays(np.uint8, (5, 4), elements=st.integers(0, 3) | st.just(IGNORED)).map(torch.tensor)


@given(st.data(), st.integers(1, 6), st.integers(1, 4), SIDE, SIDE)
def test_a_folded_series_unfolds_to_itself(data, dates, bands, height, width):
    series = data.draw(
        arrays(np.int16, (dates, bands, height, width), elements=st.integers(-32768, 32767))
    )
    days = data.draw(arrays(np.int64, dates, elements=st.integers(0, 366)))
    for one, theirs in ((series, days), (torch.tensor(series), torch.tensor(days))):
        folded = fold_time(one, theirs)
        assert folded.shape == (dates * (bands + 1), height, width)
        again, day = unfold_time(folded, bands)
        assert (again == one).all()
        assert (day == theirs).all()
        seen = observed(folded, bands)
        assert (seen == (theirs > 0)[:, None, None]).all()


@given(st.lists(st.lists(DAY, min_size=1, max_size=9), min_size=1, max_size=4))
def test_a_season_keeps_order_and_days(series):
    for days, laid in zip(series, season_days([np.array(one) for one in series]), strict=True):
        assert (np.diff(laid) >= 0).all()
        assert ((laid - days) % YEAR == 0).all()
        assert laid[0] - days[0] in (0, YEAR)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_windows_cover_what_they_can_once(height, width, data):
    side = data.draw(st.integers(1, min(height, width)))
    count = np.zeros((height, width), int)
    for row, column, tall, wide in window_grid((height, width), side, 'a'):
        assert (tall, wide) == (side, side)
        count[row : row + tall, column : column + wide] += 1
    rows, columns = height // side * side, width // side * side
    assert (count[:rows, :columns] == 1).all()
    assert count.sum() == rows * columns


@given(arrays(np.uint8, (12, 9), elements=st.integers(0, 3) | st.just(IGNORED)), st.booleans())
def test_a_crop_is_present_where_it_has_more_than_a_hundredth(mask, background):
    windows = window_grid(mask.shape, 3, 'a')
    found = presence(mask, windows, 3, background)
    for (row, column, *_), labels in zip(windows, found, strict=True):
        window = mask[row : row + 3, column : column + 3]
        assert labels.tolist() == [(window == crop + background).any() for crop in range(3)]


@given(st.datetimes(datetime(1972, 7, 23), datetime(2100, 1, 1)))
def test_dates_are_found_as_they_are_written(when):
    when = when.replace(microsecond=0, second=0, minute=0, hour=0)
    pattern = r'(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)'
    assert parse_date(f'S2A_{when:%Y%m%d}_10m.tif', pattern) == when
    pattern = r'(?P<year>\d{4})_(?P<day_of_year>\d{3})'
    assert parse_date(f'LC08_{when:%Y_%j}.tif', pattern) == when


@given(st.lists(st.integers(0, 700), min_size=1, max_size=12), st.integers(0, 700), st.data())
def test_a_season_is_what_lies_within(days, start, data):
    end = data.draw(st.integers(start, 700))
    times = [datetime(2020, 1, 1) + timedelta(day) for day in days]
    first, last = (f'{datetime(2020, 1, 1) + timedelta(day):%Y-%m-%d}' for day in (start, end))
    inside = sorted(day for day in days if start <= day <= end)
    if inside:
        chosen = choose_season(times, (first, last))
        assert [days[index] for index in chosen] == inside
    else:
        with pytest.raises(ValueError, match='no raster; they were taken from'):
            choose_season(times, (first, last))


@given(
    arrays(np.int16, (5, 2, 3, 2), elements=st.integers(-30000, 30000)),
    arrays(bool, (5, 2, 3, 2)),
    st.lists(st.integers(0, 60), min_size=5, max_size=5).map(np.cumsum),
)
def test_filled_gaps_lie_between_what_was_observed(values, valid, days):
    filled = fill_gaps(values, valid, days)
    plain = np.ma.getdata(filled)
    seen = valid.any(0)
    assert (plain[valid & seen] == values[valid & seen]).all()
    assert (np.ma.getmaskarray(filled) == ~seen).all()
    low = np.where(valid, values, 32767).min(0)
    high = np.where(valid, values, -32768).max(0)
    assert ((low <= plain) & (plain <= high))[:, seen].all()
    assert (plain[:, ~seen] == 0).all()


@given(CAMS)
def test_scaled_maps_fill_zero_to_one_and_keep_order(cams):
    scaled = scale_cams(cams)
    assert scaled.isfinite().all()
    assert ((scaled >= 0) & (scaled <= 1)).all()
    for before, after in zip(cams.flatten(1), scaled.flatten(1), strict=True):
        assert (after[before.argsort()].diff() >= 0).all()


@given(CAMS, TRUTH, st.floats(0, 0.59).map(lambda score: round(score, 2)))
def test_the_table_of_all_scores_counts_the_masks_of_each(cams, truth, score):
    scaled, scores = scale_cams(cams), tuple(step / 100 for step in range(60))
    mask = cams_to_mask(scaled, score).long()
    of_all = confusion_by_score(score_histogram(scaled, truth, scores))[scores.index(score)]
    known = truth != IGNORED
    pairs = (truth.long() * 4 + mask)[known]
    assert of_all.tolist() == torch.bincount(pairs, minlength=16).view(4, 4).tolist()
    sure = confidence(torch.cat([torch.full_like(scaled[:1], score), scaled]))
    assert ((sure >= 0) & (sure <= 1)).all()


@given(arrays(np.int64, (4, 4), elements=st.integers(0, 10**6)).filter(np.any).map(torch.tensor))
def test_scores_are_percentages_and_perfect_where_all_is_right(confusion):
    for absent in ('skip', 'zero'):
        for score in confusion_scores(confusion, absent):
            assert 0 <= score <= 100
    right = torch.diag(confusion.sum(1))
    assert confusion_scores(right) == (100, 100)


@given(MASKS, st.permutations(range(4)))
def test_labels_that_are_renamed_and_back_are_the_same(mask, order):
    there = dict(enumerate(order))
    back = {new: old for old, new in there.items()}
    assert (map_labels(map_labels(mask, there), back) == mask).all()


@given(MASKS)
def test_a_written_mask_is_read_as_it_was(mask):
    with TemporaryDirectory() as folder:
        path = Path(folder, 'a.png')
        write_mask(path, mask)
        assert (read_mask(path, mask.shape, 4) == mask).all()
        assert [one.name for one in Path(folder).iterdir()] == ['a.png']


@given(st.text(max_size=12))
def test_a_name_that_passes_stays_in_its_folder(name):
    with suppress(ValueError):
        check_name(name, 'a.csv')
        path = Path('/folder', f'{name}.tif')
        assert path.parent == path.resolve().parent == Path('/folder')
