"""Pipeline steps for series: load, choose dates, load masks, pack. Stock flips and crops fit in."""

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from mmexact.masks import read_mask
from mmexact.sits import IGNORED, fold_time, to_image

WIDER = dict(uint8='int16', int8='int16', uint16='int32', float16='float32', float64='float32')
"""Instead of types that cannot hold a day of year, or that torch can hardly compute with."""

META_KEYS = (
    'sample_id', 'window', 'day_of_year', 'georeference', 'img_path', 'seg_map_path', 'ori_shape',
    'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction', 'reduce_zero_label',
)  # fmt: skip


def load_mask(info: dict[str, Any]) -> np.ndarray:
    """Read the mask of an entry of a :class:`SITSDataset`, a pseudo mask where it has those.

    Returns:
        uint8 (h, w), index of the class, 255 ignored.
    """
    if info['seg_map_path'] is None:
        raise ValueError(
            f'{info["sample_id"]}: there is no mask to load; give the dataset masks or a '
            f'pseudo_label_dir, or take LoadSITSAnnotations out of the pipeline'
        )
    if info['pseudo_mask']:
        return read_mask(info['seg_map_path'], info['size'], info['num_classes'])
    mask: np.ndarray = info['reader'].read_mask(info['window'])
    return mask


@TRANSFORMS.register_module()
class LoadSITS(BaseTransform):
    """Read the window of a series as an image whose channels are dates x bands (DESIGN, 1).

    Adds ``img`` (H, W, T * (C + 1)), a transposed view of channel-first memory, ``img_shape`` and
    ``ori_shape``, and cuts ``day_of_year`` down to the chosen dates. Series shorter than
    ``num_dates`` stay as they are; the data preprocessor pads. Where the reader masks a date of a
    pixel, because it was not observed, the day of year is 0 there: padding. Then ``unobserved``
    (H, W) is added as well, the pixels that were observed at none of the dates; they keep their
    days. In training (``skip_unobserved``) entries that hold no other pixel are left out.

    Args:
        num_dates: Largest number of dates to keep; None keeps all.
        date_choice: Which dates of a longer series: the 'first', a 'random' subset in
            chronological order (from numpy's global generator, as MMSeg's transforms), 'even'
            steps from the first to the last, or the 'clear' ones: those with the least cloud in
            the window, among equals in even steps.

    Raises:
        ValueError: A setting is not one of these, or (on a sample) the reader's shape is not
            (dates, bands, height, width).
    """

    def __init__(self, num_dates: int | None = None, date_choice: str = 'first') -> None:
        if num_dates is not None and num_dates < 1:
            raise ValueError(f'num_dates={num_dates}; expected a positive number or None')
        if date_choice not in ('first', 'random', 'even', 'clear'):
            raise ValueError(
                f"date_choice={date_choice!r}; expected 'first', 'random', 'even' or 'clear'"
            )
        self.num_dates = num_dates
        self.date_choice = date_choice

    def choose(self, available: int, results: dict[str, Any] | None = None) -> np.ndarray:
        """Choose dates: ascending indices into a series of ``available`` dates.

        Args:
            available: Number of dates.
            results: Entry of the data list, to look for clouds in: by ``clear_shares`` (T,), the
                share of clear pixels of each date, or by its ``reader``.
        """
        wanted = available if self.num_dates is None else min(self.num_dates, available)
        if wanted == available or self.date_choice == 'first':
            return np.arange(wanted)
        if self.date_choice == 'random':
            return np.sort(np.random.permutation(available)[:wanted])
        shares: Any = np.ones(available)
        if self.date_choice == 'clear':
            assert results is not None
            shares = results.get('clear_shares')
            if shares is None:
                shares = results['reader'].clear_shares(results['window'])
        last = np.sort(shares)[-wanted]
        clearer, equal = np.flatnonzero(shares > last), np.flatnonzero(shares == last)
        even = np.linspace(0, len(equal) - 1, wanted - len(clearer)).round().astype(np.int64)
        return np.sort(np.concatenate([clearer, equal[even]]))

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Load the series of one entry of a :class:`SITSDataset`."""
        dates = self.choose(len(results['day_of_year']), results)
        planes = days = results['day_of_year'][dates]
        series = results['reader'].read(dates, results['window'])
        if isinstance(series, np.ma.MaskedArray):
            hidden = np.logical_or.reduce(series.mask, axis=1)
            results['unobserved'] = hidden.all(0)
            if results.get('skip_unobserved') and results['unobserved'].all():
                return None
            # A pixel without any date would leave attention over dates nothing to attend to.
            planes = np.where(hidden & ~results['unobserved'], 0, days[:, None, None])
            series = series.data
        if series.dtype.kind == 'f' and not np.isfinite(series).all():
            date, band = np.argwhere(~np.isfinite(series))[0, :2]
            raise ValueError(
                f'{results["reader"].source}: NaN or infinity in window {results["sample_id"]}, '
                f'date {dates[date]}, band {band} (both counted from 0), where nothing says that '
                f'pixels were not observed; replace them, or use a format with a no-data value'
            )
        series = series.astype(WIDER.get(series.dtype.name, series.dtype), copy=False)
        results['img'] = to_image(fold_time(series, planes))
        results['img_shape'] = results['ori_shape'] = series.shape[-2:]
        results['day_of_year'] = days
        return results

    def __repr__(self) -> str:
        return f'LoadSITS(num_dates={self.num_dates}, date_choice={self.date_choice!r})'


@TRANSFORMS.register_module()
class LoadSITSAnnotations(BaseTransform):
    """Read the mask of a window as ``gt_seg_map`` (H, W) uint8; 255 is ignored.

    Put it behind :class:`LoadSITS`, so that pixels without any observation are ignored.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the mask of one entry of a :class:`SITSDataset`; see :func:`load_mask`."""
        mask = load_mask(results)
        if 'unobserved' in results:
            mask = np.where(results['unobserved'], np.uint8(IGNORED), mask)
        results['gt_seg_map'] = mask
        results['seg_fields'].append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        return 'LoadSITSAnnotations()'


@TRANSFORMS.register_module()
class PackSITSInputs(PackSegInputs):
    """Pack a series for the model; unless it was flipped or cropped, without copying it.

    Besides what MMSeg packs, ``data_sample.gt_score`` holds the image-level labels, float32 (K,),
    where they are known.

    Args:
        meta_keys: Keys that the data sample keeps as meta information, besides ``background``, by
            which an :class:`~mmexact.models.ExactClassifier` numbers the classes.
    """

    def __init__(self, meta_keys: tuple[str, ...] = META_KEYS) -> None:
        # The parent would copy the meta information deeply, at the price of reading a window.
        super().__init__(meta_keys=())
        self.kept_keys = (*meta_keys, 'background')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``inputs`` (T * (C + 1), H, W) and ``data_samples``."""
        packed = super().transform(results)
        sample = packed['data_samples']
        for key in self.kept_keys:
            if key in results:
                sample.set_field(results[key], key, field_type='metainfo')
        if 'gt_score' in results:
            sample.gt_score = torch.from_numpy(results['gt_score'])
        return packed

    def __repr__(self) -> str:
        return f'PackSITSInputs(meta_keys={self.kept_keys})'
