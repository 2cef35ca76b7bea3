"""Whole scenes in, georeferenced maps out: block by block, so that no scene is too large."""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
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

from mmexact.apis.blocks import BLOCK_WINDOWS, Block, plan_blocks
from mmexact.apis.data import open_data
from mmexact.datasets import LoadSITS, SITSDataset
from mmexact.engine.checkpoint import load_weights
from mmexact.masks.maps import count_classes, open_map
from mmexact.models.segmentors.exact_classifier import ExactClassifier
from mmexact.sits import IGNORED


def load_segmentor(cfg: Config, checkpoint: str, device: str | None = None) -> EncoderDecoder:
    """Build the segmentor of a config with trained weights, ready to predict.

    Args:
        cfg: Config of a segmentor; not modified.
        checkpoint: Its weights.
        device: Where to put it, such as 'cuda:0'; by default the GPU if there is one.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The config describes no segmentor, or the checkpoint is of another model.
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
    load_weights(model, checkpoint)
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
        window = self.blocks[number].read
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
    scores_path: Path | None = None,
    block_windows: int = BLOCK_WINDOWS,
    num_workers: int = 0,
    after_block: Callable[[], object] | None = None,
) -> dict[str, int]:
    """Map one scene.

    Memory depends on the size of a block, not on that of the scene. Files appear whole or not at
    all, with the scene's coordinate reference system and transform where the dataset knows them.

    Args:
        model: From :func:`load_segmentor`.
        dataset: From :func:`build_scenes`.
        index: Which of its scenes.
        map_path: GeoTIFF to write: uint8, the index of the class, with a legend; 255 (no data)
            where the series was never observed.
        scores_path: GeoTIFF to write besides: uint8, the softmax probability of that class in
            percent; 255 as in the map.
        block_windows: Windows of the model per side of a block.
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
    blocks = plan_blocks(model, info, block_windows)
    loader = DataLoader(
        _BlockReader(dataset, info, blocks),
        num_workers=num_workers if len(blocks) > 1 else 0,
        collate_fn=pseudo_collate,
    )
    legend = list(zip(names, meta['palette'], strict=False))
    place, strip = info.get('georeference'), blocks[0].keep[2]
    with ExitStack() as stack:
        rasters = [stack.enter_context(open_map(map_path, info['size'], place, strip, legend))]
        if scores_path is not None:
            rasters.append(stack.enter_context(open_map(scores_path, info['size'], place, strip)))
        rows = np.empty((2, 0, 0), np.uint8)
        for block, batch in zip(blocks, loader, strict=True):
            top, left, height, width = block.keep
            if left == 0:
                rows = np.empty((2, height, info['size'][1]), np.uint8)
            row, column = top - block.read[0], left - block.read[1]
            planes = _predict_block(model, batch)
            rows[:, :, left : left + width] = planes[:, row : row + height, column : column + width]
            if left + width == rows.shape[2]:
                for raster, plane in zip(rasters, rows, strict=False):
                    raster.write(plane, 1, window=RasterWindow(0, top, rows.shape[2], height))
            if after_block:
                after_block()
    return count_classes(map_path, names)


def _predict_block(model: EncoderDecoder, batch: dict[str, Any]) -> np.ndarray:
    """Return classes and scores in percent, uint8 (2, h, w), 255 where never observed."""
    unobserved = batch['data_samples'][0].get('unobserved')
    if unobserved is not None and unobserved.all():
        return np.full((2, *unobserved.shape), IGNORED, np.uint8)
    with torch.no_grad():
        sample: SegDataSample = model.test_step(batch)[0]
    percent = 100 * _probability(sample.seg_logits.data)
    planes = (sample.pred_sem_seg.data[0], percent.round())
    result = torch.stack([plane.to('cpu', torch.uint8) for plane in planes]).numpy()
    if unobserved is not None:
        result[:, unobserved] = IGNORED
    return result


def _probability(logits: Tensor) -> Tensor:
    """Return the probability (h, w) of the predicted class from (K, h, w)."""
    if len(logits) == 1:  # MMSeg has made it the probability of class 1
        return torch.maximum(logits[0], 1 - logits[0])
    return logits.softmax(0).amax(0)
