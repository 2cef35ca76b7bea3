"""What the demo's report gathers, on hand-worked values."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

from mmexact.apis.demo_report import DemoResults, gather_metrics, headline, score_table
from mmexact.apis.report_pictures import class_ious, learning_curve, show_patches
from tests.data import write_pastis

CLASSES = ('Background', 'Meadow', 'Soft winter wheat')
PIPELINE = [dict(type='LoadSITS'), dict(type='LoadSITSAnnotations'), dict(type='PackSITSInputs')]


def numbers(metrics: dict) -> list[float]:
    """Flatten the numbers of nested dicts."""
    found = []
    for value in metrics.values():
        found += numbers(value) if isinstance(value, dict) else [] if value is None else [value]
    return found


def dataset(tmp_path: Path, masks: dict[int, np.ndarray], window_size: int | None = 4):
    init_default_scope('mmseg')
    return DATASETS.build(
        dict(
            type='PASTISDataset',
            data_root=str(write_pastis(tmp_path / 'PASTIS', masks)),
            folds=(1,),
            window_size=window_size,
            metainfo=dict(classes=CLASSES),
            pipeline=PIPELINE,
        )
    )


def save(folder: Path, name: str, mask: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask.astype(np.uint8)).save(folder / f'{name}.png')


class TestClassIous:
    def test_counts_over_all_windows_without_ignored_pixels(self, tmp_path):
        # Two windows of 4 x 4. Truth: 16 pixels meadow; 8 background, 4 wheat, 4 void (19).
        truth = np.ones((4, 8), np.uint8)
        truth[:2, 4:], truth[2, 4:], truth[3, 4:] = 0, 2, 19
        windows = dataset(tmp_path, {7: truth})
        # Masks: 12 of the meadow found, 4 called wheat; everything else called background.
        found = np.ones((4, 4))
        found[0] = 2
        save(tmp_path / 'masks', '7_0', found)
        save(tmp_path / 'masks', '7_1', np.zeros((4, 4)))
        assert class_ious(windows, tmp_path / 'masks') == {
            'Background': pytest.approx(100 * 8 / 12),
            'Meadow': pytest.approx(100 * 12 / 16),
            'Soft winter wheat': 0.0,
        }

    def test_a_class_that_occurs_nowhere_has_no_score(self, tmp_path):
        save(tmp_path / 'masks', '7_0', np.ones((4, 4)))
        ious = class_ious(dataset(tmp_path, {7: np.ones((4, 4), np.uint8)}), tmp_path / 'masks')
        assert ious == {'Background': None, 'Meadow': 100.0, 'Soft winter wheat': None}

    def test_missing_unreadable_and_misshapen_masks_are_named(self, tmp_path):
        windows = dataset(tmp_path, {7: np.ones((4, 4), np.uint8)})
        masks = tmp_path / 'masks'
        with pytest.raises(FileNotFoundError, match=r'7_0\.png: no such mask'):
            class_ious(windows, masks)
        save(masks, '7_0', np.ones((4, 5)))
        with pytest.raises(ValueError, match=r'7_0\.png: \(4, 5\) pixels, the truth has \(4, 4\)'):
            class_ious(windows, masks)
        (masks / '7_0.png').write_bytes(b'no picture')
        with pytest.raises(ValueError, match=r'7_0\.png: cannot be read as a picture'):
            class_ious(windows, masks)


def test_patches_are_shown_beside_saved_masks_and_truth(tmp_path):
    truth = np.zeros((6, 8), np.uint8)
    truth[0, 0], truth[5, 7] = 1, 19
    patches = dataset(tmp_path, {7: truth}, window_size=None)
    save(tmp_path / 'masks', '7', np.full((6, 8), 2))
    gallery = show_patches(patches, [0], {'prediction': tmp_path / 'masks'})
    assert gallery.columns == ['colour composite', 'prediction', 'truth']
    ((label, (image, mask, true)),) = gallery.rows
    assert label == '7'
    assert {picture.shape for picture in (image, mask, true)} == {(6, 8, 3)}
    colours = patches.metainfo['palette']
    assert (mask == colours[2]).all()
    assert true[0, 0].tolist() == list(colours[1])
    assert true[5, 7].tolist() == [255, 255, 255]


def test_learning_curve_joins_the_runs_of_a_resumed_training(tmp_path):
    runs = [
        [dict(step=1, loss=3.0), dict(step=2, loss=2.0), dict(step=2, mAP=50.0)],
        [dict(step=2, loss=1.5), dict(step=3, loss=1.0)],
    ]
    for number, entries in enumerate(runs):
        folder = tmp_path / f'2026010{number}_000000/vis_data'
        folder.mkdir(parents=True)
        lines = [json.dumps(entry) for entry in entries]
        (folder / 'scalars.json').write_text('\n'.join(lines) + '\n')
    curves = learning_curve(tmp_path, ['loss', 'loss_clue'])
    assert curves == {'loss': [(1, 3.0), (2, 1.5), (3, 1.0)], 'loss_clue': []}


class TestMetrics:
    @pytest.fixture
    def metrics(self, tmp_path) -> dict:
        masks = {
            'pseudo/OA': 71.0, 'pseudo/mIoU': 61.0, 'pseudo/background_score': 0.33,
            'pseudo/hindsight_OA': 72.0, 'pseudo/hindsight_mIoU': 62.0,
            'pseudo/hindsight_score': 0.41,
        }  # fmt: skip
        results = DemoResults(
            tmp_path,
            cls=dict(scores={'multi-label/mAP': 91.25}),
            pseudo=dict(scores=masks),
            raw=dict(scores={key: value / 2 for key, value in masks.items()}),
            seg={},
            full={},
            seg_test=dict(scores=dict(aAcc=80.0, mIoU=54.0, mAcc=60.0)),
            full_test=dict(scores=dict(aAcc=85.0, mIoU=60.0, mAcc=66.0)),
        )
        maps = ('pseudo_masks', 'segmentor', 'fully_supervised')
        ious: dict[str, dict] = {key: {'Meadow': None} for key in maps}
        records = dict(
            tree=dict(seconds=3.5, peak_memory_mb=100), cls=dict(seconds=200.0, peak_memory_mb=900)
        )
        return gather_metrics(results, ious, records)

    def test_numbers_and_names(self, metrics):
        assert metrics['classifier'] == dict(mAP=91.25)
        assert metrics['pseudo_masks']['mIoU'] == 61.0
        assert metrics['pseudo_masks']['hindsight_score'] == 0.41
        assert metrics['raw_cams']['OA'] == 35.5
        assert metrics['segmentor'] == dict(OA=80.0, mIoU=54.0, IoU={'Meadow': None})
        assert metrics['ratio_to_full_supervision'] == pytest.approx(0.9)
        assert metrics['seconds'] == dict(tree=3.5, cls=200.0, total=203.5)
        assert metrics['peak_memory_mb'] == 900

    def test_table_and_headline(self, metrics):
        table = {row[0]: row[2:] for row in score_table(metrics)}
        assert table['Classifier'] == ('', '', '91.2')
        assert table['Pseudo masks, background score 0.33 (default)'] == ('71.0', '61.0', '')
        assert table['Pseudo masks, background score 0.41 (best in hindsight)'][1] == '62.0'
        assert table['Fully supervised twin'] == ('85.0', '60.0', '')
        assert table['Segmentor : twin'][1] == '90.0 %'
        assert headline(metrics)['of full supervision reached'] == '90.0 %'
