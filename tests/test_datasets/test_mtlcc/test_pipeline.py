"""Germany from a tree on disk to a segmentor: no background anywhere on the way."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample
from PIL import Image

from mmexact.datasets import MTLCCDataset
from mmexact.datasets.mtlcc.mtlcc import CLASSES
from mmexact.datasets.synthetic.mtlcc_tree import write_mtlcc_tree
from mmexact.engine.pseudo_label_hook import PseudoLabelHook
from mmexact.evaluation.pseudo_label_metric import PseudoLabelMetric
from mmexact.pseudo_labels import confusion_scores, drop_background
from mmexact.visualization.pictures import cam_overlay

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/exact'
NAMES = tuple(name for name, _ in CLASSES.values())


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('mtlcc') / 'tree'
    write_mtlcc_tree(root, num_patches=5, num_dates=(5, 7), difficulty=0.3, seed=1)
    return root


def small(name: str, root: Path, work_dir: Path, steps: int) -> Config:
    """Shrink a config: a model of 8 wide tokens on a tree of few dates."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    backbone = dict(embed_dims=16, temporal_depth=1, spatial_depth=1, num_heads=2, head_dims=8)
    stage = (
        dict(cls_head=dict(embed_dims=16), spatial_clue_head=dict(embed_dims=16, start_iter=4))
        if name.startswith('cls')
        else dict(decode_head=dict(in_channels=16))
    )
    data = dict(
        data_root=str(root), index_file=str(work_dir / 'tiles.pickle'), serialize_data=False
    )
    loader = dict(batch_size=6, num_workers=0, dataset=dict(data, indices=12))
    unique = f'{work_dir.parent.name}_{work_dir.name}_{name}'
    cfg.merge_from_dict(
        dict(
            model=dict(backbone=backbone, **stage),
            train_dataloader=dict(loader, persistent_workers=False),
            val_dataloader=dict(loader, persistent_workers=False),
            test_dataloader=loader,
            train_cfg=dict(max_iters=steps, val_interval=steps),
            default_hooks=dict(logger=dict(interval=1), checkpoint=dict(interval=steps)),
            visualizer=dict(name=unique),
            experiment_name=unique,
            work_dir=str(work_dir / name),
            log_level='WARNING',
        )
    )
    return cfg


@pytest.mark.parametrize('folder', ['240', '240pkl'])
def test_from_a_tree_to_masks_and_a_segmentor(tree, folder, tmp_path):
    run = Runner.from_cfg(small('cls_mtlcc', tree / folder, tmp_path, 6))
    run.train()
    evaluator = run.build_evaluator(run.cfg.test_evaluator)
    out = tmp_path / 'masks'
    scores = PseudoLabelHook(str(out)).map_windows(run, run.cfg.test_dataloader, evaluator)
    assert set(scores) >= {'multi-label/mAP', 'pseudo/OA', 'pseudo/hindsight_mIoU'}

    dataset = run.build_dataloader(run.cfg.test_dataloader).dataset
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['classes'] == list(NAMES)
    assert manifest['windows'] == len(dataset)
    hits = compared = 0
    counts = np.zeros(256, int)
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        mask = np.asarray(Image.open(out / f'{info["sample_id"]}.png'))
        counts += np.bincount(mask.ravel(), minlength=256)
        # A mask holds nothing but crops that occur, under the index that the labels have.
        assert set(np.unique(mask)) <= {*np.flatnonzero(info['gt_score']).tolist(), 255}
        truth = info['reader'].read_mask(info['window'])
        hits += (mask == truth)[truth != 255].sum()
        compared += (truth != 255).sum()
    assert counts[:17].sum() > 0 < counts[255]
    assert manifest['pixels'] == dict(
        zip(NAMES, counts[:17].tolist(), strict=True), ignored=int(counts[255])
    )
    # What is left unlabelled counts as missed.
    assert scores['pseudo/OA'] == pytest.approx(100 * hits / compared)

    for name in ('seg_tsvit_mtlcc', 'seg_tsvit_mtlcc_full'):
        cfg = small(name, tree / folder, tmp_path, 2)
        if name == 'seg_tsvit_mtlcc':
            cfg.train_dataloader.dataset.pseudo_label_dir = str(out)
        run = Runner.from_cfg(cfg)
        losses = run.model.decode_head.loss_decode
        assert losses.avg_non_ignore
        metrics = run.train() and run.test()
        assert 0 <= metrics['mIoU'] <= 100
        sample = run.test_dataloader.dataset[0]
        with torch.no_grad():
            (predicted,) = run.model.test_step({key: [value] for key, value in sample.items()})
        assert predicted.seg_logits.data.shape == (17, 24, 24)
        assert predicted.sample_id.startswith('2016_')


def test_a_model_of_another_dataset_is_refused(tree, tmp_path):
    cfg = small('cls_mtlcc', tree / '240', tmp_path, 1)
    cfg.model.backbone.num_classes = cfg.model.spatial_clue_head.num_classes = 16
    cfg.test_dataloader.dataset.split = 'eval'
    hook = PseudoLabelHook(str(tmp_path / 'masks'))
    with pytest.raises(ValueError, match=r'knows 16 crops .* has 17 among its classes'):
        hook.map_windows(Runner.from_cfg(cfg), cfg.test_dataloader)


# ---- scores by hand ----------------------------------------------------------------------------


def window(cams: list, truth: list, score: float) -> SegDataSample:
    maps = torch.tensor(cams)[:, None]
    logits = torch.cat([torch.full_like(maps[:1], score), maps])
    mask = drop_background(logits.argmax(0, keepdim=True))
    return SegDataSample(
        metainfo=dict(sample_id='2016_1', background=False),
        seg_logits=PixelData(data=logits),
        pred_sem_seg=PixelData(data=mask),
        gt_sem_seg=PixelData(data=torch.tensor([[truth]])),
    )


def test_unlabelled_pixels_are_misses_as_in_mmseg(capsys):
    # Two crops; masks 0, 1, unlabelled, 0; the last pixel is unknown.
    cams = [[0.9, 0.2, 0.1, 0.8, 0.9], [0.0, 0.6, 0.2, 0.1, 0.0]]
    sample = window(cams, [0, 1, 1, 1, 255], 0.3)
    assert sample.pred_sem_seg.data.tolist() == [[[0, 1, 255, 0, 0]]]
    meta = dict(classes=('Hop', 'Maize'), background=False)
    ours, theirs = PseudoLabelMetric(), IoUMetric(prefix='mmseg')
    results = {}
    for metric in (ours, theirs):
        metric.dataset_meta = meta
        metric.process({}, [sample.to_dict()])
        results |= metric.evaluate(1)
    # Hop is hit once of a union of 2, maize once of 3; 2 of 4 known pixels are right.
    assert results['pseudo/OA'] == results['mmseg/aAcc'] == pytest.approx(50)
    assert results['pseudo/mIoU'] == pytest.approx(100 * (1 / 2 + 1 / 3) / 2)
    assert results['mmseg/mIoU'] == pytest.approx(results['pseudo/mIoU'], abs=0.005)
    # With no background to protect, everything labelled is best: 0, 1, 1, 0 hits 3 of 4.
    assert results['pseudo/hindsight_score'] == 0
    assert results['pseudo/hindsight_OA'] == pytest.approx(75)


def test_confusion_without_background():
    confusion = torch.tensor([[0, 0, 0], [2, 5, 1], [0, 0, 4]])
    accuracy, miou = confusion_scores(confusion, background=False)
    assert accuracy.item() == pytest.approx(100 * 9 / 12)
    assert miou.item() == pytest.approx(100 * (5 / 8 + 4 / 5) / 2)


def test_drop_background():
    assert drop_background(torch.tensor([[0, 1, 17]])).tolist() == [[255, 0, 16]]


def test_the_overlay_takes_the_colour_of_the_class():
    palette = [[10, 0, 0], [0, 20, 0], [0, 0, 30]]
    cams = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    image = np.zeros((1, 2, 3), np.uint8)
    assert cam_overlay(image, cams, palette, background=False).tolist() == [
        [[10, 0, 0], [0, 20, 0]]
    ]
    assert cam_overlay(image, cams, palette).tolist() == [[[0, 20, 0], [0, 0, 30]]]


def test_the_dataset_says_so():
    assert MTLCCDataset.METAINFO['background'] is False
    assert MTLCCDataset.METAINFO['classes'] == NAMES
    assert len({tuple(color) for color in MTLCCDataset.METAINFO['palette']}) == 17
