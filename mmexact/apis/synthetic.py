"""The command line that the writers of synthetic data share."""

from argparse import ArgumentDefaultsHelpFormatter
from collections.abc import Callable
from pathlib import Path

from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import OneLineErrorParser
from mmexact.datasets.synthetic.options import TreeOptions


def write_tree(
    description: str, write: Callable[..., bool], defaults: TreeOptions, choose_crops: bool = False
) -> None:
    """Write a synthetic tree as the command line says.

    Args:
        description: For ``--help``.
        write: Writes the tree, such as
            :func:`~mmexact.datasets.synthetic.pastis_tree.write_pastis_tree`.
        defaults: Its options.
        choose_crops: Whether the number of crops can be chosen.
    """
    parser = OneLineErrorParser(
        description=f'{description} The same options give the same data. A second run with the '
        'same options goes on where the first stopped, and does nothing when that was complete.',
        formatter_class=ArgumentDefaultsHelpFormatter,
    )
    add, (fewest, most) = parser.add_argument, defaults.num_dates
    add('--out', type=Path, required=True, metavar='DIR', help='folder to write')
    add('--patches', type=int, default=defaults.num_patches, help='number of patches')
    if choose_crops:
        add('--crops', type=int, default=defaults.num_crops, help='2 to 18, in the order of PASTIS')
    add('--min-dates', type=int, default=fewest, help='fewest dates of a patch')
    add('--max-dates', type=int, default=most, help='most dates of a patch')
    add(
        '--difficulty', type=float, default=defaults.difficulty,
        help='0 to 3; scales noise, shifts of the season, likeness of crops and clouds',
    )  # fmt: skip
    add(
        '--fallow', type=float, default=defaults.fallow,
        help='share of the parcels that lie fallow, 0 to 0.9: background, beside woods and water',
    )  # fmt: skip
    add('--seed', type=int, default=defaults.seed, help='seed of everything random')
    add('--overwrite', action='store_true', help='replace a tree that this tool wrote before')
    args = parser.parse_args()
    try:
        written = write(
            args.out,
            args.overwrite,
            track_iter_progress,
            num_patches=args.patches,
            num_crops=args.crops if choose_crops else defaults.num_crops,
            num_dates=(args.min_dates, args.max_dates),
            difficulty=args.difficulty,
            fallow=args.fallow,
            seed=args.seed,
        )
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    print(f'\nwrote {args.patches} patches to {args.out}' if written else f'{args.out}: complete')
