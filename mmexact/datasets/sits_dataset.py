"""What all series datasets share: windows of a patch, image-level labels, pseudo masks, filters."""

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from mmengine import list_from_file
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmexact.datasets.labels import (
    presence,
    read_image_labels,
    read_pseudo_mask,
)
from mmexact.sits import Window


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


@DATASETS.register_module()
class SITSDataset(BaseSegDataset):
    """Satellite image time series, cut into windows, with image-level labels and masks.

    A subclass says which patches there are (:meth:`load_patches`) and how a window is read
    (:meth:`read_series`, :meth:`read_mask`); both readers are static and find everything in the
    entry of the data list, so that the pipeline can call them in any worker. An entry holds

    - ``sample_id``: '<patch>_<window>', or '<patch>' for a whole patch;
    - ``img_path``, ``seg_map_path`` (None without masks);
    - ``window``: (row, column, height, width), or None for a whole patch; ``size``: (h, w);
      ``num_bands``;
    - ``day_of_year``: int16 (T,), 1..366;
    - ``gt_score``: float32 (K,), 1 for crops that occur; absent where unknown;
    - ``num_classes``, ``label_map``, ``reduce_zero_label`` and ``seg_fields``;
    - ``background``: whether class 0 is the background.

    Class 0 is the background and the others are crops, unless ``metainfo`` (or METAINFO) has
    ``background=False``: then all classes are crops, and image-level labels have as many entries.
    The background score of a classifier stays; where it wins, its masks are 255.

    Args:
        window_size: Side of the square windows in pixels; None keeps patches whole.
        pseudo_label_dir: Take masks from ``<pseudo_label_dir>/<sample_id>.png`` instead. All must
            be there when the dataset is built.
        image_labels_file: CSV file with the columns ``sample_id`` and ``classes`` (names separated
            by ';'). Image-level labels come from it instead of the masks, which then are not read
            when the dataset is built; windows that it does not list are left out. A relative path
            starts at ``data_root``.
        ann_file: Text file with one ``sample_id`` per line: only these, in this order. A relative
            path starts at ``data_root``.
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
        image_labels_file: str | None = None,
        ann_file: str = '',
        filter_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if filter_cfg and set(filter_cfg) != {'require_crop'}:
            raise ValueError(f'filter_cfg={filter_cfg}; expected dict(require_crop=True) or None')
        self.window_size = window_size
        self.pseudo_label_dir = pseudo_label_dir
        self.image_labels_file = image_labels_file
        super().__init__(ann_file=ann_file, filter_cfg=filter_cfg, **kwargs)

    @property
    def labelled_by_masks(self) -> bool:
        """Whether image-level labels come from the masks, where there are any."""
        return self.image_labels_file is None

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Map the labels of METAINFO to a subset of its classes; other classes become ignored.

        Raises:
            ValueError: The subset does not start with the background, or has an unknown class.
        """
        classes = cls.METAINFO.get('classes')
        background = cls.METAINFO.get('background', True)
        if background and classes and new_classes and new_classes[0] != classes[0]:
            raise ValueError(
                f'metainfo classes start with {new_classes[0]!r}; expected {classes[0]!r}: class 0 '
                f'is the background and crops follow it'
            )
        return super().get_label_map(new_classes)

    @property
    def background(self) -> bool:
        """Whether class 0 is the background, which no image-level label names."""
        return self._metainfo.get('background', True)

    def load_patches(self) -> Iterator[dict]:
        """Yield one dict per patch: everything that its windows share.

        Keys: ``patch`` (name), ``size`` (height, width), ``num_bands``, ``img_path``,
        ``seg_map_path``, ``day_of_year``, whatever else the readers need, and ``mask`` (H, W) where
        it is at hand already.
        """
        raise NotImplementedError

    @staticmethod
    def read_series(info: dict, dates: np.ndarray) -> np.ndarray:
        """Read the chosen dates of a window.

        Args:
            info: Entry of the data list.
            dates: (T',) indices into the series, ascending.

        Returns:
            (T', C, h, w) digital numbers in the type of the file; a masked array where pixels were
            observed at none of the dates.
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
        first: dict = {}
        for patch in self.load_patches():
            first = first or dict(patch)
            if patch['num_bands'] != first['num_bands']:
                raise ValueError(
                    f'{patch["img_path"]} has {patch["num_bands"]} bands, {first["img_path"]} has '
                    f'{first["num_bands"]}; expected the same bands everywhere'
                )
            data_list.extend(self._cut(patch))
        chosen = self._select(data_list) if self.ann_file else data_list
        if self.image_labels_file is None:
            return chosen
        return self._label(chosen, {info['sample_id'] for info in data_list})

    def _cut(self, patch: dict) -> list[dict]:
        name, size, mask = patch.pop('patch'), tuple(patch.pop('size')), patch.pop('mask', None)
        windows = window_grid(size, self.window_size, name)
        num_classes = len(self._metainfo['classes'])
        shared = dict(
            patch,
            num_classes=num_classes,
            label_map=self.label_map,
            background=self.background,
            reduce_zero_label=False,
            seg_fields=[],
        )
        scores = None
        if patch['seg_map_path'] is not None and self.labelled_by_masks:
            if mask is None:
                mask = self.read_mask(dict(shared, window=None, size=size))
            scores = presence(mask, windows, num_classes - self.background, self.background)
        infos = []
        for number, window in enumerate(windows):
            sample_id = name if window is None else f'{name}_{number}'
            info = dict(
                shared,
                sample_id=sample_id,
                window=window,
                size=size if window is None else window[2:],
            )
            if scores is not None:
                info['gt_score'] = scores[number]
            if self.pseudo_label_dir is not None:
                info['seg_map_path'] = os.path.join(self.pseudo_label_dir, f'{sample_id}.png')
            infos.append(info)
        return infos

    def _label(self, chosen: list[dict], known: Collection[str]) -> list[dict]:
        path = os.path.join(self.data_root or '', str(self.image_labels_file))
        labels = read_image_labels(path, self._metainfo['classes'], self.background)
        self._check_ids(list(labels), known, path)
        labelled = [
            dict(info, gt_score=labels[info['sample_id']])
            for info in chosen
            if info['sample_id'] in labels
        ]
        print_log(f'{path}: lists {len(labelled)} of {len(chosen)} windows', 'current')
        return labelled

    @staticmethod
    def _check_ids(wanted: list[str], known: Collection[str], path: str) -> None:
        unknown = [sample_id for sample_id in wanted if sample_id not in known]
        if unknown:
            raise ValueError(
                f'{path}: {len(unknown)} of {len(wanted)} sample ids are not in the data, first '
                f'{unknown[0]!r}; expected ids such as {next(iter(known), None)!r}'
            )

    def _select(self, data_list: list[dict]) -> list[dict]:
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(
                f'{os.path.abspath(self.ann_file)}: no such ann_file; expected a text file with '
                f'one sample id per line'
            )
        wanted = [line.strip() for line in list_from_file(self.ann_file) if line.strip()]
        by_id = {info['sample_id']: info for info in data_list}
        self._check_ids(wanted, by_id, self.ann_file)
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
        total = len(self)
        ids = [super(SITSDataset, self).get_data_info(index)['sample_id'] for index in range(total)]
        present = set(os.listdir(directory)) if os.path.isdir(directory) else set()
        missing = [sample_id for sample_id in ids if f'{sample_id}.png' not in present]
        if missing:
            self._fully_initialized = False
            raise FileNotFoundError(
                f'{os.path.abspath(directory)}: pseudo masks of {len(missing)} of {total} '
                f'windows are missing, first {missing[0]}.png; make them with\n'
                f'  python tools/gen_pseudo.py CONFIG CHECKPOINT --out {directory}'
            )

    def get_data_info(self, idx: int) -> dict:
        """Return an entry of the data list together with the functions that read it."""
        info = super().get_data_info(idx)
        info['read_series'] = type(self).read_series
        pseudo = self.pseudo_label_dir is not None
        info['read_mask'] = read_pseudo_mask if pseudo else type(self).read_mask
        return info

    def series_lengths(self) -> np.ndarray:
        """Return the number of dates of every window's series, (windows,)."""
        infos = map(super().get_data_info, range(len(self)))
        return np.array([len(info['day_of_year']) for info in infos])
