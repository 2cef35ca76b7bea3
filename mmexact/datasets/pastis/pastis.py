"""The PASTIS benchmark (Garnot and Landrieu, ICCV 2021) as downloaded.

Folds 1..5 are the official ones; 18 crops, background 0; parcels mostly outside their patch carry
the void label 19, which becomes 255.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
from mmseg.registry import DATASETS

from mmexact.datasets.labels import map_labels
from mmexact.datasets.numpy_files import map_array
from mmexact.datasets.pastis.window_copy import WindowLayout
from mmexact.datasets.reader import PatchReader
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.documents import expecting, read_json
from mmexact.masks import check_name
from mmexact.sits import IGNORED, Window, check_days, cut

VOID = 19

FEATURES = 'a GeoJSON with features that have ID_PATCH, Fold and dates-S2 as properties'
STATISTICS = 'mean and std of every band by fold (Fold_1, ...)'

BANDS = ('B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B11', 'B12')
"""Bands of Sentinel-2 in the order of the files."""

CLASSES = {
    'Background': (56, 56, 60),
    'Meadow': (120, 200, 90),
    'Soft winter wheat': (240, 210, 80),
    'Corn': (255, 127, 14),
    'Winter barley': (200, 160, 110),
    'Winter rapeseed': (255, 250, 50),
    'Spring barley': (250, 190, 190),
    'Sunflower': (190, 110, 0),
    'Grapevine': (128, 0, 110),
    'Beet': (220, 20, 90),
    'Winter triticale': (150, 120, 60),
    'Winter durum wheat': (110, 75, 25),
    'Fruits, vegetables, flowers': (255, 90, 80),
    'Potatoes': (190, 150, 255),
    'Leguminous fodder': (0, 130, 110),
    'Soybeans': (0, 190, 230),
    'Orchard': (20, 90, 30),
    'Mixed cereal': (200, 205, 215),
    'Sorghum': (70, 90, 220),
}
"""Colour by class, in the order of the labels."""

METAINFO = dict(classes=tuple(CLASSES), palette=[list(colour) for colour in CLASSES.values()])

PASTIS_SOURCE = (
    'PASTIS (29 GB) can be downloaded from Zenodo, record 5012942, see '
    'github.com/VSainteuf/pastis-benchmark'
)


def find_data_root(data_root: str | None, contents: str, source: str) -> str:
    """Return the data root, or explain how to get the data.

    Args:
        data_root: As given in the config.
        contents: A file or folder that must be in it.
        source: Where the data can be had.
    """
    if data_root is None or not os.path.exists(os.path.join(data_root, contents)):
        where = 'data_root is not set' if data_root is None else os.path.abspath(data_root)
        state = f'no {contents} in it' if os.path.isdir(data_root or '') else 'no such directory'
        raise FileNotFoundError(
            f'{where}: {state}. {source}; set data_root to the unpacked folder, e.g. with '
            f'--cfg-options train_dataloader.dataset.data_root=DIR. `make demo` needs no download.'
        )
    return data_root


@cache
def _day_of_year(date: str) -> int:
    """Convert YYYYMMDD."""
    return datetime.strptime(date, '%Y%m%d').timetuple().tm_yday


def _patch_days(properties: dict[str, Any], source: str) -> np.ndarray:
    """Read ``dates-S2``, an object {"0": 20180917, ...} or the JSON text of one: int16 (T,)."""
    with expecting(f'{source}: dates-S2', 'dates as YYYYMMDD by their number'):
        dates = properties.get('dates-S2') or {}
        if isinstance(dates, str):
            dates = json.loads(dates)
        days = [_day_of_year(str(dates[key])) for key in sorted(dates, key=int)]
    check_days(np.array(days, dtype=np.int16), source)
    return np.array(days, dtype=np.int16)


def to_classes(mask: np.ndarray, label_map: dict[int, int] | None, path: str) -> np.ndarray:
    """Turn PASTIS labels (0..18, void 19) into classes, void and unwanted classes into 255."""
    unknown = mask[(mask < 0) | (mask > VOID)]
    if unknown.size:
        raise ValueError(
            f'{path}: label {unknown[0]} in {unknown.size} pixels; PASTIS has 0..18 and void 19'
        )
    return map_labels(np.where(mask == VOID, IGNORED, mask).astype(np.uint8), label_map)


@dataclass(eq=False, kw_only=True)
class PASTISReader(PatchReader):
    """Reads a patch from the files of the download, or of its copy by windows.

    Attributes:
        label_map: MMSeg's map from labels of PASTIS to classes.
        layout: How the patch lies in a copy by windows, None in the download.
    """

    label_map: dict[int, int] | None
    layout: WindowLayout | None

    def read(self, dates: np.ndarray, window: Window) -> np.ndarray:
        """Read (T', C, h, w) digital numbers."""
        if self.layout is not None:
            return self.layout.read(self.source, dates, window)
        return cut(map_array(self.source, ahead=True), window)[dates]

    def read_mask(self, window: Window) -> np.ndarray:
        """Read (h, w) uint8 classes, 255 where void."""
        path = str(self.mask_source)
        masks = map_array(path)
        if masks.shape[-2:] != self.size:
            raise ValueError(f'{path}: {masks.shape[-2:]} pixels, but the series has {self.size}')
        mask = masks.reshape(-1, *self.size)[0]
        return to_classes(cut(mask, window), self.label_map, path)


@DATASETS.register_module()
class PASTISDataset(SITSDataset):
    """PASTIS as downloaded, or its window-contiguous copy, read without loading whole patches.

    Reads ``metadata.geojson``, ``DATA_S2/S2_<id>.npy`` (T, C, 128, 128), and plane 0 of
    ``ANNOTATIONS/TARGET_<id>.npy`` (3, 128, 128) (a mask alone is accepted as well). A copy made by
    ``tools/dataset_converters/pastis_windows.py`` is recognised; samples are the same. With a
    ``NORM_S2_patch.json``, ``metainfo`` has ``mean`` and ``std``, lists of C values in digital
    numbers, averaged over the folds.

    Args:
        data_root: The unpacked download.
        folds: Official folds 1..5 to use.
        **kwargs: Of :class:`SITSDataset`. ``metainfo=dict(classes=...)`` chooses some of the
            classes, the background first; pixels of the others are ignored.

    Raises:
        FileNotFoundError: The download, or a file of it, is missing.
        ValueError: Folds, dates, shapes or labels are not as PASTIS has them.
    """

    METAINFO = METAINFO

    def __init__(
        self,
        data_root: str | None = None,
        folds: Sequence[int] = (1, 2, 3),
        **kwargs: Any,
    ) -> None:
        self.folds = tuple(folds)
        kwargs.setdefault('data_prefix', dict(img_path='DATA_S2', seg_map_path='ANNOTATIONS'))
        super().__init__(data_root=data_root, **kwargs)
        norm = os.path.join(data_root or '', 'NORM_S2_patch.json')
        if os.path.isfile(norm):
            self._metainfo.update(self._statistics(norm))

    def _statistics(self, path: str) -> dict[str, list[float]]:
        norm = read_json(path, STATISTICS)
        with expecting(path, STATISTICS):
            if missing := [f'Fold_{n}' for n in self.folds if f'Fold_{n}' not in norm]:
                raise ValueError(f'{path}: no {missing[0]!r}; it has {sorted(norm)}')
            folds = [norm[f'Fold_{fold}'] for fold in self.folds]
            found = {key: np.mean([fold[key] for fold in folds], 0) for key in ('mean', 'std')}
            bands = found['mean'].shape
            if found['std'].shape != bands or len(bands) != 1 or (found['std'] <= 0).any():
                raise ValueError('a band has no mean or no positive std')
            if not np.isfinite([*found.values()]).all():
                raise ValueError('a value is no number')
        return {key: values.tolist() for key, values in found.items()}

    def load_patches(self) -> Iterator[tuple[str, PatchReader]]:
        """Yield the patches of the folds, in the order of ``metadata.geojson``."""
        layout = WindowLayout.of(self.data_root or '')
        if layout is not None and self.window_size not in (layout.window_size, None):
            raise ValueError(
                f'{self.data_root}: a copy in windows of {layout.window_size} pixels, but '
                f'window_size={self.window_size}; make another one with pastis_windows.py '
                f'--window-size, or use the download'
            )
        data_root = find_data_root(self.data_root, 'metadata.geojson', PASTIS_SOURCE)
        metadata = os.path.join(data_root, 'metadata.geojson')
        content = read_json(metadata, FEATURES)
        with expecting(metadata, FEATURES):
            patches = [feature['properties'] for feature in content['features']]
            known = {int(patch['Fold']) for patch in patches}
            for patch in patches:
                check_name(str(patch['ID_PATCH']), metadata)
        if not set(self.folds) <= known:
            raise ValueError(
                f'folds={self.folds}: {metadata} has no fold '
                f'{sorted(set(self.folds) - known)}, only {sorted(known)}'
            )
        for patch in patches:
            if int(patch['Fold']) in self.folds:
                yield self._patch(patch, metadata, layout)

    def _patch(
        self, properties: dict[str, Any], metadata: str, layout: WindowLayout | None
    ) -> tuple[str, PatchReader]:
        name = str(properties['ID_PATCH'])
        path = os.path.join(self.data_prefix['img_path'], f'S2_{name}.npy')
        days = _patch_days(properties, f'{metadata}, patch {name}')
        shape = map_array(path).shape
        if layout is not None:
            shape = layout.patch_shape(path, shape)
        if len(shape) != 4 or shape[0] != len(days):
            raise ValueError(
                f'{path}: shape {shape}, but {metadata} has {len(days)} dates for patch {name}; '
                f'expected ({len(days)}, bands, height, width)'
            )
        return name, PASTISReader(
            source=path,
            mask_source=os.path.join(self.data_prefix['seg_map_path'], f'TARGET_{name}.npy'),
            size=shape[2:],
            bands=BANDS if shape[1] == len(BANDS) else None,
            num_bands=shape[1],
            days=days,
            label_map=self.label_map,
            layout=layout,
        )
