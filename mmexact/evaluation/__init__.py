"""Metrics, registered with MMSegmentation."""

from mmexact.evaluation.pseudo_label_metric import (
    PseudoLabelMetric,
    compares_pixels,
    select_with_pixel_labels,
)

__all__ = ['PseudoLabelMetric', 'compares_pixels', 'select_with_pixel_labels']
