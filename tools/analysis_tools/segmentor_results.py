"""Train every shipped segmentor on the synthetic tree, and write docs/results.md.

Each learns from pseudo masks and from true masks, with several seeds that begin at the classifier,
and is scored on the held-out fold. One of them also learns with each of the remedies against noisy
masks. Finished trainings are kept: a second run goes on where the first was interrupted.

    python tools/analysis_tools/segmentor_results.py --jobs 2
"""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if importlib.util.find_spec('mmexact') is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from mmengine.config import Config
from results_page import write_page
from segmentor_cost import measure_cost

from mmexact.hooks import config_digest
from mmexact.report_pictures import logged
from mmexact.steps import duration, write_json

ROOT = Path(__file__).resolve().parents[2]
CLASSIFIER = 'cls_demo'
SEGMENTORS = (
    'tsvit', 'utae', 'uconvlstm', 'unet3d', 'upernet_convnext', 'segformer', 'deeplabv3plus', 'fcn',
)  # fmt: skip
ABLATED = 'utae'
HELD_OUT_FOLDS = '[5]'
IGNORE_BAND = (0.2, 0.5)

WEIGHTS = {
    'model.type': 'WeightedEncoderDecoder',
    'train_dataloader.dataset.pixel_weights': True,
}
EMA = {
    'default_hooks.ema.type': 'EMAHook',
    'default_hooks.ema.momentum': 0.05,
    'default_hooks.ema.update_buffers': True,
}


@dataclass(frozen=True)
class Recipe:
    """How a segmentor learns.

    Attributes:
        title: What it is called on the page.
        masks: Which masks it learns from: of the 'classifier', its 'banded' ones (with an ignore
            band), 'true' ones, or those of the segmentor that learned by the recipe 'pseudo'.
        options: Settings that replace those of the config.
    """

    title: str
    masks: str = 'classifier'
    options: tuple[tuple[str, Any], ...] = ()


RECIPES = {
    'pseudo': Recipe('pseudo masks as they are'),
    'full': Recipe('true masks', masks='true'),
    'band': Recipe(f'ignore band {IGNORE_BAND}', masks='banded'),
    'weights': Recipe('confidence weights', options=tuple(WEIGHTS.items())),
    'ema': Recipe('EMA', options=tuple(EMA.items())),
    'round2': Recipe('second round', masks='pseudo'),
    'band_weights': Recipe(
        'ignore band, confidence weights', masks='banded', options=tuple(WEIGHTS.items())
    ),
}
COMPARED = ('pseudo', 'full')


@dataclass(frozen=True)
class Run:
    """One training: a segmentor, a recipe and a seed."""

    model: str
    recipe: str
    seed: int

    @property
    def config(self) -> Path:
        """The shipped config."""
        return ROOT / f'configs/exact/seg_{self.model}_demo.py'

    @property
    def teacher(self) -> 'Run | None':
        """The training whose segmentor makes the masks of this one."""
        second = RECIPES[self.recipe].masks == 'pseudo'
        return Run(self.model, 'pseudo', self.seed) if second else None

    def __str__(self) -> str:
        return f'{self.model}, {RECIPES[self.recipe].title}, seed {self.seed}'


class Grid:
    """All trainings, in a folder.

    Args:
        folder: Folder of all results.
        jobs: How many trainings run side by side; each has its share of the cores.
        data_root: The synthetic tree, where it is not that of the configs.
        iterations: Length of all trainings, where it is not that of the configs.
    """

    def __init__(
        self, folder: Path, jobs: int, data_root: Path | None, iterations: int | None
    ) -> None:
        self.folder, self.jobs = folder, jobs
        self.data: dict[str, Any] = {}
        if data_root:
            loaders = ('train', 'val', 'test')
            self.data = {f'{loop}_dataloader.dataset.data_root': data_root for loop in loaders}
        self.length: dict[str, Any] = {}
        if iterations:
            self.length = {f'train_cfg.{key}': iterations for key in ('max_iters', 'val_interval')}
        self.start = time.monotonic()

    def place(self, run: Run) -> Path:
        """Folder of a training."""
        return self.folder / run.model / run.recipe / f'seed{run.seed}'

    def masks(self, run: Run) -> Path | None:
        """Folder of the masks that a training learns from; None for true ones."""
        kind = RECIPES[run.recipe].masks
        if kind == 'true':
            return None
        if run.teacher is not None:
            return self.place(run.teacher) / 'pseudo_masks'
        return self.folder / CLASSIFIER / f'seed{run.seed}' / f'masks_{kind}'

    def classify(self, seed: int) -> dict:
        """Train a classifier and make its masks; returns what they are worth."""
        folder = self.folder / CLASSIFIER / f'seed{seed}'
        config = ROOT / f'configs/exact/{CLASSIFIER}.py'
        self._train(config, folder, {'randomness.seed': seed}, f'classifier, seed {seed}')
        return {
            kind: self._label(config, folder, folder / f'masks_{kind}', band)
            for kind, band in (('classifier', []), ('banded', ['--ignore-band', *IGNORE_BAND]))
        }

    def segment(self, run: Run) -> dict:
        """Train a segmentor; returns its scores on the held-out folds."""
        options: dict[str, Any] = {
            'randomness.seed': run.seed,
            'val_dataloader.dataset.folds': HELD_OUT_FOLDS,
            'train_dataloader.dataset.pseudo_label_dir': self.masks(run),
            **dict(RECIPES[run.recipe].options),
        }
        return self._train(run.config, self.place(run), options, str(run))

    def teach(self, run: Run) -> dict:
        """Make the masks of a second round with a trained segmentor; returns their worth."""
        folder = self.place(run)
        return self._label(run.config, folder, folder / 'pseudo_masks', [])

    def _train(self, config: Path, folder: Path, options: dict, title: str) -> dict:
        options = options | self.data | self.length
        masks = Path(str(options.get('train_dataloader.dataset.pseudo_label_dir')))
        manifest = masks / 'manifest.json'
        inputs = config_digest(
            Config.fromfile(config).to_dict(),
            {key: str(value) for key, value in options.items()},
            manifest.read_text() if manifest.is_file() else None,
        )
        result = folder / 'result.json'
        if result.is_file() and (found := json.loads(result.read_text()))['inputs'] == inputs:
            return found['scores']
        start = time.monotonic()
        command = ['tools/train.py', config, '--work-dir', folder]
        self._call([*command, *_options(options)], folder / 'train.log', title)
        scores = [entry for entry in logged(folder) if 'loss' not in entry][-1]
        seconds = round(time.monotonic() - start, 1)
        write_json(result, dict(title=title, inputs=inputs, seconds=seconds, scores=scores))
        return scores

    def _label(self, config: Path, folder: Path, out: Path, arguments: list) -> dict:
        """Make masks with the model that was trained in a folder; returns their worth."""
        checkpoint = folder / Path((folder / 'last_checkpoint').read_text().strip()).name
        manifest = out / 'manifest.json'
        if manifest.is_file() and manifest.stat().st_mtime > checkpoint.stat().st_mtime:
            found = json.loads(manifest.read_text())
            if found['complete']:
                return found['scores']
        work_dir = folder / f'make_{out.name}'
        command = ['tools/gen_pseudo.py', config, checkpoint, '--out', out, '--overwrite']
        command += ['--work-dir', work_dir, *arguments, *_options(self.data)]
        self._call(command, work_dir / 'gen_pseudo.log', f'masks {out}')
        return json.loads(manifest.read_text())['scores']

    def _call(self, command: list, log: Path, title: str) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        with log.open('w') as file:
            done = subprocess.run(
                [sys.executable, *map(str, command)],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads),
            )
        if done.returncode:
            raise RuntimeError(f'{title}: failed with status {done.returncode}; {log} says why')

    def each(self, work: Any, items: Iterable[Any]) -> dict[Any, dict]:
        """Do the same work on several items, some side by side, and say how far it is."""
        items = list(items)
        results = {}
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = {pool.submit(work, item): item for item in items}
            try:
                for future in as_completed(futures):
                    item = futures[future]
                    results[item] = future.result()
                    elapsed = duration(time.monotonic() - self.start)
                    print(f'[{len(results)}/{len(items)}, {elapsed}] {item}', flush=True)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return results


def _options(options: dict[str, Any]) -> list[str]:
    """Write settings for the command line."""
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())] * bool(options)


def by_recipe(results: dict[Run, dict], model: str) -> dict[str, list[dict]]:
    """Sort the results of a segmentor by recipe, and each recipe's by seed."""
    sorted_runs = sorted((run for run in results if run.model == model), key=lambda run: run.seed)
    collected: dict[str, list[dict]] = {name: [] for name in RECIPES}
    for run in sorted_runs:
        collected[run.recipe].append(results[run])
    return {name: runs for name, runs in collected.items() if runs}


def setting(args: Namespace) -> dict[str, Any]:
    """Say what the page's figures were measured on."""
    tree = json.loads(args.data.read_text())
    cfg = Config.fromfile(Run(args.segmentors[0], 'full', 0).config)
    return dict(
        patches=f'{tree["num_patches"]} patches written by `make_synthetic_pastis.py`, difficulty '
        f'{tree["difficulty"]}',
        command=f'```bash\npython {shlex.join(sys.argv)}\n```',
        seeds=args.seeds,
        iterations=args.iterations or cfg.train_cfg.max_iters,
    )


def parse_arguments() -> Namespace:
    """Read the command line; ``data`` becomes the description of the synthetic tree."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=ROOT / 'work_dirs/results', metavar='DIR')
    parser.add_argument('--page', type=Path, default=ROOT / 'docs/results.md', metavar='FILE')
    parser.add_argument('--seeds', type=int, default=3, help='number of seeds (default: 3)')
    parser.add_argument(
        '--recipe-seeds', type=int, metavar='N',
        help=f'number of seeds of the remedies on {ABLATED} (default: that of --seeds)',
    )  # fmt: skip
    parser.add_argument(
        '--jobs', type=int, default=1, help='trainings side by side, which share the cores'
    )
    parser.add_argument(
        '--data-root', type=Path, metavar='DIR',
        help='the synthetic tree (default: data/synthetic_pastis)',
    )  # fmt: skip
    parser.add_argument(
        '--iterations', type=int, metavar='N',
        help='length of all trainings, for a trial whose figures mean nothing',
    )  # fmt: skip
    parser.add_argument(
        '--segmentors', nargs='+', choices=SEGMENTORS, default=SEGMENTORS, metavar='NAME',
        help=f'which ones to train, of {", ".join(SEGMENTORS)} (default: all)',
    )  # fmt: skip
    parser.add_argument(
        '--recipes', nargs='*', choices=RECIPES, default=tuple(RECIPES), metavar='NAME',
        help=f'remedies to try on {ABLATED}, of {", ".join(RECIPES)} (default: all)',
    )  # fmt: skip
    args = parser.parse_args()
    data_root = (args.data_root or ROOT / 'data/synthetic_pastis').resolve()
    args.data_root = args.data_root and data_root
    args.data = data_root / 'synthetic.json'
    if not args.data.is_file():
        parser.error(
            f'{args.data} is missing: run python tools/dataset_converters/make_synthetic_pastis.py '
            f'--out {data_root}'
        )
    return args


def plan(args: Namespace) -> list[Run]:
    """List all trainings of segmentors, one seed after the other."""
    recipe_seeds = args.seeds if args.recipe_seeds is None else args.recipe_seeds
    return [
        Run(model, recipe, seed)
        for seed in range(args.seeds)
        for model in sorted(args.segmentors, key=lambda name: name != ABLATED)
        for recipe in RECIPES
        if recipe in COMPARED
        or (model == ABLATED and recipe in args.recipes and seed < recipe_seeds)
    ]


def main() -> None:
    """Run the grid as the command line says, and write the page."""
    args = parse_arguments()
    grid = Grid(args.work_dir.resolve(), args.jobs, args.data_root, args.iterations)
    worth = grid.each(grid.classify, range(args.seeds))
    runs = plan(args)
    scores = grid.each(grid.segment, [run for run in runs if run.teacher is None])
    second = [run for run in runs if run.teacher]
    relabelled = grid.each(grid.teach, [run.teacher for run in second])
    scores |= grid.each(grid.segment, second)
    torch.set_num_threads(os.cpu_count() or 1)
    results = dict(
        setting=setting(args),
        titles={name: recipe.title for name, recipe in RECIPES.items()},
        classifier=worth,
        segmentors={model: by_recipe(scores, model) for model in args.segmentors},
        relabelled={
            RECIPES[recipe].title: runs for recipe, runs in by_recipe(relabelled, ABLATED).items()
        },
        costs={model: measure_cost(Run(model, 'full', 0).config) for model in args.segmentors},
    )
    write_json(args.work_dir / 'results.json', results)
    write_page(args.page, results)


if __name__ == '__main__':
    main()
