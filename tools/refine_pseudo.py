"""Refine pseudo masks by what every pixel did over the season. No pixel label is looked at.

Takes the masks that tools/gen_pseudo.py made of the windows of the config's test_dataloader. What
pixels of windows with a crop have that those of windows without it lack is the crop; where the
masks say so too, the season of each class is learned, in one half of the windows, and judges the
pixels of the other half. Only classes that the image-level labels name are kept. Three such rounds
follow one another. Writes a folder like that of gen_pseudo.py, whose manifest says what was done.
An interrupted run goes on after the last round. See docs/method.md, "Beyond the paper".
"""

from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from mmexact.apis.command_line import config_parser, load_config
from mmexact.apis.data import open_data
from mmexact.evaluation import compares_pixels
from mmexact.refinement import ROUNDS, MaskRefiner


def main() -> None:
    """Refine as the command line says."""
    parser = config_parser(__doc__, checkpoint=False)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument('masks', metavar='MASKS', help='folder of tools/gen_pseudo.py')
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder of the refined masks (default: refined_masks in the work folder)',
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=ROUNDS,
        metavar='N',
        help='rounds (default: %(default)s); they end earlier when the masks get worse',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace the masks that are there')
    args = parser.parse_args()
    if args.launcher != 'none':
        parser.error(f'argument --launcher: {args.launcher}, but one process refines, on all cores')
    if args.rounds < 1:
        parser.error(f'argument --rounds: {args.rounds}; expected 1 or more')
    cfg = load_config(args)
    out = Path(args.out or Path(cfg.work_dir) / 'refined_masks')
    try:
        workers = cfg.test_dataloader.get('num_workers', 0)
        refiner = MaskRefiner(open_data(cfg, 'test'), args.masks, workers)
        seed = cfg.get('randomness', {}).get('seed') or 0
        score = compares_pixels(cfg.get('test_evaluator'))
        manifest = refiner.run(out, args.rounds, seed, args.overwrite, score)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for name, value in manifest['scores'].items():
        if name != 'by_class':
            print(f'{name}: {value:.4g}')
    print(f'{manifest["windows"]} refined masks in {out}')


if __name__ == '__main__':
    main()
