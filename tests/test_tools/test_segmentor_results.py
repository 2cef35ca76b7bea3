"""The grid of segmentors at toy size, and the page on figures that are worked out by hand."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmexact.datasets.synthetic.pastis_tree import write_pastis_tree

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / 'tools/analysis_tools'
sys.path.insert(0, str(FOLDER))

from results_page import ratios, spread, write_page  # noqa: E402


def call(folder: Path, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, FOLDER / 'segmentor_results.py', *args],
        cwd=folder,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('results')
    write_pastis_tree(folder / 'data', num_patches=5, num_dates=(6, 8))
    return folder


ARGUMENTS = [
    '--data-root', 'data', '--work-dir', 'work', '--page', 'docs/results.md', '--iterations', '2',
    '--seeds', '1', '--segmentors', 'utae', '--recipes', 'band_weights', 'round2',
    '--jobs', '2',
]  # fmt: skip


@pytest.fixture(scope='module')
def ran(folder) -> subprocess.CompletedProcess:
    done = call(folder, *ARGUMENTS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_everything_is_trained_scored_and_shown(ran, folder):
    results = json.loads((folder / 'work/results.json').read_text())
    recipes = results['segmentors']['utae']
    assert list(recipes) == ['pseudo', 'full', 'round2', 'band_weights']
    assert results['classifier']['0']['classifier']['pseudo/background_score'] == 0.33
    page = (folder / 'docs/results.md').read_text()
    for title, runs in recipes.items():
        (scores,) = runs
        assert 0 <= scores['mIoU'] <= 100
        assert scores['step'] == 2
        if title != 'full':
            assert f'| {scores["aAcc"]:.1f} | {scores["mIoU"]:.1f} |' in page
    cost = results['costs']['utae']
    assert min(cost.values()) > 0
    assert cost['inference'] > cost['training']
    with Image.open(folder / 'docs/images/results.png') as picture:
        assert picture.width > 600


def test_weights_and_masks_are_those_of_the_recipe(ran, folder):
    for recipe, masks in (
        ('pseudo', 'masks_classifier'),
        ('band_weights', 'masks_banded'),
        ('round2', 'pseudo/seed0/pseudo_masks'),
    ):
        (config,) = (folder / f'work/utae/{recipe}/seed0').glob('*.py')
        text = config.read_text()
        assert masks in text
        assert ('WeightedEncoderDecoder' in text) == ('weights' in recipe)
    manifest = folder / 'work/utae/pseudo/seed0/pseudo_masks/manifest.json'
    assert json.loads(manifest.read_text())['complete'] is True


def test_a_second_run_trains_nothing(ran, folder):
    before = {path: path.stat().st_mtime_ns for path in (folder / 'work').rglob('iter_2.pth')}
    assert len(before) == 5
    done = call(folder, *ARGUMENTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_missing_data_are_named(tmp_path):
    done = call(tmp_path, '--data-root', 'nowhere')
    assert done.returncode == 2
    assert re.search(r'nowhere/manifest\.json is missing: run .*make_synthetic_pastis', done.stderr)


def scores(*miou: float) -> list[dict]:
    return [dict(aAcc=value + 10, mIoU=value) for value in miou]


def test_the_page_s_figures(tmp_path):
    assert spread([50.0]) == '50.0'
    assert spread([50.0, 52.0]) == '51.0 ± 1.4'  # the root of 2, with n - 1
    assert ratios(scores(40, 60), scores(50, 60)) == [80, 100]
    masks = {'pseudo/OA': 80.0, 'pseudo/mIoU': 70.0}
    masks |= {'pseudo/hindsight_OA': 81.0, 'pseudo/hindsight_mIoU': 71.0}
    cost = dict(parameters=1_234_567, gflops=0.1234, training=33.3, inference=99.9)
    results = dict(
        setting=dict(patches='3 patches', command='$', seeds=2, iterations=7),
        titles=dict(pseudo='as they are', full='true', ema='EMA'),
        classifier={'0': dict(classifier=masks), '1': dict(classifier=masks)},
        segmentors=dict(
            fcn=dict(pseudo=scores(40, 44), full=scores(50, 55)),
            utae=dict(pseudo=scores(60, 60), full=scores(60, 80), ema=scores(61, 63)),
        ),
        relabelled={'as they are': scores(72, 74)},
        costs=dict(fcn=cost, utae=cost),
    )
    write_page(tmp_path / 'page.md', results)
    lines = (tmp_path / 'page.md').read_text().splitlines()
    assert '| FCN | 52.0 ± 2.8 | 42.0 ± 2.8 | 62.5 ± 3.5 | 52.5 ± 3.5 | 80.0 ± 0.0 |' in lines
    assert '| FCN | 1235 | 0.123 | 33 | 100 |' in lines
    assert '| classifier, background score 0.33 | 80.0 ± 0.0 | 70.0 ± 0.0 |' in lines
    assert '| second round, from as they are | 83.0 ± 1.4 | 73.0 ± 1.4 |' in lines
    # 61 of 60 and 63 of 80 are 101.67 % and 78.75 %.
    assert '| EMA | 72.0 ± 1.4 | 62.0 ± 1.4 | 2.0 ± 1.4 | 90.2 ± 16.2 |' in lines
    assert not [line for line in lines if line.startswith('| true |')]
    assert (tmp_path / 'images/results.png').exists()
