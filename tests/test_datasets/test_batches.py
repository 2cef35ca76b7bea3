import os
from collections import namedtuple

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader, Dataset, get_worker_info

from mmexact.datasets import LoadSITS, LoadSITSAnnotations, PackSITSInputs, PASTISDataset
from mmexact.datasets.batches import _memories, sits_collate
from tests.data import write_pastis

Pair = namedtuple('Pair', 'left right')


class Varied(Dataset):
    """Samples of many types; sample i is made of the number i."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return dict(
            inputs=torch.full((index + 1, 200, 200), index, dtype=torch.int16),
            small=torch.tensor([index / 2]),
            turned=torch.arange(12000.0).view(100, 120).t() + index,
            numbers=np.full((100, 100), index, np.int64),
            half=torch.full((5000,), index, dtype=torch.bfloat16),
            pair=Pair(torch.zeros(0), f'sample {index}'),
            worker=get_worker_info() and os.getpid(),
            memories=len(_memories),
        )


def load(workers, collate, **kwargs):
    return DataLoader(Varied(), batch_size=2, num_workers=workers, collate_fn=collate, **kwargs)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, strict=True)
    elif isinstance(one, dict):
        for key in one.keys() | other.keys():
            if key not in ('worker', 'memories'):
                assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_batches_are_those_of_pseudo_collate(workers):
    expected = list(load(0, pseudo_collate))
    # All batches are kept: a worker must not write over what the main process holds.
    found = list(load(workers, sits_collate))
    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)
    assert {batch['worker'][0] is None for batch in found} == {workers == 0}


def test_batches_can_be_written_to():
    for batch in load(1, sits_collate):
        for image in batch['inputs']:
            image += 1
        batch['numbers'][0][:] = 7
        assert batch['inputs'][1].unique().tolist() == [int(batch['small'][1] * 2) + 1]


def test_memory_is_used_again():
    loader = load(1, sits_collate, persistent_workers=True, prefetch_factor=2)
    numbers = [number for _ in range(4) for batch in loader for number in batch['memories']]
    # 24 batches: two prefetched, one being written, one on its way.
    assert 1 <= max(numbers) <= 4


def test_series_arrive_through_the_registered_name(tmp_path):
    mask = np.arange(130).reshape(10, 13) % 19
    root = write_pastis(tmp_path, {7: mask.astype(np.uint8)}, bands=60)
    steps = [LoadSITS(), LoadSITSAnnotations(), PackSITSInputs()]
    dataset = PASTISDataset(data_root=str(root), folds=[1], window_size=4, pipeline=steps)
    collate = FUNCTIONS.get('sits_collate')
    loader = DataLoader(dataset, batch_size=4, num_workers=1, collate_fn=collate)
    batches = list(loader)
    assert [len(batch['inputs']) for batch in batches] == [4, 2]
    for index in range(6):
        batch, place = batches[index // 4], index % 4
        assert torch.equal(batch['inputs'][place], dataset[index]['inputs'])
        sample = batch['data_samples'][place]
        assert sample.sample_id == f'7_{index}'
        expected = dataset[index]['data_samples']
        assert torch.equal(sample.gt_sem_seg.data, expected.gt_sem_seg.data)
        assert torch.equal(sample.gt_score, expected.gt_score)
