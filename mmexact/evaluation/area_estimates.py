"""Accuracy and area of a map from a sample of reference points, with confidence intervals.

The estimators of a stratified random sample that good practice asks for (Olofsson et al. 2014,
"Good practices for estimating area and assessing accuracy of land change", Remote Sensing of
Environment 148), in the general form of Stehman (2014), in which strata need not be map classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

NORMAL = 1.959964
"""Standard errors on each side of an estimate that hold the truth in 95 of 100 samples."""


@dataclass(frozen=True)
class Estimate:
    """An estimate and half the width of its 95 % confidence interval; NaN where unknown."""

    value: float
    margin: float

    def __mul__(self, factor: float) -> 'Estimate':
        return Estimate(factor * self.value, factor * self.margin)


@dataclass(frozen=True)
class ClassEstimates:
    """What is estimated of a class, as shares of 0..1.

    Attributes:
        users: User's accuracy: of what the map gives this class, the share that has it.
        producers: Producer's accuracy: of what has this class, the share that the map gives it.
        f1: Harmonic mean of the two, without an interval.
        area: Share of the mapped area that has this class.
        mapped: Share of it that the map gives this class, by counting pixels.
        points: Reference points of this class.
    """

    users: Estimate
    producers: Estimate
    f1: float
    area: Estimate
    mapped: float
    points: int


@dataclass(frozen=True)
class Assessment:
    """Accuracy and area of a map.

    Attributes:
        overall: Overall accuracy, 0..1.
        classes: By name of the class.
        confusion: Points by class of the map (rows) and of the reference (columns).
        shares: Estimated shares of the area by the same.
    """

    overall: Estimate
    classes: dict[str, ClassEstimates]
    confusion: np.ndarray
    shares: np.ndarray

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; what is unknown is None."""

        def clean(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: clean(one) for key, one in value.items()}
            return None if isinstance(value, float) and np.isnan(value) else value

        return dict(
            overall_accuracy=clean(asdict(self.overall)),
            classes={name: clean(asdict(one)) for name, one in self.classes.items()},
            confusion=self.confusion.tolist(),
            area_shares=self.shares.tolist(),
        )


class Stratified:
    """Points drawn at random within strata.

    Args:
        strata: (P,) stratum of each point, 0..H-1.
        sizes: Pixels of each stratum, H numbers.

    Raises:
        ValueError: There is no point, or a stratum has pixels and less than two points.
    """

    def __init__(self, strata: np.ndarray, sizes: Sequence[int]) -> None:
        self.counts = np.bincount(strata, minlength=len(sizes))
        self.weights = np.array(sizes) / sum(sizes)
        if few := np.flatnonzero((self.counts < 2) & (self.weights > 0)).tolist():
            raise ValueError(f'strata {few} have less than two points')
        self.strata = strata

    def mean(self, values: np.ndarray) -> float:
        """Estimate the mean of ``values`` (P,) over all pixels."""
        sums = np.bincount(self.strata, values, len(self.weights))
        return float(self.weights @ (sums / np.maximum(self.counts, 1)))

    def ratio(self, part: np.ndarray, whole: np.ndarray) -> Estimate:
        """Estimate the mean of ``part`` (P,) over that of ``whole`` (P,)."""
        total = self.mean(whole)
        if total == 0:
            return Estimate(np.nan, np.nan)
        value = self.mean(part) / total
        # To first order, the ratio varies as the mean of these residuals does.
        residuals = (part - value * whole) / total
        means = np.bincount(self.strata, residuals, len(self.weights)) / np.maximum(self.counts, 1)
        squares = np.bincount(
            self.strata, (residuals - means[self.strata]) ** 2, len(self.weights)
        ) / np.maximum(self.counts - 1, 1)
        variance = (self.weights**2 * squares / np.maximum(self.counts, 1)).sum()
        return Estimate(value, NORMAL * float(variance) ** 0.5)


def assess(
    mapped: np.ndarray,
    reference: np.ndarray,
    pixels: Mapping[str, int],
    names: Sequence[str],
    strata: np.ndarray | None = None,
    sizes: Sequence[int] | None = None,
) -> Assessment:
    """Estimate accuracy and area.

    Args:
        mapped: (P,) class that the map gives each point, an index into ``names``.
        reference: (P,) class that each point has.
        pixels: Pixels of the map by name of the class.
        names: Of all classes, also of those that only the reference has.
        strata: (P,) stratum of each point; by default the map's classes.
        sizes: Pixels of the strata.

    Returns:
        The estimates.

    Raises:
        ValueError: A stratum has less than two points.
    """
    counts = [pixels.get(name, 0) for name in names]
    sample = Stratified(mapped if strata is None else strata, counts if sizes is None else sizes)
    right, everywhere = (mapped == reference).astype(float), np.ones(len(mapped))
    number, classes = len(names), {}
    confusion = np.zeros((number, number), np.int64)
    np.add.at(confusion, (mapped, reference), 1)
    shares = [
        [sample.mean(((mapped == row) & (reference == column)).astype(float))
         for column in range(number)]
        for row in range(number)
    ]  # fmt: skip
    for index, name in enumerate(names):
        given, has = (mapped == index).astype(float), (reference == index).astype(float)
        users, producers = sample.ratio(given * has, given), sample.ratio(given * has, has)
        both = users.value + producers.value
        classes[name] = ClassEstimates(
            users=users,
            producers=producers,
            f1=2 * users.value * producers.value / both if both > 0 else np.nan,
            area=sample.ratio(has, everywhere),
            mapped=counts[index] / sum(counts),
            points=int(has.sum()),
        )
    return Assessment(sample.ratio(right, everywhere), classes, confusion, np.array(shares))


def sample_size(
    pixels: Sequence[int], expected: Sequence[float], margin: float, fewest: int
) -> list[int]:
    """Say how many points each map class needs.

    As many as give the overall accuracy the wanted interval (Cochran's formula, for the expected
    user's accuracies), dealt out in proportion to area, but to no class that occurs less than
    ``fewest``.

    Args:
        pixels: Of each class.
        expected: User's accuracy that is expected of each, 0..1.
        margin: Half the width of the 95 % interval of the overall accuracy, 0..1.
        fewest: Points of a rare class.
    """
    weights, users = np.array(pixels) / sum(pixels), np.array(expected)
    total = (weights @ np.sqrt(users * (1 - users)) / (margin / NORMAL)) ** 2
    wanted = np.maximum(np.ceil(total * weights), fewest)
    return np.minimum(wanted, pixels).astype(int).tolist()
