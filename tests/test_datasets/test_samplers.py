"""Batches of series of similar length."""

from itertools import chain

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import BatchSampler

from mmexact.datasets import SeriesLengthBatchSampler, SITSDataset
from mmexact.datasets.reader import PatchReader

DATES = [4, 9, 5, 8, 6, 7, 3, 9]


class Days(PatchReader):
    """A patch of which nothing but the dates matters."""

    source, size, num_bands = '', (4, 4), 1

    def __init__(self, number):
        self.days = np.arange(1, number + 1, dtype=np.int16)

    def read(self, dates, window):
        raise NotImplementedError


class Series(SITSDataset):
    """One window per patch, with as many dates as :data:`DATES` says."""

    def load_patches(self):
        for number, dates in enumerate(DATES):
            yield str(number), Days(dates)


@pytest.fixture
def dataset():
    return Series(window_size=None, metainfo=dict(classes=('Background', 'Crop')))


def lengths(batches):
    return [[DATES[index] for index in batch] for batch in batches]


def test_sorts_a_pool_and_cuts_it_into_batches(dataset):
    assert dataset.series_lengths().tolist() == DATES
    in_order = DefaultSampler(dataset, shuffle=False)
    whole = SeriesLengthBatchSampler(in_order, batch_size=3)
    assert sorted(lengths(whole)) == [[3, 4, 5], [6, 7, 8], [9, 9]]
    assert len(whole) == 3
    # A pool of two batches: windows 0..3 and 4..7 stay apart.
    pools = SeriesLengthBatchSampler(in_order, batch_size=2, pool=2)
    assert sorted(lengths(pools)) == [[3, 6], [4, 5], [7, 9], [8, 9]]
    # Longer series are cut anyway: windows 1, 3, 5 and 7 count as equals and keep their order.
    cut = SeriesLengthBatchSampler(in_order, batch_size=4, num_dates=7)
    assert sorted(cut) == [[1, 3, 5, 7], [6, 0, 2, 4]]


def test_batches_come_in_random_order_and_every_window_once(dataset):
    sampler = SeriesLengthBatchSampler(DefaultSampler(dataset, seed=0), batch_size=2)
    torch.manual_seed(0)
    orders = [list(sampler) for _ in range(6)]
    assert all(sorted(chain(*order)) == list(range(8)) for order in orders)
    assert len({tuple(map(tuple, order)) for order in orders}) > 1


def test_drop_last_leaves_out_what_does_not_fill_a_batch(dataset):
    sampler = DefaultSampler(dataset, shuffle=False)
    assert len(list(SeriesLengthBatchSampler(sampler, batch_size=3, drop_last=True))) == 2


def test_an_infinite_sampler_has_no_end_and_keeps_batches_alike(dataset):
    torch.manual_seed(0)
    batches = iter(SeriesLengthBatchSampler(InfiniteSampler(dataset, seed=0), 4, pool=4))
    drawn = lengths(next(batches) for _ in range(40))
    assert all(len(batch) == 4 for batch in drawn)
    ranges = [max(batch) - min(batch) for batch in drawn]
    plain = iter(BatchSampler(InfiniteSampler(dataset, seed=0), 4, drop_last=True))
    plain_ranges = [max(batch) - min(batch) for batch in lengths(next(plain) for _ in range(40))]
    assert sum(ranges) < sum(plain_ranges) / 2


def test_a_data_loader_builds_it_from_a_config(dataset):
    init_default_scope('mmseg')
    loader = Config(
        dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_sampler=dict(type='SeriesLengthBatchSampler', num_dates=8),
        )
    )
    built = Runner.build_dataloader(dict(loader, dataset=dataset))
    # By length at most 8: 3, 4, 5, 6 and 7, 8 (windows 1, 3 and 7, in that order).
    assert sorted(built.batch_sampler) == [[5, 1, 3, 7], [6, 0, 2, 4]]


def test_mistakes_are_named(dataset):
    sampler = DefaultSampler(dataset)
    with pytest.raises(ValueError, match='batch_size=0, pool=8; expected positive'):
        SeriesLengthBatchSampler(sampler, batch_size=0)
    with pytest.raises(ValueError, match='a list does not have; expected a SITSDataset'):
        SeriesLengthBatchSampler(DefaultSampler([1, 2]), batch_size=1)
