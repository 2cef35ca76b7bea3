"""A user's own dated rasters in windows: stage 1, and stage 2 on the same windows.

The values describe one Sentinel-2 series with two bands per date (NDVI and cloud probability, both
x 10000) and a land-cover raster from which only image-level labels are taken. For your own data
change this part; docs of RasterSeriesDataset say how.
"""

raster_data = dict(
    type='RasterSeriesDataset',
    data_root='data/raster_series',
    series=dict(area=dict(rasters='series/*.tif', mask='landcover.tif')),
    search=dict(bands=[1, 2], date_range=('2017-01-01', '2017-12-31')),
    # Values of the land-cover raster; what is not listed is ignored.
    codes={1: 'Cultivated', 2: 'Forest', 3: 'Grassland', 4: 'Shrubland', 8: 'Background'},
    metainfo=dict(
        classes=('Background', 'Cultivated', 'Forest', 'Grassland', 'Shrubland'),
        palette=[[56, 56, 60], [240, 210, 80], [20, 90, 30], [120, 200, 90], [150, 120, 60]],
    ),
)
data_preprocessor = dict(
    type='SITSDataPreprocessor', mean=[5185, 3469], std=[1988, 4012], num_dates=None
)

train_pipeline = [
    dict(type='LoadSITS', num_dates=60, date_choice='even'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSITSInputs'),
]
test_pipeline = [
    dict(type='LoadSITS', num_dates=60, date_choice='even'),
    dict(type='LoadSITSAnnotations'),  # without a label raster: take this out, and evaluators
    dict(type='PackSITSInputs'),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**raster_data, window_size=24, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**raster_data, window_size=24, pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='mmpretrain.AveragePrecision'), dict(type='PseudoLabelMetric')]
test_evaluator = val_evaluator
