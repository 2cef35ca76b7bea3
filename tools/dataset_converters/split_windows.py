"""Split the windows of a config's data by blocks of ground, so that neighbours do not leak.

Windows are dealt block by block, so that each split gets its share of all classes as far as whole
blocks allow (the blocks with the rarest classes first, each to the split that lacks them most).
Located rasters are cut into blocks on the ground, whatever raster a window is in; patches without
a place, such as those of PASTIS, are taken to lie apart from one another.

Writes text files of sample ids for ann_file. Without --folds: one per split, such as train.txt.
With --folds N: fold_<n>.txt with the windows of fold n, to test on, and fold_<n>_train.txt with
all others.
"""

from argparse import Namespace
from pathlib import Path

import numpy as np

from mmexact.apis.command_line import OneLineErrorParser, load_config
from mmexact.apis.data import data_parser, open_data
from mmexact.datasets.splits import DROPPED, Split, count_classes, split_windows, write_lists
from mmexact.visualization.split_map import draw_splits


def main() -> None:
    """Split as the command line says."""
    parser = data_parser(__doc__)
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR', help='folder of the files'
    )
    parser.add_argument(
        '--block-size', type=int, default=240, metavar='PIXELS',
        help='side of a block; larger than a patch keeps patches whole (default: 240)',
    )  # fmt: skip
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        '--shares', nargs='+', default=['train=0.6', 'val=0.2', 'test=0.2'], metavar='NAME=SHARE',
        help='splits and their shares, in sum 1 (default: train=0.6 val=0.2 test=0.2)',
    )  # fmt: skip
    kind.add_argument('--folds', type=int, metavar='N', help='N folds of equal size instead')
    parser.add_argument(
        '--buffer', type=int, default=0, metavar='PIXELS',
        help='leave windows out that lie nearer than this to another split: those of the split '
        'named first, and of the training windows of a fold (default: 0)',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=0, help='of the random order (default: 0)')
    parser.add_argument(
        '--map', type=Path, metavar='PNG', help='draw which window is in which split'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace files of the same name')
    args = parser.parse_args()
    shares = read_shares(args, parser)
    if args.block_size < 1 or args.buffer < 0 or args.seed < 0:
        parser.error('--block-size has to be positive, --buffer and --seed 0 or more')
    try:
        # An ann_file of its own is set aside.
        dataset = open_data(load_config(args), args.loader, ann_file='')
        split = split_windows(dataset, shares, args.block_size, args.seed)
        if not args.folds:
            split = split.apart(args.buffer)
        chosen = {name: split.numbers == number for number, name in enumerate(shares)}
        for number, name in enumerate(shares if args.folds else ()):
            chosen[f'{name}_train'] = split.outside(number, args.buffer)
        ids = np.array(split.sample_ids)
        lists = {name: ids[windows].tolist() for name, windows in chosen.items()}
        write_lists(args.out, lists, args.overwrite)
        if args.map:
            args.map.parent.mkdir(parents=True, exist_ok=True)
            boxes, frames = split.places.boxes, split.places.frames
            draw_splits(frames, boxes, split.numbers, split.names).savefig(args.map, dpi=160)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print_table(split)
    if (dropped := (split.numbers == DROPPED).sum()) > 0:
        print(f'{dropped} windows are in no split: nearer than {args.buffer} pixels')
    places = split.places
    if not places.located:
        print(f'{len(places.names)} patches without a place on the ground, taken to lie apart')
    print(f'{args.out}: {", ".join(f"{name}.txt" for name in lists)}')


def read_shares(args: Namespace, parser: OneLineErrorParser) -> dict[str, float]:
    """Read names and shares of the splits from the arguments."""
    if args.folds is not None:
        if args.folds < 2:
            parser.error(f'argument --folds: {args.folds}; expected 2 or more')
        return {f'fold_{n + 1}': 1 / args.folds for n in range(args.folds)}
    try:
        shares = {name: float(share) for name, share in (item.split('=') for item in args.shares)}
    except ValueError:
        parser.error(f'argument --shares: {" ".join(args.shares)}; expected NAME=SHARE, ...')
    if len(shares) != len(args.shares) or min(shares.values()) <= 0:
        parser.error('argument --shares: expected different names and positive shares')
    if abs(sum(shares.values()) - 1) > 1e-6:
        parser.error(f'argument --shares: the sum is {sum(shares.values()):g}; expected 1')
    return shares


def print_table(split: Split) -> None:
    """Print how many windows of each class are in each split, and their share."""
    titles = ['windows', *split.classes]
    counts = count_classes(split.numbers, split.labels, len(split.names))
    width = max(map(len, titles)) + 2
    print(f'\n{"":{width}}' + ''.join(f'{name:>16}' for name in split.names))
    for title, row in zip(titles, counts.T, strict=True):
        total = max(row.sum(), 1)
        cells = [f'{count} ({100 * count / total:.0f} %)' for count in row]
        print(f'{title:{width}}' + ''.join(f'{cell:>16}' for cell in cells))
    print()


if __name__ == '__main__':
    main()
