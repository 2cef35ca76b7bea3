"""Train every shipped segmentor on the synthetic tree, and write docs/results.md.

Each learns from pseudo masks and from true masks, with several seeds that begin at the classifier,
and is scored on the held-out fold. One of them also learns with each of the remedies against noisy
masks. Finished trainings are kept: a second run goes on where the first was interrupted.

    python tools/benchmarks/segmentor_results.py --jobs 2
"""

import json
import os
import shlex
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from results_page import write_page
from segmentor_cost import measure_cost
from training_grid import IGNORE_BAND, ROOT, TrainingGrid, grid_parser, parse_grid

from mmexact.masks.folder import write_json

SEGMENTORS = (
    'tsvit', 'utae', 'uconvlstm', 'unet3d', 'upernet_convnext', 'segformer', 'deeplabv3plus', 'fcn',
)  # fmt: skip
ABLATED = 'utae'
HELD_OUT_FOLDS = '[5]'

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


class Grid(TrainingGrid):
    """All trainings, in a folder."""

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
        return self.classifier_masks(run.seed, kind)

    def segment(self, run: Run) -> dict:
        """Train a segmentor; returns its scores on the held-out folds."""
        options: dict[str, Any] = {
            'randomness.seed': run.seed,
            'val_dataloader.dataset.folds': HELD_OUT_FOLDS,
            'train_dataloader.dataset.pseudo_label_dir': self.masks(run),
            **dict(RECIPES[run.recipe].options),
        }
        return self.train(run.config, self.place(run), options, str(run))

    def teach(self, run: Run) -> dict:
        """Make the masks of a second round with a trained segmentor; returns their worth."""
        folder = self.place(run)
        return self.make_masks(run.config, folder, folder / 'pseudo_masks', [])


def by_recipe(results: dict[Run, dict], model: str) -> dict[str, list[dict]]:
    """Sort the results of a segmentor by recipe, and each recipe's by seed."""
    sorted_runs = sorted((run for run in results if run.model == model), key=lambda run: run.seed)
    collected: dict[str, list[dict]] = {name: [] for name in RECIPES}
    for run in sorted_runs:
        collected[run.recipe].append(results[run])
    return {name: runs for name, runs in collected.items() if runs}


def setting(args: Namespace) -> dict[str, Any]:
    """Say what the page's figures were measured on."""
    tree = json.loads(args.data.read_text())['inputs']
    cfg = Config.fromfile(Run(args.segmentors[0], 'full', 0).config)
    return dict(
        patches=f'{tree["num_patches"]} patches written by `make_synthetic_pastis.py`, difficulty '
        f'{tree["difficulty"]}',
        command=f'```bash\npython {shlex.join(sys.argv)}\n```',
        seeds=args.seeds,
        iterations=args.iterations or cfg.train_cfg.max_iters,
    )


def parse_arguments() -> Namespace:
    """Read the command line."""
    parser = grid_parser(__doc__, 'work_dirs/results')
    parser.add_argument('--page', type=Path, default=ROOT / 'docs/results.md', metavar='FILE')
    parser.add_argument(
        '--recipe-seeds', type=int, metavar='N',
        help=f'number of seeds of the remedies on {ABLATED} (default: that of --seeds)',
    )  # fmt: skip
    parser.add_argument(
        '--segmentors', nargs='+', choices=SEGMENTORS, default=SEGMENTORS, metavar='NAME',
        help=f'which ones to train, of {", ".join(SEGMENTORS)} (default: all)',
    )  # fmt: skip
    parser.add_argument(
        '--recipes', nargs='*', choices=RECIPES, default=tuple(RECIPES), metavar='NAME',
        help=f'remedies to try on {ABLATED}, of {", ".join(RECIPES)} (default: all)',
    )  # fmt: skip
    return parse_grid(parser)


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
    grid = Grid(args.work_dir, args.jobs, args.data_root, args.iterations)
    grid.each(grid.classify, range(args.seeds))
    worth = grid.each(grid.label, range(args.seeds))
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
