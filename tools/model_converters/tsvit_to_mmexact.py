"""Turn a published TSViT segmentor (.pth) into a checkpoint of seg_tsvit_*.py.

Run it with --cfg-options model.decode_head.pixel_order=published: its weights expect that order.
"""

from mmexact.apis.conversion import convert_checkpoint
from mmexact.engine.published import convert_tsvit

if __name__ == '__main__':
    convert_checkpoint(__doc__, convert_tsvit)
