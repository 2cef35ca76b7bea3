"""The synthetic tree for stage 3: trains on the demo's pseudo masks, tests on whole patches."""

_base_ = ['./pastis_patches.py', './synthetic_pastis.py']

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        data_root={{_base_.synthetic_root}},
        metainfo={{_base_.synthetic_metainfo}},
        pseudo_label_dir='work_dirs/demo/cls/pseudo_masks',
        pipeline=[
            {{_base_.synthetic_train_dates}},
            dict(type='LoadSITSAnnotations'),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='RandomFlip', prob=0.5, direction='vertical'),
            dict(type='PackSITSInputs'),
        ],
    ),
)
val_dataloader = dict(num_workers=1, dataset={{_base_.synthetic_data}})
test_dataloader = dict(num_workers=1, dataset={{_base_.synthetic_data}})
data_preprocessor = {{_base_.synthetic_preprocessor}}
