"""Batches on their way from worker processes, in shared memory that is used again and again.

torch passes every tensor of a batch in a shared memory file of its own. For 48 windows with their
labels that is a hundred new files, each to be announced over a socket and filled with fresh pages:
more work than loading the windows. Here a batch is one pickle, whose arrays lie side by side in one
shared tensor; the main process copies them out, and the worker writes a later batch over them.
"""

import pickle
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import get_worker_info

SMALL = 2**16
"""Bytes up to which an array stays inside the pickle, and so keeps no batch in memory."""
ALIGNMENT = 64
FREE, TAKEN = 0, 1

_memories: list[Tensor] = []
"""Shared bytes of this worker process; the first byte says whether a batch waits in them."""


class _BatchPickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if type(value) is Tensor and value.device.type == 'cpu' and not value.requires_grad:
            try:
                return torch.from_numpy, (value.numpy(),)
            except TypeError:  # numpy has no such type
                return NotImplemented
        return NotImplemented


class _Parcel:
    """A batch in shared memory. Pickled in a worker, it is the batch itself in the main process."""

    def __init__(self, batch: Any) -> None:
        arrays: list[memoryview] = []

        def stays_inside(buffer: pickle.PickleBuffer) -> bool:
            values = buffer.raw()
            if values.nbytes > SMALL:
                arrays.append(values)
            return values.nbytes <= SMALL

        pickled = BytesIO()
        _BatchPickler(pickled, protocol=5, buffer_callback=stays_inside).dump(batch)
        chunks = [pickled.getbuffer(), *arrays]
        self.places: list[tuple[int, int]] = []
        end = ALIGNMENT
        for chunk in chunks:
            self.places.append((end, end + len(chunk)))
            end += -(-len(chunk) // ALIGNMENT) * ALIGNMENT
        self.memory = _take(end)
        values = self.memory.numpy()
        for (start, end), chunk in zip(self.places, chunks, strict=True):
            values[start:end] = np.frombuffer(chunk, np.uint8)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _unpack, (self.memory, self.places)


def _take(size: int) -> Tensor:
    """Take memory that no batch waits in, new one where there is none as large."""
    for memory in [memory for memory in _memories if memory[0] == FREE]:
        if len(memory) >= size:
            break
        _memories[:] = [other for other in _memories if other is not memory]
    else:
        # Later batches may be a little larger.
        memory = torch.empty(size + size // 4, dtype=torch.uint8).share_memory_()
        _memories.append(memory)
    memory[0] = TAKEN
    return memory


def _unpack(memory: Tensor, places: Sequence[tuple[int, int]]) -> Any:
    """Copy a batch out of the memory of a worker, and give the memory back."""
    values = memory[: places[-1][1]].clone().numpy()
    memory[0] = FREE
    pickled, *arrays = (values[start:end].data for start, end in places)
    return pickle.loads(pickled, buffers=arrays)


@FUNCTIONS.register_module()
def sits_collate(samples: Sequence[Any]) -> Any:
    """Collate samples into lists as MMEngine's ``pseudo_collate`` does, faster with workers.

    Set ``collate_fn=dict(type='sits_collate')`` in a data loader. In a worker process the batch
    takes the quick way to the main process that this module describes. Its tensors are the main
    process's own in either case.
    """
    batch = pseudo_collate(samples)
    return batch if get_worker_info() is None else _Parcel(batch)
