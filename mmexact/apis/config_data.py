"""The data set of a config as tools look at it: entries and readers, without its pipeline."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmexact.datasets.mtlcc.mtlcc import MTLCCDataset
from mmexact.datasets.mtlcc.tiles import BANDS as MTLCC_BANDS
from mmexact.datasets.pastis.pastis import PASTISDataset
from mmexact.datasets.pastis.pastis24 import PASTIS24Dataset
from mmexact.datasets.sits_dataset import SITSDataset

LOADERS = ('train', 'val', 'test')
PASTIS_BANDS = ('B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B11', 'B12')


def open_data(cfg: Config, loader: str = 'train', **settings: Any) -> SITSDataset:
    """Build the data set of one of a config's data loaders, without transforms.

    Args:
        cfg: The config.
        loader: 'train', 'val' or 'test'.
        **settings: Arguments of the data set that replace the config's.

    Raises:
        ValueError: The config has no such loader, or its data set is no :class:`SITSDataset`.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    section = cfg.get(f'{loader}_dataloader')
    if section is None:
        raise ValueError(f'{cfg.filename}: it has no {loader}_dataloader')
    kind = DATASETS.get(section.dataset.type)
    if not (isinstance(kind, type) and issubclass(kind, SITSDataset)):
        raise ValueError(
            f'{cfg.filename}: the data set of {loader}_dataloader is a {section.dataset.type}; '
            f'expected one of satellite image time series, not wrapped in another'
        )
    return DATASETS.build({**section.dataset, 'pipeline': [], **settings})


def read_observed(info: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Read what was really observed of a window: no gap filled, no cloud kept.

    Args:
        info: Entry of the data list of a :class:`SITSDataset`.

    Returns:
        All dates (T, C, h, w), finite, and where they are valid, bool of that shape.
    """
    dates = np.arange(len(info['day_of_year']))
    if 'rasters' in info:
        values, valid = info['rasters'].read(dates, info['window'])
    else:
        series = info['read_series'](info, dates)
        values, valid = np.ma.getdata(series), ~np.ma.getmaskarray(series)
    if values.dtype.kind == 'f':
        finite = np.isfinite(values)
        values, valid = np.where(finite, values, 0), valid & finite
    return values, valid


def band_names(dataset: SITSDataset) -> list[str] | None:
    """Name the bands of a data set in their order, 'B2' for any of B2, B02 and b02; or None."""
    if isinstance(dataset, PASTISDataset | PASTIS24Dataset):
        return list(PASTIS_BANDS)
    if isinstance(dataset, MTLCCDataset):
        return [band for bands in MTLCC_BANDS.values() for band in bands]
    bands = getattr(dataset, 'search', {}).get('bands') or [None]
    if not all(isinstance(band, str) for band in bands):
        return None
    return [_plain_name(band) for band in bands]


def _plain_name(band: str) -> str:
    name = band.upper()
    return f'B{name[1:].lstrip("0")}' if name[:1] == 'B' and name[1:2].isdigit() else name
