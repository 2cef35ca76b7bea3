"""Measure how many windows a worker process loads per second, and what it reads for each.

The same synthetic series (128 x 128 patches, 33 to 61 dates, 10 bands) are read from PASTIS as
downloaded, from its window-contiguous copy, from PASTIS24's pickles and from GeoTIFFs, with the
pipeline of stage 1. "cold" loads windows whose files are not in memory, in one process (Linux
only); "in-process" and "workers" load random batches from memory.

    python tools/benchmarks/benchmark_loading.py --workers 1 2
"""

import os
import pickle
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from torch.utils.data import DataLoader, RandomSampler

from mmexact.apis.command_line import OneLineErrorParser
from mmexact.datasets.batches import sits_collate
from mmexact.datasets.pastis.pastis import METAINFO, VOID, PASTISDataset
from mmexact.datasets.pastis.pastis24 import PASTIS24Dataset
from mmexact.datasets.pastis.window_copy import copy_windows
from mmexact.datasets.rasters.dataset import RasterSeriesDataset
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.synthetic.pastis_tree import write_pastis_tree
from mmexact.engine.process import keep_freed_memory
from mmexact.masks.folder import whole_file
from mmexact.sits import IGNORED

PIPELINE = [
    dict(type='LoadSITS', num_dates=60),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSITSInputs'),
]
"""That of the configs for stage 1 on PASTIS."""
GRID = dict(driver='GTiff', crs='EPSG:32631', transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6))


def write_trees(root: Path, patches: int, track: Callable[[Iterable], Iterable]) -> None:
    """Write the same synthetic series, 33..61 dates of 10 bands, in all four formats.

    What is there already is kept.

    Args:
        root: Folder of the trees.
        patches: Number of patches of 128 x 128 pixels.
        track: Wraps what is worked through, for instance mmengine's ``track_iter_progress``.
    """
    write_pastis_tree(
        root / 'raw', track=track, num_patches=patches, num_crops=18, num_dates=(33, 61)
    )
    copy_windows(root / 'raw', root / 'windows', track=track)
    windows, whole = (open_pastis(root / 'raw', window_size=size) for size in (24, None))
    names = []
    for index in track(range(len(windows))):
        info = windows.get_data_info(index)
        names.append(f'pickle24x24/{info["sample_id"]}.pickle\n')
        _write_pickle(root / 'pastis24' / names[-1].strip(), info)
    with whole_file(root / 'pastis24/fold-paths/fold_1_paths.csv') as unfinished:
        unfinished.write_text(''.join(sorted(names)))
    for index in track(range(len(whole))):
        _write_rasters(root / 'geotiff', whole.get_data_info(index))


def open_pastis(root: Path, **settings: Any) -> PASTISDataset:
    """Open all folds of a tree: patches go to 1..5 in turn."""
    patches = len(list((root / 'DATA_S2').glob('S2_*.npy')))
    return PASTISDataset(str(root), tuple(range(1, 1 + min(5, patches))), **settings)


def _write_pickle(path: Path, info: dict[str, Any]) -> None:
    if path.exists():
        return
    series = info['reader'].read(np.arange(len(info['day_of_year'])), info['window'])
    labels = info['reader'].read_mask(info['window'])
    labels[labels == IGNORED] = VOID
    with whole_file(path) as unfinished:
        window = dict(img=series, labels=labels, doy=info['day_of_year'])
        unfinished.write_bytes(pickle.dumps(window, protocol=4))


def _write_rasters(folder: Path, info: dict[str, Any]) -> None:
    """Write one tiled GeoTIFF per date, as they come from a cloud platform."""
    for date in range(len(info['day_of_year'])):
        day = np.datetime64('2018-09-01') + 5 * date
        path = folder / info['sample_id'] / f'{str(day).replace("-", "")}.tif'
        if path.exists():
            continue
        (values,) = info['reader'].read(np.array([date]), info['window'])
        bands, height, width = values.shape
        layout = dict(count=bands, height=height, width=width, dtype=values.dtype, tiled=True)
        with (
            whole_file(path) as unfinished,
            rasterio.open(unfinished, 'w', compress='deflate', **layout, **GRID) as raster,
        ):
            raster.write(values)


def open_sources(root: Path) -> dict[str, tuple[SITSDataset, list[Path]]]:
    """Open the trees of :func:`write_trees`: data set and its files by the name of the format."""
    areas = sorted(path.name for path in (root / 'geotiff').iterdir())
    rasters = RasterSeriesDataset(
        str(root / 'geotiff'),
        {area: dict(rasters=f'{area}/*.tif') for area in areas},
        metainfo=dict(classes=METAINFO['classes']),
        pipeline=PIPELINE,
    )
    pickles = PASTIS24Dataset(str(root / 'pastis24'), (1,), pipeline=PIPELINE)
    sources = {
        'PASTIS, raw': (open_pastis(root / 'raw', pipeline=PIPELINE), 'raw/DATA_S2/S2_*.npy'),
        'PASTIS, window-contiguous copy': (
            open_pastis(root / 'windows', pipeline=PIPELINE),
            'windows/DATA_S2/S2_*.npy',
        ),
        'PASTIS24, pickles': (pickles, 'pastis24/pickle24x24/*'),
        'GeoTIFF, one per date': (rasters, 'geotiff/*/*.tif'),
    }
    return {name: (dataset, sorted(root.glob(files))) for name, (dataset, files) in sources.items()}


def evict(files: Sequence[Path]) -> None:
    """Make the system forget the contents of files, as if they had not been read lately."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def disk_bytes() -> int:
    """Bytes that this process has had read from disks so far."""
    with open('/proc/self/io') as file:
        return int(dict(line.split(': ') for line in file)['read_bytes'])


def cold_speed(dataset: SITSDataset, files: Sequence[Path], patches: int) -> list[float]:
    """Load a window of every patch, none of which is in memory.

    Returns:
        Windows per second, and megabytes read from the disk per window.
    """
    step = len(dataset) // patches
    evict(files)
    before, begin = disk_bytes(), time.perf_counter()
    for patch in range(patches):
        dataset[patch * step + patch * 7 % step]
    seconds = time.perf_counter() - begin
    return [patches / seconds, (disk_bytes() - before) / 1e6 / patches]


def warm_speed(dataset: SITSDataset, workers: int, seconds: float, batch_size: int = 48) -> float:
    """Load random batches through a data loader for some time.

    Args:
        dataset: What to load from, read once before.
        workers: Worker processes; 0 loads in this one.
        seconds: How long.
        batch_size: Windows per batch.

    Returns:
        Windows per second that arrive in this process, the first batches not counted.
    """
    sampler = RandomSampler(range(len(dataset)), replacement=True, num_samples=10**9)  # type: ignore[arg-type]
    batches = iter(
        DataLoader(
            dataset, batch_size, sampler=sampler, num_workers=workers, collate_fn=sits_collate
        )
    )
    for _ in range(1 + 2 * workers):
        next(batches)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        next(batches)
        count += batch_size
    return count / (time.perf_counter() - begin)


def measure(
    dataset: SITSDataset,
    files: Sequence[Path],
    patches: int,
    workers: Sequence[int],
    seconds: float,
    batch_size: int,
) -> list[float]:
    """Return :func:`cold_speed`, and :func:`warm_speed` without and with these workers."""
    torch.set_num_threads(1)
    keep_freed_memory()
    cold = cold_speed(dataset, files, patches)
    for index in range(len(dataset)):
        dataset[index]
    return cold + [warm_speed(dataset, count, seconds, batch_size) for count in (0, *workers)]


def main(argv: list[str] | None = None) -> None:
    """Measure as the command line says."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--work-dir', type=Path, default=Path('work_dirs/benchmark_loading'),
        help='folder of the synthetic data, kept for the next run, about 50 MB per patch '
        '(default: work_dirs/benchmark_loading)')  # fmt: skip
    add('--patches', type=int, default=20, help='number of patches (default: 20)')
    add('--workers', type=int, nargs='+', default=[1], metavar='N',
        help='numbers of worker processes to try (default: 1)')  # fmt: skip
    add('--batch-size', type=int, default=48, help='windows per batch (default: 48)')
    add('--seconds', type=float, default=2, help='duration of each measurement (default: 2)')
    add('--rounds', type=int, default=3, help='measurements; the median counts (default: 3)')
    args = parser.parse_args(argv)
    init_default_scope('mmseg')
    try:
        write_trees(args.work_dir, args.patches, track_iter_progress)
        sources = open_sources(args.work_dir)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    settings = (args.patches, args.workers, args.seconds, args.batch_size)
    measured: dict[str, list[list[float]]] = {name: [] for name in sources}
    for number in range(args.rounds):
        print(f'\nround {number + 1} of {args.rounds}', flush=True)
        for name, source in sources.items():
            with ProcessPoolExecutor(1, get_context('fork')) as process:
                measured[name].append(process.submit(measure, *source, *settings).result())
    titles = ['cold', 'MB from disk', 'in-process']
    titles += [f'{count} worker{"s" * (count > 1)}' for count in args.workers]
    print('\nwindows per second (and megabytes read from disk per cold window)\n')
    print(f'{"":32}' + ''.join(f'{title:>14}' for title in titles))
    for name, rows in measured.items():
        values = np.median(rows, axis=0)
        cells = [f'{value:14.{2 if column == 1 else 0}f}' for column, value in enumerate(values)]
        print(f'{name:32}' + ''.join(cells))


if __name__ == '__main__':
    main()
