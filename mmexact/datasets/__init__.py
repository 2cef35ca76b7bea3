"""Datasets of satellite image time series and the transforms that load them."""

from mmexact.datasets.pastis import PASTISDataset
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.transforms import LoadSITS, LoadSITSAnnotations, PackSITSInputs

__all__ = [
    'LoadSITS',
    'LoadSITSAnnotations',
    'PASTISDataset',
    'PackSITSInputs',
    'SITSDataset',
]
