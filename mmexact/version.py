"""Our version, and the versions of other packages that we run with."""

from importlib.metadata import PackageNotFoundError, version

__version__ = '0.1.0'

REQUIRED = {
    'torch': '>=2.6,<3',  # torch.serialization.add_safe_globals with names, to read checkpoints
    'mmengine': '>=0.10,<1',  # lazy-import configs; the runner of the 2.x OpenMMLab packages
    'mmcv': '>=2.0,<3',  # the transforms' registry and random-choice protocol
    'mmseg': '>=1.2,<2',  # BaseSegDataset with label_map, BaseDecodeHead with custom losses
    'mmpretrain': '>=1.0,<2',  # AveragePrecision, the multi-label metric
}
"""Import name to accepted range; the same for the OneDL and the upstream distributions."""

DISTRIBUTIONS = {
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
}
"""Under which names a package may be installed, where that is not its own."""


def check_versions() -> None:
    """Refuse packages whose version we do not run with, before they are imported.

    Asks what is installed: the packages' own start-up takes seconds and fails in its own words on a
    mixture of versions.

    Raises:
        ImportError: A package is missing, or its version lies outside the accepted range.
    """
    from packaging.specifiers import SpecifierSet

    for name, accepted in REQUIRED.items():
        found = installed_versions(name)
        wrong = [
            each for each in found if not SpecifierSet(accepted, prereleases=True).contains(each)
        ]
        if wrong or not found:
            state = f'found {name} {wrong[0]}' if wrong else 'which is not installed'
            package = DISTRIBUTIONS.get(name, (name,))[0]
            raise ImportError(
                f"mmexact needs {name}{accepted}, {state}: pip install '{package}{accepted}'"
            )


def installed_versions(name: str) -> list[str]:
    """List the installed versions of a package, one for each distribution that brings it.

    Args:
        name: Import name.
    """
    found = []
    for distribution in DISTRIBUTIONS.get(name, (name,)):
        try:
            found.append(version(distribution))
        except PackageNotFoundError:
            continue
    return found
