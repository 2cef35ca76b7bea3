"""Say for every field which class of a map covers most of it, and how surely.

Writes the fields with four columns more: map_class, map_share (0..1 of the field's mapped pixels),
map_pixels, and map_probability (percent) where predict.py --scores probability left
<map>_probability.tif beside the map. Needs the package exactextract.
"""

from pathlib import Path

from mmengine.utils import ProgressBar

from mmexact.apis.class_map import ClassMap
from mmexact.apis.command_line import OneLineErrorParser, existing_file
from mmexact.apis.fields import PARQUET, read_fields, summarise_fields, write_fields


def main() -> None:
    """Summarise as the command line says."""
    parser = OneLineErrorParser(description=__doc__)
    add = parser.add_argument
    add('map', type=existing_file, help='GeoTIFF of tools/predict.py')
    add('--fields', type=existing_file, required=True, metavar='FILE', help='polygons, in any CRS')
    add('--layer', help='of a file that has several')
    add('--out', type=Path, required=True, metavar='FILE', help='.parquet or .gpkg to write')
    args = parser.parse_args()
    if args.out.suffix.lower() not in (*PARQUET, '.gpkg'):
        parser.error(
            f'argument --out: {args.out}; expected a name that ends with .parquet or .gpkg'
        )
    if args.out.exists() and args.out.samefile(args.fields):
        parser.error(f'argument --out: {args.out} is the file of the fields; expected another one')
    scores = Path(args.map).with_name(f'{Path(args.map).stem}_probability.tif')
    try:
        class_map = ClassMap(args.map)
        fields = read_fields(args.fields, args.layer)
        bar = ProgressBar(len(fields))
        result = summarise_fields(
            class_map, fields, str(scores) if scores.is_file() else None, bar.update
        )
        write_fields(result, args.out)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    mapped = result['map_class'].dropna()
    print()
    for name, number in mapped.value_counts().items():
        print(f'{name}: {number} fields')
    print(f'{len(mapped)} of {len(result)} fields in {args.out}')


if __name__ == '__main__':
    main()
