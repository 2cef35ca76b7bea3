"""What all series datasets share: windows of a patch, image-level labels, pseudo masks, filters."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import mmcv
import numpy as np
from einops import rearrange
from mmengine import list_from_file
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

IGNORED = 255
"""Mask value of pixels that no loss and no metric looks at."""

PRESENCE = 0.01
"""A class is present in a window when strictly more than this share of the pixels carry it."""

Window = tuple[int, int, int, int]
"""(row, column, height, width) in pixels of the patch."""


def window_grid(size: tuple[int, int], window_size: int | None, patch: str) -> list[Window | None]:
    """Cut a patch into square windows, row-major from the top left.

    What does not fill a window at the right and at the bottom is dropped, as in PASTIS24.

    Args:
        size: (height, width) of the patch in pixels.
        window_size: Side of a window and distance between windows; None keeps the patch whole.
        patch: Name of the patch, for the message.

    Returns:
        The windows, or ``[None]`` for a whole patch.

    Raises:
        ValueError: No window fits into the patch.
    """
    if window_size is None:
        return [None]
    height, width = size
    if not 0 < window_size <= min(height, width):
        raise ValueError(
            f'{patch}: the patch has {height} x {width} pixels, window_size={window_size} does not '
            f'fit; choose window_size between 1 and {min(height, width)}, or None for whole patches'
        )
    return [
        (row, column, window_size, window_size)
        for row in range(0, height - window_size + 1, window_size)
        for column in range(0, width - window_size + 1, window_size)
    ]


def presence(mask: np.ndarray, windows: Sequence[Window | None], num_crops: int) -> np.ndarray:
    """Derive image-level labels from a mask (METHOD section 1).

    Args:
        mask: (H, W) uint8, 0 background, 1..K crops, 255 ignored. Ignored counts as background.
        windows: As :func:`window_grid` returns them.
        num_crops: K.

    Returns:
        (windows, K) float32: 1 where more than 1 % of the window's pixels carry the crop.
    """
    if windows[-1] is None:
        tiles = mask.reshape(1, -1)
    else:
        row, column, height, width = windows[-1]
        tiles = rearrange(
            mask[: row + height, : column + width],
            '(rows h) (columns w) -> (rows columns) (h w)',
            h=height,
            w=width,
        )
    numbered = tiles + 256 * np.arange(len(windows))[:, None]
    counts = np.bincount(numbered.ravel(), minlength=256 * len(windows)).reshape(-1, 256)
    return (counts[:, 1 : num_crops + 1] > PRESENCE * tiles.shape[1]).astype(np.float32)


def map_labels(mask: np.ndarray, label_map: dict[int, int] | None) -> np.ndarray:
    """Renumber a uint8 mask by MMSeg's ``label_map``; values outside the map stay."""
    if label_map is None:
        return mask
    table = np.arange(256, dtype=np.uint8)
    table[list(label_map)] = list(label_map.values())
    return table[mask]


def read_pseudo_mask(info: dict) -> np.ndarray:
    """Read the pseudo mask of a window, which is already in the classes of the model.

    Args:
        info: Entry of a dataset built with ``pseudo_label_dir``.

    Returns:
        (h, w) uint8, 0 background, 1..K crops, 255 ignored.

    Raises:
        ValueError: The mask has another size than the window, or a label outside the classes.
    """
    path = info['seg_map_path']
    mask = mmcv.imread(path, flag='unchanged', backend='pillow')
    if mask.dtype != np.uint8 or mask.shape != info['size']:
        raise ValueError(
            f'{path}: expected a mask of {info["size"]} pixels of type uint8, got {mask.shape} of '
            f'type {mask.dtype}; was it made with another window_size?'
        )
    check_labels(mask, info['num_classes'], path)
    return mask


def check_labels(mask: np.ndarray, num_classes: int, path: str) -> None:
    """Refuse labels that are neither a class (0..num_classes - 1) nor ignored (255)."""
    unknown = mask[(mask >= num_classes) & (mask != IGNORED)]
    if unknown.size:
        raise ValueError(
            f'{path}: label {unknown[0]} in {unknown.size} pixels; expected 0..{num_classes - 1} '
            f'for the classes of this dataset, or {IGNORED} for ignored pixels'
        )


@DATASETS.register_module()
class SITSDataset(BaseSegDataset):
    """Satellite image time series, cut into windows, with image-level labels and masks.

    A subclass says which patches there are (:meth:`load_patches`) and how a window is read
    (:meth:`read_series`, :meth:`read_mask`); both readers are static and find everything in the
    entry of the data list, so that the pipeline can call them in any worker. An entry holds

    - ``sample_id``: '<patch>_<window>', or '<patch>' for a whole patch;
    - ``img_path``, ``seg_map_path`` (None without masks);
    - ``window``: (row, column, height, width), or None for a whole patch; ``size``: (h, w);
    - ``day_of_year``: int16 (T,), 1..366;
    - ``gt_score``: float32 (K,), 1 for crops that occur; absent where unknown;
    - ``num_classes``, ``label_map``, ``reduce_zero_label`` and ``seg_fields``.

    Args:
        window_size: Side of the square windows in pixels; None keeps patches whole.
        pseudo_label_dir: Take masks from ``<pseudo_label_dir>/<sample_id>.png`` instead. All must
            be there when the dataset is built.
        ann_file: Text file with one ``sample_id`` per line: only these, in this order.
        filter_cfg: ``dict(require_crop=True)`` drops windows in which no crop occurs.
        **kwargs: Of :class:`mmseg.datasets.BaseSegDataset` (``data_root``, ``metainfo``,
            ``pipeline``, ``indices``, ``test_mode``, ``lazy_init``, ...).

    Raises:
        ValueError: A setting or a file does not fit; the message says which and what to do.
        FileNotFoundError: A file is missing.
    """

    def __init__(
        self,
        window_size: int | None = 24,
        pseudo_label_dir: str | None = None,
        ann_file: str = '',
        filter_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if filter_cfg and set(filter_cfg) != {'require_crop'}:
            raise ValueError(f'filter_cfg={filter_cfg}; expected dict(require_crop=True) or None')
        self.window_size = window_size
        self.pseudo_label_dir = pseudo_label_dir
        super().__init__(ann_file=ann_file, filter_cfg=filter_cfg, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Map the labels of METAINFO to a subset of its classes; other classes become ignored.

        Raises:
            ValueError: The subset does not start with the background, or has an unknown class.
        """
        classes = cls.METAINFO.get('classes')
        if classes and new_classes and new_classes[0] != classes[0]:
            raise ValueError(
                f'metainfo classes start with {new_classes[0]!r}; expected {classes[0]!r}: class 0 '
                f'is the background and crops follow it'
            )
        return super().get_label_map(new_classes)

    def load_patches(self) -> Iterator[dict]:
        """Yield one dict per patch: everything that its windows share.

        Keys: ``patch`` (name), ``size`` (height, width), ``img_path``, ``seg_map_path``,
        ``day_of_year``, and whatever else the readers need.
        """
        raise NotImplementedError

    @staticmethod
    def read_series(info: dict, dates: np.ndarray) -> np.ndarray:
        """Read the chosen dates of a window.

        Args:
            info: Entry of the data list.
            dates: (T',) indices into the series, ascending.

        Returns:
            (T', C, h, w) digital numbers in the type of the file.
        """
        raise NotImplementedError

    @staticmethod
    def read_mask(info: dict) -> np.ndarray:
        """Read the mask of a window, in the classes chosen by ``label_map``.

        Returns:
            (h, w) uint8, 0 background, 1..K crops, 255 ignored.
        """
        raise NotImplementedError

    def load_data_list(self) -> list[dict]:
        """Cut all patches into windows and work out the image-level labels."""
        data_list: list[dict] = []
        for patch in self.load_patches():
            data_list.extend(self._cut(patch))
        return self._select(data_list) if self.ann_file else data_list

    def _cut(self, patch: dict) -> list[dict]:
        name, size = patch.pop('patch'), tuple(patch['size'])
        windows = window_grid(size, self.window_size, name)
        num_classes = len(self._metainfo['classes'])
        shared = dict(
            patch,
            num_classes=num_classes,
            label_map=self.label_map,
            reduce_zero_label=False,
            seg_fields=[],
        )
        scores = self.image_labels(dict(shared, window=None), windows, num_classes - 1)
        infos = []
        for number, window in enumerate(windows):
            info = dict(
                shared,
                sample_id=name if window is None else f'{name}_{number}',
                window=window,
                size=size if window is None else window[2:],
            )
            if scores is not None:
                info['gt_score'] = scores[number]
            if self.pseudo_label_dir is not None:
                info['seg_map_path'] = os.path.join(
                    self.pseudo_label_dir, f'{info["sample_id"]}.png'
                )
            infos.append(info)
        return infos

    def image_labels(
        self, patch: dict, windows: Sequence[Window | None], num_crops: int
    ) -> np.ndarray | None:
        """Work out the image-level labels (windows, K) of a patch; None where unknown."""
        if patch['seg_map_path'] is None:
            return None
        return presence(self.read_mask(patch), windows, num_crops)

    def _select(self, data_list: list[dict]) -> list[dict]:
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(
                f'{os.path.abspath(self.ann_file)}: no such ann_file; expected a text file with '
                f'one sample id per line'
            )
        wanted = [line.strip() for line in list_from_file(self.ann_file) if line.strip()]
        by_id = {info['sample_id']: info for info in data_list}
        unknown = [sample_id for sample_id in wanted if sample_id not in by_id]
        if unknown:
            raise ValueError(
                f'{self.ann_file}: {len(unknown)} of {len(wanted)} sample ids are not in the data, '
                f'first {unknown[0]!r}; expected ids such as {next(iter(by_id))!r}'
            )
        return [by_id[sample_id] for sample_id in wanted]

    def filter_data(self) -> list[dict]:
        """Apply ``filter_cfg`` and refuse to go on with nothing."""
        data_list = self.data_list
        if self.filter_cfg and self.filter_cfg['require_crop']:
            if any('gt_score' not in info for info in data_list):
                raise ValueError('filter_cfg: require_crop needs image-level labels')
            data_list = [info for info in data_list if info['gt_score'].any()]
        if not data_list:
            raise ValueError(
                f'{type(self).__name__}: no window is left of the {len(self.data_list)} in '
                f'{self.data_root} (ann_file={self.ann_file!r}, filter_cfg={self.filter_cfg})'
            )
        return data_list

    def full_init(self) -> None:
        """Build the data list and check that no pseudo mask is missing."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.pseudo_label_dir is not None:
            self._check_pseudo_masks(self.pseudo_label_dir)

    def _check_pseudo_masks(self, directory: str) -> None:
        present = set(os.listdir(directory)) if os.path.isdir(directory) else set()
        infos = (super(SITSDataset, self).get_data_info(index) for index in range(len(self)))
        missing = [info['sample_id'] for info in infos if f'{info["sample_id"]}.png' not in present]
        if missing:
            self._fully_initialized = False
            raise FileNotFoundError(
                f'{os.path.abspath(directory)}: pseudo masks of {len(missing)} of {len(self)} '
                f'windows are missing, first {missing[0]}.png; make them with\n'
                f'  python tools/gen_pseudo.py CONFIG CHECKPOINT --out {directory}'
            )

    def get_data_info(self, idx: int) -> dict:
        """Return an entry of the data list together with the functions that read it."""
        info = super().get_data_info(idx)
        info['read_series'] = type(self).read_series
        info['read_mask'] = (
            type(self).read_mask if self.pseudo_label_dir is None else read_pseudo_mask
        )
        return info
