"""Versions: those that setup.py allows, requirements/ pins, and the import accepts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.registry import HOOKS
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from setuptools import find_packages
from setuptools.build_meta import prepare_metadata_for_build_wheel

import mmexact
from mmexact.version import REQUIRED, check_versions, installed_version

REPO = Path(__file__).resolve().parents[1]


def pins() -> dict[str, list[Requirement]]:
    """What requirements/ pins, extras included, by distribution; some once per Python version."""
    found: dict[str, list[Requirement]] = {}
    texts = [(REPO / f'requirements/{name}.txt').read_text() for name in ('runtime', 'dev')]
    for line in ''.join(texts).splitlines():
        if line and not line.startswith(('#', '-r ')):
            requirement = Requirement(line)
            found.setdefault(requirement.name, []).append(requirement)
    return found


def version_of(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == '=='
    return specifier.version


@pytest.fixture(scope='module')
def metadata(tmp_path_factory) -> list[str]:
    """Lines of the metadata that setup.py makes, in a copy of its files."""
    copy = tmp_path_factory.mktemp('copy')
    for name in ('setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'mmexact/version.py'):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes((REPO / name).read_bytes())
    (copy / 'mmexact/__init__.py').touch()
    before = Path.cwd()
    os.chdir(copy)
    try:
        folder = prepare_metadata_for_build_wheel(str(copy))
    finally:
        os.chdir(before)
    return (copy / folder / 'METADATA').read_text().splitlines()


def test_metadata(metadata):
    assert f'Version: {mmexact.__version__}' in metadata
    assert 'Requires-Python: >=3.10' in metadata
    assert 'License: Apache-2.0' in metadata or 'License-Expression: Apache-2.0' in metadata


def test_every_pin_lies_in_the_range_of_setup(metadata):
    ranges = [Requirement(line.split(': ')[1]) for line in metadata if 'Requires-Dist' in line]
    pinned = pins()
    for requirement in ranges:
        versions = [version_of(pin) for pin in pinned.get(requirement.name, [])]
        if requirement.name != 'packaging':  # comes with onedl-mmengine
            assert versions, f'{requirement.name} is not pinned'
        assert all(requirement.specifier.contains(version) for version in versions)


def test_every_pin_lies_in_the_range_of_the_import():
    pinned = pins()
    distribution = {'mmengine': 'onedl-mmengine', 'mmcv': 'onedl-mmcv', 'torch': 'torch'}
    distribution |= {'mmseg': 'onedl-mmsegmentation', 'mmpretrain': 'onedl-mmpretrain'}
    for name, accepted in REQUIRED.items():
        (pin,) = pinned[distribution[name]]
        assert SpecifierSet(accepted).contains(version_of(pin))


def test_each_supported_python_gets_one_version_of_each_package():
    for name, candidates in pins().items():
        for python in ('3.10', '3.11', '3.12', '3.13'):
            environment = {'python_version': python}
            chosen = [
                pin for pin in candidates if pin.marker is None or pin.marker.evaluate(environment)
            ]
            assert len(chosen) == 1, f'{name} on Python {python}: {chosen}'


def test_all_code_is_packaged():
    packages = set(find_packages(str(REPO), include=['mmexact', 'mmexact.*']))
    folders = {path.parent.relative_to(REPO) for path in (REPO / 'mmexact').rglob('*.py')}
    assert packages == {'.'.join(folder.parts) for folder in folders}


def test_installed_versions_are_accepted():
    check_versions()
    assert installed_version('mmseg') is not None
    assert installed_version('no_such_package') is None


def import_beside(folder: Path) -> str:
    """Import mmexact in a process that finds the packages of ``folder`` first; its last line."""
    done = subprocess.run(
        [sys.executable, '-c', 'import mmexact'],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), str(REPO)])),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ('name', 'version', 'accepted'),
    [
        ('mmcv', '1.7.2', '<3,>=2.0'),
        ('mmcv', '3.0.0rc1', '<3,>=2.0'),
        ('mmseg', '1.1.0', '<2,>=1.2'),
        ('torch', '1.13.1+cpu', '<3,>=2.6'),
    ],
)
def test_version_out_of_range_fails_at_import(tmp_path, name, version, accepted):
    (tmp_path / name).mkdir()
    (tmp_path / name / '__init__.py').touch()
    (tmp_path / name / 'version.py').write_text(f'__version__ = {version!r}\n')
    assert SpecifierSet(accepted) == SpecifierSet(REQUIRED[name])
    last = import_beside(tmp_path)
    assert last == (
        f'ImportError: mmexact needs {name}{REQUIRED[name]}, found {name} {version}: '
        f'pip install -r requirements/runtime.txt'
    )


def test_package_without_a_version_counts_as_missing(tmp_path):
    (tmp_path / 'mmpretrain').mkdir()
    (tmp_path / 'mmpretrain/__init__.py').touch()
    assert 'needs mmpretrain>=1.0,<2, which is not installed' in import_beside(tmp_path)


def test_default_runtime_names_registered_components():
    cfg = Config.fromfile(REPO / 'configs/_base_/default_runtime.py')
    assert cfg.default_scope == 'mmseg'
    assert cfg.custom_imports['imports'] == ['mmexact']
    for hook in cfg.default_hooks.values():
        assert HOOKS.get(hook['type']) is not None
