"""Stage 3 on PASTIS, fast: bfloat16, and no time spent on padding (docs/performance.md).

python tools/train.py configs/exact/seg_tsvit_pastis_fast.py
"""

_base_ = './seg_tsvit_pastis.py'

model = dict(data_preprocessor=dict(num_dates=None), backbone=dict(mask_padding=True))
pseudo_label_dir = 'work_dirs/cls_pastis_fast/rotation{{$ROTATION:1}}/refined_masks'
train_dataloader = dict(
    drop_last=False,  # the batch sampler's
    batch_sampler=dict(type='SeriesLengthBatchSampler', num_dates=60, drop_last=True),
    dataset=dict(pseudo_label_dir=pseudo_label_dir),
)
optim_wrapper = dict(type='BFloat16OptimWrapper')
work_dir = './work_dirs/seg_tsvit_pastis_fast/rotation{{$ROTATION:1}}'
