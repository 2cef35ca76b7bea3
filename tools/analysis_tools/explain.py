"""Show what a classifier of stage 1 looks at: dates and places, class by class.

Writes for each window <id>_season.png, the attention of each class to the dates beside its curve
over the season, with pivotal dates; <id>_maps.png, composite, CAM, truth and pseudo mask; and
<id>.csv with the numbers.

python tools/analysis_tools/explain.py CONFIG CHECKPOINT --window 10001_3 10001_7 --out explained
"""

import csv
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from mmengine.utils import track_iter_progress
from PIL import Image

from mmexact.apis.command_line import config_parser, load_config
from mmexact.apis.configs import settings_at_fault
from mmexact.apis.data import open_data
from mmexact.apis.explanation import Explanation, explain, load_classifier
from mmexact.datasets.bands import find_band
from mmexact.masks import whole_file
from mmexact.visualization import SITSVisualizer
from mmexact.visualization.clues import plot_clues
from mmexact.visualization.pictures import composite, true_colour

COLUMNS = (
    *('class', 'date_number', 'day_of_year', 'attention', 'weight', 'pivotal', 'pixels'),
    *('curve', 'lower_quartile', 'median', 'upper_quartile'),
)


def main() -> None:
    """Explain as the command line says."""
    parser = config_parser(__doc__, checkpoint=True)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument('--window', nargs='+', required=True, metavar='ID', help='sample ids')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder to write')
    parser.add_argument(
        '--loader', choices=('train', 'val', 'test'), default='test',
        help='whose data (default: test, which in configs of stage 1 maps the training windows)',
    )  # fmt: skip
    parser.add_argument(
        '--bands', nargs='+', metavar='BAND',
        help='bands to draw over the season, by name or by number from 1 on (default: the NDVI)',
    )  # fmt: skip
    args = parser.parse_args()
    try:
        with settings_at_fault(args.config):
            written = write(args, parser)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'\n{written} windows explained in {args.out}')


def write(args: Namespace, parser: ArgumentParser) -> int:
    """Write pictures and numbers of the windows; returns how many."""
    cfg = load_config(args)
    dataset = open_data(cfg, args.loader)
    places = {name: place for place, name in enumerate(dataset.sample_ids())}
    if unknown := [name for name in args.window if name not in places]:
        parser.error(
            f'argument --window: no window {unknown[0]!r} in {args.loader}_dataloader; there are '
            f'{len(places)}, such as {list(places)[:3]}'
        )
    model = load_classifier(cfg, args.checkpoint, dataset)
    curves = choose_curves(dataset.band_names, len(model.data_preprocessor.mean), args.bands)
    colours = true_colour(*(find_band(dataset.band_names, c) for c in ('red', 'green', 'blue')))
    visualizer = SITSVisualizer()
    visualizer.dataset_meta = dataset.metainfo
    written = 0
    for name in track_iter_progress(list(dict.fromkeys(args.window))):
        found = explain(model, dataset, places[name], curves)
        if not found.clues:
            print(f'\n{name}: no crop occurs in it, nothing to explain')
            continue
        mask = 'true mask' if found.by_truth else 'pseudo mask'
        classes = dataset.metainfo['classes']
        figure = plot_clues(found.days, found.clues, classes, list(curves), mask)
        with whole_file(args.out / f'{name}_season.png') as unfinished:
            figure.savefig(unfinished, dpi=110, format='png')
        picture = composite(found.series, found.days, colours)
        with whole_file(args.out / f'{name}_maps.png') as unfinished:
            Image.fromarray(visualizer.draw_sample(picture, found.sample)).save(unfinished, 'png')
        with whole_file(args.out / f'{name}.csv') as unfinished:
            write_table(unfinished, found, classes, list(curves))
        written += 1
    return written


def choose_curves(
    names: Sequence[str] | None, number: int, wanted: Sequence[str] | None
) -> dict[str, list[int]]:
    """Choose what to draw over the season: bands, or by default the NDVI."""
    if wanted is None:
        red, nir = (find_band(names, band) for band in ('red', 'nir'))
        if red is None or nir is None:
            raise ValueError(
                f'no red and near infrared among the bands {list(names or ())} for an NDVI; say '
                f'with --bands what to draw'
            )
        return dict(NDVI=[red, nir])
    chosen = {}
    for band in wanted:
        place = int(band) - 1 if band.isdecimal() else find_band(names, band)
        if place is None or not 0 <= place < number:
            raise ValueError(f'--bands {band}: expected 1 to {number}, or one of {names}')
        chosen[names[place] if names else f'band {place + 1}'] = [place]
    return chosen


def write_table(
    path: Path, found: Explanation, classes: Sequence[str], curves: Sequence[str]
) -> None:
    """Write a line for each class, date and curve."""
    with open(path, 'w', newline='', encoding='utf-8') as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for clue in found.clues:
            for date, day in enumerate(found.days.tolist()):
                weights = (f'{values[date]:.6f}' for values in (clue.attention, clue.weights))
                first = (classes[clue.index], date, day, *weights)
                for name, quartiles in zip(curves, clue.quartiles[:, :, date], strict=True):
                    values = ['' if value != value else f'{value:.6g}' for value in quartiles]
                    pivotal = int(date in clue.pivotal)
                    table.writerow((*first, pivotal, clue.pixels, name, *values))


if __name__ == '__main__':
    main()
