import numpy as np
import pytest

from mmexact.datasets.statistics import BandHistograms, BandMoments


def blocks(dtype=np.int16):
    """Three blocks (T, 2, h, w) of different sizes, with some values that do not count."""
    rng = np.random.default_rng(0)
    for shape in ((3, 2, 4, 4), (1, 2, 2, 5), (6, 2, 1, 1)):
        values = rng.integers(-300, 9000, shape).astype(dtype)
        yield values, rng.random(shape) < 0.7


def joined(band):
    return np.concatenate([values[:, band][valid[:, band]] for values, valid in blocks()])


def test_moments_are_those_of_all_values_at_once():
    moments = BandMoments(2)
    for values, valid in blocks():
        moments.add(values, valid)
    for band in range(2):
        assert moments.count[band] == len(joined(band))
        assert moments.mean[band] == pytest.approx(joined(band).mean(), rel=1e-12)
        assert moments.std[band] == pytest.approx(joined(band).std(), rel=1e-12)


def test_moments_keep_their_digits_far_from_zero():
    moments = BandMoments(1)
    values = 1e9 + np.array([0.0, 1.0, 2.0]).reshape(3, 1, 1, 1)
    for part in (values[:1], values[1:]):
        moments.add(part, np.ones(part.shape, bool))
    assert moments.mean[0] == 1e9 + 1
    assert moments.std[0] == pytest.approx(np.sqrt(2 / 3), rel=1e-12)


def test_a_band_never_observed_counts_nothing():
    moments = BandMoments(2)
    values = np.full((1, 2, 2, 2), 5, np.int16)
    valid = np.zeros(values.shape, bool)
    moments.add(values, valid)
    valid[:, 0] = True
    moments.add(values, valid)
    assert moments.count.tolist() == [4, 0]
    assert moments.mean.tolist() == [5, 0]


@pytest.mark.parametrize('dtype', [np.int16, np.uint16, np.uint8])
def test_percentiles_leave_out_both_ends(dtype):
    # 1..100 once each: the 3rd to 98th percentile are the values 3..98.
    values = np.arange(1, 101, dtype=dtype).reshape(4, 1, 5, 5)
    histograms = BandHistograms(1)
    valid = np.ones((2, *values.shape[1:]), bool)
    histograms.add(values[:2], valid)
    histograms.add(values[2:], valid)
    mean, std = histograms.moments_between(3, 98)
    assert mean[0] == pytest.approx(np.arange(3, 99).mean())
    assert std[0] == pytest.approx(np.arange(3, 99).std())
    mean, std = histograms.moments_between(0, 100)
    assert mean[0] == pytest.approx(50.5)
    assert std[0] == pytest.approx(np.arange(1, 101).std())


def test_percentiles_of_negative_and_masked_values():
    values = np.array([-5, -5, 7, 9000], np.int16).reshape(4, 1, 1, 1)
    histograms = BandHistograms(1)
    histograms.add(values, values != 9000)
    assert histograms.counts.sum() == 3
    assert histograms.moments_between(0, 100)[0][0] == pytest.approx(-1)
    assert histograms.moments_between(0, 60)[0][0] == pytest.approx(-5)


def test_percentiles_need_small_integers():
    with pytest.raises(ValueError, match='values of type float32: percentiles need integers'):
        BandHistograms(1).add(np.zeros((1, 1, 2, 2), np.float32), np.ones((1, 1, 2, 2), bool))
