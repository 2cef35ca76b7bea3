"""The paper's schedule of stage 1: 15,000 iterations, 20 epochs in batches of 48."""

max_iters = 15000
warmup_iters = 2250  # 3 epochs

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=5e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type='CosineAnnealingLR',
        eta_min=5e-6,
        by_epoch=False,
        begin=warmup_iters,
        end=max_iters,
    ),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
