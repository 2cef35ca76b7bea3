"""Refinement of masks with errors, whose truth is known."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from mmexact.refinement import MaskRefiner, refine
from mmexact.refinement.window_masks import WindowMasks, score_masks
from tests.fields import Fields, truth, write_masks


def read(folder, dataset) -> np.ndarray:
    ids = [dataset.get_data_info(n)['sample_id'] for n in range(len(dataset))]
    return np.stack([np.asarray(Image.open(folder / f'{sample_id}.png')) for sample_id in ids])


@pytest.fixture
def dataset() -> Fields:
    return Fields()


def test_errors_that_contradict_the_season_are_mended(dataset, tmp_path):
    before, expected = write_masks(tmp_path / 'masks', dataset), np.stack(truth(dataset))
    wrong = (read(before, dataset) != expected).mean()
    refiner = MaskRefiner(dataset, before)
    manifest = refiner.run(tmp_path / 'refined', score=True)
    after = read(tmp_path / 'refined', dataset)
    assert wrong > 0.1
    assert (after != expected).mean() < 0.02
    permitted = np.array([[True, *dataset.get_data_info(n)['gt_score']] for n in range(32)], bool)
    assert np.take_along_axis(permitted, after.reshape(32, -1), 1).all()
    assert manifest['complete']
    assert manifest['scores']['pseudo/OA'] == pytest.approx(100 * (after == expected).mean())
    assert manifest['scores']['by_class'].keys() == set(dataset.metainfo['classes'])
    first, *others = manifest['refinement']
    assert all(record['changed'] < 0.1 for record in [first, *others])  # the start is good
    assert all(0.9 < record['agreement'] <= 1 for record in [first, *others])
    assert not first['alike']
    confidence = read(tmp_path / 'refined' / 'confidence', dataset)
    assert 128 < confidence.mean() < 255


def test_pixels_without_observation_keep_their_class(tmp_path):
    dataset = Fields(hidden=0.2)
    masks = write_masks(tmp_path / 'masks', dataset)
    MaskRefiner(dataset, masks).run(tmp_path / 'refined')
    before, after = read(masks, dataset), read(tmp_path / 'refined', dataset)
    hidden = np.stack(
        [
            reader.hidden[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            for reader in dataset.readers.values()
            for row in (0, 1)
            for column in (0, 1)
        ]
    )
    assert (after == before)[hidden].all()
    assert (after != before)[~hidden].any()


def test_an_interrupted_run_goes_on_after_its_last_round(dataset, tmp_path, monkeypatch):
    masks = write_masks(tmp_path / 'masks', dataset)
    refiner = MaskRefiner(dataset, masks)
    expected = refiner.run(tmp_path / 'whole', rounds=2)
    run_round = refine.run_round

    def fail_in_second(cross_fit, masks, present, named, seed, after_window):
        if seed == 1:
            raise KeyboardInterrupt
        return run_round(cross_fit, masks, present, named, seed, after_window)

    monkeypatch.setattr(refine, 'run_round', fail_in_second)
    with pytest.raises(KeyboardInterrupt):
        refiner.run(tmp_path / 'broken', rounds=2)
    with pytest.raises(KeyboardInterrupt):
        refiner.run(tmp_path / 'other', rounds=2)
    done = []
    monkeypatch.setattr(refine, 'run_round', lambda *args: done.append(args[4]) or run_round(*args))
    manifest = refiner.run(tmp_path / 'broken', rounds=2)
    assert done == [1]
    assert manifest['pixels'] == expected['pixels']
    np.testing.assert_array_equal(
        read(tmp_path / 'broken', dataset), read(tmp_path / 'whole', dataset)
    )
    assert not (tmp_path / 'broken' / 'round.npz').exists()
    refiner.run(tmp_path / 'broken', rounds=2)
    assert done == [1]  # all was there
    refiner.run(tmp_path / 'other', rounds=1, overwrite=True)
    assert done == [1, 0]  # what was interrupted is not taken over
    with pytest.raises(FileExistsError, match='seed: 0 there, 5 now'):
        refiner.run(tmp_path / 'broken', rounds=2, seed=5)


def test_a_round_that_makes_it_worse_does_not_count(dataset, tmp_path, monkeypatch):
    refiner = MaskRefiner(dataset, write_masks(tmp_path / 'masks', dataset))
    agreements = iter([0.8, 0.9, 0.85])

    def made_up(cross_fit, masks, present, named, seed, after_window):
        made = WindowMasks.like(masks.starts)
        made.classes[:] = seed
        return refine.Round(made, next(agreements), 0.5, np.zeros((3, 3)))

    monkeypatch.setattr(refine, 'run_round', made_up)
    manifest = refiner.run(tmp_path / 'refined')
    assert [record['agreement'] for record in manifest['refinement']] == [0.8, 0.9, 0.85]
    assert (read(tmp_path / 'refined', dataset) == 1).all()


def test_classes_that_look_alike_are_named(tmp_path, monkeypatch):
    """Corn that grows as wheat does."""
    seasons = [[5] * 6, [2, 8, 8, 2, 2, 2], [2, 8, 8, 2, 2, 2]]
    monkeypatch.setattr('tests.fields.SEASONS', 100 * np.array(seasons))
    dataset = Fields()
    masks = write_masks(tmp_path / 'masks', dataset, wrong=0)
    manifest = MaskRefiner(dataset, masks).run(tmp_path / 'refined', rounds=1)
    (record,) = manifest['refinement']
    pattern = r"[3-6]\d% of the pixels of '(\w+)' look like '(\w+)'"
    found = {frozenset(re.fullmatch(pattern, line).groups()) for line in record['alike']}
    assert found == {frozenset(('Wheat', 'Corn'))}


def test_masks_of_crops_alone(tmp_path):
    """A dataset without background: 255 in a mask is no class, and every pixel gets one."""
    data = Fields(metainfo=dict(background=False))
    data.full_init()
    masks = write_masks(tmp_path / 'masks', Fields())
    meta = json.loads((masks / 'manifest.json').read_text())
    assert meta['classes'] == list(data.metainfo['classes'])
    holes = masks / 'p0_0.png'
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(holes)
    refiner = MaskRefiner(data, masks)
    refiner.run(tmp_path / 'refined', rounds=1, score=True)
    assert read(tmp_path / 'refined', data).max() <= 2


def test_a_class_that_no_mask_has_is_found_by_where_it_is_named(dataset, tmp_path):
    masks = write_masks(tmp_path / 'masks', dataset)
    for path in masks.glob('*.png'):
        mask = np.asarray(Image.open(path))
        Image.fromarray(np.where(mask == 2, 0, mask).astype(np.uint8)).save(path)
    before = MaskRefiner(dataset, masks).masks
    assert score_masks(before, dataset)['by_class']['Corn'] == 0
    manifest = MaskRefiner(dataset, masks).run(tmp_path / 'refined', score=True)
    assert manifest['scores']['by_class']['Corn'] > 80


def test_labels_that_name_everything_everywhere_are_refused(dataset, tmp_path):
    masks = write_masks(tmp_path / 'masks', dataset)
    infos = [dataset.get_data_info(number) for number in range(len(dataset))]
    everything = [dict(info, gt_score=np.ones(2)) for info in infos]
    dataset.get_data_info = everything.__getitem__
    with pytest.raises(ValueError, match='the same classes may occur in all 32 windows'):
        MaskRefiner(dataset, masks)


def test_masks_of_one_class_are_refused(dataset, tmp_path):
    masks = write_masks(tmp_path / 'masks', dataset)
    for path in masks.glob('*.png'):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"no other class than \['Background'\]"):
        MaskRefiner(dataset, masks)


def test_the_masks_are_not_overwritten_by_their_refinement(dataset, tmp_path):
    masks = write_masks(tmp_path / 'masks', dataset)
    with pytest.raises(ValueError, match='choose another folder'):
        MaskRefiner(dataset, masks).run(masks, overwrite=True)


def test_masks_of_other_windows_are_refused(dataset, tmp_path):
    masks = write_masks(tmp_path / 'masks', Fields(patches=2))
    with pytest.raises(FileNotFoundError, match='24 of 32 windows'):
        MaskRefiner(dataset, masks)
