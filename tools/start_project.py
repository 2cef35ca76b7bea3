"""Start a project on your own rasters: look at the data, and write area.py, cls.py and seg.py.

area.py says where rasters and labels are, bands, dates, classes, band statistics, a window size
that fits and a split by blocks of ground. cls.py and seg.py are the configs that inherit it.

python tools/start_project.py --rasters 'series/*.tif' --labels fields.gpkg --column crop my_area
"""

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmexact.apis.command_line import ConfigOptions, OneLineErrorParser
from mmexact.apis.configs import from_here, shipped
from mmexact.apis.project import start_project


def main() -> None:
    """Start a project as the command line says."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('project', type=Path, help='folder to write')
    parser.add_argument(
        '--rasters', required=True, metavar='PATTERN',
        help='dated rasters, in quotes, such as "series/*.tif"; one cube (.zarr, .nc); or STAC '
        'items (.json, .parquet)',
    )  # fmt: skip
    parser.add_argument(
        '--labels', required=True, metavar='FILE',
        help='points or polygons (CSV, GeoPackage, GeoParquet, ...), or a raster of codes',
    )  # fmt: skip
    parser.add_argument('--column', help='column of points or polygons with the class')
    parser.add_argument(
        '--codes', type=named_codes, default={}, metavar='CODE=NAME,...',
        help="names of codes, such as '1=Wheat,9=ignored'; '33*=Other' is for all that begin so",
    )  # fmt: skip
    parser.add_argument(
        '--classes', type=names, default=[], metavar='NAME,...',
        help='crops to map; all other labels become background (default: all)',
    )  # fmt: skip
    parser.add_argument(
        '--bands', type=names, metavar='BAND,...', help='bands to use (default: all)'
    )
    parser.add_argument(
        '--date-range', nargs=2, metavar=('FIRST', 'LAST'), help='days or months, such as 2017-04'
    )
    parser.add_argument('--window-size', type=int, metavar='PIXELS', help='side of the windows')
    parser.add_argument(
        '--search', nargs='+', action=ConfigOptions, default={}, metavar='KEY=VALUE',
        help='other settings of the series, such as nodata=0 or clouds.band=SCL',
    )  # fmt: skip
    parser.add_argument(
        '--label-options', nargs='+', action=ConfigOptions, default={}, metavar='KEY=VALUE',
        help='other settings of points or polygons, such as layer=2023 or coordinates=X,Y',
    )  # fmt: skip
    parser.add_argument('--overwrite', action='store_true', help='replace the files of a project')
    args = parser.parse_args()
    search = nested(args.search)
    if args.bands:
        search['bands'] = [int(band) if band.isdecimal() else band for band in args.bands]
    if args.date_range:
        search['date_range'] = tuple(args.date_range)
    label_options = nested(args.label_options)
    if args.column:
        label_options['column'] = args.column
    try:
        found = start_project(
            args.project, args.rasters, args.labels, search, label_options,
            args.codes, args.classes, args.window_size, args.overwrite,
        )  # fmt: skip
    except (OSError, ValueError, ImportError) as error:
        parser.error(str(error))
    width = max(len(name) for name, _ in found)
    for name, text in found:
        print(f'{name:{width}}  {text}')
    print(f'\nwritten: {args.project / "area.py"}, cls.py, seg.py, splits/\nnext:')
    print(f'  python {from_here(shipped("tools/run_stages.py"))} {args.project}')


def nested(options: dict[str, Any]) -> dict[str, Any]:
    """Turn dotted keys into dicts of dicts."""
    cfg = Config()
    cfg.merge_from_dict(options)
    return dict(cfg.to_dict())


def names(text: str) -> list[str]:
    """Read a list such as 'Wheat,Maize', as a ``type`` of argparse."""
    return [name.strip() for name in text.split(',')]


def named_codes(text: str) -> dict[str, str]:
    """Read codes and names such as '1=Wheat,2=Maize', as a ``type`` of argparse."""
    pairs = [pair.split('=', 1) for pair in names(text)]
    if any(len(pair) != 2 for pair in pairs):
        raise ArgumentTypeError(f'{text}: expected CODE=NAME,...')
    return {code.strip(): name.strip() for code, name in pairs}


if __name__ == '__main__':
    main()
