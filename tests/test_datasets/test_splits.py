import numpy as np
import pytest

from mmexact.datasets.splits import (
    DROPPED,
    assign_blocks,
    count_classes,
    drop_near,
    find_places,
    make_blocks,
)
from mmexact.sits import Georeference

UTM = 'EPSG:32633'


def window(sample_id, row, column, size=4):
    patch = sample_id.rpartition('_')[0]
    return dict(
        sample_id=sample_id, patch=patch, window=(row, column, size, size), georeference=None
    )


def grid(rows, columns, size=4):
    """Windows of one patch, row-major."""
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    return [
        window(f'a_{number}', row * size, column * size, size)
        for number, (row, column) in enumerate(cells)
    ]


def located(left, top, name='r', size=4, crs=UTM):
    georeference = Georeference(crs, (10, 0, left, 0, -10, top))
    return dict(
        sample_id=name, patch=name, img_path='r.tif', window=(0, 0, size, size),
        georeference=georeference,
    )  # fmt: skip


def test_windows_of_a_patch_lie_in_their_patch():
    places = find_places([*grid(1, 2), window('b_c_0', 4, 8), window('whole_0', 0, 0)])
    assert places.names == ('a', 'b_c', 'whole')
    assert places.frames.tolist() == [0, 0, 1, 2]
    assert places.boxes[1].tolist() == [4, 0, 8, 4]
    assert places.boxes[2].tolist() == [8, 4, 12, 8]
    assert not places.located


def test_located_windows_lie_on_the_ground_whatever_raster_they_are_in():
    infos = [located(500000, 5000000, 'x'), located(500040, 4999990, 'y')]
    places = find_places(infos)
    assert places.located
    assert places.names == (UTM,)
    assert places.boxes.tolist() == [
        [500000, -5000000, 500040, -4999960],
        [500040, -4999990, 500080, -4999950],
    ]
    assert places.pixel == 10
    assert find_places([located(0, 0), located(0, 0, crs='EPSG:32632')]).frames.tolist() == [0, 1]
    assert not find_places([located(0, 0), located(0, 0, crs=None)]).located


def test_rotated_rasters_are_refused():
    info = located(0, 0)
    info['georeference'] = Georeference(UTM, (10, 1, 0, 0, -10, 0))
    with pytest.raises(ValueError, match=r'r.tif: a rotated raster; expected north up'):
        find_places([info])


def test_blocks_are_squares_of_windows():
    places = find_places(grid(4, 5))
    expected = [
        [0, 0, 1, 1, 2],
        [0, 0, 1, 1, 2],
        [3, 3, 4, 4, 5],
        [3, 3, 4, 4, 5],
    ]
    assert make_blocks(places, 8).reshape(4, 5).tolist() == expected
    assert len(set(make_blocks(places, 100))) == 1
    ground = find_places([located(500000 + 40 * i, 5000000) for i in range(4)])
    assert make_blocks(ground, 8).tolist() == [0, 0, 1, 1]


def test_splits_share_windows_and_classes():
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.arange(100), 5)
    # Classes grow in regions: a block has a class in all of its windows or in none.
    labels = np.repeat(rng.random((100, 6)) < (0.5, 0.5, 0.3, 0.2, 0.1, 0.1), 5, axis=0)
    splits = assign_blocks(blocks, labels, (0.6, 0.2, 0.2), seed=1)
    assert all(len(set(splits[blocks == block])) == 1 for block in range(100))
    counts = count_classes(splits, labels, 3)
    assert counts.sum(0).tolist() == [500, *labels.sum(0)]
    np.testing.assert_allclose(counts / counts.sum(0), [[0.6] * 7, [0.2] * 7, [0.2] * 7], atol=0.06)
    np.testing.assert_array_equal(splits, assign_blocks(blocks, labels, (0.6, 0.2, 0.2), seed=1))
    assert (splits != assign_blocks(blocks, labels, (0.6, 0.2, 0.2), seed=2)).any()


def test_every_split_gets_the_rare_class():
    blocks = np.arange(30)
    rare = np.zeros((30, 2))
    rare[[3, 11, 20], 0] = 1
    rare[:, 1] = 1
    splits = assign_blocks(blocks, rare, (1 / 3, 1 / 3, 1 / 3))
    assert sorted(splits[[3, 11, 20]]) == [0, 1, 2]
    assert np.bincount(splits).tolist() == [10, 10, 10]


def test_splits_without_labels_share_windows():
    splits = assign_blocks(np.arange(10), np.zeros((10, 0)), (0.8, 0.2))
    assert np.bincount(splits).tolist() == [8, 2]


def test_too_few_blocks_are_refused():
    with pytest.raises(ValueError, match='2 blocks for 3 splits: make the blocks smaller'):
        assign_blocks(np.array([0, 0, 1]), np.zeros((3, 0)), (0.5, 0.25, 0.25))


def test_a_buffer_takes_out_neighbours():
    # Eight windows of 4 pixels in a row; the right half is the test.
    places = find_places(grid(1, 8))
    splits = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert drop_near(places, splits, 0, keep=(1, 0)).tolist() == splits.tolist()
    # Touching windows have a distance of 0, the next ones of 4 pixels.
    assert drop_near(places, splits, 1, keep=(1, 0)).tolist() == [0, 0, 0, DROPPED, 1, 1, 1, 1]
    assert drop_near(places, splits, 4, keep=(1, 0)).tolist() == [0, 0, 0, DROPPED, 1, 1, 1, 1]
    expected = [0, 0, DROPPED, DROPPED, 1, 1, 1, 1]
    assert drop_near(places, splits, 5, keep=(1, 0)).tolist() == expected
    expected = [0, 0, 0, 0, DROPPED, 1, 1, 1]
    assert drop_near(places, splits, 1, keep=(0, 1)).tolist() == expected


def test_a_buffer_reaches_over_corners_but_not_into_other_patches():
    infos = [*grid(3, 3), window('b_0', 0, 0)]
    splits = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    kept = drop_near(find_places(infos), splits, 1, keep=(1, 0))
    assert kept.tolist() == [0, 0, 0, 0, DROPPED, DROPPED, 0, DROPPED, 1, 0]
    ground = [located(0, 0, 'x'), located(40, 40, 'y'), located(20, 20, 'z')]
    assert drop_near(find_places(ground), np.array([0, 1, 0]), 0, (1, 0)).tolist() == [
        0,
        1,
        DROPPED,
    ]
