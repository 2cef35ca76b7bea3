"""The command line that the writers of synthetic data share."""

from argparse import ArgumentDefaultsHelpFormatter
from collections.abc import Callable
from inspect import signature
from pathlib import Path

from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import OneLineErrorParser


def write_tree(description: str, write: Callable[..., bool]) -> None:
    """Write a synthetic tree as the command line says.

    Args:
        description: For ``--help``.
        write: Writes the tree; takes the options of
            :class:`~mmexact.datasets.synthetic.options.TreeOptions`, with its own defaults.
    """
    defaults = {name: option.default for name, option in signature(write).parameters.items()}
    parser = OneLineErrorParser(
        description=f'{description} The same options give the same data. A second run with the '
        'same options goes on where the first stopped, and does nothing when that was complete.',
        formatter_class=ArgumentDefaultsHelpFormatter,
    )
    add, (fewest, most) = parser.add_argument, defaults['num_dates']
    add('--out', type=Path, required=True, metavar='DIR', help='folder to write')
    add('--patches', type=int, default=defaults['num_patches'], help='number of patches')
    if 'num_crops' in defaults:
        crops = defaults['num_crops']
        add('--crops', type=int, default=crops, help='2 to 18 crops, in the order of PASTIS')
    add('--min-dates', type=int, default=fewest, help='fewest dates of a patch')
    add('--max-dates', type=int, default=most, help='most dates of a patch')
    add(
        '--difficulty', type=float, default=defaults['difficulty'],
        help='0 to 3; scales noise, shifts of the season, likeness of crops and clouds',
    )  # fmt: skip
    add('--seed', type=int, default=defaults['seed'], help='seed of everything random')
    add('--overwrite', action='store_true', help='replace a tree that this tool wrote before')
    args = parser.parse_args()
    options = dict(num_crops=args.crops) if 'num_crops' in defaults else {}
    try:
        written = write(
            args.out,
            num_patches=args.patches,
            num_dates=(args.min_dates, args.max_dates),
            difficulty=args.difficulty,
            seed=args.seed,
            overwrite=args.overwrite,
            track=track_iter_progress,
            **options,
        )
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    print(f'\nwrote {args.patches} patches to {args.out}' if written else f'{args.out}: complete')
