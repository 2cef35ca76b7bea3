"""Whole scenes in, georeferenced maps out: block by block, so that no scene is too large."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from geopandas import GeoDataFrame
from mmengine.config import Config
from mmengine.device import get_device
from mmseg.apis import init_model
from mmseg.datasets.transforms import PackSegInputs
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from rasterio.windows import Window as RasterWindow

from mmexact.apis.blocks import BLOCK_WINDOWS, OVERLAP, plan_blocks
from mmexact.apis.data import open_data
from mmexact.apis.strips import BlockPrediction, predict_strips
from mmexact.datasets import LoadSITS, SITSDataset
from mmexact.engine.checkpoint import load_weights
from mmexact.masks.maps import count_classes, open_map
from mmexact.models.data_preprocessor import SITSDataPreprocessor
from mmexact.models.segmentors.exact_classifier import ExactClassifier


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
    model = build_segmentor(cfg, device)
    load_weights(model, checkpoint, scenes)
    return model


def build_segmentor(cfg: Config, device: str | None = None) -> EncoderDecoder:
    """Build the segmentor of a config without weights; see :func:`load_segmentor`."""
    kind = MODELS.get(cfg.model.type)
    if kind is not None and issubclass(kind, ExactClassifier):
        raise ValueError(
            f'the config describes a classifier of stage 1 ({cfg.model.type}), which needs windows '
            f'and their image-level labels; give the config and the checkpoint of a segmentor, '
            f'such as configs/exact/seg_tsvit_pastis.py, trained on masks of tools/gen_pseudo.py'
        )
    if kind is None or not issubclass(kind, EncoderDecoder):
        raise ValueError(f'model.type={cfg.model.type!r}; expected a segmentor: EncoderDecoder')
    temperature = cfg.model.get('test_cfg', {}).get('temperature', 1)
    if not temperature > 0:
        raise ValueError(f'model.test_cfg.temperature={temperature}; expected a number above 0')
    model = init_model(copy.deepcopy(cfg), device=device or get_device())
    if not isinstance(model.data_preprocessor, SITSDataPreprocessor):
        raise ValueError(
            f'model.data_preprocessor is a {type(model.data_preprocessor).__name__}; expected '
            f"dict(type='SITSDataPreprocessor', mean=..., std=...) with the statistics of the bands"
        )
    return model


def build_scenes(cfg: Config) -> SITSDataset:
    """Build the dataset of ``cfg.test_dataloader`` as one to predict: whole patches, no labels.

    Pixel masks, image-level labels and filters by label are left out of it.

    Raises:
        FileNotFoundError: The data are missing.
        ValueError: The config has no test dataset of series, or the data do not fit it.
    """
    dataset = open_data(cfg, 'test', lazy_init=True).for_prediction()
    prepare_pipeline(dataset)
    return dataset


def prepare_pipeline(dataset: SITSDataset) -> None:
    """Have the pipeline of a dataset keep, in place, what maps need; its steps are copied.

    Raises:
        ValueError: It chooses dates at random.
    """
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
    check_classes(model, names)
    info = dataset.get_data_info(index)
    place, size = info.get('georeference'), info['size']
    rows = plan_blocks(model, info, overlap, block_windows)[0].finished
    legend = list(zip(names, meta['palette'], strict=False))
    settings = (area, overlap, block_windows, num_workers, after_block, predictions)
    with ExitStack() as stack:
        rasters = [stack.enter_context(open_map(map_path, size, place, rows, legend))]
        for kind, path in (scores or {}).items():
            bands = names if kind == 'classes' else (kind,)
            rasters.append(stack.enter_context(open_map(path, size, place, rows, bands=bands)))
        for strip in predict_strips(model, dataset, info, *settings):
            planes = [strip.classes, *(strip.measure(kind) for kind in scores or ())]
            for raster, plane in zip(rasters, planes, strict=True):
                raster.write(plane, window=RasterWindow(0, strip.top, *plane.shape[:0:-1]))
    return count_classes(map_path, names)


def check_classes(model: EncoderDecoder, names: Sequence[str]) -> None:
    """Refuse a model of another number of classes than the data have names for."""
    if len(names) != model.num_classes:
        raise ValueError(
            f'the model has {model.num_classes} classes, but test_dataloader.dataset has '
            f'{len(names)}: {tuple(names)}'
        )
