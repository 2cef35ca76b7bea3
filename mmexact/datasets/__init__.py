"""Datasets of satellite image time series and the transforms that load them."""

from mmexact.datasets.batch_sampler import SeriesLengthBatchSampler
from mmexact.datasets.batches import sits_collate
from mmexact.datasets.composite import MonthlyComposite
from mmexact.datasets.mtlcc import MTLCCDataset
from mmexact.datasets.pastis import PASTISDataset
from mmexact.datasets.pastis24 import PASTIS24Dataset
from mmexact.datasets.raster_series import RasterSeriesDataset
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.transforms import LoadSITS, LoadSITSAnnotations, PackSITSInputs

__all__ = [
    'LoadSITS',
    'LoadSITSAnnotations',
    'MTLCCDataset',
    'MonthlyComposite',
    'PASTIS24Dataset',
    'PASTISDataset',
    'PackSITSInputs',
    'RasterSeriesDataset',
    'SITSDataset',
    'SeriesLengthBatchSampler',
    'sits_collate',
]
