"""Whole scenes in, georeferenced maps out: block by block, so that no scene is too large."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

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
from rasterio.windows import Window as RasterWindow
from torch import Tensor
from torch.utils.data import DataLoader

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


class BlockReader:
    """Reads blocks of a scene through the pipeline of its dataset, in any process.

    Args:
        dataset: From :func:`build_scenes`.
        info: Entry of the scene.
    """

    def __init__(self, dataset: SITSDataset, info: dict[str, Any]) -> None:
        self.pipeline = dataset.pipeline
        self.info = info
        if any(
            isinstance(step, LoadSITS) and step.date_choice == 'clear'
            for step in dataset.pipeline.transforms
        ):
            # By the cloud in the whole scene, so that all blocks see the same dates.
            self.info = dict(info, clear_shares=info['reader'].clear_shares(info['window']))

    def __call__(self, blocks: Sequence[Block]) -> dict[str, Any]:
        """Read blocks as a batch for the model."""
        batch: dict[str, Any] = pseudo_collate([self._read(block) for block in blocks])
        return batch

    def _read(self, block: Block) -> dict[str, Any]:
        row, column, *size = block.read
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


class BlockPrediction(NamedTuple):
    """What a block adds to the map of its scene.

    Attributes:
        total: Weighed probabilities of its windows, added up, (K, h, w); None without data.
        observed: Where the series was observed at any date, bool (h, w).
    """

    total: Tensor | None
    observed: np.ndarray


def predict_block(
    model: EncoderDecoder, info: dict[str, Any], block: Block, batch: dict[str, Any]
) -> BlockPrediction:
    """Predict the windows of a block.

    What they add up to depends on nothing but the block, so that a map is the same, bit for bit,
    whichever process predicts which of its blocks.

    Args:
        model: From :func:`load_segmentor`.
        info: Entry of the scene.
        block: Of its plan.
        batch: What a :class:`BlockReader` has read for it.
    """
    top, left, height, width = block.read
    unobserved = batch['data_samples'][0].get('unobserved')
    observed = np.ones((height, width), bool) if unobserved is None else ~unobserved
    if not observed.any():
        return BlockPrediction(None, observed)
    data = model.data_preprocessor(batch, False)
    series, sample = data['inputs'], data['data_samples'][0]
    crop = window_size(model, info)
    down, right = (torch.from_numpy(blending(side)) for side in crop)
    weight = (down[:, None] * right).to(series.device)
    total = torch.zeros(model.out_channels, height, width, device=series.device)
    places = [(row - top, column - left) for row in block.rows for column in block.columns]
    for start in range(0, len(places), WINDOWS_AT_ONCE):
        some = [
            (..., slice(row, row + crop[0]), slice(column, column + crop[1]))
            for row, column in places[start : start + WINDOWS_AT_ONCE]
        ]
        meta = dict(sample.metainfo, img_shape=crop)
        with torch.no_grad():
            windows = torch.cat([series[place] for place in some])
            logits = model.encode_decode(windows, [meta] * len(some)).float()
        probabilities = logits.softmax(1) if logits.shape[1] > 1 else logits.sigmoid()
        for place, part in zip(some, probabilities, strict=True):
            total[place] += part * weight
    return BlockPrediction(total, observed)


def plan_scene(
    model: EncoderDecoder,
    info: dict[str, Any],
    area: GeoDataFrame | None,
    overlap: float,
    block_windows: int,
) -> tuple[list[Block], list[bool], SceneArea | None]:
    """Plan the blocks of a scene, and which of them touch the area that is to be mapped.

    Returns:
        All blocks; whether each is to be predicted; the area on the pixels of the scene, None
        without one.
    """
    blocks = plan_blocks(model, info, overlap, block_windows)
    if area is None:
        return blocks, [True] * len(blocks), None
    inside = SceneArea(area, info.get('georeference'), info['size'][1], info['reader'].source)
    return blocks, [inside.touches(*block.read) for block in blocks], inside


def _predict_here(
    model: EncoderDecoder, read: BlockReader, blocks: list[Block], num_workers: int
) -> Iterator[BlockPrediction]:
    """Predict blocks in this process, one after the other."""
    workers = num_workers if len(blocks) > 1 else 0
    batches: Any = DataLoader(blocks, num_workers=workers, collate_fn=read)  # type: ignore[arg-type]
    for block, batch in zip(blocks, batches, strict=True):
        yield predict_block(model, read.info, block, batch)


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
    predictions: Iterator[BlockPrediction] | None = None,
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
        predictions: Of the blocks that touch the area, in their order, from where else they are
            made, see :mod:`mmexact.apis.ray_blocks`; None predicts here.

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
    blocks, wanted, inside = plan_scene(model, info, area, overlap, block_windows)
    place, rows, size = info.get('georeference'), blocks[0].finished, info['size']
    if predictions is None:
        touched = list(compress(blocks, wanted))
        predictions = _predict_here(model, BlockReader(dataset, info), touched, num_workers)
    legend = list(zip(names, meta['palette'], strict=False))
    blend = _Blend(model, info, overlap)
    with ExitStack() as stack:
        rasters = [stack.enter_context(open_map(map_path, size, place, rows, legend))]
        for kind, path in (scores or {}).items():
            bands = names if kind == 'classes' else (kind,)
            rasters.append(stack.enter_context(open_map(path, size, place, rows, bands=bands)))
        for block, is_wanted in zip(blocks, wanted, strict=True):
            blend.add(block, next(predictions) if is_wanted else None)
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
        model: Has predicted the windows.
        info: Entry of the scene.
        overlap: Of its windows.
    """

    def __init__(self, model: EncoderDecoder, info: dict[str, Any], overlap: float) -> None:
        self.model, self.size = model, info['size']
        self.top = 0
        self.device = next(model.parameters()).device
        # What windows of all blocks weigh together, along both axes.
        self.weights = [
            torch.from_numpy(total_weight(length, window_starts(length, side, overlap), side))
            for length, side in zip(self.size, window_size(model, info), strict=True)
        ]
        self.total = torch.zeros(model.out_channels, 0, self.size[1], device=self.device)
        self.observed = np.zeros((0, self.size[1]), bool)

    def add(self, block: Block, prediction: BlockPrediction | None) -> None:
        """Add the windows of a block; None leaves it without data."""
        top, left, height, width = block.read
        self._reach(top + height)
        if prediction is None:
            return
        rows, columns = slice(top - self.top, top - self.top + height), slice(left, left + width)
        self.observed[rows, columns] |= prediction.observed
        if prediction.total is not None:
            self.total[:, rows, columns] += prediction.total

    def _reach(self, bottom: int) -> None:
        """Make room for rows down to ``bottom``."""
        missing = bottom - self.top - self.total.shape[1]
        if missing > 0:
            self.total = F.pad(self.total, (0, 0, 0, missing))
            self.observed = np.pad(self.observed, ((0, missing), (0, 0)))

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
