"""Mistakes in a segmentor's config are told by the key, and the page on segmentors runs."""

import inspect
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmexact.apis.command_line import config_parser, load_config
from mmexact.engine.segmentor_check import (
    BUILD_OPERATORS,
    NEEDED,
    OPERATORS,
    check_channels_once,
    check_classes,
    check_components,
)
from tests.test_models.test_segmentors import REPO, load, shrink, tree  # noqa: F401

PAGE = (REPO / 'docs' / 'segmentors.md').read_text()


def test_components_that_exist():
    for path in (REPO / 'configs' / 'exact').glob('*.py'):
        check_components(Config.fromfile(path).model)


@pytest.mark.parametrize(
    ('key', 'name', 'message'),
    [
        (
            'backbone',
            'no_such_package.Net',
            r"model\.backbone\.type='no_such_package\.Net' needs the package no_such_package, "
            r'which is not installed: pip install no_such_package',
        ),
        ('decode_head', 'mmnothing.models.Head', r'needs the package mmnothing,'),
        (
            'neck',
            'ConvNext',
            r"model\.neck\.type='ConvNext' is not registered. Write 'mmpretrain.ConvNext'",
        ),
        ('auxiliary_head', 'MyHead', r"auxiliary_head\.type='MyHead'.* custom_imports\.imports"),
    ],
)
def test_a_component_that_is_missing(key, name, message):
    with pytest.raises(ValueError, match=message):
        check_components({'type': 'EncoderDecoder', key: dict(type=name)})


def test_keys_of_nested_components():
    backbone = dict(type='TemporalStem', backbone=dict(type='Nothing'))
    with pytest.raises(ValueError, match=r"^model\.backbone\.backbone\.type='Nothing'"):
        check_components(dict(backbone=backbone))
    heads = [dict(type='FCNHead', loss_decode=[dict(type='nothing_here.Loss')])]
    with pytest.raises(ValueError, match=r'^model\.auxiliary_head\[0\]\.loss_decode\[0\]\.type'):
        check_components(dict(auxiliary_head=heads))


def test_a_package_that_a_component_imports(monkeypatch):
    settings = dict(backbone=dict(type='mmpretrain.TIMMBackbone'))
    monkeypatch.setattr(
        'mmexact.engine.segmentor_check.find_spec', lambda name: name != 'timm' or None
    )
    with pytest.raises(ValueError, match=r'TIMMBackbone.* needs the package timm'):
        check_components(settings)


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these are installed, and nothing else is."""
    packages = set()
    monkeypatch.setattr(
        'mmexact.engine.segmentor_check.find_spec', lambda name: name in packages or None
    )
    return packages


BUILD = re.escape(BUILD_OPERATORS)


@pytest.mark.parametrize('name', ['CCHead', 'PSAHead', 'PointHead', 'SideAdapterCLIPHead'])
def test_heads_that_need_compiled_operators(name, installed):
    heads = [dict(type='FCNHead'), dict(type=name)]
    message = (
        rf"^model\.decode_head\[1\]\.type='{name}' needs MMCV's compiled operators, which are not "
        rf'installed\. With a C\+\+ compiler: {BUILD}\. docs/segmentors\.md lists'
    )
    with pytest.raises(ValueError, match=message):
        check_components(dict(decode_head=heads))
    installed.add('mmcv._ext')
    check_components(dict(decode_head=heads))


@pytest.mark.parametrize('name', ['MaskFormerHead', 'Mask2FormerHead', 'mmdet.PixelDecoder'])
def test_one_message_for_operators_and_mmdet(name, installed):
    """MMSeg asks for mmdet even where it is there, and the operators are what is missing."""
    model = dict(neck=dict(type=name))
    both = rf'operators and the package mmdet, .*: {BUILD} && pip install onedl-mmdetection\. docs'
    with pytest.raises(ValueError, match=both):
        check_components(model)
    installed.add('mmdet')
    with pytest.raises(ValueError, match=rf'operators, which .*: {BUILD}\. docs'):
        check_components(model)
    installed.clear()
    installed.add('mmcv._ext')
    message = r'needs the package mmdet, which is not installed: pip install onedl-mmdetection$'
    with pytest.raises(ValueError, match=message):
        check_components(model)


def test_operators_inside_a_backbone(installed):
    backbone = dict(type='TemporalStem', backbone=dict(type='ResNet', dcn=dict(type='DCN')))
    with pytest.raises(ValueError, match=r"^model\.backbone\.backbone\.dcn\.type='DCN' needs MMCV"):
        check_components(dict(backbone=backbone))


def test_focal_loss_needs_operators_on_a_gpu_only(installed, monkeypatch):
    head = dict(type='FCNHead', loss_decode=dict(type='FocalLoss'))
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    check_components(dict(decode_head=head))
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    with pytest.raises(ValueError, match=r"loss_decode\.type='FocalLoss' needs MMCV's compiled"):
        check_components(dict(decode_head=head))


def test_all_of_mmseg_that_needs_operators_is_known():
    need = set()
    for name, part in MODELS.module_dict.items():
        source = inspect.getsource(inspect.getmodule(part))
        if part.__module__.startswith('mmseg.') and re.search(r'from (mmcv\.ops|mmdet)', source):
            need.add(name)
    of_mmdet = {name for name, package in NEEDED.items() if package == 'mmdet'}
    of_mmcv = {'DCN', 'DCNv2', 'carafe'}
    assert need == (OPERATORS - of_mmcv) | of_mmdet | {'FocalLoss'}


def test_the_tools_tell_it_in_one_line(capsys):
    arguments = [str(REPO / 'configs/exact/seg_utae_demo.py'), '--cfg-options']
    arguments += ['model.backbone.type=no_such_package.Net']
    with pytest.raises(SystemExit) as ended:
        load_config(config_parser('Train.', checkpoint=False).parse_args(arguments))
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "seg_utae_demo.py: model.backbone.type='no_such_package.Net' needs the package" in line


@pytest.mark.parametrize('key', ['decode_head', 'auxiliary_head'])
def test_a_head_with_other_classes_than_the_masks(key, tree, tmp_path):  # noqa: F811
    cfg = shrink(load('seg_fcn_demo'), tree, tmp_path)
    cfg.model[key].num_classes = 19
    message = (
        rf'model\.{key}\.num_classes=19, but the masks of the dataset have 9 classes '
        rf'\(Background, \.\.\., Grapevine\): set model\.{key}\.num_classes=9'
    )
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(cfg).train()


def test_heads_in_lists_are_named_by_their_place():
    model = MODELS.build(load('seg_fcn_demo').model)
    model.auxiliary_head = torch.nn.ModuleList([model.auxiliary_head, model.auxiliary_head])
    check_classes(model, ['a'] * 9)
    check_classes(model, None)
    model.auxiliary_head[1].num_classes = 9
    model.decode_head.num_classes = 4
    with pytest.raises(ValueError, match=r'^model\.auxiliary_head\[0\]\.num_classes=9'):
        check_classes(model, ['a'] * 4)


def test_a_backbone_that_does_not_take_the_channels(tree, tmp_path):  # noqa: F811
    cfg = shrink(load('seg_fcn_demo'), tree, tmp_path)
    stock = cfg.model.backbone.backbone
    cfg.model.backbone = dict(stock, in_channels=120)  # as bands, without the days of year
    with pytest.raises(
        ValueError,
        match=r'^model\.backbone\.in_channels=120, but ResNetV1c gets 132 channels\. .*'
        r'set model\.backbone\.in_channels=132',
    ):
        Runner.from_cfg(cfg).train()


def test_channels_are_compared_once():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
    check_channels_once(network)
    network(torch.zeros(1, 3, 2, 2))
    assert not network[0]._forward_pre_hooks
    check_channels_once(torch.nn.Linear(2, 2))  # nothing to compare


def blocks() -> dict[str, str]:
    """The files that the page shows, by name."""
    found = re.findall(r'```python\n# mine/(\w+\.py)\n(.*?)```', PAGE, re.DOTALL)
    return dict(found)


def test_a_user_s_own_segmentor_runs(tree, tmp_path, monkeypatch):  # noqa: F811
    files = blocks()
    assert sorted(files) == ['my_config.py', 'my_network.py']
    assert sum(len(text.strip().splitlines()) for text in files.values()) <= 20
    (tmp_path / 'mmexact').symlink_to(REPO)
    (tmp_path / 'mine').mkdir()
    for name, text in files.items():
        (tmp_path / 'mine' / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / 'mine')
    cfg = Config.fromfile(tmp_path / 'mine' / 'my_config.py')
    check_components(cfg.model)
    run = Runner.from_cfg(shrink(cfg, tree, tmp_path / 'run'))
    run.train()
    assert run.iter == 1
    assert type(run.model.backbone.backbone).__name__ == 'MyNetwork'
    assert not run.model.with_auxiliary_head
    assert 0 <= run.test()['mIoU'] <= 100


def test_the_page_names_every_shipped_segmentor():
    named = set(re.findall(r'^\| `(\w+)` \|.* M \|$', PAGE, re.MULTILINE))
    shipped = {path.stem[4:-7] for path in (REPO / 'configs' / 'exact').glob('seg_*_pastis.py')}
    assert named == shipped
    for path in re.findall(r'(?:tools|configs)/[\w/]+\.py', PAGE):
        assert (REPO / path).is_file(), path


def test_parameters_on_the_page():
    rows = re.findall(r'^\| `(\w+)` \|.*\| ([\d.]+) M \|$', PAGE, re.MULTILINE)
    for name, millions in rows:
        model = MODELS.build(load(f'seg_{name}_pastis').model)
        count = sum(parameter.numel() for parameter in model.parameters())
        assert round(count / 1e6, 1) == float(millions), name
