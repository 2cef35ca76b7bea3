"""A user's own area: one dict that says where rasters and labels are, and which sizes fit them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

NEEDED = ('data_root', 'classes', 'mean', 'std', 'window_size', 'patch_size', 'work_dir')
OF_DATASET = ('data_root', 'search', 'codes', 'other_codes', 'gaps', 'window_size')
OPTIONAL = (
    *('rasters', 'series', 'mask', 'labels', 'image_labels_file', 'search', 'codes'),
    *('other_codes', 'gaps', 'palette', 'num_dates', 'iterations', 'split'),
)


def bind_area(cfg: Config) -> None:
    """Fill in, in place, what a config's ``area`` says, and take ``area`` out; do nothing without.

    The keys of ``area``:

    - ``data_root``, ``search``, ``codes``, ``other_codes``, ``gaps``, ``window_size``: as
      :class:`~mmexact.datasets.rasters.dataset.RasterSeriesDataset` takes them;
    - ``rasters``: the pattern of the rasters; or ``series``, patterns by name where there are
      several areas;
    - labels to learn from: ``mask``, a raster whose values ``codes`` names; or ``labels``, the
      settings of a file of points or polygons; or ``image_labels_file``. A ``mask`` beside the
      others serves to test;
    - ``classes``, the background first, and ``palette``;
    - ``mean`` and ``std`` of each band;
    - ``window_size``: side of the windows in pixels, from here to the dataset, the backbone and
      slide inference; ``patch_size``: side of the backbone's patches, which divides it;
    - ``num_dates``: dates that a model sees of a series at most;
    - ``iterations``: length of each training, to which the stage's schedule is scaled;
    - ``split``: files of sample ids for ``train``, ``val`` and perhaps ``test``; without them all
      windows are used for everything;
    - ``work_dir``: folder of the results. The classifier works in ``cls``, a segmentor in the
      folder named as its config.

    Raises:
        ValueError: A setting is missing, unknown, or does not fit the others.
    """
    area = cfg.get('area')
    if area is None:
        return
    _check(area)
    cfg.pop('area')
    segments = 'decode_head' in cfg.model
    _bind_data(cfg, area, segments)
    _bind_model(cfg.model, area, segments)
    if area.get('iterations'):
        _bind_schedule(cfg, area.iterations)
    if not any(place.get('mask') for place in _series(area).values()):
        _drop_pixel_labels(cfg)
    own = f'{area.work_dir}/{Path(cfg.filename).stem if segments else "cls"}'
    cfg.work_dir = cfg.get('work_dir') or own
    if segments:
        masks = f'{area.work_dir}/cls/refined_masks'
        cfg.train_dataloader.dataset.setdefault('pseudo_label_dir', masks)


def _check(area: Mapping[str, Any]) -> None:
    known = (*NEEDED, *OPTIONAL)
    if unknown := sorted(set(area) - set(known)):
        raise ValueError(f'area has no setting {unknown[0]!r}; it knows {sorted(known)}')
    missing = [key for key in NEEDED if key not in area]
    if 'rasters' not in area and 'series' not in area:
        missing.insert(0, 'rasters')
    if not any(area.get(key) for key in ('mask', 'labels', 'image_labels_file')):
        missing.append('mask or labels')
    if missing:
        raise ValueError(
            f'area says nothing about {", ".join(missing)}; tools/start_project.py '
            f'writes an area with all that is needed'
        )
    split = area.get('split')
    if split and not {'train', 'val'} <= set(split):
        raise ValueError(f'area.split={dict(split)}; expected files for train, val, perhaps test')
    sizes = {key: len(area[key]) for key in ('mean', 'std')}
    if bands := area.get('search', {}).get('bands'):
        sizes['search.bands'] = len(bands)
    if len(set(sizes.values())) > 1:
        raise ValueError(f'area lists {sizes}; expected one of each for every band')
    if area['window_size'] % area['patch_size']:
        raise ValueError(
            f'area.window_size={area["window_size"]} is not a multiple of '
            f'area.patch_size={area["patch_size"]}'
        )


def _series(area: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rasters and the mask of each area by its name."""
    mask = area.get('mask')
    patterns = area.get('series') or dict(area=area['rasters'])
    return {
        name: dict(rasters=pattern, mask=mask)
        if isinstance(pattern, str)
        else dict(dict(mask=mask), **pattern)
        for name, pattern in patterns.items()
    }


def _bind_data(cfg: Config, area: Mapping[str, Any], segments: bool) -> None:
    metainfo = {key: area[key] for key in ('classes', 'palette') if key in area}
    data = {key: area[key] for key in OF_DATASET if key in area}
    data |= dict(series=_series(area), metainfo=metainfo)
    split = area.get('split') or {}
    # Stage 2 maps what stage 3 learns from; stage 3 is tested on what no training has seen.
    lists = dict(train='train', val='val', test='test' if segments and 'test' in split else 'val')
    if not segments:
        lists['test'] = 'train'
    for loop, name in lists.items():
        dataset = cfg[f'{loop}_dataloader'].dataset
        dataset.update(data)
        if not segments or loop == 'train':
            dataset.update({k: area[k] for k in ('labels', 'image_labels_file') if k in area})
        if split:
            dataset.ann_file = split[name]
        elif segments and loop != 'train':
            dataset.window_size = None  # the whole area
        for step in dataset.pipeline:
            if step.type == 'LoadSITS' and 'num_dates' in area:
                step.num_dates = area['num_dates']


def _bind_model(model: ConfigDict, area: Mapping[str, Any], segments: bool) -> None:
    model.data_preprocessor = dict(
        dict(type='SITSDataPreprocessor', num_dates=None),
        **model.get('data_preprocessor') or {},
        mean=list(area['mean']),
        std=list(area['std']),
    )
    window, number = area['window_size'], len(area['classes']) - (not segments)
    model.backbone.in_channels = len(area['mean'])
    if model.backbone.type == 'TSViT':
        model.backbone.update(num_classes=number, img_size=window, patch_size=area['patch_size'])
    for head in _heads(model):
        head.num_classes = number
        if 'patch_size' in head:
            head.patch_size = area['patch_size']
    slide = model.get('test_cfg')
    if slide is not None and 'crop_size' in slide:
        apart = tuple(slide.stride) == tuple(slide.crop_size)
        slide.stride = tuple(window if apart else min(step, window) for step in slide.stride)
        slide.crop_size = (window, window)


def _heads(model: ConfigDict) -> Iterator[ConfigDict]:
    """Yield the configs of all heads that have classes."""
    for name in ('spatial_clue_head', 'decode_head', 'auxiliary_head'):
        head = model.get(name) or []
        yield from head if isinstance(head, list) else [head]


def _bind_schedule(cfg: Config, iterations: int) -> None:
    """Scale the schedule of a training to another length."""
    before: int = cfg.train_cfg.max_iters

    def scale(step: int) -> int:
        return -(-step * iterations // before)

    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    logger = cfg.default_hooks.logger
    logger.interval = min(logger.interval, max(1, iterations // 10))
    for scheduler in cfg.param_scheduler:
        begin = scale(scheduler.begin)
        scheduler.update(begin=begin, end=max(scale(scheduler.end), begin + 1))
    clue = cfg.model.get('spatial_clue_head')
    if clue is not None:
        clue.start_iter = scale(clue.start_iter)


def _drop_pixel_labels(cfg: Config) -> None:
    """Leave out what compares with pixel labels, which there are not."""
    for loop in ('val', 'test'):
        dataset = cfg[f'{loop}_dataloader'].dataset
        dataset.pipeline = [step for step in dataset.pipeline if step.type != 'LoadSITSAnnotations']
        metrics = cfg[f'{loop}_evaluator']
        metrics = metrics if isinstance(metrics, list) else [metrics]
        cfg[f'{loop}_evaluator'] = [
            metric for metric in metrics if metric.type == 'mmpretrain.AveragePrecision'
        ]
    if not cfg.val_evaluator:
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
