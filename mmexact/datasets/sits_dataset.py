"""What all series datasets share: windows of a patch, image-level labels, pseudo masks, filters."""

import copy
import os
import random
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmexact.datasets.labels import check_ids, read_ids, read_image_labels
from mmexact.datasets.reader import PatchReader
from mmexact.datasets.samplers import Draw
from mmexact.datasets.transforms.loading import LoadSITSAnnotations
from mmexact.datasets.windows import presence, window_grid
from mmexact.masks import check_name, open_masks
from mmexact.sits import months_of


@DATASETS.register_module()
class SITSDataset(BaseSegDataset):
    """Satellite image time series, cut into windows, with image-level labels and masks.

    A subclass says which patches there are (:meth:`load_patches`) and gives each a
    :class:`~mmexact.datasets.reader.PatchReader`. The stored entries of the data list hold

    - ``sample_id``: '<patch>_<window>', or '<patch>' for a whole patch; ``patch``: its name;
    - ``window``: (row, column, height, width) in the patch; ``size``: (height, width);
    - ``img_path``, ``seg_map_path`` (None without masks);
    - ``gt_score``: float32 (K,), 1 for crops that occur; absent where unknown.

    :meth:`get_data_info` adds what the windows of a patch or of the dataset share: ``reader``,
    ``day_of_year`` int16 (T,), ``georeference``, ``num_classes``, ``background`` and what MMSeg's
    transforms look for.

    Class 0 is the background and the others are crops, unless ``metainfo`` (or METAINFO) has
    ``background=False``: then all classes are crops, and image-level labels have as many entries.
    The background score of a classifier stays; where it wins, its masks are 255.

    Args:
        window_size: Side of the square windows in pixels; None keeps patches whole.
        with_masks: Whether to use the masks. Without them they are neither needed nor read, and
            image-level labels that would come from them are unknown.
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
        with_masks: bool = True,
        pseudo_label_dir: str | None = None,
        image_labels_file: str | None = None,
        ann_file: str = '',
        filter_cfg: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if filter_cfg and set(filter_cfg) != {'require_crop'}:
            raise ValueError(f'filter_cfg={filter_cfg}; expected dict(require_crop=True) or None')
        self.window_size = window_size
        self.with_masks = with_masks
        self.readers: dict[str, PatchReader] = {}
        self.maps_patches = False
        self.pseudo_label_dir = pseudo_label_dir
        self.image_labels_file = image_labels_file
        super().__init__(ann_file=ann_file, filter_cfg=filter_cfg, **kwargs)

    @property
    def labelled_by_masks(self) -> bool:
        """Whether image-level labels come from the masks, where there are any."""
        return self.with_masks and self.image_labels_file is None

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """Map the labels of METAINFO to a subset of its classes; other classes become ignored."""
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

    @property
    def band_names(self) -> Sequence[str] | None:
        """Names of the bands in their order, None where they have none."""
        self.full_init()
        return next(iter(self.readers.values())).bands

    @property
    def months(self) -> list[int]:
        """Months that have dates in any patch, 1 (January) to 12."""
        self.full_init()
        days = np.unique(np.concatenate([reader.days for reader in self.readers.values()]))
        return np.unique(months_of(days) + 1).tolist()

    def load_patches(self) -> Iterator[tuple[str, PatchReader]]:
        """Yield name and reader of each patch. Its mask is read before the next is asked for."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict[str, Any]]:
        """Cut all patches into windows and work out the image-level labels."""
        self.readers = {}
        data_list: list[dict[str, Any]] = []
        for name, reader in self.load_patches():
            check_name(name, f'{self.data_root}: the name of a patch')
            first = next(iter(self.readers.values()), reader)
            if reader.num_bands != first.num_bands:
                raise ValueError(
                    f'{reader.source} has {reader.num_bands} bands, {first.source} has '
                    f'{first.num_bands}; expected the same bands everywhere'
                )
            if name in self.readers:
                raise ValueError(
                    f'{reader.source} and {self.readers[name].source} are both named {name}; '
                    f'expected a name of its own for each patch'
                )
            self.readers[name] = reader
            data_list.extend(self._cut(name, reader))
        chosen = self._select(data_list) if self.ann_file else data_list
        if self.image_labels_file is None:
            return chosen
        return self._label(chosen, {info['sample_id'] for info in data_list})

    def _cut(self, patch: str, reader: PatchReader) -> list[dict[str, Any]]:
        windows = window_grid(reader.size, self.window_size, patch)
        mask_path = reader.mask_source if self.with_masks else None
        scores = None
        if mask_path is not None and self.labelled_by_masks:
            mask = reader.read_mask((0, 0, *reader.size))
            num_crops = len(self._metainfo['classes']) - self.background
            scores = presence(mask, windows, num_crops, self.background)
        infos = []
        for number, window in enumerate(windows):
            sample_id = patch if self.window_size is None else f'{patch}_{number}'
            if self.pseudo_label_dir is not None:
                mask_path = os.path.join(self.pseudo_label_dir, f'{sample_id}.png')
            info: dict[str, Any] = dict(sample_id=sample_id, patch=patch, window=window)
            info |= dict(size=window[2:], img_path=reader.source, seg_map_path=mask_path)
            if scores is not None:
                info['gt_score'] = scores[number]
            infos.append(info)
        return infos

    def _label(self, chosen: list[dict[str, Any]], known: Collection[str]) -> list[dict[str, Any]]:
        path = os.path.join(self.data_root or '', str(self.image_labels_file))
        labels = read_image_labels(path, self._metainfo['classes'], self.background)
        check_ids(labels, known, path)
        labelled = [
            dict(info, gt_score=labels[info['sample_id']])
            for info in chosen
            if info['sample_id'] in labels
        ]
        print_log(f'{path}: lists {len(labelled)} of {len(chosen)} windows', 'current')
        return labelled

    def _select(self, data_list: list[dict[str, Any]]) -> list[dict[str, Any]]:
        by_id = {info['sample_id']: info for info in data_list}
        wanted = read_ids(self.ann_file)
        if self.maps_patches:
            wanted = list(dict.fromkeys(sample_id.rpartition('_')[0] for sample_id in wanted))
        check_ids(wanted, by_id, self.ann_file)
        return [by_id[sample_id] for sample_id in wanted]

    def filter_data(self) -> list[dict[str, Any]]:
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
        """Build the data list and check the pseudo masks."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.pseudo_label_dir is not None:
            try:
                open_masks(self.pseudo_label_dir, self._metainfo['classes'], self.sample_ids())
            except (FileNotFoundError, ValueError):
                self._fully_initialized: bool = False
                raise

    def __getitem__(self, idx: int) -> dict[str, Any]:
        """Load a window; what is random in that follows from the draw, if it is one."""
        if isinstance(idx, Draw):
            words = np.random.SeedSequence(idx.seed).generate_state(3)
            random.seed(int(words[0]))
            np.random.seed(words[1])
            torch.default_generator.manual_seed(int(words[2]))
        return super().__getitem__(idx)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return an entry of the data list with what its patch and the dataset know besides."""
        info = super().get_data_info(idx)
        reader = self.readers[info['patch']]
        return dict(
            info,
            reader=reader,
            day_of_year=reader.days,
            georeference=reader.georeference(info['window']),
            num_classes=len(self._metainfo['classes']),
            background=self.background,
            pseudo_mask=self.pseudo_label_dir is not None,
            skip_unobserved=not self.test_mode,
            reduce_zero_label=False,
            seg_fields=[],
        )

    def sample_ids(self) -> list[str]:
        """Return the names of all windows in their order."""
        return [info['sample_id'] for info in map(super().get_data_info, range(len(self)))]

    def series_lengths(self) -> np.ndarray:
        """Return the number of dates of every window's series, (windows,)."""
        infos = map(super().get_data_info, range(len(self)))
        return np.array([len(self.readers[info['patch']].days) for info in infos])

    def for_prediction(self) -> 'SITSDataset':
        """Return the same data to be mapped: whole patches, without masks and image-level labels.

        Filters by label do not hold. An ``ann_file`` of windows stands for the patches that they
        lie in. Build the dataset with ``lazy_init`` to save what is not needed any more.
        """
        scenes = copy.copy(self)
        scenes.maps_patches = self.window_size is not None
        scenes.window_size = scenes.image_labels_file = scenes.pseudo_label_dir = None
        scenes.with_masks, scenes.test_mode, scenes.filter_cfg = False, True, None
        steps = self.pipeline.transforms
        scenes.pipeline = Compose([s for s in steps if not isinstance(s, LoadSITSAnnotations)])
        scenes._fully_initialized = False
        scenes.full_init()
        return scenes
