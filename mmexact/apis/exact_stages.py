"""The stages of Exact on a pair of configs: from image-level labels to maps and a report."""

import glob
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmexact.apis.command_line import config_parser, load_config
from mmexact.apis.report import logged, write_report
from mmexact.apis.stages import Stage, StageRunner
from mmexact.engine.checkpoint import read_checkpoint
from mmexact.masks import config_digest, weights_digest
from mmexact.masks.folder import MANIFEST

MADE = ('pseudo_masks', 'refined_masks', 'maps')
"""Stages that write a folder with a manifest into the work folder of their config."""

TRUE_MASKS = 'train_dataloader.dataset.pseudo_label_dir=None'


class ExactStages:
    """Trains the classifier, makes and refines pseudo masks, trains the segmentor, maps, reports.

    Args:
        cls: Config of the classifier.
        seg: Config of the segmentor.
        work_dir: Folder of all results; by default the one above the segmentor's work folder.
        options: Settings KEY=VALUE that replace those of both configs.
        compare: Score raw CAMs and train the fully supervised baseline as well.
        refine: Refine the pseudo masks; without, the segmentor learns from those of the paper.
        overwrite: Make anew what was made from other settings or labels.
        execute: Runs a script with its arguments, see :class:`~mmexact.apis.stages.StageRunner`.

    Raises:
        ValueError: There are no pixel labels to compare with.
    """

    def __init__(
        self,
        cls: str,
        seg: str,
        work_dir: Path | None = None,
        options: Sequence[str] = (),
        compare: bool = False,
        refine: bool = True,
        overwrite: bool = False,
        execute: Callable[[list[str]], None] | None = None,
    ) -> None:
        self.paths = dict(cls=cls, seg=seg)
        self.options = dict(cls=list(options), seg=list(options))
        self.configs = {name: load(path, options) for name, path in self.paths.items()}
        self.work_dir = work_dir or Path(self.configs['seg'].work_dir).parent
        masks = self.work_dir / 'cls' / ('refined_masks' if refine else 'pseudo_masks')
        given = self.configs['seg'].train_dataloader.dataset.get('pseudo_label_dir')
        if Path(given or '') != masks:
            self.options['seg'].append(f'train_dataloader.dataset.pseudo_label_dir={masks}')
        self.compare, self.refine = compare, refine
        self.has_truth = bool(self.configs['seg'].get('test_evaluator'))
        if compare and not self.has_truth:
            raise ValueError(f'{seg}: --compare needs pixel labels (area.mask), there are none')
        total = 4 + refine + self.has_truth + 3 * compare
        self.runner = StageRunner(self.work_dir, total, overwrite, execute)

    def run(self) -> Path:
        """Run all stages; returns the report."""
        run = self._run
        title = 'Train the classifier on image-level labels'
        cls = run('cls', title, 'train.py', dict(config='cls'))
        title = 'Make pseudo masks of the training windows'
        masks = run('pseudo_masks', title, 'gen_pseudo.py', cls)
        if self.compare:
            run('raw_cams', 'Score plain raw CAMs', 'test.py', cls, 'model.test_cfg.cam=raw')
        if self.refine:
            made = masks | dict(input=str(self.work_dir / 'cls/pseudo_masks'))
            masks = run('refined_masks', 'Refine the pseudo masks', 'refine_pseudo.py', made)
        title = 'Train the segmentor on the masks'
        seg = run('seg', title, 'train.py', masks | dict(config='seg'))
        run('maps', 'Map the area', 'predict.py', seg)
        if self.has_truth:
            run('seg_test', 'Test the segmentor', 'test.py', seg)
        if self.compare:
            baseline = 'the fully supervised baseline'
            full = run('seg_full', f'Train {baseline}', 'train.py', dict(config='seg'), TRUE_MASKS)
            run('full_test', f'Test {baseline}', 'test.py', full)
        report = self.work_dir / 'report.html'
        if self.runner.ran or not report.exists():
            for name, value in write_report(report, self.configs, self.runner.records).items():
                print(f'{name}: {value}')
        return report

    def _run(
        self, name: str, title: str, script: str, made_from: Mapping[str, Any], *options: str
    ) -> dict[str, Any]:
        """Run a tool on the config and the ``input`` that another stage's result names."""
        config, folder = made_from['config'], self.work_dir / name
        options = (*self.options[config], *options)
        read, arguments = self._read_training, ['--amp', '--brief', '--resume']
        if script != 'train.py':
            options = (*options, 'log_level=WARNING')
            read, arguments = read_test, ['--out', str(folder / 'masks')]
        work_dir = folder
        if name in MADE:
            work_dir = self.work_dir / config
            folder = work_dir / name
            read, arguments = read_made, []
        arguments = [
            *(self.paths[config], *filter(None, [made_from.get('input')])),
            *('--work-dir', str(work_dir), *arguments, *_cfg_options(options)),
        ]
        settings = self.configs[config].to_dict() | dict(work_dir=None)
        inputs = dict(
            settings=config_digest(settings, options)[:8],
            data=data_digest(self.configs[config])[:8],
            made_from=made_from.get('digest', '')[:8],
        )

        def read_result() -> dict[str, Any]:
            return dict(read(folder), config=config)

        return self.runner.run(Stage(name, title, script, arguments, folder, inputs, read_result))

    def _read_training(self, folder: Path) -> dict[str, Any]:
        config = self.configs[folder.name[:3]]
        last = folder / f'iter_{config.train_cfg.max_iters}.pth'
        scores = [entry for entry in logged(folder) if 'loss' not in entry]
        return dict(
            input=str(last),
            digest=weights_digest(read_checkpoint(last)['state_dict']),
            scores=scores[-1] if scores else {},
        )


def load(path: str, options: Sequence[str]) -> Config:
    """Read a config as the tools do with these options."""
    arguments = config_parser('', checkpoint=False).parse_args([path, *_cfg_options(options)])
    return load_config(arguments)


def _cfg_options(options: Sequence[str]) -> list[str]:
    return ['--cfg-options', *options] if options else []


def data_digest(cfg: Config) -> str:
    """Digest the names of a user's rasters and the contents of the files with labels."""
    digest = hashlib.sha256()
    for loop in ('train', 'val', 'test'):
        data = (cfg.get(f'{loop}_dataloader') or {}).get('dataset', {})
        root, places = Path(data.get('data_root') or ''), [*(data.get('series') or {}).values()]
        rasters = [glob.glob(str(root / place['rasters']), recursive=True) for place in places]
        digest.update(repr([sorted(paths) for paths in rasters]).encode())
        files = [data.get('ann_file'), data.get('image_labels_file')]
        files += [(data.get('labels') or {}).get('file'), *(place.get('mask') for place in places)]
        for name in filter(None, files):
            digest.update((root / name).read_bytes())
    return digest.hexdigest()


def read_made(folder: Path) -> dict[str, Any]:
    """Read the manifest of a complete folder of masks or maps; raises OSError if it is not."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
    missing = [name for name in manifest['files'] if not (folder / name).exists()]
    if missing or not manifest['complete']:
        raise FileNotFoundError(f'{folder} is not complete')
    return dict(digest=config_digest(manifest), scores=manifest.get('scores') or {})


def read_test(folder: Path) -> dict[str, Any]:
    """Read the scores of the newest test in a work folder."""
    return dict(scores=json.loads(sorted(folder.glob('*/*.json'))[-1].read_text(encoding='utf-8')))
