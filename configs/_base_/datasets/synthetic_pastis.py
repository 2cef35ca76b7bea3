"""The tree that tools/dataset_converters/make_synthetic_pastis.py writes by default.

It is read as PASTIS: its stages replace by this what they inherit.
"""

synthetic = dict(
    data_root='data/synthetic_pastis',
    metainfo=dict(
        classes=(
            'Background',
            'Meadow',
            'Soft winter wheat',
            'Corn',
            'Winter barley',
            'Winter rapeseed',
            'Spring barley',
            'Sunflower',
            'Grapevine',
        )
    ),
)
num_classes = len(synthetic['metainfo']['classes'])
# Digital numbers of the tree's NORM_S2_patch.json, averaged over folds 1-3; batches are padded to
# their longest series only.
synthetic_preprocessor = dict(
    type='SITSDataPreprocessor',
    mean=[890, 1110, 1070, 1420, 2230, 2550, 2720, 2820, 2120, 1440],
    std=[1250, 1200, 1230, 1130, 1040, 1080, 1110, 1130, 730, 670],
    num_dates=None,
)
# So few patches would be learned by heart: every step sees other dates of a series.
load_some_dates = dict(type='LoadSITS', num_dates=12, date_choice='random')
