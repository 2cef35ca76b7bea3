"""Dated rasters and data cubes of one area or several."""

from mmexact.datasets.rasters.dataset import RasterSeriesDataset

__all__ = ['RasterSeriesDataset']
