"""Metrics, registered with MMSegmentation."""

from mmexact.evaluation.calibration_metric import CalibrationMetric
from mmexact.evaluation.pseudo_label_metric import (
    PseudoLabelMetric,
    compares_pixels,
    select_with_pixel_labels,
)

__all__ = ['CalibrationMetric', 'PseudoLabelMetric', 'compares_pixels', 'select_with_pixel_labels']
