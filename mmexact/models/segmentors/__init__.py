"""The classifier, which segments by its activation maps."""

from mmexact.models.segmentors.exact_classifier import ExactClassifier

__all__ = ['ExactClassifier']
