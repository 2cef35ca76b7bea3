"""mmexact: crop maps from satellite image time series and image-level labels, for MMSegmentation.

Importing the package checks the versions it runs with and registers its components with MMSeg.
"""

import contextlib
import io
import warnings

from .version import __version__, check_versions

check_versions()

# Importing MMSeg reports two optional parts that we never use, on stdout and as a warning, to
# everyone who installed the wheels without compiled operators. Only those two lines are dropped.
_printed = io.StringIO()
try:
    with warnings.catch_warnings(), contextlib.redirect_stdout(_printed):
        warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
        import mmseg.datasets
        import mmseg.models  # noqa: F401
finally:
    for _line in _printed.getvalue().splitlines():
        if _line != 'Could not import OneDL':
            print(_line)

from . import (  # noqa: E402
    checkpoint,  # noqa: F401
    datasets,  # noqa: F401
    engine,  # noqa: F401
    evaluation,  # noqa: F401
    hooks,  # noqa: F401
    models,  # noqa: F401
    segmentor_check,  # noqa: F401
    visualization,  # noqa: F401
)

__all__ = ['__version__']
