"""The report of a project: its figures as JSON, and a page with tables, plots and pictures."""

import json
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmseg.evaluation import IoUMetric

from mmexact.apis.data import open_data
from mmexact.apis.report_galleries import show_scenes, show_windows
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.transforms.loading import load_mask
from mmexact.masks.folder import read_manifest, write_json
from mmexact.masks.maps import pixel_hectares, read_map
from mmexact.sits import IGNORED
from mmexact.visualization.figures import plot_bars, plot_classes, plot_curves
from mmexact.visualization.pages import write_page
from mmexact.visualization.pictures import Palette

STAGES = {
    'cls': ('classifier', 'Classifier', 'validation windows'),
    'raw_cams': ('raw_cams', 'Plain raw CAMs', 'training windows'),
    'pseudo_masks': ('pseudo_masks', 'Pseudo masks', 'training windows'),
    'refined_masks': ('refined_masks', 'Refined masks', 'training windows'),
    'seg_test': ('segmentor', 'Segmentor', 'test data'),
    'full_test': ('fully_supervised', 'Fully supervised baseline', 'test data'),
}
"""Stages with scores: key in the figures, what is judged, and on which data."""

SCORES = (
    *('OA', 'mIoU', 'mAP', 'background_score'),
    *('hindsight_score', 'hindsight_OA', 'hindsight_mIoU'),
)
"""What the figures keep of the scores; the classifier is judged by mAP alone."""


def write_report(
    path: Path, configs: Mapping[str, Config], records: Mapping[str, Any]
) -> dict[str, str]:
    """Write the page, and all figures beside it as ``metrics.json``.

    What a stage wrote lies in the folder of its name beside the page; pseudo masks in that of the
    classifier, maps in that of the segmentor. Without pixel labels the page shows maps and the
    areas of the classes, but no scores of them.

    Args:
        path: The page.
        configs: Configs of the classifier (``cls``) and the segmentor (``seg``).
        records: ``command``, ``seconds``, ``peak_memory_mb`` and ``result`` of the stages that ran:
            ``cls``, ``pseudo_masks``, perhaps ``refined_masks``, ``seg`` and ``maps``; with pixel
            labels ``seg_test``; to compare with ``raw_cams``, ``seg_full`` and ``full_test``.
            Results of trainings hold their checkpoint as ``input`` of the next stage, those of
            :data:`STAGES` their ``scores``.

    Returns:
        The figures that matter, by what they are.
    """
    folder = path.parent
    windows, tested = (open_data(configs[name], 'test') for name in ('cls', 'seg'))
    weights = {name: records[name]['result']['input'] for name in ('cls', 'seg')}
    maps = {'map': folder / 'seg/maps', 'fully supervised baseline': folder / 'full_test/masks'}
    masks = {
        title.lower().removesuffix('s'): folder / 'cls' / key
        for key, title, _ in STAGES.values()
        if key in records and key.endswith('_masks')
    }
    meta, metrics = windows.metainfo, gather_metrics(folder, records, tested)
    cards = {
        f'{name}: {title}': f'{metrics[key][name]:.1f} %'
        for key, title, _ in STAGES.values()
        for name in ('mAP', 'mIoU')
        if name in metrics.get(key, {}) and key != 'raw_cams'
    }
    write_json(path.with_name('metrics.json'), metrics)
    write_page(
        path,
        'report.html',
        title='A crop map from image-level labels',
        windows=len(windows),
        crops=len(meta['classes']) - windows.background,
        cards=cards,
        stages=[stage for stage in STAGES.values() if stage[0] in metrics],
        metrics=metrics,
        figures=plot_all(folder, records, metrics, meta['palette']),
        galleries=[
            show_windows(windows, configs, weights, masks),
            show_scenes(tested, maps),
        ],
        classes=meta['classes'],
        palette=meta['palette'],
        records=records,
    )
    return cards


def gather_metrics(folder: Path, records: Mapping[str, Any], tested: SITSDataset) -> dict[str, Any]:
    """Gather the figures: scores in percent, area of each class in the maps, seconds."""
    metrics: dict[str, Any] = {}
    for stage in filter(records.__contains__, STAGES):
        key, found = STAGES[stage][0], records[stage]['result'].get('scores') or {}
        scores = {name.rpartition('/')[2]: score for name, score in found.items()}
        scores['OA'] = scores.get('aAcc', scores.get('OA'))
        wanted = ['mAP'] if stage == 'cls' else [name for name in SCORES if name != 'mAP']
        metrics[key] = {name: scores[name] for name in wanted if scores.get(name) is not None}
        if stage.endswith('_test'):
            metrics[key]['IoU'] = score_classes(folder / stage / 'masks', tested)
        elif 'by_class' in scores:
            metrics[key]['IoU'] = scores['by_class']
    metrics = {key: scores for key, scores in metrics.items() if scores}
    if 'fully_supervised' in metrics:
        ratio = metrics['segmentor']['mIoU'] / metrics['fully_supervised']['mIoU']
        metrics['ratio_to_full_supervision'] = ratio
    maps, classes = read_manifest(folder / 'seg/maps', 'maps')['pixels'], tested.metainfo['classes']
    pixels = np.array([[counts[name] for name in classes] for counts in maps.values()])
    metrics['map_pixels'] = dict(zip(classes, pixels.sum(0).tolist(), strict=True))
    sizes = [pixel_hectares(folder / f'seg/maps/{patch}.tif') for patch in maps]
    if None not in sizes:
        hectares = (np.array(sizes, float) @ pixels).round(2).tolist()
        metrics['map_hectares'] = dict(zip(classes, hectares, strict=True))
    seconds = {name: record['seconds'] for name, record in records.items()}
    peak = max(record['peak_memory_mb'] or 0 for record in records.values())
    return metrics | dict(seconds=seconds, peak_memory_mb=peak)


def score_classes(masks: Path, tested: SITSDataset) -> dict[str, float | None]:
    """Return the IoU of saved masks by class in percent, None for a class that is nowhere."""
    classes = tested.metainfo['classes']
    areas = torch.zeros(2, len(classes), dtype=torch.float64)
    for info in map(tested.get_data_info, range(len(tested))):
        pair = (read_map(masks / f'{info["sample_id"]}.png'), load_mask(info))
        tensors = map(torch.from_numpy, pair)
        areas += torch.stack(IoUMetric.intersect_and_union(*tensors, len(classes), IGNORED)[:2])
    ious = (100 * areas[0] / areas[1]).tolist()
    return {name: None if isnan(iou) else iou for name, iou in zip(classes, ious, strict=True)}


def plot_all(
    folder: Path, records: Mapping[str, Any], metrics: Mapping[str, Any], palette: Palette
) -> dict[str, Figure]:
    """Plot IoU by class, masks under all background scores, areas and losses, by caption."""
    plots, pseudo = {}, records['pseudo_masks']['result'].get('scores') or {}
    ious = {title: metrics.get(key, {}).get('IoU') for key, title, _ in STAGES.values()}
    if any(ious.values()):
        plots['IoU by class.'] = plot_classes({name: iou for name, iou in ious.items() if iou})
    if by_score := pseudo.get('by_score'):
        scores = [entry['background_score'] for entry in by_score]
        curves = {
            name: list(zip(scores, (entry[name] for entry in by_score), strict=True))
            for name in ('OA', 'mIoU')
        }
        marks = {
            'used, without a look at pixel labels': metrics['pseudo_masks']['background_score'],
            'best OA in hindsight': metrics['pseudo_masks']['hindsight_score'],
        }
        caption = 'Pseudo masks under all background scores.'
        plots[caption] = plot_curves({'': curves}, 'background score', '%', marks)
    unit = 'hectares' if 'map_hectares' in metrics else 'pixels'
    plots['Area of each class in the maps.'] = plot_bars(metrics[f'map_{unit}'], palette, unit)
    trained = [name for name in ('cls', 'seg', 'seg_full') if name in records]
    losses = {name: read_losses(folder / name) for name in trained}
    plots['Losses during training.'] = plot_curves(losses, 'iteration', 'loss')
    return plots


def logged(work_dir: Path) -> list[dict[str, Any]]:
    """Read all that the runs in a work folder logged, oldest first."""
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]


def read_losses(work_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the losses of a training, over all its runs: (iteration, value) by name."""
    curves: dict[str, dict[int, float]] = {}
    for entry in logged(work_dir):
        for name in (key for key in entry if key.startswith('loss')):
            curves.setdefault(name, {})[entry['step']] = entry[name]
    return {name: sorted(curve.items()) for name, curve in curves.items()}
