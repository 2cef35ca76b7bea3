"""What benchmark.py times: one model at work in a process of its own, told when to take a step.

Run by benchmark.py as ``python benchmark_cases.py CASE``, with a :class:`Case` as JSON. Answers
every line of its standard input with the seconds that one piece of work took, and the end of the
input with the process's peak memory.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import plain_exact  # noqa: E402

import mmexact  # noqa: E402, F401
from mmexact.engine.process import keep_freed_memory  # noqa: E402
from mmexact.pseudo_labels import (  # noqa: E402
    BACKGROUND_SCORES,
    confusion_by_score,
    confusion_scores,
    score_histogram,
)

SIZES: dict[str, dict[str, Any]] = {
    'full': {},
    'medium': dict(embed_dims=64, temporal_depth=4, spatial_depth=2, head_dims=16),
}


@dataclass
class Case:
    """One kind of work.

    Attributes:
        task: 'train' a classifier, map its 'cam's, train a 'segmentor', or 'sweep' the background
            scores.
        code: 'plain' or 'ours'.
        precision: 'float32' or 'bfloat16'.
        batch: Windows per step; for the sweep, windows in all.
        size: Which classifier, see :data:`SIZES`.
        dates: Dates of every series.
        lengths: Dates of the series one by one; a step takes ``batch`` of them after the other.
        masked: Hide padded dates and pad to the longest of a batch, instead of to ``dates``.
        classes: Crops.
        window: Side of the windows in pixels.
        prototypes: Whether the prototypes have started.
        checkpointing: Whether to compute the forward pass twice to save memory.
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


def prepare(case: Case) -> Callable[[], None]:
    """Build what a case needs and return its piece of work."""
    if case.task == 'sweep':
        return _sweep(case)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    name = 'seg_tsvit' if case.task == 'segmentor' else 'exact_tsvit'
    config = Config.fromfile(ROOT / f'configs/_base_/models/{name}.py').model
    config.backbone.update(img_size=case.window, mask_padding=case.masked)
    if case.code == 'ours':
        config.backbone.with_cp = case.checkpointing
    dims = SIZES[case.size].get('embed_dims', 128)
    config.backbone.update(SIZES[case.size])
    if case.task == 'segmentor':
        config.backbone.num_classes = config.decode_head.num_classes = 19
        return _segmentor(case, config)
    config.backbone.num_classes = config.spatial_clue_head.num_classes = case.classes
    config.spatial_clue_head.embed_dims = config.cls_head.embed_dims = dims
    return _classifier(case, config)


def _classifier(case: Case, config: Config) -> Callable[[], None]:
    ours = MODELS.build(config)
    state = ours.state_dict()
    state['spatial_clue_head.step'] += ours.spatial_clue_head.start_iter * case.prototypes
    ours.load_state_dict(state)
    labels = torch.zeros(case.batch, case.classes)
    labels[:, : max(1, case.classes // 4)] = 1
    samples = [
        SegDataSample(
            gt_score=row, metainfo=dict(img_shape=(case.window,) * 2, ori_shape=(case.window,) * 2)
        )
        for row in labels
    ]
    batches = _batches(case, bands=10)
    if case.code == 'plain':
        plain = plain_exact.PlainExact(config)
        plain.load_state_dict(ours.state_dict())
        model: torch.nn.Module = plain
        loss = lambda inputs: plain.loss(inputs, labels, case.prototypes)  # noqa: E731
        cam = lambda inputs: plain.cam(inputs, labels)  # noqa: E731
    else:
        model = ours
        loss = lambda inputs: sum(ours.loss(inputs, samples).values())  # noqa: E731
        cam = lambda inputs: ours.predict(inputs, samples)  # noqa: E731
    if case.task == 'train':
        return _training(model, loss, batches, case.precision)
    model.eval()

    def work() -> None:
        with torch.no_grad(), _autocast(case.precision):
            cam(next(batches))

    return work


def _segmentor(case: Case, config: Config) -> Callable[[], None]:
    ours = MODELS.build(config)
    masks = torch.randint(config.decode_head.num_classes, (case.batch, case.window, case.window))
    batches = _batches(case, bands=10)
    if case.code == 'plain':
        plain = plain_exact.PlainSegmentor(config)
        plain.load_state_dict(ours.state_dict())
        return _training(plain, lambda inputs: plain.loss(inputs, masks), batches, case.precision)
    samples = []
    for mask in masks:
        sample = SegDataSample()
        sample.set_data(dict(gt_sem_seg=PixelData(data=mask[None])))
        samples.append(sample)
    return _training(
        ours,
        lambda inputs: ours.loss(inputs, samples)['decode.loss_ce'],
        batches,
        case.precision,
    )


def _training(
    model: torch.nn.Module,
    loss: Callable[[torch.Tensor], torch.Tensor],
    batches: Iterator[torch.Tensor],
    precision: str,
) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def work() -> None:
        with _autocast(precision):
            total = loss(next(batches))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return work


def _autocast(precision: str) -> AbstractContextManager:
    return torch.autocast('cpu', dtype=torch.bfloat16, enabled=precision == 'bfloat16')


def _batches(case: Case, bands: int) -> Iterator[torch.Tensor]:
    """Yield batches without end: random bands, days of year from January to December."""
    lengths = case.lengths or (case.dates,) * case.batch
    groups = [lengths[start : start + case.batch] for start in range(0, len(lengths), case.batch)]
    while True:
        for group in groups:
            padded = max(group) if case.masked else case.dates
            inputs = torch.randn(len(group), padded, bands + 1, case.window, case.window)
            for series, length in zip(inputs, group, strict=True):
                series[length:] = 0
                days = torch.linspace(5, 360, length).round()
                series[:length, bands] = days[:, None, None]
            yield inputs.flatten(1, 2)


def _sweep(case: Case) -> Callable[[], None]:
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


def main() -> None:
    """Answer the lines of the standard input."""
    case = Case(**json.loads(sys.argv[1]))
    if case.code == 'ours':
        keep_freed_memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work = prepare(case)
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(dict(interpreter_gb=before / 1e6, peak_gb=peak / 1e6)), flush=True)


if __name__ == '__main__':
    main()
