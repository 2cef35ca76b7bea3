"""Blocks of a scene predicted, and added up to strips of its map."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from geopandas import GeoDataFrame
from mmengine.dataset import pseudo_collate
from mmseg.models.segmentors import EncoderDecoder
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
from mmexact.datasets import LoadSITS, SITSDataset
from mmexact.sits import IGNORED

SCORES = ('probability', 'margin', 'entropy', 'classes')
"""What maps of scores show, see :func:`~mmexact.apis.inference.predict_scene`."""

WINDOWS_AT_ONCE = 8
"""Windows that go through the model together."""


class BlockReader:
    """Reads blocks of a scene through the pipeline of its dataset, in any process.

    Args:
        dataset: From :func:`~mmexact.apis.inference.build_scenes`.
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
        model: From :func:`~mmexact.apis.inference.load_segmentor`.
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
    temperature = model.test_cfg.get('temperature', 1)  # from tools/analysis_tools/calibrate.py
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
            logits = model.encode_decode(windows, [meta] * len(some)).float() / temperature
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


class Strip(NamedTuple):
    """Some rows of a map.

    Attributes:
        top: The first of them.
        probability: Of each class, float (K, rows, W) in 0..1; without meaning where not mapped.
        classes: The most probable, uint8 (1, rows, W); 255 where not mapped.
    """

    top: int
    probability: Tensor
    classes: np.ndarray

    def measure(self, kind: str) -> np.ndarray:
        """Return one of :data:`SCORES` in percent, uint8 (bands, rows, W); 255 where not mapped."""
        share = self.probability
        if kind == 'classes':
            score = share
        elif kind == 'probability':
            winner = np.where(self.classes == IGNORED, 0, self.classes).astype(np.int64)
            score = share.gather(0, torch.from_numpy(winner).to(share.device))
        elif kind == 'margin':
            score = share.topk(2, 0).values.diff(dim=0).abs()
        else:
            score = torch.special.entr(share).sum(0, keepdim=True) / math.log(len(share))
        percent = (100 * score).round().clamp(0, 100).to('cpu', torch.uint8).numpy()
        return np.where(self.classes == IGNORED, np.uint8(IGNORED), percent)


def predict_strips(
    model: EncoderDecoder,
    dataset: SITSDataset,
    info: dict[str, Any],
    area: GeoDataFrame | None = None,
    overlap: float = OVERLAP,
    block_windows: int = BLOCK_WINDOWS,
    num_workers: int = 0,
    after_block: Callable[[], object] | None = None,
    predictions: Iterator[BlockPrediction] | None = None,
) -> Iterator[Strip]:
    """Map a scene strip by strip, top down; see :func:`~mmexact.apis.inference.predict_scene`.

    Args:
        model: From :func:`~mmexact.apis.inference.load_segmentor`.
        dataset: From :func:`~mmexact.apis.inference.build_scenes`.
        info: Entry of the scene in it.
        area: As for :func:`~mmexact.apis.inference.predict_scene`, and so are the others.
        overlap: See there.
        block_windows: See there.
        num_workers: See there.
        after_block: See there.
        predictions: See there.
    """
    blocks, wanted, inside = plan_scene(model, info, area, overlap, block_windows)
    if predictions is None:
        touched = list(compress(blocks, wanted))
        predictions = _predict_here(model, BlockReader(dataset, info), touched, num_workers)
    blend = _Blend(model, info, overlap)
    for block, is_wanted in zip(blocks, wanted, strict=True):
        blend.add(block, next(predictions) if is_wanted else None)
        if block.columns[-1] == blocks[-1].columns[-1]:  # the strip is complete
            strip = blend.finish(block.finished)
            if inside is not None:
                hidden = ~inside.inside(strip.top, strip.classes.shape[1])
                strip.classes[:, hidden] = IGNORED
            yield strip
        if after_block:
            after_block()


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

    def finish(self, bottom: int) -> Strip:
        """Finish the rows down to ``bottom``, and forget them."""
        top, count = self.top, bottom - self.top
        rows, columns = (weight.to(self.device) for weight in self.weights)
        probability = self.total[:, :count] / (rows[top:bottom, None] * columns)
        if len(probability) > 1:
            winner = probability.argmax(0, keepdim=True)
        else:
            winner = (probability > self.model.decode_head.threshold).long()
            probability = torch.cat([1 - probability, probability])
        classes = winner.to('cpu', torch.uint8).numpy()
        classes[:, ~self.observed[:count]] = IGNORED
        self.top, self.total = bottom, self.total[:, count:].clone()
        self.observed = self.observed[count:].copy()
        return Strip(top, probability, classes)
