"""Stage 1 on dated rasters of a user's own area.

python tools/train.py configs/exact/cls_raster_series.py --amp
"""

_base_ = ['../_base_/datasets/raster_series_area.py', '../_base_/stages/cls_area.py']
