"""Measure how many windows a worker process loads per second, and what it reads for each.

The same synthetic series (128 x 128 patches, 33 to 61 dates, 10 bands) are read from PASTIS as
downloaded, from its window-contiguous copy, from PASTIS24's pickles and from GeoTIFFs, with the
pipeline of stage 1, beside a plain loader of the pickles. "cold" loads windows whose files are not
in memory, in one process; "in-process" and "workers" load random batches from memory.
"""

from argparse import RawDescriptionHelpFormatter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from loading_speed import measure, open_sources, write_trees
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import OneLineErrorParser


def main(argv: list[str] | None = None) -> None:
    """Measure as the command line says."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/benchmark_loading'),
        help='folder of the synthetic data, kept for the next run, about 50 MB per patch '
        '(default: work_dirs/benchmark_loading)',
    )  # fmt: skip
    parser.add_argument('--patches', type=int, default=20, help='number of patches (default: 20)')
    parser.add_argument(
        '--workers', type=int, nargs='+', default=[1], metavar='N',
        help='numbers of worker processes to try (default: 1)',
    )  # fmt: skip
    parser.add_argument(
        '--batch-size', type=int, default=48, help='windows per batch (default: 48)'
    )
    parser.add_argument(
        '--seconds', type=float, default=2, help='duration of each measurement (default: 2)'
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=3,
        help='measurements, of which the median counts (default: 3)',
    )
    args = parser.parse_args(argv)
    init_default_scope('mmseg')
    try:
        write_trees(args.work_dir, args.patches, track_iter_progress)
        sources = open_sources(args.work_dir)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    measured: dict[str, list[list[float]]] = {name: [] for name in sources}
    for number in range(args.rounds):
        print(f'\nround {number + 1} of {args.rounds}', flush=True)
        for name, (dataset, files) in sources.items():
            with ProcessPoolExecutor(1, get_context('fork')) as process:
                row = process.submit(
                    measure,
                    dataset,
                    files,
                    args.patches,
                    args.workers,
                    args.seconds,
                    args.batch_size,
                )
                measured[name].append(row.result())
    titles = ['cold', 'MB from disk', 'in-process']
    titles += [f'{count} worker{"s" * (count > 1)}' for count in args.workers]
    print('\nwindows per second (and megabytes read from disk per cold window)\n')
    print(f'{"":32}' + ''.join(f'{title:>14}' for title in titles))
    medians = {name: np.median(rows, axis=0) for name, rows in measured.items()}
    plain = next(iter(medians.values()))
    for name, values in medians.items():
        values[1] /= 1e6
        cells = [f'{value:14.0f}' for value in values]
        cells[1] = f'{values[1]:14.2f}'
        print(f'{name:32}' + ''.join(cells))
    print('\ntimes the plain loader')
    for name, values in list(medians.items())[1:]:
        ratios = values / plain
        print(f'{name:32}' + ''.join(f'{ratio:14.2f}' for ratio in ratios))


if __name__ == '__main__':
    main()
