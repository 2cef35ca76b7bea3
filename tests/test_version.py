"""Versions of other packages, as installed distributions tell them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmexact.version import REQUIRED, check_versions, installed_versions

REPO = Path(__file__).resolve().parents[1]
OTHERS = [
    ('onedl-mmcv', 'mmcv', '1.7.2'),
    ('mmcv', 'mmcv', '3.0.0rc1'),
    ('mmsegmentation', 'mmseg', '1.1.0'),
    ('torch', 'torch', '1.13.1+cpu'),
]
"""Distribution, import name and a version that we do not run with."""


NEW = {
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmseg': 'onedl-mmsegmentation',
    'mmpretrain': 'onedl-mmpretrain',
}
"""The maintained distributions, which messages advise."""


def install(folder: Path, distribution: str, version: str) -> None:
    """Leave what pip leaves of an installed distribution."""
    info = folder / f'{distribution.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    text = f'Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n'
    (info / 'METADATA').write_text(text)


def refusal(name: str, version: str) -> str:
    package = 'torch' if name == 'torch' else NEW[name]
    accepted = REQUIRED[name]
    return (
        f"mmexact needs {name}{accepted}, found {name} {version}: pip install '{package}{accepted}'"
    )


def test_what_is_installed_here_is_accepted():
    check_versions()
    assert len(installed_versions('mmseg')) == 1
    assert installed_versions('no_such_package') == []


@pytest.mark.parametrize(('distribution', 'name', 'version'), OTHERS)
def test_a_version_out_of_range_is_named(tmp_path, monkeypatch, distribution, name, version):
    install(tmp_path, distribution, version)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as error:
        check_versions()
    assert str(error.value) == refusal(name, version)


def test_upstream_and_local_versions_are_accepted(tmp_path, monkeypatch):
    for distribution, version in [('mmcv-lite', '2.1.0'), ('torch', '2.7.1+cu128')]:
        install(tmp_path, distribution, version)
    monkeypatch.syspath_prepend(tmp_path)
    check_versions()
    assert '2.1.0' in installed_versions('mmcv')


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(REQUIRED, 'no_such_package', '>=1,<2')
    with pytest.raises(ImportError, match=r'needs no_such_package>=1,<2, which is not installed'):
        check_versions()


def test_the_import_ends_before_anything_heavy_is_imported(tmp_path):
    distribution, name, version = OTHERS[0]
    install(tmp_path, distribution, version)
    code = (
        'import sys\n'
        'try:\n'
        '    import mmexact\n'
        'except ImportError as error:\n'
        "    print(error, {'torch', 'mmengine', 'mmcv'} & set(sys.modules), sep='|')"
    )
    path = os.pathsep.join([str(tmp_path), str(REPO)])
    done = subprocess.run(
        [sys.executable, '-c', code],
        env=dict(os.environ, PYTHONPATH=path),
        capture_output=True,
        text=True,
    )
    assert done.stdout == f'{refusal(name, version)}|set()\n', done.stderr
