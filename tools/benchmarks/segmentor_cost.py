"""What a segmentor costs: parameters, FLOPs and windows per second."""

import statistics
import time
from pathlib import Path

import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmexact.engine.process import keep_freed_memory

DATES, SIDE, BATCH = 12, 24, 16
WARM_UP, ROUNDS = 2, 5


def measure_cost(config: Path) -> dict[str, float]:
    """Measure a segmentor on windows of 24 x 24 pixels and 12 dates, in batches of 16, in float32.

    Args:
        config: Its config.

    Returns:
        ``parameters``, ``gflops`` of a window's forward pass (multiplications), and the windows per
        second of ``training`` (one step with the config's optimizer) and ``inference``: medians.
    """
    keep_freed_memory()
    cfg = Config.fromfile(config)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    data = make_batch(len(cfg.model.data_preprocessor.mean), model.decode_head.num_classes)
    return dict(
        parameters=sum(weight.numel() for weight in model.parameters()),
        gflops=count_flops(model, data) / 1e9,
        training=BATCH / median_seconds(training_step(model, cfg, data)),
        inference=BATCH / median_seconds(inference_step(model, data)),
    )


def make_batch(bands: int, classes: int) -> dict:
    """Make random windows with labels, as a data loader gives them."""
    random = torch.Generator().manual_seed(0)
    size = (BATCH, DATES, bands + 1, SIDE, SIDE)
    series = torch.randint(0, 4000, size, generator=random, dtype=torch.int16)
    series[:, :, -1] = torch.linspace(15, 350, DATES).short()[:, None, None]
    labels = torch.randint(0, classes, (BATCH, 1, SIDE, SIDE), generator=random)
    meta = dict(img_shape=(SIDE, SIDE), ori_shape=(SIDE, SIDE), pad_shape=(SIDE, SIDE))
    samples = [SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=label)) for label in labels]
    return dict(inputs=list(series.flatten(1, 2)), data_samples=samples)


def count_flops(model: nn.Module, data: dict) -> float:
    """Count the multiplications of one window's forward pass."""
    model.eval()
    window = model.data_preprocessor(data)['inputs'][:1]
    counted = get_model_complexity_info(model, inputs=(window,), show_table=False, show_arch=False)
    return counted['flops']


def training_step(model: nn.Module, cfg: Config, data: dict):
    """Return a function that takes one training step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.optim_wrapper.optimizer.lr)

    def step() -> None:
        model.train()
        losses = model.loss(**model.data_preprocessor(data, True))
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def inference_step(model: nn.Module, data: dict):
    """Return a function that maps the windows once."""

    def step() -> None:
        model.eval()
        with torch.no_grad():
            model.test_step(data)

    return step


def median_seconds(step) -> float:
    """Time a function."""
    seconds = []
    for number in range(WARM_UP + ROUNDS):
        start = time.perf_counter()
        step()
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
