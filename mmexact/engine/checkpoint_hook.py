"""Checkpoints that training goes on from as if it had never stopped."""

import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmexact.datasets.samplers import SeriesLengthBatchSampler
from mmexact.engine.checkpoint import check_weights, read_checkpoint
from mmexact.engine.training_data import describe_data
from mmexact.masks.folder import PART, config_digest, whole_file

SETTINGS = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg')
"""Parts of a config that training depends on."""


@register_backend('whole_file')
class WholeFileBackend(LocalBackend):
    """MMEngine's local files, written beside and renamed."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write a file, whole or not at all."""
        with whole_file(filepath) as unfinished:
            unfinished.write_bytes(obj)


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """Checkpoints in files that are whole, from which training goes on exactly.

    A checkpoint is written beside its name and renamed, and an older one goes only after that.
    A resumed training begins at the newest file in its folder that is whole, wherever the folder
    has been moved to; one that is damaged is named in a warning. What is random in an iteration
    follows from the seed, the process and the number of the iteration alone, see
    :class:`~mmexact.datasets.samplers.SeededSampler` for the data, so that weights, optimizer and
    log become what they would have become without the interruption, bit for bit where the
    operations are (on a CPU they are). A validation that was due at the checkpoint is run first.

    Args:
        kwargs: Those of MMEngine's ``CheckpointHook``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{'backend_args': dict(backend='whole_file'), **kwargs})
        self.resumes = False

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint to go on from, if that is asked for.

        Raises:
            ValueError: There are checkpoints, but none is whole, or it is one of another model.
        """
        self.resumes = runner._resume
        if not runner._resume or runner._load_from is not None:
            return
        folder = self._folder(runner)
        files = {self._step(path): path for path in folder.glob(self.filename_tmpl.format('*'))}
        damaged = []
        for _, path in sorted(files.items(), reverse=True):
            try:
                checkpoint = read_checkpoint(path)
            except ValueError as error:
                damaged.append(path.name)
                print_log(f'{error}. The one before it is used', 'current', logging.WARNING)
                continue
            check_weights(runner.model, checkpoint['state_dict'], path)
            self._compare(runner, checkpoint.get('meta', {}), path)
            runner._load_from = str(path)
            return
        if damaged:
            raise ValueError(
                f'{folder}: none of the checkpoints is whole ({", ".join(damaged)}); remove them '
                f'to start anew'
            )
        print_log(f'{folder}: no checkpoint to go on from, training starts anew', 'current')
        runner._resume = self.resumes = False

    def before_train(self, runner: Runner) -> None:
        """Tidy up after a run that was killed; let the batches go on where it ended."""
        super().before_train(runner)
        if is_main_process():
            template = self.filename_tmpl.format('*')
            for path in Path(str(self.out_dir)).glob(f'{template}.*{PART}'):
                path.unlink(missing_ok=True)
        loop: Any = runner.train_loop
        sampler = loop.dataloader.batch_sampler
        if runner.iter and isinstance(sampler, SeriesLengthBatchSampler):
            sampler.skip(runner.iter)
            loop.fast_forward_on_resume = True  # it would load what it skips

    def before_train_epoch(self, runner: Runner) -> None:
        """Validate first where the run was to do so at the checkpoint."""
        loop: Any = runner.train_loop
        due = runner.iter and not self.by_epoch and runner.iter % loop.val_interval == 0
        if self.resumes and due and runner.iter >= loop.val_begin and runner.val_loop is not None:
            runner.val_loop.run()
            runner.model.train()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Begin every iteration with random numbers of its own."""
        sequence = np.random.SeedSequence([int(runner.seed or 0), get_rank(), runner.iter])
        words = sequence.generate_state(4)
        random.seed(int(words[0]))
        np.random.seed(words[1])
        torch.manual_seed(int(words[2]) << 32 | int(words[3]))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note what the training depends on and was made of.

        Raises:
            ValueError: Weights are not finite.
        """
        model: Any = runner.model
        model = model.module if is_model_wrapper(model) else model
        checkpoint['meta']['settings'] = _digests(runner)
        dataset = runner.train_dataloader.dataset
        checkpoint['meta']['trained_on'] = describe_data(dataset, model)
        check_weights(model, checkpoint['state_dict'], 'the checkpoint that is due')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Save, and only then remove the oldest, which MMEngine does the other way round."""
        outdated = None
        if 0 < self.max_keep_ckpts == len(self.keep_ckpt_ids) and self.keep_ckpt_ids[-1] != step:
            outdated = self.keep_ckpt_ids.popleft()
        super()._save_checkpoint_with_step(runner, step, meta)
        if outdated is not None and is_main_process():
            Path(str(self.out_dir), self.filename_tmpl.format(outdated)).unlink(missing_ok=True)

    def _folder(self, runner: Runner) -> Path:
        """Return the folder of the checkpoints, as MMEngine names it before training."""
        work_dir = Path(runner.work_dir)
        return work_dir if self.out_dir is None else Path(self.out_dir, work_dir.name)

    def _step(self, path: Path) -> int:
        before, _, after = self.filename_tmpl.partition('{}')
        number = path.name[len(before) : len(path.name) - len(after)]
        return int(number) if number.isdecimal() else -1

    def _compare(self, runner: Runner, meta: dict[str, Any], path: Path) -> None:
        ours, theirs = _digests(runner), meta.get('settings', {})
        if changed := [key for key in theirs if theirs[key] != ours.get(key)]:
            print_log(
                f'{path}: training began with other settings of {", ".join(changed)}; it goes on '
                f'with those of the config, and ends elsewhere than it would have',
                'current',
                logging.WARNING,
            )


def _digests(runner: Runner) -> dict[str, str]:
    return {key: config_digest(runner.cfg[key]) for key in SETTINGS if key in runner.cfg}
