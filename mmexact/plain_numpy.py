"""Numpy arrays, types and scalars in pickles from elsewhere, rebuilt without numpy's constructors.

``numpy.ndarray`` takes a buffer of pointers for an array of objects, and crashes the interpreter or
worse. What stands here takes numbers only, as many as were announced.
"""

import math
import pickle
import re
from typing import Any

import numpy as np


class Kind:
    """Stands in for ``numpy.dtype``: a type of numbers.

    Args:
        code: Such as 'f8' or 'i2', with or without byte order.
        _flags: Copy and alignment, which mean nothing here.

    Raises:
        UnpicklingError: It is another type, such as objects, text or records.
    """

    def __init__(self, code: Any = '', *_flags: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r'[<>|=]?[biuf]\d\d?', code):
            raise pickle.UnpicklingError(f'a numpy type {str(code)[:40]!r}; expected numbers')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ('<', '>', '|', '='):
            raise pickle.UnpicklingError('a damaged numpy type')
        self.dtype = self.dtype.newbyteorder(order)


class Array(np.ndarray):
    """Stands in for ``numpy.ndarray``: empty, whatever it is called with, until it gets numbers."""

    def __new__(cls, *_args: Any) -> 'Array':
        """Make an empty array."""
        return np.empty(0).view(cls)

    def __setstate__(self, state: Any) -> None:
        """Take shape, type, order and bytes.

        Raises:
            UnpicklingError: They do not go together.
        """
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError('a damaged numpy array')
        version, shape, kind, fortran, data = state
        data = data.encode('latin1') if isinstance(data, str) else data  # Python 2
        _check(shape, kind, data)
        plain: Any = (int(version), shape, kind.dtype, bool(fortran), data)
        super().__setstate__(plain)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Write a plain numpy array, for those who read it."""
        return self.view(np.ndarray).__reduce_ex__(protocol)


def rebuild(kind: Any, *_args: Any) -> Array:
    """Stand in for ``numpy.core.multiarray._reconstruct``."""
    if kind is not Array:
        raise pickle.UnpicklingError('an array of another type than numpy.ndarray')
    return Array()


def from_buffer(data: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    """Stand in for ``numpy.core.numeric._frombuffer``, of protocol 5."""
    _check(shape, kind, data)
    array = np.frombuffer(data, kind.dtype)
    if order == 'K' and isinstance(axes, list | tuple):
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order='F' if order == 'F' else 'C')


def scalar(kind: Any, data: Any) -> Any:
    """Stand in for ``numpy.core.multiarray.scalar``."""
    data = data.encode('latin1') if isinstance(data, str) else data
    _check((1,), kind, data)
    return np.frombuffer(data, kind.dtype)[0]


def _check(shape: Any, kind: Any, data: Any) -> None:
    """Refuse bytes that are not what shape and type say."""
    sizes = shape if isinstance(shape, tuple) and len(shape) <= 8 else (None,)
    if (
        not isinstance(kind, Kind)
        or not isinstance(data, bytes | bytearray)
        or not all(type(size) is int and 0 <= size < 2**40 for size in sizes)
        or math.prod(sizes) * kind.dtype.itemsize != len(data)
    ):
        raise pickle.UnpicklingError('a numpy array whose bytes do not fit its shape and type')


STAND_INS: dict[str, Any] = {
    'numpy.ndarray': Array,
    'numpy.dtype': Kind,
    **{
        f'numpy.{core}.{name}': stand_in
        for core in ('core', '_core')  # of numpy 1 and 2
        for name, stand_in in (
            ('multiarray._reconstruct', rebuild),
            ('multiarray.scalar', scalar),
            ('numeric._frombuffer', from_buffer),
        )
    },
}
"""What stands in for the names that pickled numpy data refer to."""
