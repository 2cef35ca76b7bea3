"""Train the demo's classifier in float32 and in bfloat16, with several seeds, and compare.

Prints how well each knows the crops of the validation fold (mAP), and what its masks of that fold
and of the training windows are worth (mIoU against pixel labels). Masks are computed in float32. A
CPU without instructions for bfloat16 emulates them, see emulated_bfloat16.py. Finished trainings
are kept: a second run goes on where the first was interrupted.

    python tools/analysis_tools/precision_results.py --jobs 2
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

if importlib.util.find_spec('mmexact') is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.device import get_device
from results_page import spread
from training_grid import TrainingGrid, grid_parser, parse_grid

from mmexact.engine import computes_bfloat16

TRAIN = 'tools/train.py'
EMULATED = 'tools/analysis_tools/emulated_bfloat16.py'
MEASURES = ('mAP', 'mIoU, validation fold', 'mIoU, training windows')


class ClassifierGrid(TrainingGrid):
    """Classifiers in one precision."""

    def work(self, seed: int) -> dict[str, float]:
        """Train a classifier and make its masks; returns :data:`MEASURES`, in percent."""
        scores = self.classify(seed)
        masks = self.label(seed, ['classifier'])['classifier']
        values = scores['multi-label/mAP'], scores['pseudo/mIoU'], masks['pseudo/mIoU']
        return dict(zip(MEASURES, values, strict=True))


def table(results: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Write what two precisions reached, in Markdown, and whether the second's mean lies between
    the first's extremes.

    Args:
        results: By precision, the measures of every seed.
    """
    lines = ['| | ' + ' | '.join(results) + ' | difference of the means |', '|---|---|---|---|']
    for name in MEASURES:
        first, second = ([run[name] for run in runs] for runs in results.values())
        cells = [
            f'{spread(values)} ({", ".join(f"{value:.1f}" for value in values)})'
            for values in (first, second)
        ]
        within = 'within' if min(first) <= mean(second) <= max(first) else 'outside'
        difference = f'{mean(second) - mean(first):+.1f}, {within} the spread'
        lines.append(f'| {name} | {" | ".join(cells)} | {difference} |')
    return '\n'.join(lines)


def main() -> None:
    """Train as the command line says, and print the table."""
    args = parse_grid(grid_parser(__doc__, 'work_dirs/precisions'))
    native = computes_bfloat16(get_device())
    trainers = dict(
        float32=(TRAIN,), bfloat16=(TRAIN, '--amp') if native else (EMULATED, TRAIN, '--amp')
    )
    results = {}
    for name, trainer in trainers.items():
        print(f'{name}: {" ".join(trainer)}', flush=True)
        grid = ClassifierGrid(
            args.work_dir / name, args.jobs, args.data_root, args.iterations, trainer
        )
        by_seed = grid.each(grid.work, range(args.seeds))
        results[name] = [by_seed[seed] for seed in range(args.seeds)]
    print(f'\n{table(results)}')


if __name__ == '__main__':
    main()
