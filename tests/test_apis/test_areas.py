"""A user's own area: one dict reaches datasets, models, slide inference and schedules."""

from pathlib import Path
from textwrap import dedent

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmexact.apis.configs import read_config, shipped

AREA = """
area = dict(
    data_root='{root}',
    rasters='series/*.tif',
    search=dict(bands=['B04', 'B08']),
    {labels}
    classes=('Other', 'Wheat', 'Maize', 'Grass'),
    palette=[[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]],
    mean=[1000, 2000],
    std=[100, 200],
    window_size=12,
    patch_size=1,
    num_dates=7,
    iterations=50,
    {more}
    work_dir='{{{{ fileDirname }}}}/results',
)
"""
MASK = "mask='crops.tif', codes={1: 'Wheat', 2: 'Maize', 3: 'Grass'},"
FIELDS = "labels=dict(file='fields.gpkg', column='crop'),"
SPLIT = "split=dict(train='/s/train.txt', val='/s/val.txt', test='/s/test.txt'),"


@pytest.fixture
def project(tmp_path):
    """Write the files of a project; returns its folder."""

    def write(labels: str = MASK, more: str = '', seg: str = '', **replace: str) -> Path:
        text = AREA.format(root=tmp_path, labels=labels, more=more)
        for new in replace.values():
            text = text.replace(*new.split(' -> '))
        (tmp_path / 'area.py').write_text(text)
        for stage, rest in (('cls', ''), ('seg', seg)):
            base = f"_base_ = ['./area.py', 'mmexact::_base_/stages/{stage}_area.py']\n"
            (tmp_path / f'{stage}.py').write_text(base + dedent(rest))
        return tmp_path

    return write


def test_the_classifier_gets_what_the_area_says(project):
    folder = project()
    cfg = read_config(folder / 'cls.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        data = loader.dataset
        assert data.data_root == str(folder)
        assert data.series == dict(area=dict(rasters='series/*.tif', mask='crops.tif'))
        assert data.codes == {1: 'Wheat', 2: 'Maize', 3: 'Grass'}
        assert data.metainfo.classes == ('Other', 'Wheat', 'Maize', 'Grass')
        assert data.metainfo.palette[3] == [3, 3, 3]
        assert data.window_size == 12
        assert data.pipeline[0].num_dates == 7
        assert 'ann_file' not in data
    model = cfg.model
    assert model.data_preprocessor == dict(
        type='SITSDataPreprocessor', num_dates=None, mean=[1000, 2000], std=[100, 200]
    )
    assert (model.backbone.in_channels, model.backbone.num_classes) == (2, 3)
    assert (model.backbone.img_size, model.backbone.patch_size) == (12, 1)
    assert model.spatial_clue_head.num_classes == 3
    assert cfg.work_dir == f'{folder}/results/cls'
    assert 'area' not in cfg


def test_the_segmentor_gets_what_the_area_says(project):
    folder = project()
    cfg = read_config(folder / 'seg.py')
    model = cfg.model
    assert (model.backbone.in_channels, model.backbone.num_classes) == (2, 4)
    assert (model.backbone.img_size, model.backbone.patch_size) == (12, 1)
    assert (model.decode_head.num_classes, model.decode_head.patch_size) == (4, 1)
    assert model.test_cfg == dict(mode='slide', crop_size=(12, 12), stride=(12, 12))
    assert cfg.train_dataloader.dataset.pseudo_label_dir == f'{folder}/results/cls/refined_masks'
    assert cfg.train_dataloader.dataset.window_size == 12
    assert cfg.test_dataloader.dataset.window_size is None  # the whole area
    assert cfg.work_dir == f'{folder}/results/seg'


def test_the_models_run_at_that_size(project):
    """Two dates of two bands and the day, in windows of 12."""
    init_default_scope('mmseg')
    inputs = torch.ones(1, 6, 12, 12)
    folder = project()
    classifier, segmentor = (
        MODELS.build(read_config(folder / f'{name}.py').model).eval() for name in ('cls', 'seg')
    )
    with torch.no_grad():
        assert classifier.extract_feat(inputs).spatial_tokens.shape == (1, 3, 64, 12, 12)
        assert segmentor(inputs).shape == (1, 4, 12, 12)


def test_schedules_are_scaled_to_the_iterations(project):
    folder = project()
    cfg = read_config(folder / 'cls.py')
    assert (cfg.train_cfg.max_iters, cfg.train_cfg.val_interval) == (50, 50)
    # The paper's: 2250 of 15,000 iterations are warm-up, prototypes start at 4000.
    assert [(s.begin, s.end) for s in cfg.param_scheduler] == [(0, 8), (8, 50)]
    assert cfg.model.spatial_clue_head.start_iter == 14
    assert cfg.default_hooks.logger.interval == 5
    seg = read_config(folder / 'seg.py')
    assert [(s.begin, s.end) for s in seg.param_scheduler] == [(0, 5), (5, 50)]
    shortest = read_config(folder / 'seg.py', {'area.iterations': 1})
    assert [(s.begin, s.end) for s in shortest.param_scheduler] == [(0, 1), (1, 2)]


def test_a_split_says_who_sees_which_windows(project):
    folder = project(more=SPLIT)
    cls, seg = (read_config(folder / f'{name}.py') for name in ('cls', 'seg'))
    lists = [
        [cfg[f'{loop}_dataloader'].dataset.ann_file for loop in ('train', 'val', 'test')]
        for cfg in (cls, seg)
    ]
    train, val, test = ('/s/train.txt', '/s/val.txt', '/s/test.txt')
    assert lists == [[train, val, train], [train, val, test]]
    assert seg.test_dataloader.dataset.window_size == 12


def test_without_pixel_labels_nothing_is_compared_with_them(project):
    folder = project(labels=FIELDS)
    cls, seg = (read_config(folder / f'{name}.py') for name in ('cls', 'seg'))
    assert cls.train_dataloader.dataset.labels == dict(file='fields.gpkg', column='crop')
    assert cls.val_evaluator == [dict(type='mmpretrain.AveragePrecision')]
    steps = [step.type for step in cls.test_dataloader.dataset.pipeline]
    assert steps == ['LoadSITS', 'PackSITSInputs']
    assert seg.train_dataloader.dataset.labels.file == 'fields.gpkg'
    assert seg.train_dataloader.dataset.pipeline[1].type == 'LoadSITSAnnotations'  # pseudo masks
    assert (seg.val_dataloader, seg.val_cfg, seg.val_evaluator) == (None, None, None)
    assert 'labels' not in seg.test_dataloader.dataset
    assert seg.test_evaluator == []


def test_several_areas(project):
    series = dict(
        old="rasters='series/*.tif', -> series=dict(north='n/*.tif', "
        "south=dict(rasters='s/*.tif', mask='south.tif')),"
    )
    cfg = read_config(project(**series) / 'cls.py')
    assert cfg.train_dataloader.dataset.series == dict(
        north=dict(rasters='n/*.tif', mask='crops.tif'),
        south=dict(rasters='s/*.tif', mask='south.tif'),
    )


def test_what_the_configs_say_themselves_stays(project):
    seg = """
        work_dir = 'elsewhere'
        train_dataloader = dict(dataset=dict(pseudo_label_dir=None))
        model = dict(test_cfg=dict(stride=(6, 6)))
    """
    cfg = read_config(project(seg=seg) / 'seg.py')
    assert cfg.work_dir == 'elsewhere'
    assert cfg.train_dataloader.dataset.pseudo_label_dir is None
    assert cfg.model.test_cfg.stride == (6, 6)


def test_options_replace_the_area_first_and_the_rest_last(project):
    options = {'area.window_size': 8, 'model.test_cfg.stride': (2, 2), 'train_cfg.max_iters': 3}
    cfg = read_config(project() / 'seg.py', options)
    assert cfg.model.backbone.img_size == 8
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(8, 8), stride=(2, 2))
    assert cfg.train_cfg == dict(type='IterBasedTrainLoop', max_iters=3, val_interval=50)


def test_other_segmentors_get_classes_and_bands_too(project):
    """UPerNet has an auxiliary head, and a backbone without a window size."""
    folder = project()
    text = (folder / 'seg.py').read_text().replace('stages/seg_area', 'models/seg_upernet_convnext')
    text += """
loader = dict(dataset=dict(type='RasterSeriesDataset', pipeline=[dict(type='LoadSITS')]))
train_dataloader = val_dataloader = test_dataloader = loader
train_cfg, param_scheduler = dict(max_iters=100), []
default_hooks = dict(logger=dict(interval=50))
"""
    (folder / 'seg_upernet.py').write_text(text)
    cfg = read_config(folder / 'seg_upernet.py')
    assert cfg.model.backbone.in_channels == 2
    assert cfg.model.backbone.backbone.in_channels == 64
    assert 'img_size' not in cfg.model.backbone
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == 4
    assert cfg.work_dir.endswith('results/seg_upernet')


@pytest.mark.parametrize('stage', ['cls', 'seg'])
def test_a_dumped_config_runs_without_our_tools(project, stage, tmp_path):
    cfg = read_config(project(more=SPLIT) / f'{stage}.py')
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()
    assert read_config(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


def test_other_configs_are_read_as_mmengine_reads_them():
    path = shipped('configs/exact/cls_demo.py')
    assert read_config(path).to_dict() == Config.fromfile(path).to_dict()


def test_bases_that_we_ship_are_found_from_anywhere(tmp_path):
    (tmp_path / 'mine.py').write_text("_base_ = 'mmexact::exact/seg_tsvit_pastis.py'\nmine = 1\n")
    cfg = read_config(tmp_path / 'mine.py')
    shipped_one = Config.fromfile(shipped('configs/exact/seg_tsvit_pastis.py'))
    assert cfg.to_dict() == shipped_one.to_dict() | dict(mine=1)  # and no _scope_


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('num_dates=7 -> num_date=7', r"area has no setting 'num_date'; it knows \['classes'"),
        ('mean=[1000, 2000], -> ', r'area says nothing about mean; tools/start_project.py'),
        (f'{MASK} -> ', 'area says nothing about mask or labels'),
        ("rasters='series/*.tif', -> ", 'area says nothing about rasters'),
        ('mean=[1000, 2000] -> mean=[1000]', r"lists \{'mean': 1, 'std': 2, 'search.bands': 2\}"),
        ('patch_size=1 -> patch_size=5', r'window_size=12 is not a multiple of area.patch_size=5'),
        ('iterations=50, -> split=dict(train=1),', r"area.split=\{'train': 1\}; expected files"),
    ],
)
def test_an_area_that_does_not_fit_is_refused(project, change, message):
    with pytest.raises(ValueError, match=message):
        read_config(project(old=change) / 'cls.py')
