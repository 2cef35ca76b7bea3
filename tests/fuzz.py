"""Damage files of every format at random and read them (make fuzz).

Each outcome has to be a result, or an error of ours: a ValueError or OSError that names the file.
"""

import argparse
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from mmexact.datasets import PASTIS24Dataset, PASTISDataset, RasterSeriesDataset
from mmexact.datasets.labels import read_ids, read_image_labels
from mmexact.datasets.pastis.pastis24 import _latest_window
from mmexact.datasets.rasters.files import _open
from mmexact.engine.checkpoint import read_checkpoint
from mmexact.masks import read_manifest, read_mask, write_mask
from tests.data import write_pastis, write_pastis24, write_raster

EXTREMES = (b'', b'-1', b'1e999', b'NaN', b'null', b'[]', b'{}', b'"x"', b'99999999999999999999')
Reader = Callable[[Path], object]


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Damage the contents of a file in one of six ways."""
    data = bytearray(content)
    start = rng.randrange(len(data))
    end = min(len(data), start + 1 + int(rng.expovariate(1 / 8)))
    match rng.randrange(6):
        case 0:  # flip bits
            for place in range(start, end):
                data[place] ^= 1 << rng.randrange(8)
        case 1:  # cut off
            del data[start:]
        case 2:  # leave out
            del data[start:end]
        case 3:  # write twice
            data[start:start] = data[start:end] * rng.choice((1, 1000))
        case 4:  # other bytes
            data[start:end] = rng.randbytes(end - start)
        case 5:  # another value, where text has one
            data[start:end] = rng.choice(EXTREMES)
    return bytes(data)


def read_all(dataset) -> list[dict]:
    """Read every window of a dataset."""
    return [dataset[index] for index in range(len(dataset))]


PIPELINE = [dict(type='LoadSITS'), dict(type='LoadSITSAnnotations'), dict(type='PackSITSInputs')]
CLASSES = ('Background', 'Meadow', 'Corn')


def pastis(root: Path) -> object:
    return read_all(PASTISDataset(str(root), folds=(1,), window_size=8, pipeline=PIPELINE))


def pastis24(root: Path) -> object:
    _latest_window.cache_clear()
    return read_all(PASTIS24Dataset(str(root), folds=(1,), pipeline=PIPELINE))


def rasters(root: Path) -> object:
    _open.cache_clear()
    dataset = RasterSeriesDataset(
        data_root=str(root),
        series=dict(a=dict(rasters='*.tif')),
        window_size=None,
        metainfo=dict(classes=CLASSES),
        pipeline=PIPELINE[:1],
        test_mode=True,
    )
    return read_all(dataset)


def write_seeds(folder: Path) -> dict[str, tuple[Path, Path, Reader]]:
    """Write one file of each format; returns by name the file, and what reads which folder."""
    mask = np.arange(64).reshape(8, 8) % 19
    tree = write_pastis(folder / 'pastis', {7: mask}, bands=3)
    tree24 = write_pastis24(folder / 'pastis24', {'7_0': mask.astype(np.uint8)}, {1: ['7_0']})
    area = folder / 'rasters'
    area.mkdir()
    for day in ('20180301', '20180601'):
        write_raster(area / f'{day}.tif', np.full((2, 8, 8), 500, np.int16))
    alone = folder / 'alone'
    alone.mkdir()
    (alone / 'labels.csv').write_text('sample_id,classes\na_0,Meadow;Corn\na_1,\n')
    (alone / 'ids.txt').write_text('a_0\na_1\n')
    write_mask(alone / 'mask.png', np.arange(64, dtype=np.uint8).reshape(8, 8) % 3)
    (alone / 'manifest.json').write_text('{"kind": "maps", "inputs": {"x": 1}, "files": ["a.tif"]}')
    torch.save(dict(state_dict=dict(weight=torch.zeros(4, 4))), alone / 'model.pth')
    return {
        'PASTIS metadata': (tree / 'metadata.geojson', tree, pastis),
        'PASTIS statistics': (tree / 'NORM_S2_patch.json', tree, pastis),
        'PASTIS series': (tree / 'DATA_S2/S2_7.npy', tree, pastis),
        'PASTIS mask': (tree / 'ANNOTATIONS/TARGET_7.npy', tree, pastis),
        'PASTIS24 list': (tree24 / 'fold-paths/fold_1_paths.csv', tree24, pastis24),
        'PASTIS24 pickle': (tree24 / 'pickle24x24/7_0.pickle', tree24, pastis24),
        'GeoTIFF': (area / '20180301.tif', area, rasters),
        'labels': (alone / 'labels.csv', alone / 'labels.csv', _labels),
        'ids': (alone / 'ids.txt', alone / 'ids.txt', lambda path: read_ids(str(path))),
        'mask': (alone / 'mask.png', alone / 'mask.png', lambda path: read_mask(path, (8, 8), 3)),
        'manifest': (alone / 'manifest.json', alone, lambda path: read_manifest(path, 'maps')),
        'checkpoint': (alone / 'model.pth', alone / 'model.pth', read_checkpoint),
    }


def _labels(path: Path) -> object:
    return read_image_labels(str(path), CLASSES)


def _read(path: Path, root: Path, reader: Reader) -> str:
    """Read a damaged file; returns what comes of it."""
    try:
        reader(root)
    except (ValueError, OSError) as error:
        told = str(error)
        if any(name in told for name in (path.name, path.stem, str(root))):
            return 'refused'
        return f'{type(error).__name__} without the file: {told[:80]}'
    except Exception as error:
        return f'{type(error).__name__}: {str(error)[:80]}'
    return 'read'


def attack(seed: tuple[Path, Path, Reader], number: int, rng: random.Random) -> Counter:
    """Damage a file so many times; returns what came of it how often."""
    path, root, reader = seed
    content, counts = path.read_bytes(), Counter()
    reader(root)  # whole, it is read
    for _ in range(number):
        damaged = mutate(content, rng)
        path.write_bytes(damaged)
        counts[_read(path, root, reader)] += 1
    path.write_bytes(content)
    return counts


def main() -> None:
    """Damage as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--mutations', type=int, default=20_000, help='of all formats together')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    run(args.mutations, args.seed)


def run(mutations: int, seed: int) -> dict[str, Counter]:
    """Damage files of all formats; prints a table."""
    MMLogger.get_instance('fuzz', log_level='ERROR')
    init_default_scope('mmseg')
    found = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        seeds = write_seeds(Path(folder))
        print('| file | read | refused | otherwise |\n| --- | --- | --- | --- |')
        for name, one in seeds.items():
            rng = random.Random(f'{seed} {name}')
            found[name] = attack(one, mutations // len(seeds), rng)
            read, refused = found[name]['read'], found[name]['refused']
            print(f'| {name} | {read} | {refused} | {sum(found[name].values()) - read - refused} |')
            for outcome in found[name].keys() - {'read', 'refused'}:
                print(f'  {found[name][outcome]} times {outcome}', flush=True)
    return found


if __name__ == '__main__':
    main()
