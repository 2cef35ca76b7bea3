"""How fast windows are loaded: the same series in four formats on disk, and a plain loader."""

import os
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mmexact.datasets.batches import sits_collate
from mmexact.datasets.pastis.pastis import METAINFO, VOID, PASTISDataset
from mmexact.datasets.pastis.pastis24 import PASTIS24Dataset
from mmexact.datasets.pastis.window_copy import copy_windows
from mmexact.datasets.rasters.dataset import RasterSeriesDataset
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.synthetic.pastis_tree import write_pastis_tree
from mmexact.engine.process import keep_freed_memory
from mmexact.sits import IGNORED

PIPELINE = [
    dict(type='LoadSITS', num_dates=60),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSITSInputs'),
]
"""That of the configs for stage 1 on PASTIS."""


class PlainWindows(Dataset):
    """What a plain loader does for each pickle of PASTIS24, to compare with.

    It unpickles, converts to float32, normalises, appends the day of year as a band, pads to 60
    dates, flips, and hands (T, H, W, C) on to torch's own collate function.

    Args:
        root: A tree of PASTIS24.
    """

    def __init__(self, root: Path) -> None:
        self.paths = sorted((root / 'pickle24x24').iterdir())
        self.mean = torch.full((1, 10, 1, 1), 2400.0)
        self.std = torch.full((1, 10, 1, 1), 1800.0)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        with open(self.paths[index], 'rb') as file:
            window = pickle.load(file)
        series = (torch.tensor(window['img']).float() - self.mean) / self.std
        labels = torch.tensor(window['labels'].astype(np.float32))
        days = torch.tensor(np.array(window['doy'])).float() / 365.0001
        dates, _, height, width = series.shape
        plane = days[:, None, None, None].repeat(1, 1, height, width)
        series = torch.cat((series, plane), dim=1)
        if dates < 60:
            series = torch.cat((series, torch.zeros(60 - dates, *series.shape[1:])))
        series = series[:60]
        for axis in (-1, -2):
            if np.random.rand() < 0.5:
                series, labels = series.flip(axis), labels.flip(axis)
        crops = torch.zeros(len(METAINFO['classes']))
        crops[labels[labels < len(crops)].unique().long()] = 1
        return dict(
            inputs=series.permute(0, 2, 3, 1), labels=labels, known=labels != 19, crops=crops
        )


def write_trees(root: Path, patches: int, track: Callable[[Iterable], Iterable]) -> None:
    """Write the same synthetic series, 33..61 dates of 10 bands, in all four formats.

    Formats that are there already are kept.

    Args:
        root: Folder of the trees.
        patches: Number of patches of 128 x 128 pixels.
        track: Wraps what is worked through, for instance mmengine's ``track_iter_progress``.
    """
    write_pastis_tree(root / 'raw', patches, 18, (33, 61), track=track)
    copy_windows(root / 'raw', root / 'windows', track=track)
    dataset = PASTISDataset(str(root / 'raw'), _folds(root))
    folder = root / 'pastis24' / 'pickle24x24'
    listing = root / 'pastis24' / 'fold-paths' / 'fold_1_paths.csv'
    if not listing.exists():
        folder.mkdir(parents=True, exist_ok=True)
        listing.parent.mkdir(exist_ok=True)
        for index in track(range(len(dataset))):
            _write_pickle(folder, dataset.get_data_info(index))
        names = sorted(path.name for path in folder.iterdir())
        listing.write_text(''.join(f'pickle24x24/{name}\n' for name in names))
    whole = PASTISDataset(str(root / 'raw'), _folds(root), window_size=None)
    missing = [
        index
        for index in range(len(whole))
        if not (root / 'geotiff' / whole.get_data_info(index)['sample_id']).exists()
    ]
    for index in track(missing) if missing else ():
        _write_rasters(root / 'geotiff', whole.get_data_info(index))


def _folds(root: Path) -> tuple[int, ...]:
    """All folds: patches go to 1..5 in turn."""
    return tuple(range(1, 1 + min(5, len(list((root / 'raw' / 'DATA_S2').iterdir())))))


def _write_pickle(folder: Path, info: dict) -> None:
    series = info['reader'].read(np.arange(len(info['day_of_year'])), info['window'])
    labels = info['reader'].read_mask(info['window'])
    labels[labels == IGNORED] = VOID
    window = dict(img=series, labels=labels, doy=info['day_of_year'])
    with open(folder / f'{info["sample_id"]}.pickle', 'wb') as file:
        pickle.dump(window, file, protocol=4)


def _write_rasters(folder: Path, info: dict) -> None:
    """Write one tiled GeoTIFF per date, as they come from a cloud platform."""
    unfinished = folder / f'.{info["sample_id"]}'
    unfinished.mkdir(parents=True, exist_ok=True)
    series = info['reader'].read(np.arange(len(info['day_of_year'])), info['window'])
    grid: dict[str, Any] = dict(
        crs='EPSG:32631', transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), tiled=True
    )
    for date, values in enumerate(series):
        bands, height, width = values.shape
        day = np.datetime64('2018-09-01') + 5 * date
        with rasterio.open(
            unfinished / f'{str(day).replace("-", "")}.tif', 'w', driver='GTiff', count=bands,
            height=height, width=width, dtype=values.dtype, compress='deflate', **grid,
        ) as raster:  # fmt: skip
            raster.write(values)
    unfinished.rename(folder / info['sample_id'])


def open_sources(root: Path) -> dict[str, tuple[Dataset, list[Path]]]:
    """Open the trees of :func:`write_trees`: data set and its files by the name of the format."""
    areas = sorted(path.name for path in (root / 'geotiff').iterdir())
    datasets: dict[str, SITSDataset] = {
        'PASTIS, raw': PASTISDataset(str(root / 'raw'), _folds(root), pipeline=PIPELINE),
        'PASTIS, window-contiguous copy': PASTISDataset(
            str(root / 'windows'), _folds(root), pipeline=PIPELINE
        ),
        'PASTIS24, pickles': PASTIS24Dataset(str(root / 'pastis24'), (1,), pipeline=PIPELINE),
        'GeoTIFF, one per date': RasterSeriesDataset(
            str(root / 'geotiff'),
            {area: dict(rasters=f'{area}/*.tif') for area in areas},
            metainfo=dict(classes=METAINFO['classes']),
            pipeline=PIPELINE,
        ),
    }
    files = {
        'PASTIS, raw': 'raw/DATA_S2/S2_*.npy',
        'PASTIS, window-contiguous copy': 'windows/DATA_S2/S2_*.npy',
        'PASTIS24, pickles': 'pastis24/pickle24x24/*',
        'GeoTIFF, one per date': 'geotiff/*/*.tif',
    }
    sources: dict[str, tuple[Dataset, list[Path]]] = {
        'plain loader, pickles': (
            PlainWindows(root / 'pastis24'),
            sorted(root.glob(files['PASTIS24, pickles'])),
        )
    }
    for name, dataset in datasets.items():
        sources[name] = dataset, sorted(root.glob(files[name]))
    return sources


def evict(files: Sequence[Path]) -> None:
    """Make the system forget the contents of files, as if they had not been read lately."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def disk_bytes() -> int:
    """Bytes that this process has had read from disks so far; Linux only."""
    with open('/proc/self/io') as file:
        return int(dict(line.split(': ') for line in file)['read_bytes'])


def cold_speed(dataset: Dataset, files: Sequence[Path], patches: int) -> tuple[float, float]:
    """Load a window of every patch, none of which is in memory.

    Returns:
        Windows per second, and bytes read from the disk per window.
    """
    step = len(dataset) // patches  # type: ignore[arg-type]
    numbers = [patch * step + patch * 7 % step for patch in range(patches)]
    evict(files)
    before, begin = disk_bytes(), time.perf_counter()
    for number in numbers:
        dataset[number]
    seconds = time.perf_counter() - begin
    return len(numbers) / seconds, (disk_bytes() - before) / len(numbers)


def warm_speed(dataset: Dataset, workers: int, seconds: float, batch_size: int = 48) -> float:
    """Load random batches through a data loader for some time.

    Args:
        dataset: What to load from, read once before.
        workers: Worker processes; 0 loads in this one.
        seconds: How long.
        batch_size: Windows per batch.

    Returns:
        Windows per second that arrive in this process, the first batches not counted.
    """
    kwargs = {} if isinstance(dataset, PlainWindows) else dict(collate_fn=sits_collate)
    loader = DataLoader(
        dataset,
        batch_size,
        sampler=RandomSampler(range(len(dataset)), replacement=True, num_samples=10**9),  # type: ignore[arg-type]
        num_workers=workers,
        **kwargs,
    )
    batches = iter(loader)
    for _ in range(1 + 2 * workers):
        next(batches)
    begin = time.perf_counter()
    count = 0
    while time.perf_counter() - begin < seconds:
        next(batches)
        count += batch_size
    return count / (time.perf_counter() - begin)


def measure(
    dataset: Dataset,
    files: Sequence[Path],
    patches: int,
    workers: Sequence[int],
    seconds: float,
    batch_size: int = 48,
) -> list[float]:
    """Measure a source in this process, best one of its own.

    The tools of this package keep freed memory (see :mod:`mmexact.engine.process`); a plain loader
    does not, and gets a process that does not either.

    Returns:
        :func:`cold_speed`, and :func:`warm_speed` without and with each number of workers.
    """
    torch.set_num_threads(1)
    if not isinstance(dataset, PlainWindows):
        keep_freed_memory()
    row = [*cold_speed(dataset, files, patches)]
    for index in range(len(dataset)):  # type: ignore[arg-type]
        dataset[index]
    return row + [warm_speed(dataset, count, seconds, batch_size) for count in (0, *workers)]
