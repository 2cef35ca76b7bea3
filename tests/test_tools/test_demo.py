"""The end-to-end test: tools/demo.py from nothing to figures and pictures, at toy size."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_visualization.test_pages import images
from tests.test_visualization.test_report import numbers

DEMO = Path(__file__).resolve().parents[2] / 'tools/demo.py'


@pytest.fixture(scope='module')
def ran(tmp_path_factory) -> tuple[Path, str]:
    """Folder in which the demo ran, and what it printed."""
    folder = tmp_path_factory.mktemp('demo')
    done = subprocess.run(
        [sys.executable, str(DEMO), '--quick'],
        cwd=folder,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    return folder, done.stdout


@pytest.fixture
def again(ran, monkeypatch, capfd):
    """Run it again, in this process; returns what every step did and all that was printed."""
    monkeypatch.chdir(ran[0])
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setattr('sys.argv', ['demo.py', '--quick'])

    def call() -> tuple[list[str], str]:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(DEMO), run_name='__main__')
        printed = capfd.readouterr()
        assert end.value.code == 0, printed.out[-3000:] + printed.err
        steps = re.findall(r'^\[(\d)/9\] .*?(skipped|done)', printed.out, re.MULTILINE)
        return [f'{number} {what}' for number, what in steps], printed.out

    return call


@pytest.fixture(scope='module')
def metrics(ran) -> dict:
    return json.loads((ran[0] / 'work_dirs/demo_quick/metrics.json').read_text())


def test_every_step_is_announced_with_its_command(ran):
    output = ran[1]
    announced = re.findall(r'^\[(\d)/9\] .* \(after .*\)$', output, re.MULTILINE)
    assert announced == [str(number) for number in range(1, 10)]
    commands = re.findall(r'^\$ python \S*tools/(\S+\.py) ', output, re.MULTILINE)
    assert commands == [
        'dataset_converters/make_synthetic_pastis.py',
        'train.py',
        'gen_pseudo.py',
        'test.py',
        'train.py',
        'train.py',
        'test.py',
        'test.py',
    ]
    assert 'Iter(train) [6/6]' in output
    assert 'Config:' not in output


def test_metrics_are_numbers_between_their_bounds(metrics):
    for key in ('pseudo_masks', 'raw_cams', 'segmentor', 'fully_supervised'):
        for name in ('OA', 'mIoU'):
            assert 0 <= metrics[key][name] <= 100
    for key in ('pseudo_masks', 'raw_cams'):
        assert metrics[key]['background_score'] == pytest.approx(0.33)
        assert metrics[key]['hindsight_OA'] >= metrics[key]['OA']
        assert 0 <= metrics[key]['hindsight_score'] <= 0.59
    assert 0 <= metrics['classifier']['mAP'] <= 100
    ratio = metrics['segmentor']['mIoU'] / metrics['fully_supervised']['mIoU']
    assert metrics['ratio_to_full_supervision'] == pytest.approx(ratio)
    assert metrics['pseudo_masks']['mIoU'] != metrics['raw_cams']['mIoU']
    assert 100 < metrics['peak_memory_mb'] < 4096
    assert len(metrics['seconds']) == 9


@pytest.mark.parametrize('key', ['pseudo_masks', 'segmentor', 'fully_supervised'])
def test_class_scores_agree_with_those_of_the_tools(metrics, key):
    ious = [iou for iou in metrics[key]['IoU'].values() if iou is not None]
    assert sum(ious) / len(ious) == pytest.approx(metrics[key]['mIoU'], abs=0.01)


def test_report_has_every_number_and_whole_pictures(ran, metrics):
    page = (ran[0] / 'work_dirs/demo_quick/report.html').read_text()
    for number in numbers(metrics):
        assert json.dumps(number) in page
    pictures = images(page)
    # 3 figures; 6 windows of 5 pictures; 1 patch of 4 pictures.
    assert [picture.size for picture in pictures[3:33]] == [(24, 24)] * 30
    assert [picture.size for picture in pictures[33:]] == [(128, 128)] * 4
    assert 'its figures mean nothing' in page


def test_a_second_run_skips_everything(again):
    steps, output = again()
    assert steps == [f'{number} skipped' for number in range(1, 10)]
    assert '"ratio_to_full_supervision"' in output


def test_what_is_broken_is_made_anew_and_a_training_is_resumed(ran, again):
    """The twin was interrupted after its third iteration, and metrics.json is cut off."""
    work = ran[0] / 'work_dirs/demo_quick'
    twin, record = work / 'seg_full', work / 'steps/seg_full.json'
    (twin / 'iter_6.pth').unlink()
    (twin / 'last_checkpoint').write_text(str(twin / 'iter_3.pth'))
    record.write_text(json.dumps(json.loads(record.read_text()) | dict(finished=False)))
    (work / 'metrics.json').write_text('{"pseudo_masks": ')

    steps, output = again()
    # Other weights than before would be tested anew (8).
    assert [step for step in steps if 'done' in step and step[0] != '8'] == ['6 done', '9 done']
    assert re.search(r'^\$ python .*seg_tsvit_demo_full\.py .* --resume$', output, re.MULTILINE)
    assert 'Iter(train) [4/6]' in output
    assert 'Iter(train) [3/6]' not in output
    assert (twin / 'iter_6.pth').exists()
    assert json.loads((work / 'metrics.json').read_text())['pseudo_masks']


def test_wrong_arguments_are_one_line(ran, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['demo.py', '--fast'])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(DEMO), run_name='__main__')
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count('\n') == 1
    assert 'unrecognized arguments: --fast' in printed


def test_a_failing_step_is_named(ran, monkeypatch, capfd, tmp_path):
    """The folder of the data holds something else."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/thesis').touch()
    arguments = [
        '--quick',
        '--work-dir',
        str(tmp_path / 'w'),
        '--data-root',
        str(tmp_path / 'data'),
    ]
    monkeypatch.setattr('sys.argv', ['demo.py', *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(DEMO), run_name='__main__')
    assert stop.value.code == 1
    printed = capfd.readouterr().err
    assert 'not written by this tool' in printed
    assert 'demo.py: error: Write synthetic time series' in printed
    assert (tmp_path / 'data/thesis').exists()
