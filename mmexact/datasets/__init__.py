"""Datasets of satellite image time series and the transforms that load them."""

from mmexact.datasets.batches import sits_collate
from mmexact.datasets.mtlcc import MTLCCDataset
from mmexact.datasets.pastis import PASTIS24Dataset, PASTISDataset
from mmexact.datasets.rasters import RasterSeriesDataset
from mmexact.datasets.samplers import SeededSampler, SeriesLengthBatchSampler
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.transforms import (
    LoadSITS,
    LoadSITSAnnotations,
    MonthlyComposite,
    PackSITSInputs,
)

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
    'SeededSampler',
    'SeriesLengthBatchSampler',
    'sits_collate',
]
