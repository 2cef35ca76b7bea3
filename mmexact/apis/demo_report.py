"""What the demo has to show: its figures as JSON, and a page with tables and pictures."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset

from mmexact.apis.report_pictures import (
    build_dataset,
    choose,
    class_ious,
    learning_curve,
    show_patches,
    show_windows,
)
from mmexact.apis.steps import duration, write_json
from mmexact.visualization.figures import plot_classes, plot_curves
from mmexact.visualization.pages import write_page

WINDOWS, PATCHES = 6, 2


@dataclass
class DemoResults:
    """Results of the demo's steps.

    Attributes:
        work_dir: Folder of all results.
        cls: ``checkpoint`` and validation ``scores`` of the classifier.
        pseudo: ``scores`` of its pseudo masks.
        raw: ``scores`` of its raw CAMs.
        seg: ``checkpoint`` of the segmentor.
        full: ``checkpoint`` of the fully supervised twin.
        seg_test: ``scores`` of the segmentor on the held-out fold.
        full_test: ``scores`` of the twin there.
    """

    work_dir: Path
    cls: dict
    pseudo: dict
    raw: dict
    seg: dict
    full: dict
    seg_test: dict
    full_test: dict

    def folder(self, name: str) -> Path:
        """Folder of a step."""
        return self.work_dir / name


def gather_metrics(
    results: DemoResults,
    ious: Mapping[str, Mapping[str, float | None]],
    records: Mapping[str, dict],
) -> dict[str, Any]:
    """Gather all figures: scores in percent, the ratio between 0 and 1 or more.

    Args:
        results: Results of the steps.
        ious: IoU by class of ``pseudo_masks``, ``segmentor`` and ``fully_supervised``.
        records: What the pipeline knows of each step, see :class:`~mmexact.apis.steps.Pipeline`.
    """
    names = ('OA', 'mIoU', 'hindsight_OA', 'hindsight_mIoU', 'hindsight_score', 'background_score')
    masks, raw = (
        {name: step['scores'][f'pseudo/{name}'] for name in names}
        for step in (results.pseudo, results.raw)
    )
    segmentor, full = (
        dict(OA=step['scores']['aAcc'], mIoU=step['scores']['mIoU'])
        for step in (results.seg_test, results.full_test)
    )
    seconds = {name: record['seconds'] for name, record in records.items()}
    return dict(
        classifier=dict(mAP=results.cls['scores']['multi-label/mAP']),
        pseudo_masks=dict(masks, IoU=dict(ious['pseudo_masks'])),
        raw_cams=raw,
        segmentor=dict(segmentor, IoU=dict(ious['segmentor'])),
        fully_supervised=dict(full, IoU=dict(ious['fully_supervised'])),
        ratio_to_full_supervision=segmentor['mIoU'] / full['mIoU'],
        seconds=dict(seconds, total=round(sum(seconds.values()), 1)),
        peak_memory_mb=max(record['peak_memory_mb'] for record in records.values()),
    )


def write_demo_report(
    results: DemoResults,
    configs: Mapping[str, Config],
    records: Mapping[str, dict],
    metrics_path: Path,
    page: Path,
    note: str = '',
) -> None:
    """Write all figures as JSON, and the page.

    Args:
        results: Results of the steps.
        configs: Configs of the classifier (``cls``) and the segmentor (``seg``).
        records: What the pipeline knows of each step.
        metrics_path: The JSON file.
        page: The HTML file.
        note: Added to the summary.
    """
    init_default_scope('mmseg')
    windows, patches = build_dataset(configs['cls']), build_dataset(configs['seg'])
    pseudo_dir = results.folder('cls/pseudo_masks')
    mask_dirs = {
        'prediction': results.folder('seg_test/masks'),
        "twin's prediction": results.folder('full_test/masks'),
    }
    ious = dict(
        pseudo_masks=class_ious(windows, pseudo_dir),
        segmentor=class_ious(patches, mask_dirs['prediction']),
        fully_supervised=class_ious(patches, mask_dirs["twin's prediction"]),
    )
    metrics = gather_metrics(results, ious, records)
    training = show_windows(
        windows,
        choose(windows, WINDOWS),
        (configs['cls'], results.cls['checkpoint']),
        (configs['seg'], results.seg['checkpoint']),
        pseudo_dir,
    )
    training.caption = (
        'Chosen by their labels alone, so that every crop is shown. Above each row stands all that '
        'the classifier was told about the window. The CAM is the colour of the strongest class, '
        'the more opaque the more active; a class that exceeds the background score enters the '
        'pseudo mask.'
    )
    held_out = show_patches(patches, range(min(PATCHES, len(patches))), mask_dirs)
    held_out.caption = (
        'Whole patches of a fold that no training has seen, the first ones of it. The twin learned '
        'from true masks instead of pseudo masks; all else is the same.'
    )
    write_json(metrics_path, metrics)
    write_page(
        page,
        'report.html',
        title='A crop map from image-level labels',
        note=note,
        windows=len(windows),
        crops=len(windows.metainfo['classes']) - 1,
        cards=headline(metrics),
        table=score_table(metrics),
        figures=plots(results, metrics),
        galleries=[training, held_out],
        classes=windows.metainfo['classes'],
        palette=windows.metainfo['palette'],
        steps=step_table(records),
        metrics=json.dumps(metrics, indent=2),
    )


def summary(windows: BaseSegDataset, patches: BaseSegDataset) -> str:
    """Say in two sentences what was done."""
    crops = len(windows.metainfo['classes']) - 1
    return (
        f'A classifier learned, from which of {crops} crops occur in each of {len(windows):,} '
        f'synthetic windows of {windows.window_size} x {windows.window_size} pixels, where in a '
        f'window each crop grows; its class activation maps (CAMs) became pseudo masks. A TSViT '
        f'segmentor trained on those masks maps a fold of {len(patches)} patches that no training '
        f'has seen, and is held against a twin that was trained on true masks.'
    )


def headline(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Pick the figures for the top of the page."""
    return {
        'mIoU of the pseudo masks': f'{metrics["pseudo_masks"]["mIoU"]:.1f} %',
        'mIoU of the segmentor, held-out fold': f'{metrics["segmentor"]["mIoU"]:.1f} %',
        'mIoU of its fully supervised twin': f'{metrics["fully_supervised"]["mIoU"]:.1f} %',
        'of full supervision reached': f'{100 * metrics["ratio_to_full_supervision"]:.1f} %',
    }


def score_table(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Tabulate the scores."""
    rows = [
        ('', 'judged on', 'OA (%)', 'mIoU (%)', 'mAP (%)'),
        ('Classifier', 'validation fold', '', '', f'{metrics["classifier"]["mAP"]:.1f}'),
    ]
    for key, name in (('raw_cams', 'Plain raw CAMs'), ('pseudo_masks', 'Pseudo masks')):
        scores = metrics[key]
        rows += [
            (
                f'{name}, background score {scores[score]:.2f} ({how})',
                'training folds',
                f'{scores[oa]:.1f}',
                f'{scores[miou]:.1f}',
                '',
            )
            for how, score, oa, miou in (
                ('default', 'background_score', 'OA', 'mIoU'),
                ('best in hindsight', 'hindsight_score', 'hindsight_OA', 'hindsight_mIoU'),
            )
        ]
    for key, name in (('segmentor', 'Segmentor'), ('fully_supervised', 'Fully supervised twin')):
        scores = metrics[key]
        rows.append((name, 'held-out fold', f'{scores["OA"]:.1f}', f'{scores["mIoU"]:.1f}', ''))
    ratio = f'{100 * metrics["ratio_to_full_supervision"]:.1f} %'
    return [*rows, ('Segmentor : twin', 'held-out fold', '', ratio, '')]


def plots(results: DemoResults, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Plot what the table sums up."""
    by_class = {
        title: metrics[key]['IoU']
        for key, title in (
            ('pseudo_masks', 'pseudo masks'),
            ('segmentor', 'segmentor'),
            ('fully_supervised', 'fully supervised'),
        )
    }
    stage1 = learning_curve(results.folder('cls'), ['loss', 'loss_cls', 'loss_aux', 'loss_clue'])
    stage3 = {
        title: learning_curve(results.folder(name), ['loss'])['loss']
        for name, title in (('seg', 'segmentor'), ('seg_full', 'fully supervised'))
    }
    masks = metrics['pseudo_masks']
    return {
        'Class by class: pseudo masks on the training folds, segmentor and twin on the held-out '
        'fold.': plot_classes(by_class),
        'Pseudo masks under all background scores. The one used looked at no pixel label; the best '
        'in hindsight, by overall accuracy, did.': plot_curves(
            {'pseudo masks': by_score(results.pseudo['scores']['by_score'])},
            'background score',
            '%',
            {
                f'used: {masks["background_score"]:.2f}': masks['background_score'],
                f'best in hindsight: {masks["hindsight_score"]:.2f}': masks['hindsight_score'],
            },
        ),
        'Losses during training.': plot_curves(
            {'classifier': stage1, 'segmentors': stage3}, 'iteration', 'loss'
        ),
    }


def by_score(entries: list[dict]) -> dict[str, list[tuple[float, float]]]:
    """Arrange OA and mIoU by background score as curves."""
    return {
        name: [(entry['background_score'], entry[name]) for entry in entries]
        for name in ('OA', 'mIoU')
    }


def step_table(records: Mapping[str, dict]) -> list[tuple[str, ...]]:
    """List the steps with their time and command."""
    rows = [
        (name, duration(record['seconds']), shlex.join(['python', *record['command']]))
        for name, record in records.items()
    ]
    return [('Step', 'Time', 'Command'), *rows]
