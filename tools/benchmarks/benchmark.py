"""Time mmexact on this machine's CPU or GPU against the same method written plainly.

The plain code (plain_exact.py) keeps the attention matrices of all layers, loops over classes,
pads every series to its full length and computes in float32. Each variant is a process of its own;
their steps take turns, so that all of them see the same machine, and each one's peak memory is its
own. Prints seconds (the median, and the quickest), the ratio to the plain code, and peak memory
above the interpreter's with all libraries loaded. On processors without instructions for bfloat16
only float32 is timed. On a GPU everything runs in one process, see benchmark_gpu.py.

    python tools/benchmarks/benchmark.py steps            # tables of docs/performance.md
    python tools/benchmarks/benchmark.py steps --device cuda --out work_dirs/gpu
    python tools/benchmarks/benchmark.py sizes --out work_dirs/sizes.png
"""

import multiprocessing
import statistics
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import benchmark_cases
import benchmark_gpu
import numpy as np
import torch
from benchmark_cases import Case
from matplotlib.figure import Figure

from mmexact.engine.optim_wrapper import computes_bfloat16

# As in PASTIS: 33 to 61 dates, of which the recipe keeps 60. One pool, 8 batches, of the batch
# sampler.
LENGTHS = tuple(int(n) for n in np.random.default_rng(0).integers(33, 61, 32).tolist())
GROUPED = tuple(sorted(LENGTHS))

PLAIN, OURS = Case(code='plain'), Case(code='ours')
HALF = replace(OURS, precision='bfloat16')


def variants(**settings: Any) -> tuple[Case, ...]:
    """Make the three cases of the same work."""
    return tuple(replace(case, **settings) for case in (PLAIN, OURS, HALF))


MEDIUM = dict(size='medium', dates=24, classes=9, batch=8)
STEPS: dict[str, tuple[Case, ...]] = {
    'classifier, training step before the prototypes start, 2 windows': variants(prototypes=False),
    'classifier, training step with prototypes, 2 windows': (
        PLAIN, OURS, replace(OURS, checkpointing=True), HALF, replace(HALF, checkpointing=True),
    ),
    'classifier, clue-based CAMs, 4 windows': variants(task='cam', batch=4),
    'medium classifier (D 64, depth 4 + 2, 9 crops, 24 dates), training step, 8 windows': variants(
        **MEDIUM
    ),
    'medium classifier, clue-based CAMs, 8 windows': variants(task='cam', **MEDIUM),
    'TSViT segmentor, training step, 2 windows': variants(task='segmentor'),
    'classifier, training step, series of 33 to 60 dates, 4 windows': (
        replace(PLAIN, lengths=LENGTHS, batch=4),
        *(
            replace(case, lengths=lengths, masked=masked, batch=4)
            for case in (OURS, HALF)
            for lengths, masked in ((LENGTHS, False), (GROUPED, True))
        ),
    ),
    'sweep of 60 background scores, 500 windows on disk': variants(task='sweep', batch=500)[:2],
}  # fmt: skip
CURVES: dict[str, tuple[tuple[int, ...], str]] = {
    'dates': ((15, 30, 60), 'dates T'),
    'classes': ((4, 9, 18), 'crops K'),
    'window': ((12, 24, 36), 'window, pixels'),
}


@dataclass
class Measured:
    """What one variant took: seconds of its steps, and peak memory above the interpreter's (GB)."""

    case: Case
    seconds: list[float]
    memory: float

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def name(self) -> str:
        """What distinguishes the variant, for tables."""
        parts = [self.case.code, self.case.precision]
        parts += ['checkpointing'] * self.case.checkpointing
        parts += ['grouped by length, padding masked'] * self.case.masked
        return ', '.join(parts)


def possible(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Leave out what this processor would take minutes for."""
    native = computes_bfloat16('cpu')
    return tuple(case for case in cases if native or case.precision != 'bfloat16')


def measure(cases: tuple[Case, ...], rounds: int) -> list[Measured]:
    """Run variants side by side, their steps in turns.

    Args:
        cases: Variants of the same work.
        rounds: Steps of each that count; two before them warm up.
    """
    # Processes that start anew: their memory is that of their case.
    start_anew = multiprocessing.get_context('spawn')
    workers = [ProcessPoolExecutor(1, start_anew) for _ in cases]
    before = [
        worker.submit(benchmark_cases.start, case).result()
        for worker, case in zip(workers, cases, strict=True)
    ]
    rows = [
        [worker.submit(benchmark_cases.step).result() for worker in workers]
        for _ in range(rounds + 2)
    ]
    peaks = [worker.submit(benchmark_cases.peak_gb).result() for worker in workers]
    for worker in workers:
        worker.shutdown()
    seconds = [list(column) for column in zip(*rows[2:], strict=True)]
    memory = [peak - first for peak, first in zip(peaks, before, strict=True)]
    return [Measured(*values) for values in zip(cases, seconds, memory, strict=True)]


def print_table(results: list[Measured]) -> None:
    """Print one row of a Markdown table per variant; the first is the yardstick."""
    first = results[0]
    # Some work stays within the memory that importing took.
    memory = max(first.memory, 0.001)
    print('| variant | seconds (quickest) | times as fast | GB | share |\n|---|---|---|---|---|')
    for result in results:
        print(
            f'| {result.name} | {result.median:.3g} ({min(result.seconds):.3g}) '
            f'| {first.median / result.median:.3g} | {result.memory:.2f} '
            f'| {100 * result.memory / memory:.0f} % |',
            flush=True,
        )


def measure_sizes(rounds: int) -> dict[str, list[list[Measured]]]:
    """Measure a training step along every curve: by field of the case, its points' variants."""
    points: dict[str, list[list[Measured]]] = {}
    for field, (values, label) in CURVES.items():
        points[field] = []
        for value in values:
            runs = measure(possible(variants(**{field: value})), rounds)
            points[field].append(runs)
            for run in runs:
                time, size = run.median / run.case.batch, run.memory / run.case.batch
                print(f'{label} {value}: {run.name}: {time:.3f} s, {size:.2f} GB', flush=True)
    return points


def draw_sizes(points: dict[str, list[list[Measured]]], path: Path) -> None:
    """Plot time and memory per window against dates, crops and window size."""
    figure = Figure((11, 6), dpi=110, layout='constrained')
    axes = figure.subplots(2, len(CURVES), sharey='row')
    for column, (field, (values, label)) in enumerate(CURVES.items()):
        for style, runs in zip(('o-', 's-', '^-'), zip(*points[field], strict=True), strict=False):
            seconds = [run.median / run.case.batch for run in runs]
            memory = [run.memory / run.case.batch for run in runs]
            axes[0, column].plot(values, seconds, style, label=runs[0].name)
            axes[1, column].plot(values, memory, style)
        axes[1, column].set_xlabel(label)
        for row in (0, 1):
            axes[row, column].set_xticks(values)
            axes[row, column].grid(alpha=0.3)
    for row, label in enumerate(('seconds per window', 'GB per window')):
        axes[row, 0].set_ylabel(label)
        axes[row, 0].set_yscale('log', base=2)
        axes[row, 0].yaxis.set_major_formatter('{x:g}')
    axes[0, 0].legend(fontsize=8)
    figure.suptitle('Training step of the full-size classifier')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f'wrote {path}')


def main() -> None:
    """Run what the command line asks for."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['steps', 'sizes'], help='tables, or a plot over sizes')
    parser.add_argument('--only', default='', help='of the tables, those with this in their title')
    parser.add_argument('--rounds', type=int, default=5, help='steps that count (default: 5)')
    parser.add_argument(
        '--device', choices=['cpu', 'cuda'], default='cpu', help='of the tables (default: cpu)'
    )
    parser.add_argument(
        '--minutes', type=float, default=8,
        help='on a GPU, after these no measurement begins any more (default: 8)',
    )  # fmt: skip
    parser.add_argument(
        '--out', type=Path,
        help='picture of sizes (default: performance.png), or folder of the results of a GPU '
        '(default: work_dirs/gpu)',
    )  # fmt: skip
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f'--rounds {args.rounds}: expected a positive number')
    if args.what == 'sizes':
        draw_sizes(measure_sizes(args.rounds), args.out or Path('performance.png'))
        return
    on_gpu = args.device == 'cuda'
    if on_gpu and not torch.cuda.is_available():
        parser.error('--device cuda: PyTorch finds no GPU here (torch.cuda.is_available())')
    steps = benchmark_gpu.gpu_steps(LENGTHS) if on_gpu else STEPS
    chosen = {title: cases for title, cases in steps.items() if args.only in title}
    if not chosen:
        parser.error(f'--only {args.only}: no such table; there are {list(steps)}')
    if on_gpu:
        benchmark_gpu.run(chosen, args.out or Path('work_dirs/gpu'), args.minutes, args.rounds)
        return
    for title, cases in chosen.items():
        print(f'\n{title}\n')
        print_table(measure(possible(cases), args.rounds))


if __name__ == '__main__':
    main()
