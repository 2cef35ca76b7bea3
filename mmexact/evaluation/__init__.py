"""Metrics, registered with MMSegmentation."""

from mmexact.evaluation.pseudo_label_metric import PseudoLabelMetric, select_with_pixel_labels

__all__ = ['PseudoLabelMetric', 'select_with_pixel_labels']
