"""Train segmentors with several seeds, from Exact's masks, refined and true ones, and compare them.

Every seed begins at the classifier; masks are scored on the training windows, segmentors on their
configs' test data. Finished trainings are kept: a second run goes on where the first was
interrupted. Writes results.json and results.md into the work folder.

    python tools/dataset_converters/make_synthetic_pastis.py --out data/synthetic_pastis
    python tools/benchmarks/segmentor_results.py --jobs 2
    python tools/benchmarks/segmentor_results.py configs/exact/seg_utae_demo.py --iterations 1000
"""

import os
import subprocess
import sys
from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmexact.apis.command_line import OneLineErrorParser, existing_file
from mmexact.apis.configs import shipped
from mmexact.apis.exact_stages import TRUE_MASKS, ExactStages, load
from mmexact.apis.stages import StageError
from mmexact.masks.folder import whole_file, write_json

SCORES = {'aAcc': 'OA', 'mIoU': 'mIoU'}

MASKS = {
    "Exact's masks": ('pseudo_masks', 'pseudo/OA', 'pseudo/mIoU'),
    "Exact's masks, best score in hindsight": (
        *('pseudo_masks', 'pseudo/hindsight_OA', 'pseudo/hindsight_mIoU'),
    ),
    'refined masks': ('refined_masks', 'pseudo/OA', 'pseudo/mIoU'),
}
"""Stage, and names of OA and mIoU in its scores."""

KINDS = ("Exact's masks", 'refined masks', 'true masks')

Results = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
"""Scores of each seed by kind of mask, by segmentor; of the masks themselves under 'masks'."""


class Comparison(ExactStages):
    """One segmentor of one seed; the classifier and its masks are shared with the others."""

    def lengthen(self, iterations: int) -> None:
        """Train the segmentor for so many iterations, and validate it five times meanwhile."""
        self.options['seg'] += [
            f'train_cfg.max_iters={iterations}',
            f'train_cfg.val_interval={max(1, iterations // 5)}',
            f'param_scheduler.1.end={iterations}',
        ]
        self.configs['seg'] = load(self.paths['seg'], self.options['seg'])

    def make_masks(self) -> dict[str, dict[str, Any]]:
        """Train the classifier and make masks; returns the results of these stages by name."""
        cls = self._run('cls', 'Train the classifier', 'train.py', dict(config='cls'))
        masks = self._run('pseudo_masks', 'Make pseudo masks', 'gen_pseudo.py', cls)
        made = masks | dict(input=str(self.work_dir / 'cls/pseudo_masks'))
        refined = self._run('refined_masks', 'Refine the masks', 'refine_pseudo.py', made)
        return dict(pseudo_masks=masks, refined_masks=refined)

    def compare_masks(self, made: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
        """Train on masks of each kind; returns the scores on the test data."""
        segmentor = Path(self.paths['seg']).stem
        scores = {}
        for kind in KINDS:
            stage = MASKS[kind][0] if kind in MASKS else 'true_masks'
            option = f'train_dataloader.dataset.pseudo_label_dir={self.work_dir / "cls" / stage}'
            option = option if kind in MASKS else TRUE_MASKS
            made_from = dict(made.get(stage, {}), config='seg')
            name = f'seg_{segmentor.removeprefix("seg_")}_{stage}'
            trained = self._run(name, f'Train {segmentor} on {kind}', 'train.py', made_from, option)
            tested = self._run(f'{name}_test', f'Test {name}', 'test.py', trained)
            scores[kind] = {title: tested['scores'][key] for key, title in SCORES.items()}
        return scores


def train_seed(seed: int, args: Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """Train all segmentors with one seed; returns their scores."""
    folder = args.work_dir / f'seed{seed}'
    options = [f'randomness.seed={seed}', *(args.cfg_options or ())]
    threads = str(max(1, (os.cpu_count() or 1) // args.jobs))

    def execute(command: list[str]) -> None:
        with (folder / 'log.txt').open('a') as log:
            subprocess.run(
                [sys.executable, *command],
                check=True,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads),
            )

    results = {}
    for segmentor in args.configs:
        comparison = Comparison(args.classifier, segmentor, folder, options, execute=execute)
        if args.iterations:
            comparison.lengthen(args.iterations)
        made = comparison.make_masks()
        results['masks'] = {
            title: dict(OA=made[stage]['scores'][oa], mIoU=made[stage]['scores'][miou])
            for title, (stage, oa, miou) in MASKS.items()
        }
        results[Path(segmentor).stem] = comparison.compare_masks(made)
    return results


def spread(values: Sequence[float]) -> str:
    """Write the mean and, of several values, the standard deviation."""
    text = f'{mean(values):.1f}'
    return text if len(values) == 1 else f'{text} ± {stdev(values):.1f}'


def tables(results: Results) -> str:
    """Write Markdown tables of masks and segmentors; ratios are those of the mIoUs, in percent."""
    lines = ['| masks of the training windows | OA | mIoU |', '|---|---|---|']
    for kind, seeds in results['masks'].items():
        cells = [spread([scores[title] for scores in seeds]) for title in SCORES.values()]
        lines.append(f'| {" | ".join([kind, *cells])} |')
    heads = [f'mIoU, {kind}' for kind in KINDS] + [f'ratio, {kind}' for kind in KINDS[:-1]]
    lines += ['', f'| segmentor | {" | ".join(heads)} |', '|---' * (len(heads) + 1) + '|']
    for segmentor, kinds in results.items():
        if segmentor != 'masks':
            mious = {kind: [seed['mIoU'] for seed in seeds] for kind, seeds in kinds.items()}
            cells = [spread(mious[kind]) for kind in KINDS]
            for kind in KINDS[:-1]:
                pairs = zip(mious[kind], mious[KINDS[-1]], strict=True)
                cells.append(spread([100 * weak / full for weak, full in pairs]))
            lines.append(f'| {" | ".join([segmentor, *cells])} |')
    return '\n'.join(lines) + '\n'


def by_segmentor(seeds: Iterable[Mapping[str, Mapping[str, Mapping[str, float]]]]) -> Results:
    """Turn scores by segmentor of each seed into scores of all seeds by segmentor."""
    found = list(seeds)
    return {
        segmentor: {kind: [seed[segmentor][kind] for seed in found] for kind in kinds}
        for segmentor, kinds in found[0].items()
    }


def main() -> None:
    """Train as the command line says."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    demo = sorted(map(str, shipped('configs/exact').glob('seg_*_demo.py')))
    parser.add_argument(
        'configs', nargs='*', type=existing_file, default=demo,
        help='configs of segmentors (default: all seg_*_demo.py)',
    )  # fmt: skip
    parser.add_argument(
        '--classifier', type=existing_file, default=str(shipped('configs/exact/cls_demo.py')),
        help='config of the classifier (default: cls_demo.py)',
    )  # fmt: skip
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/results'), metavar='DIR')
    parser.add_argument('--seeds', type=int, default=3, help='number of seeds (default: 3)')
    parser.add_argument(
        '--iterations', type=int, metavar='N',
        help="length of the segmentors' training (default: their configs')",
    )  # fmt: skip
    parser.add_argument(
        '--jobs', type=int, default=1, help='seeds side by side, which share the cores'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='settings of all configs'
    )
    args = parser.parse_args()
    try:
        with ThreadPoolExecutor(args.jobs) as pool:
            results = by_segmentor(pool.map(lambda n: train_seed(n, args), range(args.seeds)))
    except StageError as error:
        parser.error(str(error))
    write_json(args.work_dir / 'results.json', results)
    with whole_file(args.work_dir / 'results.md') as unfinished:
        unfinished.write_text(tables(results), encoding='utf-8')
    print(tables(results))


if __name__ == '__main__':
    main()
