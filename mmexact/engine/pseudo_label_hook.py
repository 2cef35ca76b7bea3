"""Pseudo masks, written while or after a classifier runs."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.utils import ProgressBar
from mmseg.registry import HOOKS
from torch.utils.data import DataLoader

from mmexact.engine.optim_wrapper import autocast, mixed_precision
from mmexact.masks import PseudoMaskWriter, config_digest, weights_digest

FIXED = 'fixed, no pixel label was looked at'
DETAILS = ('by_score', 'by_class')
"""What the manifest keeps of a metric beside its scores."""


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    """Writes the masks of an ``ExactClassifier`` as pseudo masks.

    In a test loop it writes what the loop predicts. At the end of training it runs the model over
    ``dataloader``, if one is given, and refines what it has written, if ``refined_dir`` says where.

    Args:
        out_dir: Folder of the masks, see :class:`~mmexact.masks.PseudoMaskWriter`.
        dataloader: Config of a data loader over the windows to map once training has ended.
        refined_dir: Folder of the refined masks, see :class:`~mmexact.refinement.MaskRefiner`.
        score_chosen_by: How the background score was chosen, for the manifest.
        overwrite: Replace the masks that are there.
        amp: Compute in bfloat16 where that is precise enough (autocast).
    """

    def __init__(
        self,
        out_dir: str,
        dataloader: dict[str, Any] | None = None,
        refined_dir: str | None = None,
        score_chosen_by: str = FIXED,
        overwrite: bool = False,
        amp: bool = False,
    ) -> None:
        self.out_dir = out_dir
        self.dataloader = dataloader
        self.refined_dir = refined_dir
        self.score_chosen_by = score_chosen_by
        self.overwrite = overwrite
        self.amp = amp
        self.kept: set[str] = set()  # windows that an interrupted run has mapped

    def open_writer(self, runner: Runner, dataset: Any, data_cfg: Any) -> PseudoMaskWriter:
        """Open the folder for the masks of a dataset.

        Args:
            runner: Its model makes the masks.
            dataset: The windows.
            data_cfg: The dataset's config.

        Raises:
            FileExistsError: The folder holds masks of other inputs.
            ValueError: The model is no classifier, or knows other classes than the dataset.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        settings = getattr(model, 'test_cfg', None) or {}
        if 'cam' not in settings:
            raise ValueError(
                f'pseudo masks come from an ExactClassifier (cls_*.py), but the config describes a '
                f'{type(model).__name__}'
            )
        meta = dataset.metainfo
        crops = len(meta['classes']) - meta.get('background', True)
        if crops != model.num_classes - 1:
            raise ValueError(
                f'the model knows {model.num_classes - 1} crops (backbone.num_classes), but '
                f'test_dataloader.dataset has {crops} among its classes {tuple(meta["classes"])}'
            )
        mixed = self.amp and mixed_precision(next(model.parameters()).device.type)
        inputs = dict(
            config=config_digest(runner.cfg.model),
            checkpoint=weights_digest(model.state_dict()),
            data=config_digest(data_cfg),
            confidence='1 - second / first score',
            precision='bfloat16' if mixed else 'float32',
            **settings,
            background_score_chosen_by=self.score_chosen_by,
        )
        windows = [dataset.get_data_info(index) for index in range(len(dataset))]
        if not is_main_process():
            barrier()  # the main process clears the folder, the others find it so
        writer = PseudoMaskWriter(
            self.out_dir, inputs, windows, meta, self.overwrite and is_main_process()
        )
        if is_main_process():
            barrier()
        return writer

    def before_test(self, runner: Runner) -> None:
        """Open the folder."""
        self.kept = set()
        self.writer = self.open_writer(
            runner, runner.test_dataloader.dataset, runner.cfg.test_dataloader.dataset
        )

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Write the masks of one batch."""
        self._write(outputs or ())

    def after_test(self, runner: Runner) -> None:
        """Complete the folder."""
        self._finish(runner)

    def after_train(self, runner: Runner) -> None:
        """Map the windows of ``dataloader`` with the trained model, and refine the masks."""
        if self.dataloader is None:
            return
        self.map_windows(runner, self.dataloader)
        if self.refined_dir is not None and is_main_process():
            from mmexact.refinement import MaskRefiner  # scikit-learn takes a second to start

            dataset = runner.build_dataloader(self.dataloader).dataset
            workers = self.dataloader.get('num_workers', 0)
            refiner = MaskRefiner(dataset, self.out_dir, workers)
            refiner.run(self.refined_dir, overwrite=self.overwrite)
        barrier()

    def map_windows(
        self, runner: Runner, dataloader: dict[str, Any], evaluator: Evaluator | None = None
    ) -> dict[str, float]:
        """Map windows with the runner's model, without those that an interrupted run has mapped.

        Args:
            runner: Its model carries the weights to use.
            dataloader: Config of a data loader over the windows.
            evaluator: Scores the predictions.

        Returns:
            The scores; none when only the rest of an interrupted run was mapped.
        """
        dataset = runner.build_dataloader(dataloader).dataset
        self.writer = self.open_writer(runner, dataset, dataloader['dataset'])
        names = self.writer.sample_ids
        missing = [index for index, name in enumerate(names) if not self.writer.has(name)]
        if len(missing) < len(names):
            print_log(f'{len(names) - len(missing)} of {len(names)} are there', runner.logger)
            evaluator = None
        barrier()  # before any rank writes what another one would count
        scores = {}
        if missing:
            # Whole batches: in other company a window's CAM differs in its last bits.
            self.kept = set(names) - {names[index] for index in missing}
            size = dataloader.get('batch_size', 1)
            batches = {index // size for index in missing}
            rest = [index for index in range(len(names)) if index // size in batches]
            loader = dict(dataloader, dataset=dataset.get_subset(rest))
            scores = self._map(runner, runner.build_dataloader(loader), evaluator)
        kept: dict[str, Any] = {name: float(value) for name, value in scores.items()}  # of numpy
        for metric in evaluator.metrics if evaluator else ():
            kept |= {key: getattr(metric, key) for key in DETAILS if hasattr(metric, key)}
        self._finish(runner, kept)
        return scores

    def _map(
        self, runner: Runner, loader: DataLoader[Any], evaluator: Evaluator | None
    ) -> dict[str, float]:
        dataset: Any = loader.dataset
        if evaluator:
            evaluator.dataset_meta = dataset.metainfo
        runner.model.eval()
        bar = ProgressBar(len(loader)) if is_main_process() else None
        for batch in loader:
            with torch.no_grad(), autocast(runner.model, self.amp):
                samples = runner.model.test_step(batch)
            self._write(samples)
            if evaluator:
                evaluator.process(data_samples=samples, data_batch=batch)
            if bar:
                bar.update()
        if bar:
            print()
        return evaluator.evaluate(len(dataset)) if evaluator else {}

    def _write(self, samples: Sequence[Any]) -> None:
        for sample in samples:
            if sample.sample_id in self.kept:
                continue
            mask = sample.pred_sem_seg.data.squeeze(0).to('cpu', torch.uint8).numpy()
            confidence = sample.pred_confidence.data.squeeze(0).float().cpu().numpy()
            self.writer.write(sample.sample_id, mask, confidence)

    def _finish(self, runner: Runner, scores: dict[str, Any] | None = None) -> None:
        barrier()
        if is_main_process():
            manifest = self.writer.finish(scores)
            print_log(f'{manifest["windows"]} pseudo masks in {self.out_dir}', runner.logger)
        barrier()
