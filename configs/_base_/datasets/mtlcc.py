"""MTLCC (Germany) in tiles of 24 x 24 pixels, and the steps of which a config makes its pipelines.

Set the environment variable MTLCC_ROOT to the folder of the tiles, 240 of the download or the
pickles 240pkl; docs/germany.md says more. Trains on train_fold0 of 2016 and tests on eval, as TSViT
does; validates on test_fold0.
"""

train_split, val_split, test_split = 'train_fold0', 'test_fold0', 'eval'
num_dates = 16
num_classes = 17  # all of them crops

tiles = dict(
    type='MTLCCDataset',
    data_root='{{$MTLCC_ROOT:data/MTLCC}}',
    years=(2016,),
    # Dates and labels are inside the tiles: what the first run reads, the next ones need not.
    index_file='work_dirs/mtlcc_tiles.pickle',
    # Unknown land says nothing of its crops: leave out tiles in which no crop is known.
    filter_cfg=dict(require_crop=True),
)
# Reflectances x 10,000, scaled as MTLCC and TSViT scale them, by 1e-4.
data_preprocessor = dict(
    type='SITSDataPreprocessor', mean=[0.0] * 13, std=[10000.0] * 13, num_dates=num_dates
)

load = dict(type='LoadSITS', num_dates=num_dates, date_choice='random')
annotate = dict(type='LoadSITSAnnotations')
# Each of the four orientations with the same probability, as two independent flips give them.
flip = dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal'])
pack = dict(type='PackSITSInputs')
test_pipeline = [dict(load, date_choice='even'), annotate, pack]

train_dataloader = dict(
    batch_size=48,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler'),
    dataset=dict(**tiles, split=train_split),
)
val_dataloader = dict(
    batch_size=48,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**tiles, split=val_split, pipeline=test_pipeline, test_mode=True),
)
# Pseudo masks are wanted of the tiles that stage 3 trains on, and are judged there.
test_dataloader = dict(
    batch_size=48,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**tiles, split=train_split, pipeline=test_pipeline, test_mode=True),
)
