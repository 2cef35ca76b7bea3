"""Time mmexact on this machine's CPU against the same method written plainly.

The plain code (plain_exact.py) keeps the attention matrices of all layers, loops over classes,
pads every series to its full length and computes in float32. Each variant is a process of its own;
their steps take turns, so that all of them see the same machine, and each one's peak memory is its
own. Prints seconds (the median, and the quickest), the ratio to the plain code, and peak memory
above the interpreter's with all libraries loaded. On processors without instructions for bfloat16
only float32 is timed.

    python tools/benchmarks/benchmark.py steps            # tables of docs/performance.md
    python tools/benchmarks/benchmark.py sizes --out docs/images/performance.png
"""

import json
import statistics
import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from benchmark_cases import Case

from mmexact.engine.optim_wrapper import computes_bfloat16

matplotlib.use('Agg')
from matplotlib import pyplot as plt

CASES_SCRIPT = Path(__file__).with_name('benchmark_cases.py')

# As in PASTIS: 33 to 61 dates, of which the recipe keeps 60. One pool, 8 batches, of the batch
# sampler.
LENGTHS = tuple(int(n) for n in np.random.default_rng(0).integers(33, 61, 32).tolist())
GROUPED = tuple(sorted(LENGTHS))

PLAIN = Case(code='plain')
OURS = Case(code='ours')
STEPS: dict[str, tuple[Case, ...]] = {
    'classifier, training step before the prototypes start, 2 windows': tuple(
        replace(case, prototypes=False)
        for case in (PLAIN, OURS, replace(OURS, precision='bfloat16'))
    ),
    'classifier, training step with prototypes, 2 windows': (
        PLAIN,
        OURS,
        replace(OURS, checkpointing=True),
        replace(OURS, precision='bfloat16'),
        replace(OURS, precision='bfloat16', checkpointing=True),
    ),
    'classifier, clue-based CAMs, 4 windows': tuple(
        replace(case, task='cam', batch=4)
        for case in (PLAIN, OURS, replace(OURS, precision='bfloat16'))
    ),
    'medium classifier (D 64, depth 4 + 2, 9 crops, 24 dates), training step, 8 windows': tuple(
        replace(case, size='medium', dates=24, classes=9, batch=8)
        for case in (PLAIN, OURS, replace(OURS, precision='bfloat16'))
    ),
    'medium classifier, clue-based CAMs, 8 windows': tuple(
        replace(case, size='medium', dates=24, classes=9, batch=8, task='cam')
        for case in (PLAIN, OURS, replace(OURS, precision='bfloat16'))
    ),
    'TSViT segmentor, training step, 2 windows': tuple(
        replace(case, task='segmentor')
        for case in (PLAIN, OURS, replace(OURS, precision='bfloat16'))
    ),
    'classifier, training step, series of 33 to 60 dates, 4 windows': (
        replace(PLAIN, lengths=LENGTHS, batch=4),
        *(
            replace(OURS, lengths=lengths, masked=masked, precision=precision, batch=4)
            for precision in ('float32', 'bfloat16')
            for lengths, masked in ((LENGTHS, False), (GROUPED, True))
        ),
    ),
    'sweep of 60 background scores, 500 windows on disk': (
        replace(PLAIN, task='sweep', batch=500),
        replace(OURS, task='sweep', batch=500),
    ),
}
CURVES: dict[str, tuple[tuple[int, ...], str]] = {
    'dates': ((15, 30, 60), 'dates T'),
    'classes': ((4, 9, 18), 'crops K'),
    'window': ((12, 24, 36), 'window, pixels'),
}


@dataclass
class Measured:
    """What one variant took."""

    case: Case
    seconds: list[float]
    interpreter_gb: float
    peak_gb: float

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)

    @property
    def memory(self) -> float:
        """Peak memory above the interpreter's, in GB."""
        return self.peak_gb - self.interpreter_gb

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
    workers = [
        subprocess.Popen(
            [sys.executable, str(CASES_SCRIPT), json.dumps(asdict(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for case in cases
    ]
    # A round of a case with several batches is all of them.
    steps = [max(1, len(case.lengths) // case.batch) for case in cases]
    seconds: list[list[float]] = [[] for _ in cases]
    for number in range(rounds + 2):
        for worker, count, taken in zip(workers, steps, seconds, strict=True):
            total = sum(_step(worker) for _ in range(count))
            if number >= 2:
                taken.append(total / count)
    results = []
    for case, worker, taken in zip(cases, workers, seconds, strict=True):
        output, _ = worker.communicate()
        results.append(Measured(case, taken, **json.loads(output)))
    return results


def _step(worker: subprocess.Popen) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write('\n')
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise SystemExit(f'{CASES_SCRIPT.name} {worker.args} failed, see above')
    return float(answer)


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
    variants = possible((PLAIN, OURS, replace(OURS, precision='bfloat16')))
    points: dict[str, list[list[Measured]]] = {}
    for field, (values, label) in CURVES.items():
        points[field] = []
        for value in values:
            runs = measure(tuple(replace(case, **{field: value}) for case in variants), rounds)
            points[field].append(runs)
            for run in runs:
                time, size = run.median / run.case.batch, run.memory / run.case.batch
                print(f'{label} {value}: {run.name}: {time:.3f} s, {size:.2f} GB', flush=True)
    return points


def draw_sizes(points: dict[str, list[list[Measured]]], path: Path) -> None:
    """Plot time and memory per window against dates, crops and window size."""
    figure, axes = plt.subplots(2, len(CURVES), figsize=(11, 6), layout='constrained', sharey='row')
    for column, (field, (values, label)) in enumerate(CURVES.items()):
        for style, runs in zip(('o-', 's-', '^-'), zip(*points[field], strict=True), strict=True):
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
    figure.savefig(path, dpi=110)
    print(f'wrote {path}')


def main() -> None:
    """Run what the command line asks for."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=['steps', 'sizes'], help='tables, or a plot over sizes')
    parser.add_argument('--only', default='', help='of the tables, those with this in their title')
    parser.add_argument('--rounds', type=int, default=5, help='steps that count (default: 5)')
    parser.add_argument(
        '--out', type=Path, default=Path('performance.png'), help='picture of sizes'
    )
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f'--rounds {args.rounds}: expected a positive number')
    if args.what == 'sizes':
        draw_sizes(measure_sizes(args.rounds), args.out)
        return
    chosen = {title: cases for title, cases in STEPS.items() if args.only in title}
    if not chosen:
        parser.error(f'--only {args.only}: no such table; there are {list(STEPS)}')
    for title, cases in chosen.items():
        print(f'\n{title}\n')
        print_table(measure(possible(cases), args.rounds))


if __name__ == '__main__':
    main()
