"""Stage 3 on PASTIS: U-TAE with pixels near the background score ignored.

docs/segmentors.md has the command that makes the masks, and other remedies against their errors.

python tools/train.py configs/exact/seg_utae_pastis_plus.py
"""

_base_ = './seg_utae_pastis.py'

work_dir = './work_dirs/seg_utae_pastis_plus/rotation{{$ROTATION:1}}'
pseudo_label_dir = 'work_dirs/cls_pastis/rotation{{$ROTATION:1}}/pseudo_masks_band'
train_dataloader = dict(dataset=dict(pseudo_label_dir=pseudo_label_dir))
