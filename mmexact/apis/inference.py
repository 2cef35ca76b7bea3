"""Whole scenes in, georeferenced maps out: block by block, so that no scene is too large."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from geopandas import GeoDataFrame
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmseg.apis import init_model
from mmseg.datasets.transforms import PackSegInputs
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from rasterio.windows import Window as RasterWindow
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmexact.apis.area_of_interest import SceneArea
from mmexact.apis.blocks import (
    BLOCK_WINDOWS,
    OVERLAP,
    Block,
    blending,
    plan_blocks,
    total_weight,
    window_size,
    window_starts,
)
from mmexact.apis.data import open_data
from mmexact.datasets import LoadSITS, SITSDataset
from mmexact.engine.checkpoint import load_weights
from mmexact.masks.maps import count_classes, open_map
from mmexact.models.data_preprocessor import SITSDataPreprocessor
from mmexact.models.segmentors.exact_classifier import ExactClassifier
from mmexact.sits import IGNORED

SCORES = ('probability', 'margin', 'entropy', 'classes')
"""What maps of scores show, see :func:`predict_scene`."""

WINDOWS_AT_ONCE = 8
"""Windows that go through the model together."""


def load_segmentor(
    cfg: Config, checkpoint: str, device: str | None = None, scenes: SITSDataset | None = None
) -> EncoderDecoder:
    """Build the segmentor of a config with trained weights, ready to predict.

    Args:
        cfg: Config of a segmentor; not modified.
        checkpoint: Its weights.
        device: Where to put it, such as 'cuda:0'; by default the GPU if there is one.
        scenes: What it is to map, from :func:`build_scenes`; None where that is not known yet.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The config describes no segmentor, the checkpoint is of another model, or
            was trained on other data than the scenes.
    """
    kind = MODELS.get(cfg.model.type)
    if kind is not None and issubclass(kind, ExactClassifier):
        raise ValueError(
            f'the config describes a classifier of stage 1 ({cfg.model.type}), which needs windows '
            f'and their image-level labels; give the config and the checkpoint of a segmentor, '
            f'such as configs/exact/seg_tsvit_pastis.py, trained on masks of tools/gen_pseudo.py'
        )
    if kind is None or not issubclass(kind, EncoderDecoder):
        raise ValueError(f'model.type={cfg.model.type!r}; expected a segmentor: EncoderDecoder')
    model = init_model(copy.deepcopy(cfg), device=device or get_device())
    if not isinstance(model.data_preprocessor, SITSDataPreprocessor):
        raise ValueError(
            f'model.data_preprocessor is a {type(model.data_preprocessor).__name__}; expected '
            f"dict(type='SITSDataPreprocessor', mean=..., std=...) with the statistics of the bands"
        )
    load_weights(model, checkpoint, scenes)
    return model


def build_scenes(cfg: Config) -> SITSDataset:
    """Build the dataset of ``cfg.test_dataloader`` as one to predict: whole patches, no labels.

    Pixel masks, image-level labels and filters by label are left out of it.

    Raises:
        FileNotFoundError: The data are missing.
        ValueError: The config has no test dataset of series, or the data do not fit it.
    """
    dataset = open_data(cfg, 'test', lazy_init=True).for_prediction()
    steps = [copy.copy(step) for step in dataset.pipeline.transforms]
    dataset.pipeline.transforms = steps
    for step in steps:
        if isinstance(step, PackSegInputs):
            step.meta_keys = (*step.meta_keys, 'unobserved')
        if isinstance(step, LoadSITS) and step.date_choice == 'random':
            raise ValueError(
                "LoadSITS of test_dataloader.dataset.pipeline has date_choice='random', so that "
                "each block would see other dates; set 'even' or 'first'"
            )
    return dataset


class _BlockReader(Dataset[dict[str, Any]]):
    """Reads the blocks of a scene through the pipeline of its dataset."""

    def __init__(self, dataset: SITSDataset, info: dict[str, Any], blocks: list[Block]) -> None:
        self.pipeline = dataset.pipeline
        self.info = info
        if any(
            isinstance(step, LoadSITS) and step.date_choice == 'clear'
            for step in dataset.pipeline.transforms
        ):
            # By the cloud in the whole scene, so that all blocks see the same dates.
            self.info = dict(info, clear_shares=info['reader'].clear_shares(info['window']))
        self.blocks = blocks

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int) -> dict[str, Any]:
        row, column, *size = self.blocks[number].read
        top, left = self.info['window'][:2]  # blocks are planned from the corner of the scene
        window = (top + row, left + column, *size)
        packed = self.pipeline(dict(self.info, window=window, size=window[2:], seg_fields=[]))
        found = tuple(packed['inputs'].shape[1:])
        if found != window[2:]:
            raise ValueError(
                f'{self.info["sample_id"]}: a block of {window[2]} x {window[3]} pixels came out '
                f'as {found[0]} x {found[1]}; expected a test pipeline that keeps the size'
            )
        return packed


def predict_scene(
    model: EncoderDecoder,
    dataset: SITSDataset,
    index: int,
    map_path: Path,
    scores: Mapping[str, Path] | None = None,
    area: GeoDataFrame | None = None,
    overlap: float = OVERLAP,
    block_windows: int = BLOCK_WINDOWS,
    num_workers: int = 0,
    after_block: Callable[[], object] | None = None,
) -> dict[str, int]:
    """Map one scene: probabilities of windows that overlap are blended, so that no seams show.

    Memory depends on the size of a block and the width of the scene, not on its height. Files
    appear whole or not at all, with the scene's coordinate reference system and transform where
    the dataset knows them.

    Args:
        model: From :func:`load_segmentor`.
        dataset: From :func:`build_scenes`.
        index: Which of its scenes.
        map_path: GeoTIFF to write: uint8, the index of the class, with a legend; 255 (no data)
            where the series was never observed.
        scores: GeoTIFFs to write besides, by what they show: uint8, percent, 255 as in the map.
            'probability' of the class; 'margin' over the next one; 'entropy', 100 where all
            classes are as probable; 'classes', a band with the probability of each.
        area: Polygons to map; outside of them is no data. None maps everything.
        overlap: Share of a window's side that the next window covers again, 0 to below 1.
        block_windows: Windows of the model per side of a block that would not overlap.
        num_workers: Processes that read blocks ahead.
        after_block: Called after each block, for a progress bar.

    Returns:
        Number of pixels by name of the class, and of 'no data'.

    Raises:
        ValueError: The scene does not suit the model, or a file of it is damaged.
    """
    meta = dataset.metainfo
    names = meta['classes']
    if len(names) != model.num_classes:
        raise ValueError(
            f'the model has {model.num_classes} classes, but test_dataloader.dataset has '
            f'{len(names)}: {tuple(names)}'
        )
    info = dataset.get_data_info(index)
    blocks = plan_blocks(model, info, overlap, block_windows)
    place, rows, size = info.get('georeference'), blocks[0].finished, info['size']
    inside = None if area is None else SceneArea(area, place, size[1], info['reader'].source)
    wanted = [inside is None or inside.touches(*block.read) for block in blocks]
    read = [block for block, is_wanted in zip(blocks, wanted, strict=True) if is_wanted]
    loader = DataLoader(
        _BlockReader(dataset, info, read),
        num_workers=num_workers if len(read) > 1 else 0,
        collate_fn=pseudo_collate,
    )
    batches = iter(loader)
    legend = list(zip(names, meta['palette'], strict=False))
    blend = _Blend(model, info, overlap)
    with ExitStack() as stack:
        rasters = [stack.enter_context(open_map(map_path, size, place, rows, legend))]
        for kind, path in (scores or {}).items():
            bands = names if kind == 'classes' else (kind,)
            rasters.append(stack.enter_context(open_map(path, size, place, rows, bands=bands)))
        for block, is_wanted in zip(blocks, wanted, strict=True):
            blend.add(block, next(batches) if is_wanted else None)
            if block.columns[-1] == blocks[-1].columns[-1]:  # the strip is complete
                top, results = blend.finish(block.finished, list(scores or ()))
                for raster, planes in zip(rasters, results, strict=True):
                    if inside is not None:
                        planes[:, ~inside.inside(top, planes.shape[1])] = IGNORED
                    raster.write(planes, window=RasterWindow(0, top, *planes.shape[:0:-1]))
            if after_block:
                after_block()
    return count_classes(map_path, names)


class _Blend:
    """Adds up the weighed probabilities of windows, for the rows that are not finished.

    Args:
        model: Predicts windows.
        info: Entry of the scene.
        overlap: Of its windows.
    """

    def __init__(self, model: EncoderDecoder, info: dict[str, Any], overlap: float) -> None:
        self.model, self.size = model, info['size']
        self.crop = window_size(model, info)
        self.top = 0
        self.device = next(model.parameters()).device
        # What windows of all blocks weigh together, along both axes.
        self.weights = [
            torch.from_numpy(total_weight(length, window_starts(length, side, overlap), side))
            for length, side in zip(self.size, self.crop, strict=True)
        ]
        rows, columns = (torch.from_numpy(blending(side)) for side in self.crop)
        self.window = (rows[:, None] * columns).to(self.device)
        self.total = torch.zeros(model.out_channels, 0, self.size[1], device=self.device)
        self.observed = np.zeros((0, self.size[1]), bool)

    def add(self, block: Block, batch: dict[str, Any] | None) -> None:
        """Predict the windows of a block; None leaves it without data."""
        top, left, height, width = block.read
        self._reach(top + height)
        if batch is None:
            return
        rows, columns = slice(top - self.top, top - self.top + height), slice(left, left + width)
        unobserved = batch['data_samples'][0].get('unobserved')
        if unobserved is None:
            self.observed[rows, columns] = True
        else:
            self.observed[rows, columns] |= ~unobserved
            if unobserved.all():
                return
        data = self.model.data_preprocessor(batch, False)
        series, sample = data['inputs'], data['data_samples'][0]
        places = [(row - top, column - left) for row in block.rows for column in block.columns]
        for start in range(0, len(places), WINDOWS_AT_ONCE):
            some = places[start : start + WINDOWS_AT_ONCE]
            for (row, column), part in zip(some, self._predict(series, some, sample), strict=True):
                row, column = row + top - self.top, column + left
                place = (..., slice(row, row + self.crop[0]), slice(column, column + self.crop[1]))
                self.total[place] += part * self.window

    def _reach(self, bottom: int) -> None:
        """Make room for rows down to ``bottom``."""
        missing = bottom - self.top - self.total.shape[1]
        if missing > 0:
            self.total = F.pad(self.total, (0, 0, 0, missing))
            self.observed = np.pad(self.observed, ((0, missing), (0, 0)))

    def _predict(
        self, series: Tensor, places: list[tuple[int, int]], sample: SegDataSample
    ) -> Tensor:
        """Return the probabilities (N, K, h, w) of windows of a series (1, T * (C + 1), H, W)."""
        height, width = self.crop
        windows = torch.cat(
            [series[:, :, row : row + height, column : column + width] for row, column in places]
        )
        meta = dict(sample.metainfo, img_shape=self.crop)
        with torch.no_grad():
            logits = self.model.encode_decode(windows, [meta] * len(windows)).float()
        return logits.softmax(1) if logits.shape[1] > 1 else logits.sigmoid()

    def finish(self, bottom: int, scores: Sequence[str]) -> tuple[int, list[np.ndarray]]:
        """Finish the rows down to ``bottom``, and forget them.

        Returns:
            Their first row, and uint8 (bands, rows, W): the class of each pixel, and the scores
            asked for as in :func:`predict_scene`; 255 where it was never observed.
        """
        top, count = self.top, bottom - self.top
        rows, columns = (weight.to(self.device) for weight in self.weights)
        probability = self.total[:, :count] / (rows[top:bottom, None] * columns)
        if len(probability) > 1:
            classes = probability.argmax(0, keepdim=True)
        else:
            classes = (probability > self.model.decode_head.threshold).long()
            probability = torch.cat([1 - probability, probability])
        measures: dict[str, Callable[[], Tensor]] = dict(
            probability=lambda: probability.gather(0, classes),
            margin=lambda: probability.topk(2, 0).values.diff(dim=0).abs(),
            entropy=lambda: (
                torch.special.entr(probability).sum(0, keepdim=True) / math.log(len(probability))
            ),
            classes=lambda: probability,
        )
        planes = [classes, *((100 * measures[kind]()).round().clamp(0, 100) for kind in scores)]
        results = [plane.to('cpu', torch.uint8).numpy() for plane in planes]
        for result in results:
            result[:, ~self.observed[:count]] = IGNORED
        self.top, self.total = bottom, self.total[:, count:].clone()
        self.observed = self.observed[count:].copy()
        return top, results
