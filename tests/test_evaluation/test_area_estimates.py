"""Accuracy and area against the worked example of Olofsson et al. 2014, and against the truth."""

import numpy as np
import pytest

from mmexact.evaluation.area_estimates import assess, sample_size

NAMES = ['deforestation', 'forest gain', 'stable forest', 'stable non-forest']
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = dict(zip(NAMES, (200_000, 150_000, 3_200_000, 6_450_000), strict=True))
HECTARES = 900_000
"""10 million pixels of 30 m."""


def points(counts):
    rows, columns = np.indices(counts.shape)
    return rows.repeat(counts.ravel()), columns.repeat(counts.ravel())


def test_the_worked_example_of_good_practices():
    result = assess(*points(COUNTS), PIXELS, NAMES)
    assert result.confusion.tolist() == COUNTS.tolist()
    assert (round(result.overall.value, 2), round(result.overall.margin, 2)) == (0.95, 0.02)
    users = [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    # By the paper's equation 7, worked out apart.
    producers = [(0.7487, 0.2133), (0.8472, 0.2544), (0.9345, 0.0343), (0.9616, 0.0184)]
    areas = [(21_158, 6_158), (11_686, 3_756), (285_770, 15_510), (581_386, 16_282)]
    for name, user, producer, area in zip(NAMES, users, producers, areas, strict=True):
        found = result.classes[name]
        assert (round(found.users.value, 2), round(found.users.margin, 2)) == user
        assert (found.producers.value, found.producers.margin) == pytest.approx(producer, abs=5e-5)
        hectares = found.area * HECTARES
        assert abs(hectares.value - area[0]) < 1
        assert abs(hectares.margin / area[1] - 1) < 1e-3
    assert result.shares.sum() == pytest.approx(1)
    assert result.classes['deforestation'].mapped == 0.02


def test_95_of_100_intervals_hold_the_truth():
    rng = np.random.default_rng(0)
    # The truth: shares of map class (rows) and reference (columns).
    truth = np.array([[0.25, 0.03, 0.01], [0.02, 0.35, 0.04], [0.02, 0.02, 0.26]])
    names, pixels = ['a', 'b', 'c'], dict(a=29_000, b=41_000, c=30_000)
    held = np.zeros(7)
    for _ in range(1000):
        counts = np.stack([rng.multinomial(150, row / row.sum()) for row in truth])
        found = assess(*points(counts), pixels, names)
        estimates = [found.overall, *(found.classes[name].area for name in names)]
        estimates += [found.classes[name].producers for name in names]
        expected = [np.trace(truth), *truth.sum(0), *(np.diag(truth) / truth.sum(0))]
        held += [
            abs(one.value - right) <= one.margin
            for one, right in zip(estimates, expected, strict=True)
        ]
    assert ((held >= 930) & (held <= 970)).all(), held


def test_strata_need_not_be_classes():
    # Two strata of 75 and 25 pixels: all right in the first, half of it in the second.
    mapped = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    reference = np.array([0, 0, 1, 1, 0, 1, 1, 0])
    strata = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    result = assess(mapped, reference, dict(a=50, b=50), ['a', 'b'], strata, [75, 25])
    assert result.overall.value == 0.75 + 0.25 / 2
    # In the second stratum the variance of 0, 0, 1, 1 is 1/3, over 4 points, times 0.25 squared.
    assert result.overall.margin == pytest.approx(1.959964 * (0.25**2 / 3 / 4) ** 0.5)
    assert result.classes['a'].area.value == 0.5


def test_a_class_that_only_the_reference_has():
    result = assess(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]), dict(a=100), ['a', 'b'])
    assert result.classes['b'].producers.value == 0
    assert np.isnan(result.classes['b'].users.value)
    assert result.classes['b'].area.value == 0.25
    assert result.as_json()['classes']['b']['users'] == dict(value=None, margin=None)


def test_a_stratum_without_points_is_named():
    with pytest.raises(ValueError, match=r'strata \[1\] have less than two points'):
        assess(np.zeros(4, int), np.zeros(4, int), dict(a=50, b=50), ['a', 'b'])


def test_points_that_a_map_needs():
    # Cochran: (0.5 * 0.3 + 0.5 * 0.4)^2 / (0.05 / 1.96)^2 = 188.2 points, half of them each.
    assert sample_size([5000, 5000], [0.9, 0.8], 0.05, 10) == [95, 95]
    assert sample_size([9900, 60, 40], [0.9, 0.9, 0.9], 0.05, 50) == [137, 50, 40]
