"""Which windows a training sees: draws that can be repeated, batches with little padding."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from mmengine.dataset import InfiniteSampler
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler, Sampler


class Draw(int):
    """Index of a window, with the seed of what is random in loading it."""

    seed: tuple[int, int]


@DATA_SAMPLERS.register_module()
class SeededSampler(InfiniteSampler):
    """MMEngine's ``InfiniteSampler`` for training that can be repeated.

    A :class:`~mmexact.datasets.sits_dataset.SITSDataset` seeds the transforms of a window by the
    sampler's seed and the number of the draw, so that they are the same whatever the number of
    workers, and in a training that was interrupted.
    """

    def _infinite_indices(self) -> Iterator[int]:
        for number, index in enumerate(super()._infinite_indices()):
            draw = Draw(index)
            draw.seed = (self.seed, number)
            yield draw


@DATA_SAMPLERS.register_module()
class SeriesLengthBatchSampler(BatchSampler):
    """Takes several batches from a sampler at a time and shares them out by number of dates.

    Set ``batch_sampler=dict(type='SeriesLengthBatchSampler')`` in a data loader, and
    ``num_dates=None`` in the data preprocessor, which then pads a batch to its longest series.
    Which windows come, and how often, is the sampler's; a pool's batches come in random order.

    In PASTIS all series of a Sentinel-2 tile have the same dates, so that batches become more
    alike the larger the pool is.

    Args:
        sampler: Of a :class:`~mmexact.datasets.sits_dataset.SITSDataset`.
        batch_size: Windows in a batch.
        drop_last: Leave out the last windows that do not fill a batch.
        num_dates: Dates that the pipeline keeps of a longer series; None for all.
        pool: Number of batches to share out at a time.

    Raises:
        ValueError: ``pool`` or ``batch_size`` is not positive, or the sampler's dataset has no
            series.
    """

    def __init__(
        self,
        sampler: Sampler[int],
        batch_size: int,
        drop_last: bool = False,
        num_dates: int | None = None,
        pool: int = 8,
    ) -> None:
        if min(batch_size, pool) < 1:
            raise ValueError(f'batch_size={batch_size}, pool={pool}; expected positive numbers')
        dataset: Any = getattr(sampler, 'dataset', None)
        if not hasattr(dataset, 'series_lengths'):
            raise ValueError(
                f'SeriesLengthBatchSampler needs the lengths of series, which a '
                f'{type(dataset).__name__} does not have; expected a SITSDataset'
            )
        super().__init__(sampler, batch_size, drop_last)
        self.pool = pool
        self.lengths = dataset.series_lengths()
        if num_dates is not None:
            self.lengths = self.lengths.clip(max=num_dates)

        self.number = self.started = 0

    def skip(self, batches: int) -> None:
        """Begin after so many batches, where the sampler has a ``skip`` as MMEngine's do."""
        sampler: Any = self.sampler
        self.number, self.started = divmod(batches, self.pool)
        sampler.skip(self.number * self.pool * self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while pooled := list(islice(indices, self.pool * self.batch_size)):
            # Equal lengths stay in the sampler's order, which is random already.
            order = np.argsort(self.lengths[pooled], kind='stable')
            by_length = [pooled[position] for position in order]
            batches = [
                by_length[start : start + self.batch_size]
                for start in range(0, len(by_length), self.batch_size)
            ]
            if self.drop_last and len(batches[-1]) < self.batch_size:
                batches.pop()
            rng = np.random.default_rng([getattr(self.sampler, 'seed', 0), self.number])
            order = rng.permutation(len(batches))[self.started :]
            self.number, self.started = self.number + 1, 0
            yield from (batches[number] for number in order)
