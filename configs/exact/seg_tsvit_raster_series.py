"""Stage 3 on dated rasters of a user's own area: TSViT learns from the pseudo masks of stage 2.

python tools/gen_pseudo.py configs/exact/cls_raster_series.py \
    work_dirs/raster_series/cls/iter_300.pth
python tools/train.py configs/exact/seg_tsvit_raster_series.py --amp
"""

_base_ = ['../_base_/datasets/raster_series_area.py', '../_base_/stages/seg_area.py']
