"""Batches of time series on the device."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class SITSDataPreprocessor(BaseDataPreprocessor):
    """Pads series to one length, stacks them, and normalises the bands.

    Digital numbers travel to the device as the integers that they are; bands become float32
    there, and padded dates become zero after normalisation. Days of year stay whole numbers.
    Image-level labels (``gt_score``) stay on the CPU, which has to know which classes to map;
    asking a GPU for them would make every training step wait.

    Args:
        mean: Mean of each band, C digital numbers.
        std: Standard deviation of each band, C digital numbers.
        num_dates: Dates to pad a batch to. None pads to the longest series of the batch.
        non_blocking: Copy to the device without waiting for it.

    Raises:
        ValueError: ``mean`` and ``std`` differ in length, or a deviation is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        num_dates: int | None = None,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(
                f'data_preprocessor needs one mean and one positive std for each band, got '
                f'mean={list(mean)} and std={list(std)}'
            )
        self.num_dates = num_dates
        for name, values in (('mean', mean), ('std', std)):
            tensor = torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    @torch.compiler.disable  # which fails on samples that carry arrays
    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare one batch.

        Args:
            data: ``inputs``, N tensors (T_i * (C + 1), H, W) of any numeric type, and perhaps
                ``data_samples``.
            training: Unused; both modes prepare alike.

        Returns:
            ``inputs`` float32 (N, T * (C + 1), H, W), and ``data_samples`` or None.

        Raises:
            ValueError: The windows differ in size, the channels do not fit the number of bands,
                or a series is longer than ``num_dates``.
        """
        samples = data.get('data_samples')
        data = self.cast_data(data)
        for moved, sample in zip(data.get('data_samples') or (), samples or (), strict=True):
            if 'gt_score' in sample:
                moved.gt_score = sample.gt_score
        inputs = self._pad_dates(list(data['inputs']))
        planes = len(self.mean) + 1
        dated = inputs.float().unflatten(1, (-1, planes))
        real = dated[:, :, -1:] > 0
        dated[:, :, :-1].sub_(self.mean).div_(self.std).mul_(real)
        return dict(inputs=dated.flatten(1, 2), data_samples=data.get('data_samples'))

    def _pad_dates(self, inputs: list[Tensor]) -> Tensor:
        planes = len(self.mean) + 1
        sizes = {tuple(series.shape[1:]) for series in inputs}
        if len(sizes) > 1:
            raise ValueError(
                f'the windows of a batch differ in size: {sorted(sizes)}. Set window_size of the '
                f'dataset, or batch_size=1 for whole patches'
            )
        channels = [series.shape[0] for series in inputs]
        odd = [count for count in channels if count % planes]
        if odd:
            raise ValueError(
                f'a series of {odd[0]} channels is no multiple of {planes} '
                f'({planes - 1} bands and the day of year): data_preprocessor.mean has '
                f'{planes - 1} bands, how many has the data?'
            )
        length = max(channels)
        if self.num_dates is not None:
            if length > self.num_dates * planes:
                raise ValueError(
                    f'a series of {length // planes} dates exceeds data_preprocessor.num_dates='
                    f'{self.num_dates}: set num_dates of LoadSITS to at most that'
                )
            length = self.num_dates * planes
        return torch.stack([F.pad(one, (0, 0, 0, 0, 0, length - len(one))) for one in inputs])
