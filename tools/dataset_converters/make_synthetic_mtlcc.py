"""Write synthetic satellite image time series in the on-disk formats of MTLCC (Germany)."""

from argparse import ArgumentDefaultsHelpFormatter
from pathlib import Path

from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import OneLineErrorParser


def main() -> None:
    """Write a tree as the command line says."""
    parser = OneLineErrorParser(
        description='Write a seeded synthetic data set like MTLCC: 240 with gzipped TFRecords and '
        'lists of tiles, and 240pkl with the pickles that TSViT makes from them. Of each five '
        'patches of 25 tiles three are for training, one for validation, one for the test.',
        formatter_class=ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', type=Path, required=True, help='directory to write')
    parser.add_argument('--patches', type=int, default=10, help='number of patches of 25 tiles')
    parser.add_argument('--min-dates', type=int, default=16, help='fewest dates of a patch')
    parser.add_argument('--max-dates', type=int, default=22, help='most dates of a patch')
    parser.add_argument(
        '--difficulty',
        type=float,
        default=0.8,
        help='0 to 3; scales noise, shifts of the season, likeness of crops and clouds',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of everything random')
    args = parser.parse_args()
    try:
        from mmexact.datasets.synthetic.mtlcc_tree import write_mtlcc_tree
    except ImportError as error:
        parser.error(f"TFRecords need the package tfrecord ({error}): pip install 'mmexact[mtlcc]'")
    try:
        write_mtlcc_tree(
            args.out,
            num_patches=args.patches,
            num_dates=(args.min_dates, args.max_dates),
            difficulty=args.difficulty,
            seed=args.seed,
            track=track_iter_progress,
        )
    except (FileExistsError, ValueError) as error:
        parser.error(str(error))
    print(f'\nwrote {25 * args.patches} tiles to {args.out}')


if __name__ == '__main__':
    main()
