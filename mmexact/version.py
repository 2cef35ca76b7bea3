"""Our version, and the versions of other packages that we run with."""

import importlib.util
import runpy
from pathlib import Path

__version__ = '0.1.0'

REQUIRED = {
    'torch': '>=2.6,<3',  # torch.serialization.add_safe_globals with names, to read checkpoints
    'mmengine': '>=0.10,<1',  # lazy-import configs; the runner of the 2.x OpenMMLab packages
    'mmcv': '>=2.0,<3',  # the transforms' registry and random-choice protocol
    'mmseg': '>=1.2,<2',  # BaseSegDataset with label_map, BaseDecodeHead with custom losses
    'mmpretrain': '>=1.0,<2',  # AveragePrecision, the multi-label metric
}
"""Import name to accepted range; the same for the OneDL and the upstream distributions."""


def check_versions() -> None:
    """Refuse packages whose version we do not run with, before they are imported.

    Reads each package's ``version.py`` by itself: the packages' own start-up takes seconds and
    fails in its own words on a mixture of versions.

    Raises:
        ImportError: A package is missing, or its version lies outside the accepted range.
    """
    # mmengine and mmcv bring `packaging`; without them it may be absent too.
    if importlib.util.find_spec('packaging') is None:
        raise ImportError('mmexact needs the package packaging: pip install packaging')
    from packaging.specifiers import SpecifierSet

    for name, accepted in REQUIRED.items():
        found = installed_version(name)
        if found is None:
            raise ImportError(
                f'mmexact needs {name}{accepted}, which is not installed: '
                f'pip install -r requirements/runtime.txt'
            )
        if not SpecifierSet(accepted, prereleases=True).contains(found):
            raise ImportError(
                f'mmexact needs {name}{accepted}, found {name} {found}: '
                f'pip install -r requirements/runtime.txt'
            )


def installed_version(name: str) -> str | None:
    """Read a package's version without importing the package.

    Args:
        name: Import name of a package with a ``version.py`` that imports nothing of its own.

    Returns:
        Its ``__version__``, or None when the package is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    version_file = Path(spec.submodule_search_locations[0]) / 'version.py'
    if not version_file.is_file():
        return None
    return runpy.run_path(str(version_file))['__version__']
