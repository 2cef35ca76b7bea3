"""What a report gathers and shows, on values worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

from mmexact.apis.report import gather_metrics, plot_all, read_losses, score_classes
from mmexact.apis.report_galleries import SIDE, show_scenes
from mmexact.masks.folder import write_json
from mmexact.masks.maps import open_map
from mmexact.sits import Georeference
from tests.data import write_pastis

CLASSES = ('Background', 'Meadow', 'Soft winter wheat')


def dataset(tmp_path: Path, masks: dict[int, np.ndarray], window_size: int | None = 4):
    init_default_scope('mmseg')
    return DATASETS.build(
        dict(
            type='PASTISDataset',
            data_root=str(write_pastis(tmp_path / 'PASTIS', masks)),
            folds=(1,),
            window_size=window_size,
            metainfo=dict(classes=CLASSES),
        )
    )


def save(folder: Path, name: str, mask: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8)).save(folder / f'{name}.png')


class TestScoreClasses:
    def test_counts_over_all_windows_without_ignored_pixels(self, tmp_path):
        # Two windows of 4 x 4. Truth: 16 pixels meadow; 8 background, 4 wheat, 4 void (19).
        truth = np.ones((4, 8), np.uint8)
        truth[:2, 4:], truth[2, 4:], truth[3, 4:] = 0, 2, 19
        # Masks: 12 of the meadow found, 4 called wheat; everything else called background.
        found = np.ones((4, 4))
        found[0] = 2
        save(tmp_path / 'masks', '7_0', found)
        save(tmp_path / 'masks', '7_1', np.zeros((4, 4)))
        assert score_classes(tmp_path / 'masks', dataset(tmp_path, {7: truth})) == {
            'Background': pytest.approx(100 * 8 / 12),
            'Meadow': pytest.approx(100 * 12 / 16),
            'Soft winter wheat': 0.0,
        }

    def test_a_class_that_occurs_nowhere_has_no_score(self, tmp_path):
        save(tmp_path / 'masks', '7_0', np.ones((4, 4)))
        tested = dataset(tmp_path, {7: np.ones((4, 4), np.uint8)})
        ious = score_classes(tmp_path / 'masks', tested)
        assert ious == {'Background': None, 'Meadow': 100.0, 'Soft winter wheat': None}


def test_losses_join_the_runs_of_a_resumed_training(tmp_path):
    runs = [
        [dict(step=1, loss=3.0, lr=0.1), dict(step=2, loss=2.0), dict(step=2, mAP=50.0)],
        [dict(step=2, loss=1.5, loss_clue=0.5), dict(step=3, loss=1.0)],
    ]
    for number, entries in enumerate(runs):
        folder = tmp_path / f'2026010{number}_000000/vis_data'
        folder.mkdir(parents=True)
        lines = [json.dumps(entry) for entry in entries]
        (folder / 'scalars.json').write_text('\n'.join(lines) + '\n')
    assert read_losses(tmp_path) == {
        'loss': [(1, 3.0), (2, 1.5), (3, 1.0)], 'loss_clue': [(2, 0.5)]
    }  # fmt: skip


def record(seconds: float, memory: int | None, **scores) -> dict:
    result = dict(input='iter_6.pth', scores=scores)
    return dict(command='python tool.py', seconds=seconds, peak_memory_mb=memory, result=result)


PSEUDO = {
    'multi-label/mAP': 90.0, 'pseudo/OA': 71.0, 'pseudo/mIoU': 61.0,
    'pseudo/background_score': 0.33, 'pseudo/hindsight_OA': 72.0, 'pseudo/hindsight_mIoU': 62.0,
    'pseudo/hindsight_score': 0.41,
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Folder, records and test data of a run with a baseline, in which all masks are meadow."""
    tested = dataset(tmp_path, {7: np.ones((4, 8), np.uint8)}, window_size=None)
    for name in ('seg_test', 'full_test'):
        save(tmp_path / name / 'masks', '7', np.ones((4, 8)))
    pixels = {'7': {'Background': 0, 'Meadow': 32, 'Soft winter wheat': 0, 'no data': 0}}
    for name in ('7', '8'):
        with open_map(tmp_path / f'seg/maps/{name}.tif', (4, 8)) as raster:
            raster.write(np.ones((4, 8), np.uint8), 1)
    write_json(tmp_path / 'seg/maps/manifest.json', dict(kind='maps', pixels=pixels | {'8': {
        'Background': 5, 'Meadow': 8, 'Soft winter wheat': 3, 'no data': 0}}))  # fmt: skip
    details = dict(
        by_class={'Background': 40.0, 'Meadow': 82.0, 'Soft winter wheat': None},
        by_score=[dict(background_score=0.1 * i, OA=60.0 + i, mIoU=50.0 + i) for i in range(5)],
    )
    records = dict(
        cls=record(200.0, 900, **{'multi-label/mAP': 91.25, 'pseudo/OA': 1.0}),
        pseudo_masks=record(3.5, None, **PSEUDO, **details),
        seg=record(100.0, 100),
        maps=record(1.0, 100),
        seg_test=record(2.0, 100, aAcc=80.0, mIoU=54.0, mAcc=60.0, time=0.1),
        full_test=record(2.0, 100, aAcc=85.0, mIoU=60.0, mAcc=66.0),
    )
    return tmp_path, records, tested


def test_metrics(run):
    metrics = gather_metrics(*run)
    assert metrics['classifier'] == dict(mAP=91.25)
    assert metrics['pseudo_masks']['hindsight_score'] == 0.41
    assert metrics['pseudo_masks']['IoU']['Meadow'] == 82.0
    assert metrics['segmentor'] == dict(
        OA=80.0, mIoU=54.0, IoU={'Background': None, 'Meadow': 100.0, 'Soft winter wheat': None}
    )
    assert metrics['ratio_to_full_supervision'] == pytest.approx(0.9)
    assert metrics['map_pixels'] == {'Background': 5, 'Meadow': 40, 'Soft winter wheat': 3}
    assert metrics['seconds']['cls'] == 200.0
    assert metrics['peak_memory_mb'] == 900


def test_areas_are_in_hectares_where_maps_have_projected_coordinates(run):
    folder, _, _ = run
    # In UTM pixels of 10 m, in feet (US survey, EPSG:2229) of 100 ft: 0.01 ha and 0.0929 ha.
    for name, crs, side in (('7', 'EPSG:32633', 10), ('8', 'EPSG:2229', 100)):
        place = Georeference(crs, (side, 0, 500000, 0, -side, 500000))
        with open_map(folder / f'seg/maps/{name}.tif', (4, 8), place) as raster:
            raster.write(np.ones((4, 8), np.uint8), 1)
    metrics = gather_metrics(*run)
    feet = (100 * 1200 / 3937) ** 2 / 10_000
    assert metrics['map_hectares']['Meadow'] == round(32 * 0.01 + 8 * feet, 2)
    assert metrics['map_pixels']['Meadow'] == 40
    place = Georeference('EPSG:4326', (1e-4, 0, 10, 0, -1e-4, 50))
    with open_map(folder / 'seg/maps/8.tif', (4, 8), place) as raster:
        raster.write(np.ones((4, 8), np.uint8), 1)
    assert 'map_hectares' not in gather_metrics(*run)


def test_plots_show_what_there_is(run):
    folder, records, tested = run
    metrics = gather_metrics(*run)
    classes, background, pixels, losses = plot_all(
        folder, records, metrics, tested.metainfo['palette']
    ).values()
    assert len(classes.axes[0].patches) == 3 * 3
    curve, _, used, best = background.axes[0].lines
    assert curve.get_ydata().tolist() == [60, 61, 62, 63, 64]
    assert (used.get_xdata()[0], best.get_xdata()[0]) == (0.33, 0.41)
    assert [bar.get_width() for bar in pixels.axes[0].patches] == [5, 40, 3]
    assert [axis.get_title() for axis in losses.axes] == ['cls', 'seg']


def test_without_pixel_labels_there_are_areas_but_no_scores(run):
    folder, records, tested = run
    few = {name: records[name] for name in ('cls', 'pseudo_masks', 'seg', 'maps')}
    few['pseudo_masks'] = record(3.5, None)
    metrics = gather_metrics(folder, few, tested)
    assert metrics.keys() == {'classifier', 'map_pixels', 'seconds', 'peak_memory_mb'}
    assert metrics['classifier'] == dict(mAP=91.25)
    assert len(plot_all(folder, few, metrics, tested.metainfo['palette'])) == 2


class TestShowScenes:
    def test_small_ones_stand_beside_maps_and_truth(self, tmp_path):
        truth = np.zeros((6, 8), np.uint8)
        truth[0, 0], truth[5, 7] = 1, 19
        scenes = dataset(tmp_path, {7: truth})
        save(tmp_path / 'masks', '7', np.full((6, 8), 2))
        folders = {'map': tmp_path / 'masks', 'baseline': tmp_path / 'nowhere'}
        gallery = show_scenes(scenes, folders)
        assert gallery.columns == ['colour composite', 'map', 'truth']
        ((label, (image, mask, true)),) = gallery.rows
        assert label == '7'
        assert {picture.shape for picture in (image, mask, true)} == {(6, 8, 3)}
        colours = scenes.metainfo['palette']
        assert (mask == colours[2]).all()
        assert true[0, 0].tolist() == list(colours[1])
        assert true[5, 7].tolist() == [255, 255, 255]

    def test_of_large_ones_the_middle_and_the_whole_map(self, tmp_path):
        size = (SIDE + 20, 2 * SIDE)
        labels = np.zeros(size, np.uint8)
        labels[10, SIDE // 2] = 1  # the first pixel of the middle
        scenes = dataset(tmp_path, {7: labels})
        with open_map(tmp_path / 'maps/7.tif', size) as raster:
            raster.write(labels, 1)
        gallery = show_scenes(scenes, {'map': tmp_path / 'maps'})
        assert gallery.columns == ['colour composite', 'map', 'truth', 'the whole map']
        ((_, (image, cut, true, whole)),) = gallery.rows
        assert image.shape == cut.shape == (SIDE, SIDE, 3)
        np.testing.assert_array_equal(cut, true)
        assert cut[0, 0].tolist() == list(scenes.metainfo['palette'][1])
        assert (cut == cut[0, 0]).all(-1).sum() == 1
        assert whole.shape == (SIDE // 2 + 10, SIDE, 3)
