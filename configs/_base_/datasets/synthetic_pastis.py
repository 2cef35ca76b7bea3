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
    mean=[970, 1180, 1140, 1480, 2280, 2600, 2770, 2860, 2150, 1470],
    std=[1350, 1290, 1320, 1220, 1110, 1130, 1160, 1170, 780, 720],
    num_dates=None,
)
# So few patches would be learned by heart: every step sees other dates of a series.
synthetic_train_dates = dict(type='LoadSITS', num_dates=14, date_choice='random')
