"""Calibration of probabilities that are known, and of a model that is made too sure."""

import math

import pytest
import torch

from mmexact.evaluation.calibration_metric import (
    TEMPERATURES,
    CalibrationMetric,
    calibration_errors,
    count_pixels,
)


def score(logits, truth):
    metric = CalibrationMetric()
    sample = dict(seg_logits=dict(data=logits), gt_sem_seg=dict(data=truth))
    metric.process({}, [sample])
    return metric.compute_metrics(metric.results)


def test_the_error_is_what_it_is_by_hand():
    # Four pixels at 0.8, of which three are right, and one at 0.5: bins 12 and 7 of 15.
    logits = torch.tensor([[0.8, 0.8, 0.8, 0.8, 0.5], [0.2, 0.2, 0.2, 0.2, 0.5]]).log()
    truth = torch.tensor([0, 0, 0, 1, 0])
    errors, likelihoods = calibration_errors(count_pixels(logits, truth))
    one = TEMPERATURES.index(1.0)
    assert errors[one].item() == pytest.approx(4 / 5 * 0.05 + 1 / 5 * 0.5, abs=1e-6)
    expected = -(3 * math.log(0.8) + math.log(0.2) + math.log(0.5)) / 5
    assert likelihoods[one].item() == pytest.approx(expected, abs=1e-6)


def test_a_model_that_is_four_times_too_sure_is_told_by_how_much():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 100, 100, generator=generator)
    chances = logits.softmax(0).flatten(1).T
    truth = torch.multinomial(chances, 1, generator=generator).view(1, 100, 100)
    good, sure = score(logits, truth), score(4 * logits, truth)
    assert good['temperature'] == pytest.approx(1, rel=0.06)
    assert good['ECE'] < 1.5
    assert sure['temperature'] == pytest.approx(4, rel=0.06)
    assert sure['ECE'] > 10
    assert sure['scaled_ECE'] < 1.5
    assert sure['scaled_NLL'] == pytest.approx(good['NLL'], rel=0.01)


def test_ignored_pixels_do_not_count_and_masks_are_needed():
    logits = torch.randn(3, 4, 4)
    truth = torch.randint(0, 3, (1, 4, 4))
    part = truth.clone()
    part[:, 2:] = 255
    assert score(logits, part) == score(logits[:, :2], truth[:, :2])
    with pytest.raises(ValueError, match='7_0 has no pixel labels'):
        CalibrationMetric().process({}, [dict(sample_id='7_0', seg_logits=dict(data=logits))])
