"""Planes of .npy files, and windows of them."""

import os
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO, FileIO
from math import prod
from typing import Any

import numpy as np

from mmexact.masks import whole_file
from mmexact.sits import Window

STRIPS = 16
"""Strips of a window that are read before they are cut to its width: they stay in the cache."""

_FETCH = 2**20


@lru_cache(maxsize=1024)
def _parse_header(begin: bytes) -> tuple[tuple[int, ...], np.dtype, int]:
    """Parse what a .npy file begins with: shape, type, and where the values start."""
    file = BytesIO(begin)
    try:
        version = np.lib.format.read_magic(file)
    except ValueError as error:
        raise ValueError(f'no readable header: {error}') from None
    read = getattr(np.lib.format, f'read_array_header_{version[0]}_{version[1]}', None)
    if read is None:
        raise ValueError(f'format version {version}')
    shape, fortran_order, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f'type {dtype}, expected numbers')
    if fortran_order and len(shape) > 1:
        raise ValueError('Fortran order, expected C order (save it with numpy.ascontiguousarray)')
    return shape, dtype, file.tell()


def _seek_and_read(descriptor: int, buffers: tuple[memoryview], offset: int) -> int:
    os.lseek(descriptor, offset, os.SEEK_SET)
    content = os.read(descriptor, len(buffers[0]))
    buffers[0][: len(content)] = content
    return len(content)


_read_at: Any = getattr(os, 'preadv', _seek_and_read)  # Windows does not have it


class _NpyFile(FileIO):
    """An open .npy file: ``shape``, ``dtype``, and its bytes.

    Reads instead of mapping: a window of a patch lies on hundreds of pages, and mapping those can
    cost more than copying them. Besides, a file that shrinks is an error, not a signal.
    """

    def __init__(self, path: str) -> None:
        try:
            super().__init__(path)
        except FileNotFoundError:
            raise FileNotFoundError(
                f'{os.path.abspath(path)}: no such file; is the download complete?'
            ) from None
        size = os.fstat(self.fileno()).st_size
        try:
            magic = self.read(12)
            # Version 1 of the format has two bytes for the length of the header, later ones four.
            fixed = 10 if magic[6:7] == b'\1' else 12
            self.seek(0)
            begin = self.read(fixed + int.from_bytes(magic[8:fixed], 'little'))
            self.shape, self.dtype, self._start = _parse_header(begin)
            expected = self._start + prod(self.shape) * self.dtype.itemsize
            if size < expected:
                raise ValueError(f'expected {expected} for {self.shape} of type {self.dtype}')
        except ValueError as error:
            self.close()
            raise ValueError(
                f'{path}: not a complete .npy array ({size} bytes, {error}); download it again'
            ) from None

    def fetch_if_cold(self, offset: int) -> None:
        """Read all of the file once, in order, if a byte is not in memory yet.

        Hundreds of small reads from a disk take longer than one of the whole file, and the next
        windows of a patch find it in memory.
        """
        try:
            os.preadv(self.fileno(), (bytearray(1),), self._start + offset, os.RWF_NOWAIT)
        except BlockingIOError:
            self.seek(0)
            buffer = bytearray(_FETCH)
            while self.readinto(buffer):
                pass
        except (OSError, AttributeError):  # neither the file system nor the platform can tell
            return

    def read_into(self, buffers: Sequence[memoryview], offsets: Sequence[int]) -> None:
        """Fill each buffer with the bytes at an offset into the values."""
        descriptor, start = self.fileno(), self._start
        for buffer, offset in zip(buffers, offsets, strict=True):
            if _read_at(descriptor, (buffer,), start + offset) != len(buffer):
                raise ValueError(f'{self.name}: the file changed while it was read')


def npy_shape(path: str) -> tuple[int, ...]:
    """Read the shape of the array in a .npy file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated or no plain array in C order.
    """
    with _NpyFile(path) as file:
        return file.shape


def read_planes(
    path: str,
    planes: Sequence[int] | np.ndarray,
    window: Window | None = None,
    size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Read some planes (H, W) of an array (..., H, W) in a .npy file, or a window of them.

    Args:
        path: The file.
        planes: Which planes, row-major over the leading axes.
        window: Pixels to read; None for whole planes, adjacent ones in one go.
        size: (height, width) that the planes must have; None for any.

    Returns:
        (planes, h, w) in the type of the file, its own memory.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated, no plain array in C order, or does not have these planes
            or pixels.
    """
    chosen = np.asarray(planes)
    with _NpyFile(path) as file:
        if len(file.shape) < 2 or chosen.max(initial=-1) >= prod(file.shape[:-2]):
            raise ValueError(
                f'{path}: an array of shape {file.shape}; expected (..., height, width) with at '
                f'least {chosen.max() + 1} planes'
            )
        height, width = file.shape[-2:]
        if size not in (None, (height, width)):
            raise ValueError(f'{path}: {(height, width)} pixels, but the series has {size}')
        row, column, h, w = window or (0, 0, height, width)
        if row + h > height or column + w > width:
            raise ValueError(
                f'{path}: {height} x {width} pixels, but the window begins at row {row}, column '
                f'{column} and has {h} x {w}'
            )
        values = np.empty((len(chosen), h, w), file.dtype)
        row_bytes = width * file.dtype.itemsize
        if (h, w) == (height, width):
            ends = [*(np.flatnonzero(np.diff(chosen) != 1) + 1).tolist(), len(chosen)]
            begins = [0, *ends[:-1]]
            file.read_into(
                [_bytes(values[begin:end]) for begin, end in zip(begins, ends, strict=True)],
                [int(chosen[begin]) * height * row_bytes for begin in begins],
            )
            return values
        strips = np.empty((STRIPS, h, width), file.dtype)
        buffers = [_bytes(strip) for strip in strips]
        offsets = ((chosen * height + row) * row_bytes).tolist()
        file.fetch_if_cold(offsets[-1])  # opening a file reads its beginning ahead
        for begin in range(0, len(offsets), STRIPS):
            group = offsets[begin : begin + STRIPS]
            file.read_into(buffers[: len(group)], group)
            values[begin : begin + len(group)] = strips[: len(group), :, column : column + w]
    return values


def save_array(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write a .npy file, whole or not at all."""
    with whole_file(path) as unfinished, open(unfinished, 'wb') as file:
        np.save(file, array)


def _bytes(array: np.ndarray) -> memoryview:
    return array.data.cast('B')
