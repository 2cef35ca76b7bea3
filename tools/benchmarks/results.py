"""Measure masks and segmentors on several data sets with several seeds, for docs/results.md.

Every data set and seed begins at the classifier; masks are scored on the training windows,
segmentors on their configs' test data. All classifiers come first, then all segmentors; finished
stages are kept, so that a second run goes on where the first was interrupted, and with
--iterations 0 only masks are made. Writes results.json, and its tables between the marks
'<!-- results: ... -->' of the page.

    python tools/benchmarks/results.py --jobs 2 --page docs/results.md
    python tools/benchmarks/results.py --tree semi-real=DIR --only semi-real --seeds 1
"""

import json
import os
import re
import subprocess
import sys
from argparse import ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from mmexact.apis.command_line import OneLineErrorParser, existing_file
from mmexact.apis.configs import from_here, read_config, shipped
from mmexact.apis.exact_stages import TRUE_MASKS, ExactStages, load
from mmexact.apis.stages import StageError
from mmexact.datasets.pastis.pastis import METAINFO
from mmexact.datasets.synthetic.land import VOID
from mmexact.datasets.synthetic.pastis_tree import write_pastis_tree
from mmexact.masks.folder import whole_file, write_json

TREES: dict[str, dict[str, Any]] = {
    'demo': {},
    '4 crops': dict(num_crops=4, difficulty=0.5, fallow=0.0),
    '16 crops': dict(num_crops=16, difficulty=1.2, seed=1),
    'held back, 12 crops': dict(num_crops=12, difficulty=2.0, seed=2),
    'held back, 6 crops': dict(num_crops=6, difficulty=1.0, fallow=0.5, seed=3),
}
"""Synthetic trees by name. Nothing was chosen by looking at those that were held back."""

SCORES = {'aAcc': 'OA', 'mIoU': 'mIoU'}

MASKS = {
    'plain CAM': ('raw_cams', 'pseudo/OA', 'pseudo/mIoU'),
    'Exact, score 0.33': ('pseudo_masks', 'pseudo/OA', 'pseudo/mIoU'),
    'Exact, best score in hindsight': (
        *('pseudo_masks', 'pseudo/hindsight_OA', 'pseudo/hindsight_mIoU'),
    ),
    'refined from 0.33': ('refined_masks', 'pseudo/OA', 'pseudo/mIoU'),
}
"""Stage, and names of OA and mIoU in its scores."""

KINDS = {'Exact': 'pseudo_masks', 'refined': 'refined_masks', 'true': 'true_masks'}
"""Masks that segmentors learn from, and the stage that makes them."""

Result = dict[str, Any]
"""Of one data set and seed: masks by name, segmentors by name and kind of masks, seconds."""


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
        raw = self._run('raw_cams', 'Score plain CAMs', 'test.py', cls, 'model.test_cfg.cam=raw')
        made = masks | dict(input=str(self.work_dir / 'cls/pseudo_masks'))
        refined = self._run('refined_masks', 'Refine the masks', 'refine_pseudo.py', made)
        other = self._run('baselines', 'Other masks', 'benchmarks/mask_baselines.py', cls)
        return dict(pseudo_masks=masks, raw_cams=raw, refined_masks=refined, baselines=other)

    def compare_masks(self, made: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Train on masks of each kind; returns test scores, and validation's by iteration."""
        segmentor = Path(self.paths['seg']).stem
        found = {}
        for kind, stage in KINDS.items():
            option = f'train_dataloader.dataset.pseudo_label_dir={self.work_dir / "cls" / stage}'
            option = option if stage in made else TRUE_MASKS
            made_from = dict(made.get(stage, {}), config='seg')
            name = f'{segmentor}_{stage}'
            trained = self._run(name, f'Train {segmentor}, {kind}', 'train.py', made_from, option)
            tested = self._run(f'{name}_test', f'Test {name}', 'test.py', trained)
            scores = {title: tested['scores'][key] for key, title in SCORES.items()}
            found[kind] = scores | dict(curve=validation_curve(self.work_dir / name))
        return found


def folder_name(name: str) -> str:
    """Name a folder of a data set: a comma would make a list of it among --cfg-options."""
    return re.sub(r'\W+', '_', name)


def validation_curve(folder: Path) -> dict[str, float]:
    """Read the mIoU of each validation of a training, by iteration."""
    (log,) = folder.glob('*/vis_data/scalars.json')
    entries = map(json.loads, log.read_text().splitlines())
    return {str(entry['step']): entry['mIoU'] for entry in entries if 'mIoU' in entry}


def tree_config(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe a tree in PASTIS's format: settings of its data, and of the preprocessor."""
    labels = [np.unique(np.load(path)[0]) for path in sorted(root.glob('ANNOTATIONS/TARGET_*.npy'))]
    numbers = [int(n) for n in np.unique(np.concatenate(labels)) if n != VOID]
    classes = tuple(METAINFO['classes'][number] for number in numbers)
    norm = json.loads((root / 'NORM_S2_patch.json').read_text())
    statistics = {
        key: np.mean([norm[f'Fold_{fold}'][key] for fold in (1, 2, 3)], 0).round().tolist()
        for key in ('mean', 'std')
    }
    return dict(data_root=str(root), metainfo=dict(classes=classes)), statistics


def write_config(base: Path, root: Path, folder: Path) -> str:
    """Write a config like ``base``, a demo's, of another tree; returns its path."""
    data, statistics = tree_config(root)
    cfg, number = read_config(base), len(data['metainfo']['classes'])
    model: dict[str, Any] = dict(data_preprocessor=statistics)
    if 'decode_head' in cfg.model:
        model |= dict(decode_head=dict(num_classes=number))
    else:
        number -= 1
        model |= dict(spatial_clue_head=dict(num_classes=number))
    if 'num_classes' in cfg.model.backbone:
        model |= dict(backbone=dict(num_classes=number))
    settings = {f'{loop}_dataloader': dict(dataset=data) for loop in ('train', 'val', 'test')}
    settings |= dict(model=model)
    lines = [f'_base_ = {os.path.abspath(base)!r}']
    lines += [f'{name} = {value!r}' for name, value in settings.items()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / base.name
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return str(path)


def in_process_of_its_own(log: Path, threads: int) -> Callable[[list[str]], None]:
    """Return what runs a script and appends to a log all that it prints."""

    def execute(command: list[str]) -> None:
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        with log.open('a') as file:
            subprocess.run(
                [sys.executable, *command],
                check=True, stdout=file, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip

    return execute


class Study:
    """All data sets and seeds; see the command line."""

    def __init__(self, args: Namespace) -> None:
        self.args = args
        self.roots: dict[str, Path] = dict(args.tree)
        for name, options in TREES.items():
            if not args.only or name in args.only:
                self.roots[name] = args.work_dir / 'data' / folder_name(name)
                write_pastis_tree(self.roots[name], **options)
        if args.only:
            self.roots = {name: self.roots[name] for name in args.only}

    def comparison(self, name: str, seed: int, segmentor: str) -> Comparison:
        """Open what one data set, seed and segmentor need."""
        folder = self.args.work_dir / folder_name(name) / f'seed{seed}'
        root = self.roots[name].absolute()
        paths = [
            write_config(Path(path), root, folder.parent)
            for path in (self.args.classifier, segmentor)
        ]
        options = [f'randomness.seed={seed}', *(self.args.cfg_options or ())]
        folder.mkdir(exist_ok=True)
        threads = max(1, (os.cpu_count() or 1) // self.args.jobs)
        execute = in_process_of_its_own(folder / 'log.txt', threads)
        made = Comparison(paths[0], paths[1], folder, options, execute=execute)
        made.lengthen(self.args.iterations or 1)
        return made

    def make_masks(self, name: str, seed: int) -> Result:
        """Make and score the masks of one data set and seed."""
        comparison = self.comparison(name, seed, self.args.configs[0])
        made = comparison.make_masks()
        masks = {
            title: dict(OA=made[stage]['scores'][oa], mIoU=made[stage]['scores'][miou])
            for title, (stage, oa, miou) in MASKS.items()
        }
        masks |= made['baselines']['scores']
        records = comparison.runner.records
        seconds = {stage: records[stage]['seconds'] for stage in records}
        return dict(masks=masks, seconds=seconds, made=made)

    def train(self, name: str, seed: int, segmentor: str, made: Any) -> dict[str, Any]:
        """Train one segmentor from masks of all kinds."""
        return self.comparison(name, seed, segmentor).compare_masks(made)

    def run(self) -> dict[str, list[Result]]:
        """Run everything; returns the results of all seeds by data set."""
        runs = [(name, seed) for seed, name in product(range(self.args.seeds), self.roots)]
        with ThreadPoolExecutor(self.args.jobs) as pool:
            masks = dict(zip(runs, pool.map(lambda run: self.make_masks(*run), runs), strict=True))
            trains = self.args.segmentor_seeds if self.args.iterations else 0
            longer = [(*run, path) for run in runs if run[1] < trains for path in self.args.configs]
            trained = pool.map(lambda one: self.train(*one, masks[one[:2]]['made']), longer)
            for (name, seed, path), scores in zip(longer, trained, strict=True):
                masks[name, seed].setdefault('segmentors', {})[Path(path).stem] = scores
        for result in masks.values():
            del result['made']
        return {name: [masks[name, seed] for seed in range(self.args.seeds)] for name in self.roots}


def spread(values: Sequence[float]) -> str:
    """Write the mean and, of several values, the standard deviation; '' for none."""
    if not values:
        return ''
    text = f'{mean(values):.1f}'
    return text if len(values) == 1 else f'{text} ± {stdev(values):.1f}'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [heads, ['---'] * len(heads), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def tables(results: Mapping[str, Sequence[Result]]) -> dict[str, str]:
    """Write the tables of the page by name; ratios are those of the mIoUs, in percent."""
    kinds = list(next(iter(results.values()))[0]['masks'])

    def scored(seeds: Sequence[Result], kind: str, score: str) -> str:
        return spread([seed['masks'][kind][score] for seed in seeds if kind in seed['masks']])

    written = {
        f'masks {score}': table(
            ['masks', *results],
            [[kind, *(scored(seeds, kind, score) for seeds in results.values())] for kind in kinds],
        )
        for score in SCORES.values()
    }
    stages = list(next(iter(results.values()))[0]['seconds'])
    written['seconds'] = table(
        ['data', *stages],
        [
            [name, *(f'{mean(seed["seconds"][stage] for seed in seeds):.0f}' for stage in stages)]
            for name, seeds in results.items()
        ],
    )
    rows, curves = [], []
    for name, seeds in results.items():
        for segmentor in seeds[0].get('segmentors', {}):
            runs = [seed['segmentors'][segmentor] for seed in seeds if 'segmentors' in seed]
            title = segmentor.removeprefix('seg_').removesuffix('_demo')
            mious = {kind: [run[kind]['mIoU'] for run in runs] for kind in KINDS}
            ratios = [
                [100 * weak / full for weak, full in zip(mious[kind], mious['true'], strict=True)]
                for kind in ('Exact', 'refined')
            ]
            rows.append([name, title, *(spread(mious[kind]) for kind in KINDS)])
            rows[-1] += [spread(values) for values in ratios]
            for kind in KINDS:
                steps = zip(*(run[kind]['curve'].values() for run in runs), strict=True)
                curves.append([name, title, kind, *(f'{mean(step):.1f}' for step in steps)])
    if rows:
        heads = [*(f'mIoU, {kind}' for kind in KINDS), 'ratio, Exact', 'ratio, refined']
        written['segmentors'] = table(['data', 'segmentor', *heads], rows)
        heads = ['data', 'segmentor', 'masks', *runs[0]['true']['curve']]
        written['curves'] = table(heads, curves)
    return written


def fill_page(page: Path, written: Mapping[str, str]) -> None:
    """Put tables between the marks '<!-- results: NAME -->' and '<!-- end -->' of a page."""
    text = page.read_text(encoding='utf-8')
    for name, content in written.items():
        mark = f'<!-- results: {name} -->'
        text = re.sub(f'{mark}.*?<!-- end -->', f'{mark}\n{content}<!-- end -->', text, flags=re.S)
    with whole_file(page) as unfinished:
        unfinished.write_text(text, encoding='utf-8')


def named_folder(text: str) -> tuple[str, Path]:
    """Read NAME=DIR, as a ``type`` of argparse."""
    name, _, folder = text.partition('=')
    if not Path(folder, 'metadata.geojson').is_file():
        raise ArgumentTypeError(f'{text}: expected NAME=DIR, a tree in the format of PASTIS')
    return name, Path(folder)


def main() -> None:
    """Measure as the command line says."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    shipped_config = shipped('configs/exact')
    default = [from_here(shipped_config / f'seg_{name}_demo.py') for name in ('tsvit', 'utae')]
    add = parser.add_argument
    add('configs', nargs='*', type=existing_file, default=default, help=f'default: {default}')
    add(
        '--classifier', type=existing_file, default=from_here(shipped_config / 'cls_demo.py'),
        help='its config (default: %(default)s)',
    )  # fmt: skip
    add('--work-dir', type=Path, default=Path('work_dirs/results'), metavar='DIR')
    add('--seeds', type=int, default=3, help='number of seeds (default: %(default)s)')
    add(
        '--segmentor-seeds', type=int, default=3, metavar='N',
        help='seeds that segmentors are trained with (default: %(default)s)',
    )  # fmt: skip
    add(
        '--tree', type=named_folder, action='append', default=[], metavar='NAME=DIR',
        help='another tree in the format of PASTIS',
    )  # fmt: skip
    add('--only', nargs='+', metavar='NAME', help=f'of the trees: {list(TREES)} or those of --tree')
    add(
        '--iterations', type=int, default=1000, metavar='N',
        help="length of the segmentors' training (default: %(default)s); 0 makes masks only",
    )  # fmt: skip
    add('--jobs', type=int, default=1, help='trainings side by side, which share the cores')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='settings of all configs')
    add('--page', type=Path, help='Markdown page to fill in')
    args = parser.parse_args()
    names = {*TREES, *(name for name, _ in args.tree)}
    if unknown := {*(args.only or ())} - names:
        parser.error(f'argument --only: {sorted(unknown)}, but there are {sorted(names)}')
    try:
        results = Study(args).run()
    except StageError as error:
        parser.error(str(error))
    write_json(args.work_dir / 'results.json', results)
    written = tables(results)
    if args.page:
        fill_page(args.page, written)
    print('\n'.join(written.values()))


if __name__ == '__main__':
    main()
