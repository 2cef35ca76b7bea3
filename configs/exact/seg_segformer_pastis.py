"""Stage 3 on PASTIS: SegFormer (MiT-B0) behind a TemporalStem, on the pseudo masks of stage 2.

python tools/train.py configs/exact/seg_segformer_pastis.py
"""

_base_ = [
    '../_base_/datasets/pastis_patches.py',
    '../_base_/models/seg_segformer.py',
    '../_base_/schedules/schedule_segmentor.py',
    '../_base_/default_runtime.py',
]

work_dir = './work_dirs/seg_segformer_pastis/rotation{{$ROTATION:1}}'
pseudo_label_dir = 'work_dirs/cls_pastis/rotation{{$ROTATION:1}}/pseudo_masks'
model = dict(data_preprocessor={{_base_.data_preprocessor}})
train_dataloader = dict(dataset=dict(pseudo_label_dir=pseudo_label_dir))
