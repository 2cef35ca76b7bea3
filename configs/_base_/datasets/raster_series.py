"""Dated rasters in windows. Where they are, their bands and classes stand in the dict `area`."""

load = dict(type='LoadSITS', num_dates=60, date_choice='even')
annotate = dict(type='LoadSITSAnnotations')
# Each of the four orientations with the same probability, as two independent flips give them.
flip = dict(type='RandomFlip', prob=[0.25] * 3, direction=['horizontal', 'vertical', 'diagonal'])
pack = dict(type='PackSITSInputs')

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededSampler'),
    dataset=dict(type='RasterSeriesDataset'),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='RasterSeriesDataset', pipeline=[load, annotate, pack], test_mode=True),
)
test_dataloader = val_dataloader
