"""Write synthetic satellite image time series in the on-disk format of PASTIS."""

import argparse
import sys
from pathlib import Path

from mmengine.utils import track_iter_progress

from mmexact.datasets.synthetic.pastis_tree import write_pastis_tree


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write a seeded synthetic data set in the directory layout of PASTIS: '
        'metadata.geojson, DATA_S2, ANNOTATIONS and NORM_S2_patch.json. The same options give the '
        'same bytes. A second run with the same options finds the tree and does nothing.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--out', type=Path, required=True, help='directory to write')
    parser.add_argument('--patches', type=int, default=40, help='number of 128 x 128 patches')
    parser.add_argument(
        '--crops', type=int, default=8, help='number of crops, 2 to 18, in the order of PASTIS'
    )
    parser.add_argument('--min-dates', type=int, default=20, help='fewest dates of a patch')
    parser.add_argument('--max-dates', type=int, default=26, help='most dates of a patch')
    parser.add_argument(
        '--difficulty',
        type=float,
        default=0.8,
        help='0 to 3; scales noise, shifts of the season, likeness of crops and clouds',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of everything random')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace a tree that this tool wrote before'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the tool; the exit status is 0 when the tree is there."""
    args = parse_args(argv)
    try:
        written = write_pastis_tree(
            args.out,
            num_patches=args.patches,
            num_crops=args.crops,
            num_dates=(args.min_dates, args.max_dates),
            difficulty=args.difficulty,
            seed=args.seed,
            overwrite=args.overwrite,
            track=track_iter_progress,
        )
    except (ValueError, FileExistsError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(
        f'\nwrote {args.patches} patches to {args.out}' if written else f'{args.out}: there already'
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
