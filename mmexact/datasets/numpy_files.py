"""Numpy data in files from elsewhere: .npy files mapped, pickles read without running code."""

import os
import pickle
from typing import Any

import numpy as np


def open_npy(path: str) -> np.ndarray:
    """Map a .npy file into memory without reading it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated or no plain array.
    """
    try:
        return np.load(path, mmap_mode='r')
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{os.path.abspath(path)}: no such file; is the download complete?'
        ) from None
    except (ValueError, EOFError) as error:
        raise ValueError(
            f'{path}: not a complete .npy array ({_npy_size(path)}); download it again'
        ) from error


def _npy_size(path: str) -> str:
    """Say how many bytes a .npy file has and how many its header promises."""
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
        try:
            version = np.lib.format.read_magic(file)
            read = getattr(np.lib.format, f'read_array_header_{version[0]}_{version[1]}')
            shape, _, dtype = read(file)
        except (ValueError, EOFError, AttributeError):
            return f'{size} bytes, no readable header'
        expected = file.tell() + int(np.prod(shape)) * dtype.itemsize
    return f'{size} bytes, expected {expected} for {shape} of type {dtype}'


def _encode(text: str, _encoding: str = 'latin1') -> bytes:
    """Stand in for ``codecs.encode``, through which protocols 0 to 2 write the bytes of arrays."""
    return text.encode('latin1')


_ARRAY, _SCALAR = np.empty(0).__reduce__()[0], np.int16(0).__reduce__()[0]
_BUFFER = np.empty(0).__reduce_ex__(5)[0]

PLAIN: dict[str, Any] = {
    'numpy.ndarray': np.ndarray,
    'numpy.dtype': np.dtype,
    'numpy.core.multiarray._reconstruct': _ARRAY,
    'numpy.core.multiarray.scalar': _SCALAR,
    'numpy.core.numeric._frombuffer': _BUFFER,
    'numpy._core.multiarray._reconstruct': _ARRAY,
    'numpy._core.multiarray.scalar': _SCALAR,
    'numpy._core.numeric._frombuffer': _BUFFER,
    '_codecs.encode': _encode,
}
"""What pickled numpy arrays, types and scalars refer to, before and after numpy 2."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = PLAIN.get(f'{module}.{name}')
        if found is None:
            raise pickle.UnpicklingError(
                f'it refers to {module}.{name}, but only numpy arrays and scalars, strings and '
                f'containers are read, because a pickle can run any code'
            )
        return found


def load_plain_pickle(path: str) -> Any:
    """Load a pickle that holds nothing but numpy data and Python's own containers.

    Pickles of Python 2 are read as well.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, or refers to anything else; nothing of it is executed.
    """
    try:
        with open(path, 'rb') as file:
            return _PlainUnpickler(file, encoding='latin1').load()
    except FileNotFoundError:
        raise FileNotFoundError(f'{os.path.abspath(path)}: no such file') from None
    # A damaged stream can end in any of the errors that the documentation of pickle lists.
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise ValueError(f'{path}: not a pickle of plain numpy data: {error}') from error
    except (ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: damaged pickle: {error}') from error
