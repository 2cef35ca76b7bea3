"""Compute the mean and standard deviation of each band of a config's training data.

Reads every window once. What was not observed is left out: no data, and what a cloud mask hides.
Prints the lines for data_preprocessor.
"""

from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import load_config
from mmexact.apis.data import data_parser, open_data
from mmexact.datasets.statistics import band_statistics


def main() -> None:
    """Compute as the command line says."""
    parser = data_parser(__doc__)
    parser.add_argument(
        '--percentiles', type=float, nargs=2, metavar=('LOW', 'HIGH'),
        help='count only the values of a band between these percentiles, such as 2 98, for data '
        'whose clouds no mask tells (16-bit integers only)',
    )  # fmt: skip
    args = parser.parse_args()
    low, high = args.percentiles or (0, 100)
    if not 0 <= low < high <= 100:
        parser.error(f'argument --percentiles: {low:g} {high:g}; expected 0 <= LOW < HIGH <= 100')
    try:
        dataset = open_data(load_config(args), args.loader)
        mean, std, count = band_statistics(dataset, args.percentiles, track_iter_progress)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'\n# {len(dataset)} windows, {count.min():.4g} values per band or more')
    for name, values in (('mean', mean), ('std', std)):
        print(f'{name}=[{", ".join(f"{value:.6g}" for value in values)}],')


if __name__ == '__main__':
    main()
