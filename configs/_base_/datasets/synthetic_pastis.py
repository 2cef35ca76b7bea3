"""The tree that tools/dataset_converters/make_synthetic_pastis.py writes by default.

Goes beside the bases of PASTIS, whose settings it replaces.
"""

synthetic_root = 'data/synthetic_pastis'
synthetic_metainfo = dict(
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
)
synthetic_data = dict(data_root=synthetic_root, metainfo=synthetic_metainfo)
# Digital numbers of the tree's NORM_S2_patch.json, averaged over folds 1-3; batches are padded to
# their longest series only.
synthetic_preprocessor = dict(
    mean=[890, 1110, 1070, 1420, 2230, 2550, 2720, 2820, 2120, 1440],
    std=[1250, 1200, 1230, 1130, 1040, 1080, 1110, 1130, 730, 670],
    num_dates=None,
)
# So few patches would be learned by heart: every step sees other dates of a series.
synthetic_train_dates = dict(type='LoadSITS', num_dates=12, date_choice='random')
