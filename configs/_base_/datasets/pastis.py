"""PASTIS in windows of 24 x 24 pixels, and the steps of which the stages make their pipelines.

Set the environment variable ROTATION to 1..5 to rotate the official folds: rotation 1 trains on
folds 1-3, validates on 4 and tests on 5; each further one moves all of them up by one.
"""

rotation = int('{{$ROTATION:1}}')
if rotation not in range(1, 6):
    raise ValueError(f'ROTATION={rotation}; expected 1 to 5')
folds = [(rotation + offset - 1) % 5 + 1 for offset in range(5)]
train_folds, val_folds, test_folds = folds[:3], folds[3:4], folds[4:]

# Band statistics of fold 1 (B2 B3 B4 B5 B6 B7 B8 B8A B11 B12), as the paper uses them.
data_preprocessor = dict(
    type='SITSDataPreprocessor',
    mean=[
        1165.94, 1375.65, 1429.22, 1764.80, 2719.27, 3063.61, 3205.90, 3319.11, 2422.90, 1639.37,
    ],
    std=[
        1942.62, 1881.92, 1959.38, 1867.22, 1754.59, 1769.40, 1784.86, 1767.71, 1458.96, 1299.28,
    ],
    num_dates=60,
)  # fmt: skip

load = dict(type='LoadSITS', num_dates=60)
annotate = dict(type='LoadSITSAnnotations')
# Each of the four orientations with the same probability, as two independent flips give them.
flip = dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal'])
pack = dict(type='PackSITSInputs')
test_pipeline = [load, annotate, pack]

windows = dict(type='PASTISDataset', data_root='data/PASTIS', window_size=24)
train_dataloader = dict(
    batch_size=48,
    num_workers=4,
    collate_fn=dict(type='sits_collate'),
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler'),
    dataset=dict(**windows, folds=train_folds),
)
val_dataloader = dict(
    batch_size=48,
    num_workers=4,
    collate_fn=dict(type='sits_collate'),
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**windows, folds=val_folds, pipeline=test_pipeline, test_mode=True),
)
test_dataloader = dict(
    batch_size=48,
    num_workers=4,
    collate_fn=dict(type='sits_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**windows, pipeline=test_pipeline, test_mode=True),
)
