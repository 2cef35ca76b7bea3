"""Show the data set of a config on one HTML page: classes, dates, NDVI curves, windows.

Writes index.html, which needs no other file. Look at it before training: dates in the wrong order,
shifted labels, swapped bands and a class that hardly occurs are seen at once.
"""

from pathlib import Path

from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import load_config
from mmexact.apis.data import data_parser, open_data
from mmexact.datasets.bands import find_band
from mmexact.datasets.transforms.loading import load_mask
from mmexact.visualization.browse import Overview
from mmexact.visualization.pictures import true_colour

BANDS = ('red', 'green', 'blue', 'nir')


def main() -> None:
    """Browse as the command line says."""
    parser = data_parser(__doc__)
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder of the page')
    parser.add_argument('--windows', type=int, default=24, help='windows to show (default: 24)')
    parser.add_argument(
        '--samples', type=int, default=400,
        help='windows to take pixels and NDVI from, evenly spaced (default: 400)',
    )  # fmt: skip
    for name in BANDS:
        parser.add_argument(
            f'--{name}', type=int, metavar='BAND',
            help=f'place of the {name} band in the data, from 1 on (default: found by its name)',
        )  # fmt: skip
    args = parser.parse_args()
    if args.windows < 1 or args.samples < 1:
        parser.error('--windows and --samples have to be positive')
    try:
        dataset = open_data(load_config(args), args.loader, pipeline=[])
        windows = [dataset.get_data_info(index) for index in range(len(dataset))]
        number = windows[0]['reader'].num_bands
        places: list[int | None] = []
        for name in BANDS:
            given = getattr(args, name)
            if given is not None and not 1 <= given <= number:
                parser.error(f'argument --{name}: {given}; the data have the bands 1 to {number}')
            places.append(find_band(dataset.band_names, name) if given is None else given - 1)
        red, green, blue, nir = places
        index = find_band(dataset.band_names, 'ndvi')
        ndvi: tuple[int, ...] = ()
        note = 'Not drawn: say with --red and --nir which bands are red and near infrared.'
        if red is not None and nir is not None:
            ndvi, note = (red, nir), f'Of band {red + 1}, red, and band {nir + 1}, near infrared. '
        if index is not None and args.nir is None:
            ndvi, note = (index,), f'Band {index + 1}, as it is. '
        if ndvi:
            note += 'Median and quartiles over windows; sudden dips are clouds that no mask hides.'
        masked = all(window['seg_map_path'] is not None for window in windows)
        overview = Overview(
            windows,
            dataset.metainfo,
            load_mask if masked else None,
            ndvi,
            args.samples,
            track_iter_progress,
        )
        overview.write(
            args.out / 'index.html',
            f'{Path(args.config).name}: {args.loader} data',
            f'{type(dataset).__name__}, {dataset.data_root or ""}',
            args.windows,
            true_colour(red, green, blue),
            note,
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'\n{args.out / "index.html"}')


if __name__ == '__main__':
    main()
