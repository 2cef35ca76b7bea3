"""A classifier on a tiny PASTIS tree, for tests of what surrounds it."""

from pathlib import Path

import numpy as np
from mmengine.config import Config

from tests.data import SIZE, write_pastis

WINDOWS = [f'{patch}_{window}' for patch in (7, 8) for window in range(6)]
"""Sample ids of the two patches."""


def write_tree(root: Path) -> Path:
    """Write two patches of 2 x 3 windows of 4 x 4: crops 1 to 3 in stripes, void in patch 8."""
    stripes = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) // 3 % 4
    void = stripes.copy()
    void[:2] = 19
    return write_pastis(root, {7: stripes, 8: void}, folds={7: 1, 8: 2})


def toy_config(root: Path, work_dir: Path, **settings: object) -> Config:
    """Config that trains two steps on fold 1 and tests on folds 1 and 2."""
    crops, dims = 3, 6
    data = dict(
        type='PASTISDataset',
        data_root=str(root),
        window_size=4,
        serialize_data=False,  # spares the garbage collection
        metainfo=dict(classes=('Background', 'Meadow', 'Soft winter wheat', 'Corn')),
        pipeline=[
            dict(type='LoadSITS'),
            dict(type='LoadSITSAnnotations'),
            dict(type='PackSITSInputs'),
        ],
    )
    loader = dict(batch_size=5, num_workers=0)
    cfg = Config(
        dict(
            default_scope='mmseg',
            # MMEngine keeps loggers and visualizers by name, for the life of the process.
            experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
            work_dir=str(work_dir),
            log_level='WARNING',
            model=dict(
                type='ExactClassifier',
                data_preprocessor=dict(
                    type='SITSDataPreprocessor', mean=[1000.0] * 3, std=[1000.0] * 3
                ),
                backbone=dict(
                    type='TSViT',
                    in_channels=3,
                    num_classes=crops,
                    img_size=4,
                    embed_dims=dims,
                    temporal_depth=1,
                    spatial_depth=1,
                    num_heads=1,
                    head_dims=4,
                    global_token=True,
                ),
                cls_head=dict(type='ClassTokenHead', embed_dims=dims),
                spatial_clue_head=dict(
                    type='SpatialClueHead', num_classes=crops, embed_dims=dims, start_iter=1
                ),
                temporal_clue_head=dict(type='TemporalClueHead'),
                test_cfg=dict(background_score=0.25),
            ),
            train_dataloader=dict(
                loader, sampler=dict(type='InfiniteSampler'), dataset=dict(data, folds=(1,))
            ),
            test_dataloader=dict(
                loader,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(data, folds=(1, 2), test_mode=True),
            ),
            test_evaluator=dict(type='PseudoLabelMetric'),
            test_cfg=dict(type='TestLoop'),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
            optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01)),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
            ),
            randomness=dict(seed=0),
        )
    )
    cfg.merge_from_dict(settings)
    return cfg
