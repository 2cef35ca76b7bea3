"""Batches on their way from worker processes, in memory files that are used again and again.

torch passes every tensor of a batch in a shared memory file of its own. For 48 windows with their
labels that is a hundred new files, each to be announced over a socket and filled with fresh pages:
more work than loading the windows. Here a batch is one pickle, whose arrays lie side by side in one
file; the main process copies them out, and the worker writes a later batch over them.
"""

import mmap
import os
import pickle
from collections.abc import Callable, Sequence
from io import BytesIO
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import get_worker_info

AVAILABLE = hasattr(os, 'memfd_create')  # Linux
SMALL = 4096
"""Bytes up to which an array stays inside the pickle."""

FREE, TAKEN = 0, 1


class _BatchPickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if type(value) is Tensor and value.device.type == 'cpu' and not value.requires_grad:
            try:
                return torch.from_numpy, (value.numpy(),)
            except TypeError:  # numpy has no such type
                return NotImplemented
        return NotImplemented


class _MemoryFile:
    """A file in memory; its first byte says whether a batch waits in it."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create('batch')
        self.memory = self._map(mmap.PAGESIZE)

    def _map(self, size: int) -> mmap.mmap:
        os.ftruncate(self.descriptor, size)
        return mmap.mmap(self.descriptor, size)

    def is_free(self) -> bool:
        return self.memory[0] == FREE

    def write(self, chunks: Sequence[memoryview]) -> None:
        size = 1 + sum(chunk.nbytes for chunk in chunks)
        if size > len(self.memory):
            self.memory = self._map(size + size // 4)  # later batches may be a little larger
        self.memory[0] = TAKEN
        offset = 1
        for chunk in chunks:
            self.memory[offset : offset + chunk.nbytes] = chunk.cast('B')
            offset += chunk.nbytes


_files: list[_MemoryFile] = []  # of this worker process


class _Parcel:
    """A batch in a memory file. Pickled in a worker, it is the batch itself in the main process."""

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
        self.sizes = [chunk.nbytes for chunk in chunks]
        free = [file for file in _files if file.is_free()]
        if not free:
            free = [_MemoryFile()]
            _files.extend(free)
        self.file = free[0]
        self.file.write(chunks)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _unpack, (DupFd(self.file.descriptor), self.sizes)


def _unpack(duplicate: Any, sizes: Sequence[int]) -> Any:
    """Copy a batch out of the memory file of a worker, and give the file back."""
    descriptor = duplicate.detach()
    try:
        chunks, offset = [], 1
        for size in sizes:
            chunk = np.empty(size, np.uint8).data
            os.preadv(descriptor, (chunk,), offset)
            chunks.append(chunk)
            offset += size
        os.pwrite(descriptor, bytes([FREE]), 0)
    finally:
        os.close(descriptor)
    return pickle.loads(chunks[0], buffers=chunks[1:])


@FUNCTIONS.register_module()
def sits_collate(samples: Sequence[Any]) -> Any:
    """Collate samples into lists as MMEngine's ``pseudo_collate`` does, faster with workers.

    Set ``collate_fn=dict(type='sits_collate')`` in a data loader. In a worker process (on Linux)
    the batch takes the quick way to the main process that this module describes. Its tensors are
    the main process's own in either case.
    """
    batch = pseudo_collate(samples)
    return _Parcel(batch) if AVAILABLE and get_worker_info() is not None else batch
