"""Run the whole pipeline on synthetic data: from image-level labels to a crop map and a report.

Every step but the last is a tool of this folder, and its command is printed: each can be repeated
by hand. A second run skips what is finished and goes on with an interrupted training.
"""

import json
import os
import sys
from argparse import RawDescriptionHelpFormatter
from functools import cache, partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmexact.apis.command_line import OneLineErrorParser
from mmexact.apis.demo_report import DemoResults, write_demo_report
from mmexact.apis.report_pictures import logged
from mmexact.apis.steps import Pipeline, Step, StepError
from mmexact.engine.checkpoint import read_checkpoint
from mmexact.masks import config_digest, weights_digest

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {'cls': 'cls_demo', 'seg': 'seg_tsvit_demo', 'seg_full': 'seg_tsvit_demo_full'}
QUICK_NOTE = ' This was a quick run of a handful of iterations: its figures mean nothing.'
QUICK_TREE = ['--patches', '5', '--min-dates', '6', '--max-dates', '8']
QUICK_OPTIONS: dict[str, Any] = {
    'train_cfg.max_iters': 6,
    'train_cfg.val_interval': 6,
    'train_dataloader.batch_size': 4,
    'default_hooks.logger.interval': 1,
    'default_hooks.checkpoint.interval': 3,
    **{f'{loop}_dataloader.num_workers': 0 for loop in ('train', 'val', 'test')},
    **{f'{loop}_dataloader.persistent_workers': False for loop in ('train', 'val')},
}


def main() -> int:
    """Run the demo as the command line says; the exit status is 0 when the report is there."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        '--work-dir', type=Path, metavar='DIR', help='folder of results (default: work_dirs/demo)'
    )
    parser.add_argument(
        '--data-root',
        type=Path,
        metavar='DIR',
        help='where the series are written (default: data/synthetic_pastis)',
    )
    parser.add_argument(
        '--quick',
        action='store_true',
        help='five patches and a handful of iterations, to see that everything runs; the maps are '
        'worth nothing (default folders: work_dirs/demo_quick and data/synthetic_pastis_quick)',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='start anew, whatever an earlier run has left'
    )
    args = parser.parse_args()
    suffix = '_quick' if args.quick else ''
    demo = Demo(
        args.work_dir or Path(f'work_dirs/demo{suffix}'),
        args.data_root or Path(f'data/synthetic_pastis{suffix}'),
        args.quick,
        args.overwrite,
    )
    try:
        demo.run()
    except StepError as error:
        print(f'demo.py: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\ndemo.py: interrupted; run again to go on from here', file=sys.stderr)
        return 130
    return 0


class Demo:
    """The steps of the demo.

    Args:
        work_dir: Folder of all results.
        data_root: Folder of the synthetic tree.
        quick: Only show that everything runs.
        overwrite: Start anew.
    """

    def __init__(self, work_dir: Path, data_root: Path, quick: bool, overwrite: bool) -> None:
        self.work_dir, self.data_root = work_dir, data_root
        self.quick, self.overwrite = quick, overwrite
        self.pseudo_dir = work_dir / 'cls/pseudo_masks'
        self.pipeline = Pipeline(work_dir, total=9, overwrite=overwrite)
        self.configs = {name: self._config(name) for name in CONFIGS}

    def run(self) -> None:
        """Run all steps."""
        tree = self.write_tree()
        cls = self.train('cls', 'Train the classifier on image-level labels', tree)
        pseudo = self.make_pseudo_masks(cls)
        raw = self.test('raw_cams', 'Score plain raw CAMs, to compare with', 'cls', cls)
        seg = self.train('seg', 'Train the segmentor on the pseudo masks', pseudo)
        full = self.train('seg_full', 'Train its twin on true masks', tree)
        seg_test = self.test('seg_test', 'Test the segmentor on the held-out fold', 'seg', seg)
        full_test = self.test('full_test', 'Test the twin on the held-out fold', 'seg_full', full)
        results = DemoResults(self.work_dir, cls, pseudo, raw, seg, full, seg_test, full_test)
        self.report(results)
        print(f'\n{(self.work_dir / "metrics.json").read_text()}')
        print(f'All figures and pictures: {self.work_dir / "report.html"}')

    def write_tree(self) -> dict:
        """Write the synthetic data; returns its ``digest``."""
        command = [_path('tools/dataset_converters/make_synthetic_pastis.py')]
        command += ['--out', str(self.data_root)]
        command += QUICK_TREE * self.quick + ['--overwrite'] * self.overwrite
        step = Step(
            'tree',
            'Write synthetic time series in the format of PASTIS',
            command,
            folder=self.work_dir / 'tree',  # stays empty: the tool looks after its own folder
            read=lambda: dict(
                digest=config_digest(json.loads((self.data_root / 'manifest.json').read_text()))
            ),
            inputs=[],
        )
        return self.pipeline.run(step)

    def train(self, name: str, title: str, data: dict) -> dict:
        """Train a model in mixed precision.

        Args:
            name: Its key in CONFIGS, and its folder.
            title: What it does.
            data: Result of the step that it learns from.

        Returns:
            ``checkpoint``, its ``digest``, and the classifier's ``scores`` in validation.
        """
        folder, last = self.work_dir / name, self.configs[name].train_cfg.max_iters
        step = Step(
            name,
            title,
            [*self._command('train.py', name), '--amp', *self._arguments(folder, name)],
            folder,
            read=partial(read_training, folder, last, validated=name == 'cls'),
            inputs=[config_digest(self.configs[name].to_dict()), data['digest']],
            keep=[self.pseudo_dir],
            can_resume=lambda: latest_iteration(folder) < last,
        )
        return self.pipeline.run(step)

    def make_pseudo_masks(self, cls: dict) -> dict:
        """Map the training windows; returns the ``scores`` of the masks and their ``digest``."""
        step = Step(
            'pseudo_masks',
            'Make pseudo masks of the training windows, and score them',
            [
                *self._command('gen_pseudo.py', 'cls', cls['checkpoint']),
                *self._arguments(self.pseudo_dir.parent, 'cls'),
            ],
            self.pseudo_dir,
            read=partial(read_pseudo_masks, self.pseudo_dir),
            inputs=[config_digest(self.configs['cls'].to_dict()), cls['digest']],
        )
        return self.pipeline.run(step)

    def test(self, name: str, title: str, model: str, trained: dict) -> dict:
        """Test a model; returns its ``scores``."""
        folder = self.work_dir / name
        raw = name == 'raw_cams'
        extra = {'model.test_cfg.cam': 'raw'} if raw else {}
        save = [] if raw else ['--out', str(folder / 'masks')]
        step = Step(
            name,
            title,
            [
                *self._command('test.py', model, trained['checkpoint']),
                *save,
                *self._arguments(folder, model, extra),
            ],
            folder,
            read=partial(read_test, folder, saved=not raw),
            inputs=[config_digest(self.configs[model].to_dict()), trained['digest']],
        )
        return self.pipeline.run(step)

    def report(self, results: DemoResults) -> None:
        """Write ``metrics.json`` and ``report.html``."""
        metrics, page = (self.work_dir / name for name in ('metrics.json', 'report.html'))
        step = Step(
            'report',
            'Gather figures and pictures',
            lambda: write_demo_report(
                results, self.configs, self.pipeline.done, metrics, page, QUICK_NOTE * self.quick
            ),
            folder=self.work_dir / 'report',
            read=lambda: dict(metrics=json.loads(metrics.read_text()), page=page.stat().st_size),
            inputs=[config_digest(vars(results))],
        )
        self.pipeline.run(step)

    def _config(self, name: str) -> Config:
        cfg = Config.fromfile(_path(f'configs/exact/{CONFIGS[name]}.py'))
        cfg.merge_from_dict(self._options(name))
        return cfg

    def _options(self, name: str) -> dict[str, Any]:
        """Say what differs from the config: folders and, with --quick, sizes."""
        options = dict(QUICK_OPTIONS) if self.quick else {}
        plain = Config.fromfile(_path(f'configs/exact/{CONFIGS[name]}.py'))
        for loop in ('train', 'val', 'test'):
            if Path(plain[f'{loop}_dataloader'].dataset.data_root) != self.data_root:
                options[f'{loop}_dataloader.dataset.data_root'] = str(self.data_root)
        given = plain.train_dataloader.dataset.get('pseudo_label_dir')
        if given and Path(given) != self.pseudo_dir:
            options['train_dataloader.dataset.pseudo_label_dir'] = str(self.pseudo_dir)
        return options

    def _command(self, script: str, name: str, *checkpoint: Path) -> list[str]:
        config = _path(f'configs/exact/{CONFIGS[name]}.py')
        return [_path(f'tools/{script}'), config, *map(str, checkpoint)]

    def _arguments(self, folder: Path, name: str, extra: dict | None = None) -> list[str]:
        options = [f'{key}={value}' for key, value in (self._options(name) | (extra or {})).items()]
        return ['--work-dir', str(folder), *(['--cfg-options', *options] if options else [])]


@cache
def _path(inside: str) -> str:
    """Name a file of this repository, from where the user is."""
    return os.path.relpath(ROOT / inside)


def read_training(folder: Path, last: int, validated: bool) -> dict:
    """Read a finished training: final weights, and the scores of its last validation.

    Raises:
        IndexError: It was validated, but the scores are missing.
    """
    checkpoint = folder / f'iter_{last}.pth'
    scores = [
        without_times(entry)
        for entry in logged(folder)
        if entry['step'] == last and 'loss' not in entry
    ]
    return dict(
        checkpoint=checkpoint,
        digest=weights_digest(read_checkpoint(checkpoint)['state_dict']),
        scores=scores[-1] if validated else {},
    )


def read_pseudo_masks(folder: Path) -> dict:
    """Read the manifest of a complete folder of pseudo masks.

    Raises:
        ValueError: Masks or their scores are missing.
    """
    manifest = json.loads((folder / 'manifest.json').read_text())
    whole = manifest['complete'] and len(list(folder.glob('*.png'))) == manifest['windows']
    if not whole or 'by_score' not in manifest['scores']:
        raise ValueError(f'{folder} is not complete')
    return dict(digest=config_digest(manifest), scores=manifest['scores'])


def read_test(folder: Path, saved: bool) -> dict:
    """Read the scores of a finished test, which may have saved masks as well."""
    if saved and not list(folder.glob('masks/*.png')):
        raise FileNotFoundError(f'{folder}: no masks')
    scores = json.loads(sorted(folder.glob('*/*.json'))[-1].read_text())
    return dict(scores=without_times(scores))


def without_times(entry: dict) -> dict:
    """Leave out what MMEngine measured on the clock, which no two runs share."""
    return {key: value for key, value in entry.items() if key not in ('time', 'data_time')}


def latest_iteration(folder: Path) -> int:
    """Iteration of the newest checkpoint in a work folder, 0 without one."""
    pointer = folder / 'last_checkpoint'
    return int(Path(pointer.read_text()).stem.rpartition('_')[2]) if pointer.is_file() else 0


if __name__ == '__main__':
    sys.exit(main())
