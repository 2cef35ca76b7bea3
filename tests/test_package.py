"""The wheel, and versions: those that it allows, requirements/ pins, and the import accepts."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import mmengine
import pytest
from mmengine.config import Config
from mmseg.registry import HOOKS
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import mmexact
from mmexact.version import REQUIRED

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


def files(folder: Path) -> set[str]:
    """Paths of all files in a folder, seen from there."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}
    return {path for path in found if '__pycache__' not in path}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> Path:
    """Folder with the content of the wheel, built in a copy of the checkout."""
    copy, out = tmp_path_factory.mktemp('copy'), tmp_path_factory.mktemp('wheel')
    for name in ('mmexact', 'configs', 'tools'):
        shutil.copytree(REPO / name, copy / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE'):
        shutil.copy(REPO / name, copy)
    shutil.copy(REPO / 'model-index.yml', copy)
    # What an earlier build has left behind is not packed.
    (copy / 'build/lib/mmexact').mkdir(parents=True)
    (copy / 'build/lib/mmexact/moved_away.py').touch()
    command = [sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '.']
    subprocess.run([*command, '--wheel-dir', str(out)], cwd=copy, check=True, capture_output=True)
    (path,) = out.iterdir()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(out / 'content')
    return out / 'content'


@pytest.fixture(scope='module')
def metadata(wheel) -> list[str]:
    (path,) = wheel.glob('*.dist-info/METADATA')
    return path.read_text(encoding='utf-8').splitlines()


def test_metadata(metadata):
    assert f'Version: {mmexact.__version__}' in metadata
    assert 'Requires-Python: >=3.10' in metadata
    assert 'License-Expression: Apache-2.0' in metadata
    assert 'Project-URL: Paper, https://arxiv.org/abs/2412.03968' in metadata


def test_the_wheel_has_all_of_the_package_and_what_openmmlab_s_tools_look_for(wheel):
    package = {path for path in files(wheel / 'mmexact') if not path.startswith('.mim/')}
    assert package == files(REPO / 'mmexact')
    assert 'py.typed' in package
    for folder in ('configs', 'tools'):
        assert files(wheel / 'mmexact/.mim' / folder) == files(REPO / folder)
    assert files(wheel / 'mmexact/.mim') > {'model-index.yml'}
    assert {path.name.split('-')[0] for path in wheel.iterdir()} == {'mmexact'}


def test_a_config_of_the_wheel_is_that_of_the_checkout(wheel):
    name = 'configs/exact/seg_fcn_demo.py'
    packed = Config.fromfile(wheel / 'mmexact/.mim' / name)
    assert packed.to_dict() == Config.fromfile(REPO / name).to_dict()


def test_the_model_index_names_every_config(wheel):
    root = wheel / 'mmexact/.mim'
    index = mmengine.load(root / 'model-index.yml')
    models = [model for path in index['Import'] for model in mmengine.load(root / path)['Models']]
    configs = [f'configs/exact/{path.name}' for path in (REPO / 'configs/exact').glob('*.py')]
    assert sorted(model['Config'] for model in models) == sorted(configs)
    assert all(model['Name'] == Path(model['Config']).stem for model in models)


def test_every_pin_lies_in_the_range_of_the_metadata(metadata):
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


def test_default_runtime_names_registered_components():
    cfg = Config.fromfile(REPO / 'configs/_base_/default_runtime.py')
    assert cfg.default_scope == 'mmseg'
    assert cfg.custom_imports['imports'] == ['mmexact']
    for hook in cfg.default_hooks.values():
        assert HOOKS.get(hook['type']) is not None
