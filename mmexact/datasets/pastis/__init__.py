"""PASTIS, as downloaded, copied window by window, or as PASTIS24."""

from mmexact.datasets.pastis.pastis import PASTISDataset
from mmexact.datasets.pastis.pastis24 import PASTIS24Dataset

__all__ = ['PASTIS24Dataset', 'PASTISDataset']
