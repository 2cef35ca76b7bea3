"""Pipeline steps: loading, composites, packing."""

from mmexact.datasets.transforms.composites import MonthlyComposite
from mmexact.datasets.transforms.loading import LoadSITS, LoadSITSAnnotations, PackSITSInputs

__all__ = ['LoadSITS', 'LoadSITSAnnotations', 'MonthlyComposite', 'PackSITSInputs']
