"""Turn a published U-TAE (.pth.tar) into a checkpoint of seg_utae_*.py.

The weights published for PASTIS have 20 outputs, of which the last stands for ignored pixels:
convert them with --num-classes 19.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec('mmexact') is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmexact.conversion import convert_checkpoint
from mmexact.models.published import convert_utae

if __name__ == '__main__':
    convert_checkpoint(
        __doc__,
        convert_utae,
        num_classes=dict(type=int, help='keep only the first outputs (default: all)'),
    )
