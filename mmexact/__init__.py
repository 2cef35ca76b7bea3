"""mmexact: crop maps from satellite image time series and image-level labels, for MMSegmentation.

Importing the package checks the versions it runs with and registers its components with MMSeg.
"""

import warnings

from mmexact.version import __version__, check_versions

check_versions()

with warnings.catch_warnings():
    # MMSeg reports an optional compiled operator that we never use.
    warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
    import mmseg.datasets
    import mmseg.models  # noqa: F401

from mmexact import datasets, engine, evaluation, models, visualization  # noqa: E402

__all__ = ['__version__', 'datasets', 'engine', 'evaluation', 'models', 'visualization']
