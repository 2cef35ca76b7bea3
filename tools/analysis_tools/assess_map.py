"""Estimate the accuracy of a map, and the area of each class, from reference points.

Writes accuracy.json, by_class.csv, confusion.csv and accuracy.html: overall, user's and producer's
accuracy, F1, and areas in hectares, counted and estimated, with 95 % confidence intervals. The
points should be drawn at random within the classes of the map, as sample_map.py does, or within
those of another map, which --strata names: an earlier version, say.
"""

from pathlib import Path

from mmexact.apis.assessment import read_reference, text, write_assessment
from mmexact.apis.class_map import ClassMap
from mmexact.apis.command_line import OneLineErrorParser, existing_file
from mmexact.datasets.weak_labels.files import read_labels
from mmexact.datasets.weak_labels.settings import LabelSettings


def main() -> None:
    """Assess as the command line says."""
    parser = OneLineErrorParser(description=__doc__)
    add = parser.add_argument
    add('map', type=existing_file, help='GeoTIFF of tools/predict.py')
    add('--reference', required=True, metavar='FILE', help='points: vector file, or CSV')
    add('--column', required=True, help='column of their class, named as in the map')
    add('--crs', help="of the points (default: the file's, EPSG:4326 for CSV)")
    add('--strata', type=existing_file, metavar='MAP', help='the map they were drawn on')
    add('--regions', metavar='FILE', help='polygons of parts to assess besides')
    add('--region-column', default='name', metavar='COLUMN', help='their name (default: name)')
    add('--out', type=Path, metavar='DIR', help='folder (default: <map>_accuracy beside the map)')
    args = parser.parse_args()
    out = args.out or Path(args.map).with_suffix('').with_name(f'{Path(args.map).stem}_accuracy')
    try:
        class_map = ClassMap(args.map)
        settings = LabelSettings(args.reference, args.column, crs=args.crs)
        drawn_on = ClassMap(args.strata) if args.strata else None
        reference, regions = read_reference(class_map, settings, drawn_on), None
        if args.regions:
            regions = read_labels(LabelSettings(args.regions, args.region_column))[0]
            regions = regions.to_crs(class_map.crs)
        result = write_assessment(out, reference, regions)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for reason, number in reference.dropped.items():
        if number:
            print(f'{number} points were left out: {reason}')
    print(f'overall accuracy (%): {text(result.overall)}, {len(reference.mapped)} points')
    print(out / 'accuracy.html')


if __name__ == '__main__':
    main()
