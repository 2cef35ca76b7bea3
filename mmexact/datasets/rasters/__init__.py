"""Dated rasters and data cubes of one area or several."""

from mmexact.datasets.rasters.raster_series import RasterSeriesDataset

__all__ = ['RasterSeriesDataset']
