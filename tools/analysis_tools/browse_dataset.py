"""Show the data set of a config on one HTML page: classes, dates, NDVI curves, windows.

Writes index.html, which needs no other file. Look at it before training: dates in the wrong order,
shifted labels, swapped bands and a class that hardly occurs are seen at once.
"""

from pathlib import Path

from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import load_config
from mmexact.apis.data import data_parser, open_data
from mmexact.visualization.browse import Overview
from mmexact.visualization.browse_page import write_page


def main() -> None:
    """Browse as the command line says."""
    parser = data_parser(__doc__)
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder of the page')
    parser.add_argument('--windows', type=int, default=24, help='windows to show (default: 24)')
    parser.add_argument(
        '--samples', type=int, default=400,
        help='windows to take pixels and NDVI from, evenly spaced (default: 400)',
    )  # fmt: skip
    for name, band in (('red', 'B4'), ('green', 'B3'), ('blue', 'B2'), ('nir', 'B8')):
        parser.add_argument(
            f'--{name}', type=int, metavar='BAND',
            help=f"place of the {name} band in the data, from 1 on (default: that of {band}, if "
            'the bands are known by name)',
        )  # fmt: skip
    args = parser.parse_args()
    if args.windows < 1 or args.samples < 1:
        parser.error('--windows and --samples have to be positive')
    try:
        cfg = load_config(args)
        dataset = open_data(cfg, args.loader)
        number = dataset.get_data_info(0)['reader'].num_bands
        names = list(dataset.band_names or ())
        bands: dict[str, int | None] = {}
        for name, band in (('red', 'B4'), ('green', 'B3'), ('blue', 'B2'), ('nir', 'B8')):
            given = getattr(args, name)
            if given is not None and not 1 <= given <= number:
                parser.error(f'argument --{name}: {given}; the data have the bands 1 to {number}')
            bands[name] = given - 1 if given else names.index(band) if band in names else None
        red, green, blue, nir = bands.values()
        red_nir = (red, nir) if red is not None and nir is not None else None
        true_colour = tuple(
            place if band is None else band
            for place, band in zip((2, 1, 0), (red, green, blue), strict=True)
        )
        overview = Overview(dataset, args.samples, red_nir, track_iter_progress)
        note = (
            f'Median and quartiles over windows, of {min(args.samples, len(dataset))} windows; red '
            f'is band {red + 1}, near infrared band {nir + 1}. Sudden dips are clouds that no '
            'mask hides.'
            if red_nir
            else 'Not drawn: say with --red and --nir which bands are red and near infrared.'
        )
        title = f'{Path(args.config).name}: {args.loader} data'
        write_page(args.out / 'index.html', title, overview, args.windows, true_colour, note)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'\n{args.out / "index.html"}')


if __name__ == '__main__':
    main()
