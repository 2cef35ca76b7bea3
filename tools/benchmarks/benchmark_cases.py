"""What is timed: one model at work, on the CPU in a process of its own, or on a GPU."""

import itertools
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plain_exact
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmexact.apis.configs import read_config, shipped
from mmexact.engine.process import keep_freed_memory
from mmexact.pseudo_labels import (
    BACKGROUND_SCORES,
    confusion_by_score,
    confusion_scores,
    score_histogram,
)

BANDS = 10
SIZES: dict[str, dict[str, Any]] = {
    'full': {},
    'medium': dict(embed_dims=64, temporal_depth=4, spatial_depth=2, head_dims=16),
}


@dataclass(frozen=True)
class Case:
    """One kind of work.

    Attributes:
        task: 'train' a classifier, map its 'cam's, train a 'segmentor' or the temporal 'encoder'
            alone, or 'sweep' the background scores.
        code: 'plain' or 'ours'.
        precision: 'float32' or 'bfloat16'.
        batch: Windows per step; for the sweep, windows in all.
        size: Which network, see :data:`SIZES`.
        dates: Dates of every series.
        lengths: Dates of the series one by one; a step takes ``batch`` of them after the other.
        masked: Hide padded dates and pad to the longest of a batch, instead of to ``dates``.
        classes: Crops; the segmentor maps the background as well.
        window: Side of the windows in pixels.
        prototypes: Whether the prototypes have started.
        checkpointing: Whether to compute the forward pass twice to save memory.
        network: Which segmentor, 'tsvit' or 'utae'.
        device: Where it runs, 'cpu' or 'cuda'.
        tf32: Whether a GPU may round the factors of products in float32 to 10 bits.
        compiled: Whether the loss goes through torch.compile.
    """

    task: str = 'train'
    code: str = 'ours'
    precision: str = 'float32'
    batch: int = 2
    size: str = 'full'
    dates: int = 60
    lengths: tuple[int, ...] = ()
    masked: bool = False
    classes: int = 18
    window: int = 24
    prototypes: bool = True
    checkpointing: bool = False
    network: str = 'tsvit'
    device: str = 'cpu'
    tf32: bool = False
    compiled: bool = False

    @property
    def batches(self) -> int:
        """Number of batches until the series repeat."""
        return max(1, len(self.lengths) // self.batch)

    @property
    def config(self) -> ConfigDict:
        """Config of the model."""
        name = f'seg_{self.network}' if self.task == 'segmentor' else 'exact_tsvit'
        model = read_config(shipped(f'configs/_base_/models/{name}.py')).model
        if self.network != 'tsvit':
            model.decode_head.num_classes = self.classes + 1
            return model
        model.backbone.update(
            SIZES[self.size],
            img_size=self.window,
            mask_padding=self.masked,
            with_cp=self.checkpointing,
            num_classes=self.classes + (self.task == 'segmentor'),
        )
        dims = model.backbone.embed_dims
        if self.task == 'segmentor':
            model.decode_head.update(in_channels=dims, num_classes=self.classes + 1)
        else:
            model.spatial_clue_head.update(embed_dims=dims, num_classes=self.classes)
            model.cls_head.update(embed_dims=dims)
        return model


def prepare(case: Case) -> Callable[[], Any]:
    """Build what a case needs and return its piece of work."""
    if case.task == 'sweep':
        return _sweep(case)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    config, batches = case.config, itertools.cycle(list(_batches(case)))
    model = MODELS.build(config)
    if case.task not in ('segmentor', 'encoder') and case.prototypes:
        state = model.state_dict()
        state['spatial_clue_head.step'] += config.spatial_clue_head.start_iter
        model.load_state_dict(state)
    labels, samples = _labels(case)
    if case.code == 'plain':
        state = model.state_dict()
        kind = plain_exact.PlainSegmentor if case.task == 'segmentor' else plain_exact.PlainExact
        model = kind(config)
        model.load_state_dict(state)
    model.to(case.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def loss(inputs: Tensor) -> Tensor:
        if case.code == 'plain':
            return model.loss(inputs, labels)
        return model.parse_losses(model.loss(inputs, samples))[0]

    def encode(tokens: Tensor) -> Tensor:
        encoder = model.backbone.temporal_encoder
        extra = () if case.code == 'plain' else (None, case.classes)
        return encoder(tokens, *extra)[0].float().mean()

    if case.task == 'encoder':
        shape = (encoder_sequences(case), case.classes + case.dates, config.backbone.embed_dims)
        batches, loss = itertools.repeat(torch.randn(shape, device=case.device)), encode
    if case.compiled:
        loss = torch.compile(loss)

    def train() -> None:
        with _precision(case):
            total = loss(next(batches))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    def cam() -> None:
        with torch.no_grad(), _precision(case):
            inputs = next(batches)
            model.cam(inputs, labels) if case.code == 'plain' else model.predict(inputs, samples)

    return cam if case.task == 'cam' else train


def encoder_sequences(case: Case) -> int:
    """Count the locations of a batch, whose series the temporal encoder takes one by one."""
    return case.batch * (case.window // int(case.config.backbone.patch_size)) ** 2


def encoder_flops(case: Case) -> float:
    """Count what training the temporal encoder for a step needs, two per multiplication.

    Forward and twice that backward; the class rows that are computed apart do not count.
    """
    settings = case.config.backbone
    dims, length = settings.embed_dims, case.classes + case.dates
    inner = settings.num_heads * settings.head_dims
    products = 4 * dims * inner + 2 * dims * settings.mlp_ratio * dims + 2 * length * inner
    return 3.0 * 2 * products * length * encoder_sequences(case) * settings.temporal_depth


def _precision(case: Case) -> torch.autocast:
    torch.set_float32_matmul_precision('high' if case.tf32 else 'highest')
    torch.backends.cudnn.allow_tf32 = case.tf32
    return torch.autocast(case.device, torch.bfloat16, enabled=case.precision == 'bfloat16')


def _labels(case: Case) -> tuple[Tensor, list[SegDataSample]]:
    """Make masks for the segmentor, image-level labels for the classifier: a quarter is there."""
    size = (case.window, case.window)
    if case.task == 'segmentor':
        masks = torch.randint(case.classes + 1, (case.batch, *size), device=case.device)
        return masks, [SegDataSample(gt_sem_seg=PixelData(data=mask[None])) for mask in masks]
    labels = torch.zeros(case.batch, case.classes, device=case.device)
    labels[:, : max(1, case.classes // 4)] = 1
    meta = dict(img_shape=size, ori_shape=size)
    return labels, [SegDataSample(gt_score=label, metainfo=meta) for label in labels]


def _batches(case: Case) -> Iterator[Tensor]:
    """Yield the batches of a case: random bands, days of year from January to December."""
    lengths = case.lengths or (case.dates,) * case.batch
    groups = [lengths[start : start + case.batch] for start in range(0, len(lengths), case.batch)]
    for group in groups:
        padded = max(group) if case.masked else case.dates
        inputs = torch.randn(len(group), padded, BANDS + 1, case.window, case.window)
        for series, length in zip(inputs, group, strict=True):
            series[length:] = 0
            days = torch.linspace(5, 360, length).round()
            series[:length, BANDS] = days[:, None, None]
        yield inputs.flatten(1, 2).to(case.device)


def _sweep(case: Case) -> Callable[[], list[float]]:
    folder = Path(tempfile.mkdtemp())
    generator = np.random.default_rng(0)
    shape = (case.window, case.window)
    files = []
    for number in range(case.batch):
        cams = generator.random((case.classes, *shape), dtype=np.float32)
        cams *= generator.random((case.classes, 1, 1)) < 0.3
        truth = generator.integers(case.classes + 1, size=shape, dtype=np.uint8)
        names = [str(folder / f'{kind}{number}.npy') for kind in ('cams', 'truth')]
        for name, array in zip(names, (cams, truth), strict=True):
            np.save(name, array)
        files.append((names[0], names[1]))

    def ours() -> list[float]:
        total = torch.zeros((), dtype=torch.long)
        for start in range(0, len(files), 64):
            some = files[start : start + 64]
            cams, truth = (
                torch.from_numpy(np.stack([np.load(pair[kind]) for pair in some]))
                for kind in (0, 1)
            )
            total = total + score_histogram(cams, truth)
        return confusion_scores(confusion_by_score(total))[0].tolist()

    def plain() -> list[float]:
        return plain_exact.sweep(files, BACKGROUND_SCORES, case.classes + 1)

    return ours if case.code == 'ours' else plain


_work: dict[str, Any] = {}
"""What this process does."""


def start(case: Case) -> float:
    """Build a case in this process; returns the peak memory (GB) before that."""
    if case.code == 'ours':
        keep_freed_memory()
    before = peak_gb()
    _work.update(step=prepare(case), count=case.batches)
    return before


def step() -> float:
    """Work through all batches of the case once; returns the seconds that each took."""
    begin = time.perf_counter()
    for _ in range(_work['count']):
        _work['step']()
    return (time.perf_counter() - begin) / _work['count']


def peak_gb() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
