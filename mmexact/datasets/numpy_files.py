"""Arrays in .npy files, of which little is read at a time."""

import os

import numpy as np

from mmexact.masks import whole_file


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
        return np.lib.format.open_memmap(path, mode='r')
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{os.path.abspath(path)}: no such file; is the download complete?'
        ) from None
    except ValueError as error:
        raise ValueError(
            f'{path}: not a complete .npy array ({os.path.getsize(path)} bytes, {error}); download '
            f'it again'
        ) from None


def save_array(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write a .npy file, whole or not at all."""
    with whole_file(path) as unfinished, open(unfinished, 'wb') as file:
        np.save(file, array)
