"""Draw points at random in each class of a map, to be looked at and given to assess_map.py.

Says how many points are needed. Writes a GeoPackage with an empty column 'crop' to fill in; it
does not say what the map shows there, so that nobody is led by it.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from mmexact.apis.class_map import ClassMap
from mmexact.apis.command_line import OneLineErrorParser, existing_file
from mmexact.evaluation.area_estimates import sample_size


def main() -> None:
    """Draw as the command line says."""
    parser = OneLineErrorParser(description=__doc__)
    add = parser.add_argument
    add('map', type=existing_file, help='GeoTIFF of tools/predict.py')
    add('--out', type=Path, required=True, metavar='FILE', help='GeoPackage to write (.gpkg)')
    add(
        '--margin', type=float, default=0.03,
        help='half the width of the 95 %% interval of overall accuracy (default: %(default)s)',
    )  # fmt: skip
    add('--expected', type=float, default=0.8, help="user's accuracy (default: %(default)s)")
    add('--fewest', type=int, default=50, help='points of a rare class (default: %(default)s)')
    add('--seed', type=int, default=0, help='of the draw (default: %(default)s)')
    args = parser.parse_args()
    if args.out.suffix != '.gpkg' or args.out.exists():
        parser.error(f'argument --out: {args.out}; expected a new file that ends with .gpkg')
    for name in ('margin', 'expected'):
        if not 0 < getattr(args, name) < 1:
            parser.error(f'argument --{name}: {getattr(args, name)}; expected more than 0, below 1')
    try:
        class_map = ClassMap(args.map)
        counts = class_map.count()[0]
        values = np.flatnonzero(counts).tolist()
        if not values:
            parser.error(f'{args.map}: no pixel has a class')
        pixels = counts[values].tolist()
        numbers = sample_size(pixels, [args.expected] * len(values), args.margin, args.fewest)
        points = class_map.draw(dict(zip(values, numbers, strict=True)), args.seed)
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=args.out.parent) as folder:
            points.to_file(Path(folder, 'points.gpkg'), layer='points')
            os.replace(Path(folder, 'points.gpkg'), args.out)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for value, number, count in zip(values, numbers, pixels, strict=True):
        print(f'{class_map.names[value]}: {number} points of {count:,} pixels')
    print(f'{sum(numbers)} points in {args.out}')


if __name__ == '__main__':
    main()
