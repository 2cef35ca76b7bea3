"""All stages of a project, at toy size and in this process: from labels to maps and a report."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from mmexact.apis.configs import shipped
from mmexact.apis.exact_stages import ExactStages
from mmexact.apis.stages import StageError
from tests.areas import POINTS, write_project
from tests.data import CORNER
from tests.in_process import run_in_process
from tests.test_visualization.test_pages import images

STAGES = [
    'cls', 'pseudo_masks', 'raw_cams', 'refined_masks', 'seg', 'maps', 'seg_test', 'seg_full',
    'full_test',
]  # fmt: skip


def stages(folder: Path, compare: bool = True, **settings) -> ExactStages:
    configs = (str(folder / 'cls.py'), str(folder / 'seg.py'))
    return ExactStages(*configs, compare=compare, execute=run_in_process, **settings)


@pytest.fixture(scope='module')
def ran(tmp_path_factory) -> tuple[Path, ExactStages]:
    """Folder of a project whose stages have run, and what ran them."""
    folder = write_project(tmp_path_factory.mktemp('project'))
    made = stages(folder)
    assert made.run() == folder / 'results/report.html'
    return folder, made


@pytest.fixture
def project(ran, tmp_path) -> Path:
    """A copy of the project in which tests may break something; it thinks it is the first."""
    work = ran[0] / 'results'
    kept = tmp_path / 'kept'
    shutil.copytree(work, kept)
    yield ran[0]
    shutil.rmtree(work)
    shutil.copytree(kept, work)


@pytest.fixture(scope='module')
def metrics(ran) -> dict:
    return json.loads((ran[0] / 'results/metrics.json').read_text())


def test_every_stage_leaves_a_command_and_its_result(ran):
    folder, made = ran
    records = made.runner.records
    assert list(records) == made.runner.ran == STAGES
    scripts = [re.search(r'(\w+)\.py', record['command'])[1] for record in records.values()]
    assert scripts == [
        'train', 'gen_pseudo', 'test', 'refine_pseudo', 'train', 'predict', 'test', 'train', 'test',
    ]  # fmt: skip
    work = folder / 'results'
    assert {path.name for path in work.iterdir()} == {
        'cls', 'raw_cams', 'seg', 'seg_test', 'seg_full', 'full_test', 'stages', 'report.html',
        'metrics.json',
    }  # fmt: skip
    with rasterio.open(work / 'seg/maps/area.tif') as raster:
        assert raster.shape == (16, 24)
        assert raster.transform == CORNER
        assert raster.read(1).max() <= 2
    for masks in ('pseudo_masks', 'refined_masks'):
        assert len(list((work / 'cls' / masks).glob('*.png'))) == 6
    assert (work / 'seg_test/masks/area.png').exists()


def test_metrics_are_numbers_between_their_bounds(metrics):
    for key in ('pseudo_masks', 'raw_cams', 'refined_masks', 'segmentor', 'fully_supervised'):
        for name in ('OA', 'mIoU'):
            assert 0 <= metrics[key][name] <= 100
    for key in ('pseudo_masks', 'raw_cams'):
        assert metrics[key]['background_score'] == pytest.approx(0.33)
        assert metrics[key]['hindsight_OA'] >= metrics[key]['OA']
        assert 0 <= metrics[key]['hindsight_score'] <= 0.59
    assert 0 <= metrics['classifier']['mAP'] <= 100
    assert list(metrics['seconds']) == STAGES
    assert 100 < metrics['peak_memory_mb'] < 8192


@pytest.mark.parametrize('key', ['pseudo_masks', 'refined_masks', 'segmentor', 'fully_supervised'])
def test_class_scores_agree_with_those_of_the_tools(metrics, key):
    ious = [iou for iou in metrics[key]['IoU'].values() if iou is not None]
    assert np.mean(ious) == pytest.approx(metrics[key]['mIoU'], abs=0.01)


def test_the_report_has_figures_windows_tests_and_maps(ran):
    pictures = images((ran[0] / 'results/report.html').read_text())
    # 4 figures; 6 windows of 6 pictures; the area in 4 pictures.
    assert [picture.size for picture in pictures[4:40]] == [(8, 8)] * 36
    assert [picture.size for picture in pictures[40:]] == [(24, 16)] * 4


def test_a_second_run_skips_everything(ran, capsys):
    again = stages(ran[0])
    before = (ran[0] / 'results/report.html').stat().st_mtime_ns
    again.run()
    assert again.runner.ran == []
    assert capsys.readouterr().out.count('skipped') == len(STAGES)
    assert (ran[0] / 'results/report.html').stat().st_mtime_ns == before


def test_an_interrupted_training_is_resumed(project, capsys):
    """The baseline was interrupted after its first of two iterations."""
    work = project / 'results'
    (work / 'seg_full/iter_2.pth').unlink()
    (work / 'seg_full/last_checkpoint').write_text(str(work / 'seg_full/iter_1.pth'))
    record = work / 'stages/seg_full/manifest.json'
    record.write_text(record.read_text().replace('"complete": true', '"complete": false'))
    for folder in ('full_test', 'stages/full_test'):
        shutil.rmtree(work / folder)
    again = stages(project)
    again.run()
    assert again.runner.ran == ['seg_full', 'full_test']
    logs = sorted((work / 'seg_full').glob('*/vis_data/scalars.json'))
    steps = [json.loads(line)['step'] for line in logs[-1].read_text().splitlines()]
    assert set(steps) == {2}


def test_other_labels_are_refused_unless_told(project):
    area = project / 'area.py'
    text = area.read_text()
    area.write_text(text.replace("9: 'Other'", "9: 'Wheat'"))
    try:
        with pytest.raises(StageError, match=r"'cls' of other inputs \(settings"):
            stages(project).run()
    finally:
        area.write_text(text)
    with rasterio.open(project / 'crops.tif', 'r+') as raster:
        crops = raster.read()
        raster.write(np.where(crops == 9, 1, crops))
    try:
        with pytest.raises(StageError, match=r"'cls' of other inputs \(data"):
            stages(project).run()
    finally:
        with rasterio.open(project / 'crops.tif', 'r+') as raster:
            raster.write(crops)


def test_without_pixel_labels_there_is_no_test(tmp_path):
    folder = write_project(tmp_path, labels=POINTS)
    with pytest.raises(ValueError, match=r'seg.py: --compare needs pixel labels'):
        stages(folder)
    made = stages(folder, compare=False, refine=False)
    made.run()
    assert made.runner.ran == ['cls', 'pseudo_masks', 'seg', 'maps']
    masks = folder / 'results/cls/pseudo_masks'
    assert sorted(path.name for path in masks.glob('*.png')) == ['area_0.png', 'area_5.png']
    # Only crops that occur in a window get a CAM there; 255 where there is no window.
    with rasterio.open(masks / 'area.tif') as raster:
        values = raster.read(1)
    assert set(np.unique(values[:8, :8])) <= {0, 1}
    assert set(np.unique(values[8:, 16:])) <= {0, 2}
    assert (values[:8, 8:] == 255).all()
    with rasterio.open(folder / 'results/seg/maps/area.tif') as raster:
        assert raster.shape == (16, 24)
    figures = json.loads((folder / 'results/metrics.json').read_text())
    assert 'pseudo_masks' not in figures
    assert len(images((folder / 'results/report.html').read_text())) == 2 + 2 * 4 + 2


def test_a_failing_tool_is_named(tmp_path):
    folder = write_project(tmp_path)
    (folder / 'crops.tif').write_text('no raster')
    with pytest.raises(StageError, match=r'Train the classifier .*: the command above'):
        stages(folder).run()


def test_results_may_go_elsewhere(tmp_path):
    made = stages(write_project(tmp_path), work_dir=tmp_path / 'elsewhere')
    masks = tmp_path / 'elsewhere/cls/refined_masks'
    assert made.options['seg'][-1] == f'train_dataloader.dataset.pseudo_label_dir={masks}'


def test_the_demo_keeps_the_folders_of_its_configs(monkeypatch):
    """What `make demo` runs."""
    configs = [str(shipped(f'configs/exact/{name}.py')) for name in ('cls_demo', 'seg_tsvit_demo')]
    made = ExactStages(*configs, compare=True)
    assert made.work_dir == Path('work_dirs/demo')
    assert made.options == dict(cls=[], seg=[])
    named = 'cls_demo.py configs/exact/seg_tsvit_demo.py --compare'
    assert f'tools/run_stages.py configs/exact/{named}' in shipped('Makefile').read_text()
