"""Turn a published TSViT segmentor (.pth) into a checkpoint of seg_tsvit_*.py.

Run it with --cfg-options model.decode_head.pixel_order=published: its weights expect that order.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec('mmexact') is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmexact.conversion import convert_checkpoint
from mmexact.models.published import convert_tsvit

if __name__ == '__main__':
    convert_checkpoint(__doc__, convert_tsvit)
