"""Cross-fitting: every window is judged by a classifier that has not seen its neighbourhood."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.ensemble import ExtraTreesClassifier
from torch.utils.data import DataLoader, Subset

from mmexact.datasets.splits import assign_blocks
from mmexact.refinement.pixel_series import PixelSeries
from mmexact.refinement.window_masks import WindowMasks

PIXELS_PER_CLASS = 2000
"""Most pixels of a class that a half is fitted on; all classes give as many if they have them."""

TREES, LEAF = 40, 15
"""Trees, and fewest pixels in a leaf: one label in a leaf may be wrong, its mean hardly."""

FEWEST_BLOCKS = 16
"""Blocks that an area is cut into, at least, to be dealt to two halves."""


def halve(infos: Sequence[dict[str, Any]], present: np.ndarray) -> np.ndarray:
    """Deal windows to two halves with about as many windows of every class.

    Patches stay whole, so that neighbours share a half; where there are few, they are cut into
    square blocks of windows.

    Args:
        infos: Entries of the windows.
        present: (N, C) bool, classes that may occur in a window.

    Returns:
        (N,) 0 or 1.

    Raises:
        ValueError: There is one window only.
    """
    if len(infos) < 2:
        raise ValueError(
            'there is one window only, and refinement learns from others: make the windows '
            'smaller (window_size)'
        )
    patches = np.unique([info['patch'] for info in infos], return_inverse=True)[1]
    windows = np.array([info['window'] for info in infos])
    corners, side = windows[:, :2], int((windows[:, :2] + windows[:, 2:]).max())
    while True:
        cells = np.column_stack([patches, corners // side])
        blocks = np.unique(cells, axis=0, return_inverse=True)[1].ravel()
        if blocks.max() + 1 >= FEWEST_BLOCKS or side == 1:
            return assign_blocks(blocks, present.astype(float), (0.5, 0.5))
        side //= 2


def draw_pixels(
    masks: WindowMasks, windows: np.ndarray, num_classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw as many pixels of each class, sure ones more often.

    Args:
        masks: What is believed of the pixels.
        windows: (N,) bool, windows to draw from.
        num_classes: Number of classes.
        rng: Draws.

    Returns:
        Where the pixels stand in ``masks``, ascending.
    """
    usable = np.repeat(windows, np.diff(masks.starts))
    drawn = []
    for number in range(num_classes):
        (found,) = np.nonzero(usable & (masks.classes == number))
        # A draw without replacement, with the confidence as weight: the largest Gumbel numbers.
        keys = rng.gumbel(size=len(found)) + np.log1p(masks.confidence[found])
        drawn.append(found[np.argsort(-keys)[:PIXELS_PER_CLASS]])
    return np.sort(np.concatenate(drawn))


def draw_occurrences(
    starts: np.ndarray, with_it: np.ndarray, without: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw as many pixels of windows with a class as of windows without it.

    Args:
        starts: (N + 1,) where the pixels of each window begin.
        with_it: (N,) bool, windows with it.
        without: (N,) bool, windows without.
        rng: Draws.

    Returns:
        Where the pixels stand, and 1 for those of windows with it, 0 for the others.
    """
    places = []
    for windows in (with_it, without):
        (usable,) = np.nonzero(np.repeat(windows, np.diff(starts)))
        places.append(rng.choice(usable, min(PIXELS_PER_CLASS, len(usable)), replace=False))
    return np.concatenate(places), np.repeat([1, 0], [len(found) for found in places])


def occurrence_to_crop(occurs: np.ndarray) -> np.ndarray:
    """Turn the probability that a pixel is of a window with a crop into that of the crop itself.

    What is no crop c looks alike in windows with c (density f) and without (g), where as many
    pixels of both were learned from. Of the pixels of windows with c that look like this one, the
    share g / f is therefore no c, and f / (f + g) is what was learned.

    Args:
        occurs: (P,) f / (f + g), 0..1.

    Returns:
        (P,) 1 - g / f, 0..1.
    """
    return np.clip(2 - 1 / np.maximum(occurs, 0.5), 0, 1)


class CrossFit:
    """Judges the pixels of each half of the windows by what was learned in the other one.

    Args:
        series: The windows' pixels.
        present: (N, C) bool, classes that may occur in a window.
        num_workers: Processes that read.
    """

    def __init__(self, series: PixelSeries, present: np.ndarray, num_workers: int = 0) -> None:
        infos = [series.dataset.get_data_info(index) for index in range(len(series))]
        self.series = series
        self.num_classes = present.shape[1]
        self.halves = halve(infos, present)
        self.num_workers = num_workers

    def judge(self, masks: WindowMasks, seed: int) -> Iterator[tuple[int, np.ndarray]]:
        """Learn from masks; yield each window's number and class probabilities (h * w, C).

        A class that only one half has is learned there. Pixels of which nothing is known have
        probabilities of 0.
        """
        for half in (0, 1):
            forest = self._fit(masks, half, np.random.default_rng([seed, half]))
            (windows,) = np.nonzero(self.halves == half)
            yield from self._of_each(windows, partial(self._classify, forest))

    def find_crops(
        self, starts: np.ndarray, present: np.ndarray, crops: range, seed: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Tell pixels of windows with a crop from those without; yield what that says of each.

        See :func:`occurrence_to_crop`. Image-level labels alone are learned from.

        Args:
            starts: (N + 1,) where the pixels of each window begin.
            present: (N, C) bool, classes that may occur in a window.
            crops: Which of the classes.
            seed: Of everything random.

        Yields:
            A window's number, and the probability of each class (h * w, C) float32, NaN where
            there is nothing to tell it by: all windows have it, or none does.
        """
        for half in (0, 1):
            learned, judged = self.halves != half, self.halves == half
            rng = np.random.default_rng([seed, half])
            drawn, forests = {}, {}
            for number in crops:
                groups = learned & present[:, number], learned & ~present[:, number]
                if present[judged, number].any() and all(group.any() for group in groups):
                    drawn[number] = *draw_occurrences(starts, *groups, rng), draw_seed(rng)
            every, pixels = np.zeros(0, int), np.zeros((0, 1), np.float32)
            if drawn:
                every = np.unique(np.concatenate([places for places, *_ in drawn.values()]))
                pixels = self._pixels(starts, every)
            for number, (places, occurs, of_forest) in drawn.items():
                chosen = pixels[np.searchsorted(every, places)]
                forests[number] = grow(chosen, occurs, of_forest)
            yield from self._of_each(np.flatnonzero(judged), partial(self._find, forests, present))

    def _classify(
        self, forest: ExtraTreesClassifier, _window: int, pixels: np.ndarray
    ) -> np.ndarray:
        return predict(forest, pixels, self.num_classes)

    def _find(
        self,
        forests: Mapping[int, ExtraTreesClassifier],
        present: np.ndarray,
        window: int,
        pixels: np.ndarray,
    ) -> np.ndarray:
        found = np.full((len(pixels), self.num_classes), np.nan, np.float32)
        for number in np.flatnonzero(present[window]).tolist():
            if number in forests:
                occurs = predict(forests[number], pixels, 2)[:, 1]
                found[:, number] = occurrence_to_crop(occurs)
        found[np.isnan(pixels[:, 0])] = np.nan
        return found

    def _fit(self, masks: WindowMasks, half: int, rng: np.random.Generator) -> ExtraTreesClassifier:
        places = draw_pixels(masks, self.halves != half, self.num_classes, rng)
        learned = np.unique(masks.classes[places])
        here = draw_pixels(masks, self.halves == half, self.num_classes, rng)
        alone = here[~np.isin(masks.classes[here], learned)]
        places = np.concatenate([places, alone])
        pixels = self._pixels(masks.starts, places)
        return grow(pixels, masks.classes[places], draw_seed(rng))

    def _pixels(self, starts: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Read pixels that stand at ``places``, in this order; each window is read once."""
        order = np.argsort(places, kind='stable')
        ascending = places[order]
        windows = np.searchsorted(starts, ascending, 'right') - 1
        used, first = np.unique(windows, return_index=True)
        rows = [
            pixels[chosen - starts[window]]
            for window, chosen, pixels in zip(
                used, np.split(ascending, first[1:]), self._read(used), strict=True
            )
        ]
        return np.concatenate(rows)[np.argsort(order)]

    def _of_each(
        self, windows: np.ndarray, judge: Callable[[int, np.ndarray], np.ndarray]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield windows, and what comes of their pixels, which are judged in threads."""
        threads = Parallel(os.cpu_count(), prefer='threads', return_as='generator')
        numbers = windows.tolist()
        judged = threads(
            delayed(judge)(window, pixels)
            for window, pixels in zip(numbers, self._read(windows), strict=True)
        )
        yield from zip(numbers, judged, strict=True)

    def _read(self, windows: np.ndarray) -> Iterator[np.ndarray]:
        loader = DataLoader(
            Subset(self.series, windows.tolist()),
            batch_size=None,
            num_workers=self.num_workers,
        )
        for pixels in loader:
            yield pixels.numpy()


def draw_seed(rng: np.random.Generator) -> int:
    """Draw a seed for scikit-learn."""
    return int(rng.integers(2**31))


def grow(pixels: np.ndarray, labels: np.ndarray, seed: int) -> ExtraTreesClassifier:
    """Fit trees to pixels (P, F), without those of which nothing is known (NaN)."""
    known = ~np.isnan(pixels[:, 0])
    forest = ExtraTreesClassifier(
        TREES,
        min_samples_leaf=LEAF,
        class_weight='balanced',  # rare classes have fewer pixels to draw
        n_jobs=-1,
        random_state=seed,
    )
    return forest.fit(pixels[known], labels[known]).set_params(n_jobs=1)


def predict(forest: ExtraTreesClassifier, pixels: np.ndarray, classes: int) -> np.ndarray:
    """Return the probabilities of the classes (P, C) float32; 0 where nothing is known."""
    result = np.zeros((len(pixels), classes), np.float32)
    (known,) = np.nonzero(~np.isnan(pixels[:, 0]))
    if len(known):
        rows = np.ascontiguousarray(pixels[known])
        # The forest itself would start threads for every window; looking at the input again for
        # each tree takes longer than the tree.
        trees = (tree.predict_proba(rows, check_input=False) for tree in forest.estimators_)
        result[known[:, None], forest.classes_] = sum(trees) / len(forest.estimators_)
    return result
