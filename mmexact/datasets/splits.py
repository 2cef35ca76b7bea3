"""Splits of windows by blocks of ground, so that neighbours do not leak between training and test.

Neighbouring windows share fields, weather and viewing geometry: a model that saw one of them does
better on the other than it will do on new ground.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.masks import whole_file

DROPPED = -1
"""Split of windows that belong to none, because they are too near to another split."""


@dataclass(frozen=True)
class Places:
    """Where windows lie.

    Attributes:
        frames: (N,) index of the coordinates of a window; those of others are never neighbours.
        boxes: (N, 4) float: left, top, right, bottom; to the right and downwards positive.
        pixel: Side of a pixel in these coordinates.
        names: Names of the frames.
        located: Whether the coordinates are those of the ground; if not, a frame is a patch.
    """

    frames: np.ndarray
    boxes: np.ndarray
    pixel: float
    names: tuple[str, ...]
    located: bool


def find_places(infos: Sequence[Mapping[str, Any]]) -> Places:
    """Find out where windows of a dataset lie: on the ground if they know, else in their patch."""
    located = all(info['georeference'] and info['georeference'].crs for info in infos)
    names: dict[str, int] = {}
    boxes, frames, pixel = [], [], 1.0
    for info in infos:
        row, column, height, width = info['window']
        if located:
            frame, (a, b, left, d, e, top) = info['georeference']
            if b or d:
                raise ValueError(f'{info["img_path"]}: a rotated raster; expected north up')
            pixel = abs(a)
            boxes.append((left, -top, left + abs(a) * width, -top + abs(e) * height))
        else:
            frame = info['patch']
            boxes.append((column, row, column + width, row + height))
        frames.append(names.setdefault(frame, len(names)))
    return Places(np.array(frames), np.array(boxes, float), pixel, tuple(names), located)


def make_blocks(places: Places, block_size: int) -> np.ndarray:
    """Number the blocks, ``block_size`` pixels wide, that the centres of the windows lie in, (N,).

    Each frame is cut from its top left window on.
    """
    centres = (places.boxes[:, :2] + places.boxes[:, 2:]) / 2
    corners = np.full((len(places.names), 2), np.inf)
    np.minimum.at(corners, places.frames, places.boxes[:, :2])
    cells = (centres - corners[places.frames]) // (block_size * places.pixel)
    keys = np.column_stack([places.frames, cells[:, ::-1]])
    return np.unique(keys, axis=0, return_inverse=True)[1].ravel()


def assign_blocks(
    blocks: np.ndarray, labels: np.ndarray, shares: Sequence[float], seed: int = 0
) -> np.ndarray:
    """Deal blocks to splits so that each gets its share of the windows and of every class.

    First greedily: blocks with most of the rarest classes first (equal ones in random order), each
    to the split that lacks most of what it holds. Then single blocks move as long as that lowers
    the sum of the squared differences to the shares, of the windows and of all classes (the windows
    count as much as all classes together), each divided by the share.

    Args:
        blocks: (N,) block of each window.
        labels: (N, K) 1 where a class occurs in a window; K may be 0.
        shares: Wanted share of each split, 0..1, in sum 1.
        seed: Of the random order.

    Returns:
        (N,) split of each window.
    """
    number = int(blocks.max()) + 1
    if number < len(shares):
        raise ValueError(
            f'{number} blocks for {len(shares)} splits: make the blocks smaller, or ask for fewer '
            f'splits'
        )
    counted = np.column_stack([np.ones(len(labels)), labels])
    held = np.zeros((number, counted.shape[1]))
    np.add.at(held, blocks, counted)
    held /= np.maximum(held.sum(0), 1)
    held[:, 0] *= np.sqrt(max(labels.shape[1], 1))
    order = np.random.default_rng(seed).permutation(number)
    order = order[np.argsort(-held[order].sum(1), kind='stable')]
    wanted = np.array(shares)
    lacking = wanted[:, None] * held.sum(0)
    splits, moved = np.full(number, DROPPED), True
    while moved:
        moved = False
        for block in order:
            here = splits[block]
            if here != DROPPED:
                lacking[here] += held[block]
            # By how much the squared deviations grow where the block goes, relative to the share.
            costs = (held[block] @ held[block] - 2 * lacking @ held[block]) / wanted
            there = costs.argmin()
            if here == DROPPED or (
                costs[there] < costs[here] - 1e-12 and (splits == here).sum() > 1
            ):
                splits[block], moved = there, True
            lacking[splits[block]] -= held[block]
    return splits[blocks]


def drop_near(places: Places, splits: np.ndarray, buffer: float, keep: Sequence[int]) -> np.ndarray:
    """Take windows out of their split (N,) that lie nearer than a buffer to windows of others.

    Args:
        places: Where the windows lie.
        splits: Split of each window.
        buffer: Smallest distance in pixels between splits; 0 drops windows that overlap.
        keep: Of two windows that are too near, the one whose split comes later here is dropped:
            its split becomes :data:`DROPPED`.
    """
    result = splits.copy()
    rank = np.full(max(keep) + 1, len(keep))
    rank[list(keep)] = np.arange(len(keep))
    for frame in range(len(places.names)):
        (members,) = np.nonzero(places.frames == frame)
        boxes, ranks = places.boxes[members], rank[splits[members]]
        for begin in range(0, len(members), 256):
            chosen = slice(begin, begin + 256)
            gaps = np.maximum(
                boxes[chosen, None, :2] - boxes[None, :, 2:],
                boxes[None, :, :2] - boxes[chosen, None, 2:],
            ).max(-1)
            near = gaps < buffer * places.pixel
            loses = (near & (ranks[None] < ranks[chosen, None])).any(1)
            result[members[chosen][loses]] = DROPPED
    return result


@dataclass(frozen=True)
class Split:
    """Windows of a dataset that were dealt to splits.

    Attributes:
        names: Names of the splits.
        numbers: (N,) split of each window, :data:`DROPPED` where it belongs to none.
        sample_ids: Of all windows.
        places: Where they lie.
        classes: Names of the K crops; none where image-level labels are unknown.
        labels: (N, K) 1 where a crop occurs in a window.
    """

    names: tuple[str, ...]
    numbers: np.ndarray
    sample_ids: list[str]
    places: Places
    classes: tuple[str, ...]
    labels: np.ndarray

    def apart(self, buffer: float) -> 'Split':
        """Drop windows nearer than a buffer in pixels to a split that is named later."""
        keep = range(len(self.names) - 1, -1, -1)
        return replace(self, numbers=drop_near(self.places, self.numbers, buffer, keep))

    def outside(self, number: int, buffer: float) -> np.ndarray:
        """Return which windows are in other splits and at least a buffer away, bool (N,)."""
        others = (self.numbers != number).astype(int)
        return drop_near(self.places, others, buffer, keep=(0, 1)) == 1


def count_classes(numbers: np.ndarray, labels: np.ndarray, splits: int) -> np.ndarray:
    """Count windows, and windows with each class, by split: (splits, 1 + K)."""
    counted = np.column_stack([np.ones(len(labels), int), labels.astype(int)])
    return np.stack([counted[numbers == split].sum(0) for split in range(splits)])


def split_windows(
    dataset: SITSDataset, shares: Mapping[str, float], block_size: int, seed: int = 0
) -> Split:
    """Deal the windows of a dataset to splits, block of ground by block.

    Image-level labels are balanced where they are known; see :func:`assign_blocks`. Blocks are
    ``block_size`` pixels wide.

    Raises:
        ValueError: There are fewer blocks than splits, or rasters are rotated.
    """
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    labelled = all('gt_score' in info for info in infos)
    classes = tuple(dataset.metainfo['classes'][dataset.background :]) if labelled else ()
    labels = np.array([info['gt_score'] if labelled else [] for info in infos])
    places = find_places(infos)
    numbers = assign_blocks(make_blocks(places, block_size), labels, list(shares.values()), seed)
    ids = [info['sample_id'] for info in infos]
    return Split(tuple(shares), numbers, ids, places, classes, labels)


def write_lists(folder: Path, lists: Mapping[str, Sequence[str]], overwrite: bool = False) -> None:
    """Write lists of sample ids, one per line, as ``<folder>/<name>.txt`` for ``ann_file``.

    Raises:
        FileExistsError: One of the files is there already.
        ValueError: A list is empty.
    """
    for name, sample_ids in lists.items():
        if not sample_ids:
            raise ValueError(
                f'{name}.txt would be empty: use smaller blocks, a smaller buffer or fewer splits'
            )
        if (folder / f'{name}.txt').exists() and not overwrite:
            raise FileExistsError(
                f'{folder / name}.txt is there already: choose another --out, or replace it with '
                '--overwrite'
            )
    for name, sample_ids in lists.items():
        with whole_file(folder / f'{name}.txt') as unfinished:
            unfinished.write_text(''.join(f'{sample_id}\n' for sample_id in sample_ids))
