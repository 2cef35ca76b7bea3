"""A new project from a user's rasters and labels: area.py, configs of two lines, a split."""

import glob
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import MMLogger

from mmexact.apis.project_files import SHARES, Found, describe, write_project
from mmexact.apis.survey import category_names, count_codes, count_names, find_bands, is_raster
from mmexact.datasets import RasterSeriesDataset
from mmexact.datasets.labels import find_code
from mmexact.datasets.rasters.reader import RasterReader
from mmexact.datasets.rasters.search import find_series
from mmexact.datasets.rasters.settings import Search
from mmexact.datasets.splits import Split, split_windows
from mmexact.datasets.statistics import band_statistics
from mmexact.visualization.style import class_palette

WINDOW_SIZES = (24, 16, 12, 8)
"""In pixels; the first is the paper's."""
ENOUGH_WINDOWS = 100
"""With fewer labelled windows than this, smaller ones are cut."""
BLOCKS = 25
"""About so many blocks of ground are dealt to the parts of the split."""
MEASURED = 256
"""Training windows, at most, from which band statistics are computed."""
DATES = 60
"""Dates, at most, that a model sees."""
MOST_CLASSES = 40
BACKGROUNDS = ('background', 'other', 'others', 'none', 'no crop', 'unlabelled')
"""How the class is called that is no crop, in small letters."""


def start_project(
    folder: Path,
    rasters: str,
    labels: str,
    search: Mapping[str, Any] | None = None,
    label_options: Mapping[str, Any] | None = None,
    codes: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    window_size: int | None = None,
    overwrite: bool = False,
) -> Found:
    """Look at rasters and labels, and write ``area.py``, ``cls.py``, ``seg.py`` and ``splits/``.

    Args:
        folder: Where to write them.
        rasters: Glob pattern of the rasters.
        labels: Points or polygons, or a raster of codes.
        search: Settings of the series that hold whatever is found, see
            :class:`~mmexact.datasets.rasters.settings.Search`.
        label_options: Settings of points or polygons, such as ``column``, see
            :class:`~mmexact.datasets.weak_labels.LabelSettings`.
        codes: Name of the class, or 'ignored', by value of the raster or column; '33*' stands for
            all values that begin with 33.
        classes: Crops to map, of those found; what else is found is background. By default all.
        window_size: Side of the windows in pixels; by default one that gives enough of them.
        overwrite: Replace these files.

    Returns:
        What was found and chosen.

    Raises:
        FileExistsError: The folder is not empty.
        FileNotFoundError: There are no such rasters or labels.
        ValueError: Rasters and labels do not fit together.
    """
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise FileExistsError(
            f'{folder} is there and not empty: choose another folder, or replace area.py, cls.py, '
            f'seg.py and splits/ in it with --overwrite'
        )
    paths = sorted(glob.glob(rasters, recursive=True))
    for place, there in ((rasters, paths), (labels, os.path.isfile(labels))):
        if not there:
            raise FileNotFoundError(f'{os.path.abspath(place)}: no such file')
    root, pattern, label_file = _from_root(rasters, labels)
    area: dict[str, Any] = dict(data_root=root, rasters=pattern)
    area['search'] = find_bands(root, paths, search or {})
    reader = find_series(root, pattern, Search.parse(area['search']))
    points = None if is_raster(labels) else dict(label_options or {}, file=label_file)
    if points is None:
        counts: Counter[Any] = count_codes(labels, reader)
        category = category_names(labels)
        found = {code: category.get(code) or f'Class {code}' for code in sorted(counts)}
    else:
        counts = count_names(points, root, reader)
        found = {name: name for name, _ in counts.most_common()}
    given = codes or {}
    if unknown := [c for c in given if not any(find_code({c: True}, str(v)) for v in found)]:
        raise ValueError(f'{labels}: no label {unknown[0]!r} (--codes); there are {list(found)}')
    names = {value: find_code(given, str(value)) or name for value, name in found.items()}
    chosen = choose_classes(list(names.values()), classes, labels)
    kept = {v: name if name in (*chosen, 'ignored') else chosen[0] for v, name in names.items()}
    if points is None:
        area |= dict(mask=label_file, codes=kept)
    else:
        renamed = {value: name for value, name in kept.items() if value != name}
        area['labels'] = points | (dict(codes=renamed) if renamed else {})
    area['classes'] = chosen
    dataset = cut_windows(area, reader, window_size)
    split = split_ground(dataset)
    area |= choose_sizes(dataset, split, reader)
    by_name = Counter[str]()
    for value, count in counts.items():
        by_name[names[value]] += count
    told = describe(area, reader, by_name, split)
    write_project(folder, area, split, told)
    return told


def _from_root(rasters: str, labels: str) -> tuple[str, str, str]:
    """Find the folder of the data, and say where rasters and labels are from there."""
    fixed = Path(rasters)
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    root, file = (fixed if fixed.is_dir() else fixed.parent).resolve(), Path(labels).resolve()
    if root.is_relative_to(file.parent):
        root = file.parent
    within = file.relative_to(root) if file.is_relative_to(root) else file
    return root.as_posix(), os.path.relpath(rasters, root), within.as_posix()


def choose_classes(found: Sequence[str], wanted: Sequence[str], where: str) -> tuple[str, ...]:
    """Choose the classes to map: the background, whatever it is called, and the crops.

    Args:
        found: Names of all labels.
        wanted: Crops to map; all where there are none.
        where: The labels, for messages.

    Raises:
        ValueError: A crop is not among the labels, or there are too many.
    """
    names = [name for name in dict.fromkeys(found) if name != 'ignored']
    background = next((n for n in names if n.casefold() in BACKGROUNDS), 'Background')
    if missing := [name for name in wanted if name not in names]:
        raise ValueError(f'{where}: no label {missing[0]!r} (--classes); there are {names}')
    crops = [name for name in wanted or names if name != background]
    if not 0 < len(crops) <= MOST_CLASSES:
        raise ValueError(
            f'{where}: {len(crops)} crops, such as {crops[:10]}; expected 1 to {MOST_CLASSES}: '
            f'choose some with --classes, or join them with --codes'
        )
    return (background, *crops)


def cut_windows(
    area: Mapping[str, Any], reader: RasterReader, size: int | None
) -> RasterSeriesDataset:
    """Cut an area into windows of a size, or of the largest size of which there are enough.

    Raises:
        ValueError: The window is larger than the area, or no label lies in it.
    """
    settings: dict[str, Any] = {
        **{key: area.get(key) for key in ('data_root', 'search', 'codes', 'labels')},
        'series': dict(area=dict(rasters=area['rasters'], mask=area.get('mask'))),
        'metainfo': dict(classes=area['classes']),
        'serialize_data': False,  # it takes longer than all else
    }
    fitting = [side for side in WINDOW_SIZES if side <= min(reader.size)] or WINDOW_SIZES[-1:]
    logger, found = MMLogger.get_current_instance(), dict[int, int]()
    level = logger.level
    logger.setLevel('ERROR')  # what becomes of the labels is said once, below
    for side in () if size else fitting:
        found[side] = len(RasterSeriesDataset(**settings, window_size=side))
        if found[side] >= ENOUGH_WINDOWS:
            break
    logger.setLevel(level)
    return RasterSeriesDataset(**settings, window_size=size or max(found, key=found.__getitem__))


def split_ground(dataset: RasterSeriesDataset) -> Split:
    """Split labelled windows by blocks of ground, as large as leaves some for every part.

    Raises:
        ValueError: There are too few windows.
    """
    window, (height, width) = int(dataset.window_size or 0), dataset.readers['area'].size
    largest = max(round(math.sqrt(height * width / BLOCKS) / window), 1)
    for blocks in range(largest, 0, -1):
        try:
            split = split_windows(dataset, SHARES, blocks * window)
        except ValueError:
            continue
        if len(set(split.numbers.tolist())) == len(SHARES):
            return split
    raise ValueError(
        f'{len(dataset)} labelled windows of {window} x {window} pixels are too few to train, '
        f'validate and test with; label more, or choose a smaller --window-size'
    )


def choose_sizes(
    dataset: RasterSeriesDataset, split: Split, reader: RasterReader
) -> dict[str, Any]:
    """Choose what depends on the data: statistics, sizes and the length of trainings."""
    training = np.flatnonzero(split.numbers == 0)
    measured = training[:: -(-len(training) // MEASURED)].tolist()
    mean, std, _ = band_statistics(dataset.get_subset(measured))
    window = int(dataset.window_size or 0)
    palette = class_palette(len(dataset.metainfo['classes']))
    return dict(
        palette=[list(colour) for colour in palette],
        mean=[float(f'{value:.4g}') for value in mean],
        std=[float(f'{value:.4g}') for value in std],
        window_size=window,
        # As many patches as the paper's window has, as far as the window allows.
        patch_size=2 if window > 12 and window % 2 == 0 else 1,
        num_dates=min(DATES, len(reader.times)),
        iterations=min(max(100 * math.ceil(len(training) / 20), 300), 15000),
    )
