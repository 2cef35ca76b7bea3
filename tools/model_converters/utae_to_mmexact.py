"""Turn a published U-TAE (.pth.tar) into a checkpoint of seg_utae_*.py.

The weights published for PASTIS have 20 outputs, of which the last stands for ignored pixels:
convert them with --num-classes 19.
"""

from mmexact.apis.conversion import convert_checkpoint
from mmexact.engine.published import convert_utae

if __name__ == '__main__':
    convert_checkpoint(
        __doc__,
        convert_utae,
        num_classes=dict(type=int, help='keep only the first outputs (default: all)'),
    )
