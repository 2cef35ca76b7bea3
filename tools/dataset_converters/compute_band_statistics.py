"""Compute the mean and standard deviation of each band of a config's training data.

Reads every window once. What was not observed is left out: no data, and what a cloud mask hides.
Prints the lines for data_preprocessor.
"""

from argparse import RawDescriptionHelpFormatter

import numpy as np
from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import config_parser, load_config
from mmexact.apis.data import LOADERS, open_data
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.statistics import BandHistograms, BandMoments


def main() -> None:
    """Compute as the command line says."""
    parser = config_parser(__doc__, checkpoint=False)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument(
        '--loader', choices=LOADERS, default='train', help='whose data (default: train)'
    )
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
        mean, std, counted = compute(dataset, args.percentiles)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not counted.all():
        parser.error(f'band {counted.argmin() + 1} was observed nowhere in {len(dataset)} windows')
    print(f'\n# {len(dataset)} windows, {counted.min():.4g} values per band or more')
    for name, values in (('mean', mean), ('std', std)):
        print(f'{name}=[{", ".join(f"{value:.6g}" for value in values)}],')


def compute(
    dataset: SITSDataset, percentiles: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Go through all windows.

    Returns:
        Mean (C,), standard deviation (C,) and the number of values (C,).
    """
    collected: BandMoments | BandHistograms | None = None
    for index in track_iter_progress(range(len(dataset))):
        info = dataset.get_data_info(index)
        dates = np.arange(len(info['day_of_year']))
        values, valid = info['reader'].read_observed(dates, info['window'])
        if collected is None:
            collected = (BandHistograms if percentiles else BandMoments)(values.shape[1])
        collected.add(values, valid)
    if isinstance(collected, BandHistograms):
        return *collected.moments_between(*percentiles), collected.counts.sum(1)
    assert isinstance(collected, BandMoments)
    return collected.mean, collected.std, collected.count


if __name__ == '__main__':
    main()
