"""What benchmark.py measures on a GPU: everything worth knowing of a card in eight minutes.

Variants of the same work take turns in one process. Whatever fails on a card, for want of memory or
otherwise, is written down, and the rest goes on; what no time is left for is named. A batch that
does not fit is halved until it does, so that rates count windows.
"""

import gc
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from benchmark_cases import Case, encoder_flops, prepare
from mmengine.runner import Runner

from mmexact.apis.configs import read_config, shipped
from mmexact.datasets.synthetic.pastis_tree import write_pastis_tree
from mmexact.engine.optim_wrapper import use_bfloat16
from mmexact.engine.pseudo_label_hook import PseudoLabelHook
from mmexact.masks.folder import whole_file, write_json

CUDA_BATCH = 48
OURS = Case(device='cuda', batch=CUDA_BATCH)
PLAIN = replace(OURS, code='plain')
HALF = replace(OURS, precision='bfloat16')


def variants(plain: bool = True, compiled: bool = False, **settings: Any) -> tuple[Case, ...]:
    """Make the cases of the same work, the yardstick first: plain in float32, without TF32."""
    cases = [
        replace(case, **precision)
        for case in ((PLAIN, OURS) if plain else (OURS,))
        for precision in ({}, dict(tf32=True), dict(precision='bfloat16'))
    ]
    cases += [replace(HALF, compiled=True)] if compiled else []
    return tuple(replace(case, **settings) for case in cases)


def gpu_steps(lengths: tuple[int, ...]) -> dict[str, tuple[Case, ...]]:
    """Return the work by title, the most telling first.

    Args:
        lengths: Dates of the series of PASTIS.
    """
    lengths = (lengths * 6)[: 4 * CUDA_BATCH]
    grouped = tuple(sorted(lengths))
    return {
        'classifier, training step with prototypes': variants(),
        'temporal encoder alone, training step': variants(task='encoder', prototypes=False),
        'classifier, training step before the prototypes start': variants(prototypes=False),
        'classifier, clue-based CAMs': variants(task='cam'),
        'TSViT segmentor, training step': variants(task='segmentor'),
        'U-TAE segmentor, training step': variants(False, task='segmentor', network='utae'),
        'classifier, training step, series of 33 to 60 dates': (
            replace(PLAIN, lengths=lengths),
            replace(HALF, lengths=lengths),
            replace(HALF, lengths=grouped, masked=True),
        ),
        'classifier, training step with prototypes, compiled': variants(False, compiled=True)[2:],
        'TSViT segmentor, training step, compiled': variants(
            False, compiled=True, task='segmentor'
        )[2:],
    }


@dataclass
class Timed:
    """What a variant took.

    Attributes:
        case: The variant, with the batch that fitted.
        seconds: Of each step that counts.
        memory: Peak while it worked (GB), 0 on a CPU.
        synchronisations: How often a step waited for the GPU; None on a CPU.
        failure: What went wrong, empty if nothing.
    """

    case: Case
    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    synchronisations: int | None = None
    failure: str = ''

    @property
    def rate(self) -> float:
        """Windows per second, in the median."""
        return self.case.batch / statistics.median(self.seconds) if self.seconds else math.nan

    @property
    def name(self) -> str:
        """What distinguishes the variant, for tables."""
        case = self.case
        parts = [case.code, case.precision, *['TF32'] * case.tf32, *['compiled'] * case.compiled]
        return ', '.join([*parts, *['grouped by length, padding masked'] * case.masked])


def time_step(work: Callable[[], Any], device: str) -> float:
    """Return the seconds of one step; on a GPU by its own clock."""
    if device == 'cpu':
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def count_synchronisations(work: Callable[[], Any]) -> int:
    """Count how often a step waits for the GPU."""
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            work()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchroniz' in str(warning.message) for warning in caught)


def free(device: str) -> None:
    """Hand back what no variant uses."""
    gc.collect()
    if device != 'cpu':
        torch.cuda.empty_cache()


def make_fit(case: Case) -> tuple[Timed, Callable[[], Any] | None]:
    """Prepare a case and work once, with half the batch as long as memory does not suffice."""
    while case.batch:
        try:
            work = prepare(case)
            work()
            work()
            return Timed(case), work
        except torch.OutOfMemoryError:
            case = replace(case, batch=case.batch // 2)
        except Exception as error:  # one variant that a card cannot do must not end the others
            return Timed(case, failure=f'{type(error).__name__}: {error}'.splitlines()[0]), None
        work = None  # or it would hold the memory that half the batch needs
        free(case.device)
    return Timed(case, failure='out of memory'), None


def take_turns(cases: tuple[Case, ...], rounds: int) -> list[Timed]:
    """Time variants of the same work, their steps in turns; each turn warms up with a step."""
    fitted = []
    for case in cases:
        fitted.append(make_fit(case))
        free(case.device)
    for _ in range(rounds):
        for timed, work in fitted:
            if work is None or timed.failure:
                continue
            try:
                take_turn(timed, work)
            except torch.OutOfMemoryError:
                timed.failure = 'out of memory beside the others'
            free(timed.case.device)
    return [timed for timed, _ in fitted]


def take_turn(timed: Timed, work: Callable[[], Any]) -> None:
    """Warm up with a batch, then time all batches of the case twice."""
    device, batches = timed.case.device, timed.case.batches
    work()
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):
        timed.seconds.append(sum(time_step(work, device) for _ in range(batches)) / batches)
    if device != 'cpu':
        timed.memory = torch.cuda.max_memory_allocated() / 1e9
        if timed.synchronisations is None:
            timed.synchronisations = count_synchronisations(work)


def matrix_rate(device: str, size: int, dtype: torch.dtype) -> float:
    """Return the TFLOP/s of a product of two square matrices."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = [time_step(lambda: left @ right, device) for _ in range(12)][2:]
    return 2 * size**3 / statistics.median(seconds) / 1e12


def kernel_table(case: Case) -> str:
    """Profile three steps and return the kernels that took longest."""
    work = prepare(case)
    work()
    activities = [torch.profiler.ProfilerActivity.CPU]
    kind = 'cpu' if case.device == 'cpu' else 'cuda'
    if kind == 'cuda':
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(3):
            work()
    key = 'self_cpu_time_total' if kind == 'cpu' else 'self_device_time_total'
    return str(profile.key_averages().table(sort_by=key, row_limit=25, max_name_column_width=60))


def measure_pipeline(
    names: tuple[str, str], tree: Path, workers: int, batch: int, options: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
    """Measure windows per second with files, loading and writing, in bfloat16.

    Args:
        names: Configs of a classifier and of a segmentor.
        tree: In the format of PASTIS.
        workers: Processes that load.
        batch: Windows per batch of the classifier.
        options: More settings of both configs.

    Yields:
        What was measured, and its rate.
    """
    loader = 'test_dataloader'
    common = {f'{loader}.dataset.data_root': str(tree), f'{loader}.num_workers': workers}
    common |= {f'{loader}.persistent_workers': workers > 0, **options}
    with tempfile.TemporaryDirectory() as folder:
        for stage, name in zip(('cls', 'seg'), names, strict=True):
            cfg = read_config(shipped(f'configs/exact/{name}.py'), common)
            name = f'{stage}_{time.monotonic_ns()}'  # MMEngine keeps loggers by name
            cfg.work_dir = folder
            cfg.experiment_name = cfg.visualizer.name = name
            use_bfloat16(cfg)
            if stage == 'cls':
                cfg.test_dataloader.batch_size = batch
            runner = Runner.from_cfg(cfg)
            if stage == 'cls':
                data = runner.build_dataloader(cfg.test_dataloader)
                for _ in data:  # workers start, and files come into memory
                    pass
                start = time.perf_counter()
                count = sum(len(one['inputs']) for one in data)
                yield 'loading alone', count / (time.perf_counter() - start)
                hook = PseudoLabelHook(str(Path(folder, 'masks')), amp=True)
                start = time.perf_counter()
                hook.map_windows(runner, cfg.test_dataloader)
                yield 'gen_pseudo', count / (time.perf_counter() - start)
            else:
                start, (side, _) = time.perf_counter(), cfg.model.test_cfg.crop_size
                runner.test()
                count = sum(
                    math.prod(math.ceil(length / side) for length in info['size'])
                    for info in map(
                        runner.test_dataloader.dataset.get_data_info,
                        range(len(runner.test_dataloader.dataset)),
                    )
                )
                yield 'slide inference, start included', count / (time.perf_counter() - start)


class Report:
    """Results so far; written anew whenever there are more."""

    def __init__(self, out: Path, minutes: float) -> None:
        self.out, self.end = out, time.monotonic() + 60 * minutes
        self.facts: dict[str, Any] = dict(torch=torch.__version__)
        self.tables: dict[str, list[Timed]] = {}
        self.text: list[str] = []
        out.mkdir(parents=True, exist_ok=True)

    def attempt(self, title: str, measure: Callable[[], str]) -> None:
        """Add what a measurement returns, or why there is nothing."""
        start = time.monotonic()
        if start > self.end:
            content = 'Not measured: no time was left (--minutes).\n'
        else:
            try:
                content = measure()
            except Exception as error:  # what a card cannot do must not cost the rest
                content = f'Failed: {type(error).__name__}: {error}\n'
        content += f'\n({time.monotonic() - start:.0f} s)\n'
        self.text.append(f'## {title}\n\n{content}')
        print(self.text[-1], flush=True)
        with whole_file(self.out / 'benchmark.md') as unfinished:
            unfinished.write_text('\n'.join(self.text), encoding='utf-8')
        rows = {name: [asdict(timed) for timed in timings] for name, timings in self.tables.items()}
        write_json(self.out / 'benchmark.json', dict(facts=self.facts, tables=rows))

    def table(self, title: str, cases: tuple[Case, ...], rounds: int) -> str:
        """Time variants and return a Markdown table; the first is the yardstick."""
        timings = self.tables[title] = take_turns(cases, rounds)
        first = timings[0]
        lines = [
            '| variant | batch | ms | windows/s | times as fast | GB | waits | |',
            '|---|---|---|---|---|---|---|---|',
        ]
        for one in timings:
            seconds = statistics.median(one.seconds) if one.seconds else math.nan
            note = one.failure
            if one.case.task == 'encoder' and one.seconds:
                note = f'{encoder_flops(one.case) / seconds / 1e12:.4g} TFLOP/s {note}'
            lines.append(
                f'| {one.name} | {one.case.batch} | {1000 * seconds:.4g} | {one.rate:.4g} '
                f'| {one.rate / first.rate:.3g} | {one.memory:.2f} | {one.synchronisations} '
                f'| {note} |'
            )
        return '\n'.join(lines) + '\n'

    def rates(self, size: int, device: str) -> str:
        """Measure matrix products in the precisions that steps are timed in."""
        found = {}
        for name, precision, dtype in (
            ('float32', 'highest', torch.float32),
            ('TF32', 'high', torch.float32),
            ('bfloat16', 'highest', torch.bfloat16),
        ):
            torch.set_float32_matmul_precision(precision)
            found[name] = matrix_rate(device, size, dtype)
        self.facts['matrix_tflops'] = found
        return '\n'.join(f'- {name}: {rate:.4g} TFLOP/s' for name, rate in found.items()) + '\n'

    def pipeline(self, *args: Any) -> str:
        """Measure windows per second with everything around the model."""
        found = self.facts['windows_per_second'] = dict(measure_pipeline(*args))
        return '\n'.join(f'- {name}: {rate:.4g} windows/s' for name, rate in found.items()) + '\n'


def run(
    steps: Mapping[str, tuple[Case, ...]],
    out: Path,
    minutes: float,
    rounds: int,
    size: int = 8192,
    names: tuple[str, str] = ('cls_pastis_fast', 'seg_tsvit_pastis_fast'),
    patches: int = 40,
    workers: int = 16,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Measure everything and write benchmark.md and benchmark.json.

    Args:
        steps: Variants by title.
        out: Folder of the results.
        minutes: After these, no measurement begins any more.
        rounds: Turns of each variant, of two steps that count.
        size: Side of the matrices.
        names: Configs of the classifier and the segmentor that are run with files.
        patches: Of the synthetic tree that they read.
        workers: Processes that load.
        options: More settings of both configs.
    """
    report = Report(out, minutes)
    first, *_ = next(iter(steps.values()))
    device, batch = first.device, first.batch
    if device != 'cpu':
        report.facts['card'] = torch.cuda.get_device_name()
        report.text.append(f'# {report.facts["card"]}, PyTorch {torch.__version__}\n')
    report.attempt(f'Product of {size} x {size} matrices', lambda: report.rates(size, device))

    def read_files() -> str:
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder, 'tree')
            write_pastis_tree(tree, num_patches=patches, num_dates=(33, 60))
            return report.pipeline(names, tree, workers, batch, options or {})

    def measure(title: str) -> None:
        report.attempt(title, lambda: report.table(title, steps[title], rounds))

    titles = list(steps)
    for title in titles[:2]:
        measure(title)
    # Before what matters less, or may take long.
    half = replace(first, code='ours', precision='bfloat16')
    report.attempt('Kernels of ours in bfloat16', lambda: f'```\n{kernel_table(half)}\n```\n')
    report.attempt('With files', read_files)
    for title in titles[2:]:
        measure(title)
    print(f'wrote {out / "benchmark.md"}')
