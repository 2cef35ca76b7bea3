"""Numpy data on disk: .npy files, of which little is read at a time, and pickles from elsewhere.

Pickles are read without running code: numpy data and Python's own containers.
"""

import os
import pickle
from collections.abc import Sequence
from tokenize import TokenError
from typing import Any

import numpy as np

from mmexact.masks import whole_file
from mmexact.pickle_bounds import check_size
from mmexact.plain_numpy import STAND_INS

HEADER = (
    *(ValueError, TypeError, SyntaxError, TokenError, OverflowError, EOFError, RecursionError),
    *(MemoryError, AttributeError, KeyError),
)
"""What numpy raises over the header of a file, a piece of Python, that is damaged."""


def map_array(path: str, ahead: bool = False) -> np.ndarray:
    """Map the array in a .npy file into memory; what is looked at is read from the file.

    Args:
        path: The file.
        ahead: Have the system read all of it if it is not in memory yet: for the many small pieces
            of a window that takes less time, and the next windows find them there.

    Returns:
        The array, read-only.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated, or holds something else than numbers.
    """
    try:
        if ahead and hasattr(os, 'posix_fadvise'):  # Linux has it
            with open(path, 'rb') as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        array = np.lib.format.open_memmap(path, mode='r')
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{os.path.abspath(path)}: no such file; is the download complete?'
        ) from None
    except HEADER as error:
        raise ValueError(
            f'{path}: not a complete .npy array ({os.path.getsize(path)} bytes, {error}); download '
            f'it again'
        ) from None
    if array.dtype.kind not in 'biuf':
        raise ValueError(f'{path}: holds values of type {array.dtype}; expected real numbers')
    return array


def save_array(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write a .npy file, whole or not at all."""
    with whole_file(path) as unfinished, open(unfinished, 'wb') as file:
        np.save(file, array)


def _encode(text: str, _encoding: str = 'latin1') -> bytes:
    """Stand in for ``codecs.encode``, through which protocols 0 to 2 write the bytes of arrays."""
    return text.encode('latin1')


def _no_bytes(*_args: Any) -> bytes:
    """Stand in for ``bytes``, which protocols 0 to 2 call for none at all."""
    return b''


PLAIN = STAND_INS | {'_codecs.encode': _encode, '__builtin__.bytes': _no_bytes}
"""What pickles may refer to."""


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
            check_size(file)
            file.seek(0)
            return _PlainUnpickler(file, encoding='latin1').load()
    except FileNotFoundError:
        raise FileNotFoundError(f'{os.path.abspath(path)}: no such file') from None
    # A damaged stream can end in any of the errors that the documentation of pickle lists.
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise ValueError(f'{path}: not a pickle of plain numpy data: {error}') from error
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError, RecursionError) as error:
        raise ValueError(f'{path}: damaged pickle: {error or type(error).__name__}') from error


def load_arrays(
    path: str, names: Sequence[str], kinds: str, hint: str = ''
) -> dict[str, np.ndarray]:
    """Load arrays by their names from a pickled dict; see :func:`load_plain_pickle`.

    Args:
        path: The file.
        names: Which arrays.
        kinds: Kinds of types that they may have, as in ``numpy.dtype.kind``.
        hint: What else to say about files with other contents.
    """
    sample = load_plain_pickle(path)
    if not isinstance(sample, dict) or not set(names) <= set(sample):
        found = sorted(map(str, sample)) if isinstance(sample, dict) else type(sample).__name__
        raise ValueError(f'{path}: found {found}; expected a dict with {", ".join(names)}{hint}')
    arrays, expected = {}, 'numbers' if 'f' in kinds else 'integers'
    for name in names:
        value = sample[name]
        if isinstance(value, list) and not all(isinstance(one, int | float) for one in value):
            raise ValueError(f'{path}: {name} is a list of other things than {expected}')
        if not isinstance(value, list | np.ndarray | np.generic | int | float):
            raise ValueError(f'{path}: {name} is a {type(value).__name__}; expected {expected}')
        arrays[name] = np.asarray(value)
        if arrays[name].dtype.kind not in kinds:
            kind = arrays[name].dtype
            raise ValueError(f'{path}: {name} is of type {kind}; expected {expected}')
    return arrays
