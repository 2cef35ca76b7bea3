"""Predicted masks of a test loop, saved one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmexact.masks import write_mask


@HOOKS.register_module()
class SavePredictionsHook(Hook):
    """Save what a test loop predicts, one mask per sample.

    MMSeg's ``IoUMetric(output_dir=...)`` names masks after the image file, which all windows of a
    patch share.

    Args:
        out_dir: Folder of the masks: ``<sample_id>.png``, or named after the image file for
            datasets without sample ids; uint8, the index of the class.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Write the masks of one batch."""
        for sample in outputs or ():
            name = sample.get('sample_id') or Path(sample.img_path).stem
            mask = sample.pred_sem_seg.data.squeeze(0).to('cpu', torch.uint8).numpy()
            write_mask(self.out_dir / f'{name}.png', mask)
