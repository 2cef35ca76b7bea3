"""What all synthetic trees are drawn from: options and their ranges, seeds, crops of a patch."""

import math
from dataclasses import dataclass

import numpy as np

from mmexact.datasets.synthetic.calendars import CROPS

FOLDS = 5
"""Patches go to folds, or splits, in turn."""


@dataclass(frozen=True)
class TreeOptions:
    """Options of a synthetic tree; the same give the same bytes.

    Attributes:
        num_patches: Number of patches; those that are there do not depend on it.
        num_crops: Number of crops K, 2..18, the first of PASTIS.
        num_dates: Fewest and most acquisitions of a patch.
        most_dates: Acquisitions that are possible in a season.
        difficulty: 0 (clear, uniform fields) to 3; scales the noise, the shifts of the season, the
            likeness of leaves and the frequency of clouds.
        fallow: Share of the parcels that lie fallow, 0..0.9, and are background as woods are.
        seed: Seed of everything random.

    Raises:
        ValueError: An option is outside its range.
    """

    num_patches: int
    num_crops: int
    num_dates: tuple[int, int]
    most_dates: int
    difficulty: float = 0.8
    fallow: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.num_dates
        for name, fits, expected in (
            ('num_patches', self.num_patches >= 1, 'at least 1'),
            ('num_crops', 2 <= self.num_crops <= len(CROPS), f'2 to {len(CROPS)}'),
            (
                'num_dates',
                1 <= low <= high <= self.most_dates,
                f'1 <= fewest <= most <= {self.most_dates}, the acquisitions of one season',
            ),
            ('difficulty', 0 <= self.difficulty <= 3, '0 to 3'),
            ('fallow', 0 <= self.fallow <= 0.9, '0 to 0.9'),
            ('seed', self.seed >= 0, '0 or more'),
        ):
            if not fits:
                raise ValueError(f'{name}={getattr(self, name)}; expected {expected}')

    def generator(self, *key: int) -> np.random.Generator:
        """Return a generator of its own for each key."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def draw_count(self, rng: np.random.Generator) -> int:
        """Draw the number of dates of a patch."""
        low, high = self.num_dates
        return int(rng.integers(low, high + 1))

    def favoured_crops(self, index: int) -> tuple[int, ...]:
        """Choose two crops that are typical of a patch: every fold meets every crop early on."""
        fold, turn = index % FOLDS, index // FOLDS
        turns = math.ceil(self.num_crops / 2)
        order = self.generator(1, fold, turn // turns).permutation(self.num_crops)
        begin = 2 * (turn % turns)
        return tuple(int(crop) for crop in order[begin : begin + 2])
