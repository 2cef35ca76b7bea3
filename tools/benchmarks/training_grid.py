"""Trainings of many configs and seeds, some side by side, each done once."""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmexact.apis.report import logged
from mmexact.masks import config_digest
from mmexact.masks.folder import write_json

ROOT = Path(__file__).resolve().parents[2]
CLASSIFIER = 'cls_demo'
CLASSIFIER_CONFIG = ROOT / f'configs/exact/{CLASSIFIER}.py'
IGNORE_BAND = (0.2, 0.5)
MASK_KINDS: dict[str, list] = dict(classifier=[], banded=['--ignore-band', *IGNORE_BAND])
"""Arguments of gen_pseudo.py for each kind of masks."""


class TrainingGrid:
    """Trains, and makes masks, in a folder; what is there from the same inputs is kept.

    Args:
        folder: Folder of all results.
        jobs: How many trainings run side by side; each has its share of the cores.
        data_root: The synthetic tree, where it is not that of the configs.
        iterations: Length of all trainings, where it is not that of the configs.
        trainer: The tool that trains and its arguments; what follows are the config and more.
    """

    def __init__(
        self,
        folder: Path,
        jobs: int,
        data_root: Path | None,
        iterations: int | None,
        trainer: Sequence[str] = ('tools/train.py',),
    ) -> None:
        self.folder, self.jobs, self.trainer = folder, jobs, trainer
        self.data: dict[str, Any] = {}
        if data_root:
            loaders = ('train', 'val', 'test')
            self.data = {f'{loop}_dataloader.dataset.data_root': data_root for loop in loaders}
        self.length: dict[str, Any] = {}
        if iterations:
            self.length = {f'train_cfg.{key}': iterations for key in ('max_iters', 'val_interval')}
        self.start = time.monotonic()

    def classify(self, seed: int) -> dict:
        """Train a classifier; returns its scores on the validation fold."""
        options = {'randomness.seed': seed}
        folder = self._classifier(seed)
        return self.train(CLASSIFIER_CONFIG, folder, options, f'classifier, seed {seed}')

    def label(self, seed: int, kinds: Collection[str] = tuple(MASK_KINDS)) -> dict:
        """Make masks of a trained classifier; returns what they are worth, by kind."""
        worth = {}
        for kind in kinds:
            masks = self.classifier_masks(seed, kind)
            arguments = MASK_KINDS[kind]
            worth[kind] = self.make_masks(
                CLASSIFIER_CONFIG, self._classifier(seed), masks, arguments
            )
        return worth

    def classifier_masks(self, seed: int, kind: str) -> Path:
        """Folder of a classifier's masks."""
        return self._classifier(seed) / f'masks_{kind}'

    def _classifier(self, seed: int) -> Path:
        return self.folder / CLASSIFIER / f'seed{seed}'

    def train(self, config: Path, folder: Path, options: dict, title: str) -> dict:
        """Train a config with other settings in a folder; returns the scores of the last test."""
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
        command = [*self.trainer, config, '--work-dir', folder, *_options(options)]
        self._call(command, folder / 'train.log', title)
        scores = [entry for entry in logged(folder) if 'loss' not in entry][-1]
        seconds = round(time.monotonic() - start, 1)
        write_json(result, dict(title=title, inputs=inputs, seconds=seconds, scores=scores))
        return scores

    def make_masks(self, config: Path, folder: Path, out: Path, arguments: list) -> dict:
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
                    elapsed = timedelta(seconds=round(time.monotonic() - self.start))
                    print(f'[{len(results)}/{len(items)}, {elapsed}] {item}', flush=True)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return results


def _options(options: dict[str, Any]) -> list[str]:
    """Write settings for the command line."""
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())] * bool(options)


def grid_parser(description: str | None, work_dir: str) -> ArgumentParser:
    """Start a command line with what all grids can be told.

    Args:
        description: For the help.
        work_dir: Where results lie by default, below the checkout.
    """
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        '--work-dir', type=Path, default=ROOT / work_dir, metavar='DIR',
        help=f'folder of the trainings (default: {work_dir})',
    )  # fmt: skip
    parser.add_argument('--seeds', type=int, default=3, help='number of seeds (default: 3)')
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
    return parser


def parse_grid(parser: ArgumentParser) -> Namespace:
    """Read the command line; adds ``data``, the description of the synthetic tree."""
    args = parser.parse_args()
    args.work_dir = args.work_dir.resolve()
    data_root = (args.data_root or ROOT / 'data/synthetic_pastis').resolve()
    args.data_root = args.data_root and data_root
    args.data = data_root / 'manifest.json'
    if not args.data.is_file():
        parser.error(
            f'{args.data} is missing: run python tools/dataset_converters/make_synthetic_pastis.py '
            f'--out {data_root}'
        )
    return args
