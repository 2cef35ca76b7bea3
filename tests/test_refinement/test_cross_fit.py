"""Halves, draws of pixels, and judges that have not seen what they judge."""

import numpy as np
import pytest

from mmexact.refinement import cross_fit
from mmexact.refinement.cross_fit import (
    CrossFit,
    draw_occurrences,
    draw_pixels,
    halve,
    occurrence_to_crop,
)
from mmexact.refinement.pixel_series import PixelSeries
from mmexact.refinement.rounds import start_masks
from mmexact.refinement.window_masks import WindowMasks
from tests.fields import SIDE, Fields, truth

PIXELS = SIDE * SIDE


def windows(patches: int, side: int) -> list[dict]:
    return [
        dict(patch=f'p{patch}', window=(8 * row, 8 * column, 8, 8))
        for patch in range(patches)
        for row in range(side)
        for column in range(side)
    ]


def test_many_patches_stay_whole():
    infos = windows(20, 2)
    halves = halve(infos, np.ones((len(infos), 2), bool)).reshape(20, 4)
    assert (halves == halves[:, :1]).all()
    assert halves[:, 0].sum() == 10


def test_few_patches_are_cut_into_blocks_of_windows():
    infos = windows(1, 8)
    halves = halve(infos, np.ones((64, 2), bool)).reshape(4, 2, 4, 2)
    assert (halves == halves[:, :1, :, :1]).all()
    assert halves.sum() == 32


def test_both_halves_have_every_class():
    infos = windows(16, 1)
    present = np.zeros((16, 3), bool)
    present[:4, 0] = present[4:8, 1] = present[[3, 9], 2] = True
    halves = halve(infos, present)
    assert present[halves == 0].sum(0).tolist() == [2, 2, 1]


def test_windows_that_nothing_separates_are_refused():
    """Windows of one patch whose places are unknown."""
    infos = [dict(patch='p', window=(0, 0, 8, 8))] * 3
    with pytest.raises(ValueError, match='1 blocks for 2 splits'):
        halve(infos, np.ones((3, 2), bool))


def test_one_window_is_refused():
    with pytest.raises(ValueError, match='one window only'):
        halve(windows(1, 1), np.ones((1, 2), bool))


def test_every_class_gives_as_many_pixels_and_sure_ones_first(monkeypatch):
    monkeypatch.setattr(cross_fit, 'PIXELS_PER_CLASS', 100)
    classes = np.repeat(np.uint8([0, 1, 255]), [1000, 300, 100])
    confidence = np.where(np.arange(1400) % 2, 255, 0).astype(np.uint8)
    masks = WindowMasks(classes, confidence, np.array([0, 700, 1400]))
    drawn = draw_pixels(masks, np.array([True, True]), 3, np.random.default_rng(0))
    assert np.bincount(classes[drawn]).tolist() == [100, 100]
    assert (np.diff(drawn) > 0).all()
    assert (drawn % 2).mean() > 0.9
    drawn = draw_pixels(masks, np.array([False, True]), 3, np.random.default_rng(0))
    assert drawn.min() >= 700


def cut(dataset: Fields, number: int) -> tuple[slice, slice]:
    """Where a window lies in its patch."""
    row, column, height, width = dataset.get_data_info(number)['window']
    return slice(row, row + height), slice(column, column + width)


def true_masks(dataset: Fields) -> WindowMasks:
    masks = WindowMasks.like(PIXELS * np.arange(len(dataset) + 1))
    masks.classes[:] = np.concatenate([mask.ravel() for mask in truth(dataset)])
    masks.confidence[:] = 255
    return masks


def test_a_window_is_not_judged_by_what_it_says_itself():
    dataset = Fields(patches=16)
    series = PixelSeries(dataset)
    present = np.array([[True, *dataset.get_data_info(n)['gt_score']] for n in range(64)], bool)
    fit, masks = CrossFit(series, present), true_masks(dataset)
    expected = dict(fit.judge(masks, seed=0))
    assert sorted(expected) == list(range(64))
    hits = [(found.argmax(1) == masks.classes[masks.window(n)]) for n, found in expected.items()]
    assert np.mean(hits) > 0.97
    # Nonsense in one window changes what is said of the other half only.
    masks.classes[masks.window(0)] = 2
    changed = dict(fit.judge(masks, seed=0))
    same = [np.array_equal(changed[n], expected[n]) for n in range(64)]
    assert all(same[n] == (fit.halves[n] == fit.halves[0]) for n in range(64))


def test_a_class_of_one_half_is_learned_there():
    dataset = Fields(patches=16)
    fit = CrossFit(PixelSeries(dataset), np.ones((64, 3), bool))
    masks = true_masks(dataset)
    for number in np.flatnonzero(fit.halves == 1):
        here = masks.classes[masks.window(number)]
        here[here == 2] = 0
    judged = dict(fit.judge(masks, seed=0))
    corn = [
        judged[n][masks.classes[masks.window(n)] == 2, 2].mean()
        for n in np.flatnonzero(fit.halves == 0)
        if (masks.classes[masks.window(n)] == 2).any()
    ]
    assert min(corn) > 0.3


def test_processes_that_read_change_nothing():
    dataset = Fields(patches=4, hidden=0.1)
    masks, present = true_masks(dataset), np.ones((16, 3), bool)
    alone = dict(CrossFit(PixelSeries(dataset), present).judge(masks, 3))
    helped = dict(CrossFit(PixelSeries(dataset), present, num_workers=2).judge(masks, 3))
    for number, judged in alone.items():
        np.testing.assert_array_equal(helped[number], judged)
    hidden = dataset.readers['p0'].hidden[:SIDE, :SIDE].ravel()
    assert hidden.any()
    assert (alone[0][hidden] == 0).all()
    np.testing.assert_allclose(alone[0][~hidden].sum(1), 1, rtol=1e-5)


def test_crops_that_are_hardly_there_are_granted_what_looks_most_like_them():
    # Two windows of 200 pixels: crop 1 covers 1 pixel of the first (below 1 %) and 2 of the second.
    classes = np.zeros(400, np.uint8)
    classes[[0, 200, 201]] = 1
    masks = WindowMasks(classes, np.full(400, 255, np.uint8), np.array([0, 200, 400]))
    named = np.array([False, True, False])
    assert masks.lacking(0, named).tolist() == [1]
    assert masks.lacking(1, named).tolist() == []
    scores = np.zeros((200, 3))
    scores[100:, 1] = np.arange(100)
    masks.grant(0, named, scores)
    # 5 % are 10 pixels: the last ones, which are not trusted.
    assert np.flatnonzero(masks.classes[:200]).tolist() == [0, *range(190, 200)]
    assert (masks.confidence[190:200] == 0).all()
    assert (masks.confidence[:190] == 255).all()
    masks = WindowMasks.like(np.array([0, 200]))
    masks.grant(0, named, np.zeros((200, 3)))
    assert not masks.classes.any()  # what looks like nothing is granted nothing


def test_pixels_are_drawn_evenly_with_and_without_a_class():
    with_it, without = np.array([True, False, False]), np.array([False, True, False])
    starts = np.array([0, 10, 30, 60])
    places, occurs = draw_occurrences(starts, with_it, without, np.random.default_rng(0))
    assert sorted(places) == list(range(30))
    assert (occurs == (places < 10)).all()


def test_what_is_not_there_without_a_crop_is_the_crop():
    # Half of what looks so is in windows without it: 1 - 1. A quarter: 1 - 1/3. None: 1.
    found = occurrence_to_crop(np.array([0.5, 0.75, 1.0, 0.2, 0.0]))
    np.testing.assert_allclose(found, [0, 2 / 3, 1, 0, 0])


def test_image_level_labels_tell_crops_of_single_pixels():
    dataset = Fields(patches=16)
    present = np.array([[True, *dataset.get_data_info(n)['gt_score']] for n in range(64)], bool)
    fit, masks = CrossFit(PixelSeries(dataset), present), true_masks(dataset)
    found = dict(fit.find_crops(masks.starts, present, range(1, 3), seed=0))
    assert sorted(found) == list(range(64))
    for number, scores in found.items():
        assert np.isnan(scores[:, 0]).all()
        assert (np.isnan(scores).all(0) == [True, *~present[number, 1:]]).all()
        here = masks.classes[masks.window(number)]
        for crop in np.flatnonzero(present[number, 1:]) + 1:
            assert scores[here == crop, crop].mean() > 0.8
            assert scores[here != crop, crop].mean() < 0.3
    everywhere = present.copy()
    everywhere[:, 1] = True  # nothing to tell it by
    found = dict(fit.find_crops(masks.starts, everywhere, range(1, 3), seed=0))
    assert all(np.isnan(scores[:, 1]).all() for scores in found.values())
    assert not all(np.isnan(scores[:, 2]).all() for scores in found.values())
    found = dict(fit.find_crops(masks.starts, np.ones_like(present), range(1, 3), seed=0))
    assert len(found) == len(present)
    assert all(np.isnan(scores).all() for scores in found.values())


def test_rounds_start_from_labels_and_trust_what_the_masks_say_too():
    dataset = Fields(patches=16, hidden=0.1)
    present = np.array([[True, *dataset.get_data_info(n)['gt_score']] for n in range(64)], bool)
    fit, truth_of_all = CrossFit(PixelSeries(dataset), present), true_masks(dataset)
    given = truth_of_all.copy()
    nonsense = fit.halves == 1
    for number in np.flatnonzero(nonsense):
        given.classes[given.window(number)] = 0  # as a background score of 1 would have it
    made = start_masks(fit, given, present, True, seed=0)
    hidden = np.concatenate(
        [dataset.get_data_info(n)['reader'].hidden[cut(dataset, n)].ravel() for n in range(64)]
    )
    crops = np.repeat(present[:, 1:].any(1), PIXELS)
    assert (made.classes == given.classes)[hidden & crops].all()
    told = ~hidden & np.repeat(nonsense, PIXELS)
    assert (made.classes == truth_of_all.classes)[told].mean() > 0.9
    agree = made.classes == given.classes
    assert made.confidence[~agree & ~hidden].mean() < 0.12 * made.confidence[agree].mean()
    assert made.confidence[~agree & ~hidden].max() <= 26
    alone = np.flatnonzero(~present[:, 1:].any(1))
    assert len(alone)
    assert all((made.confidence[made.window(number)] == 255).all() for number in alone)
