"""JSON and other text out of files: whatever is wrong in it ends in a sentence with the file."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WRONG = (
    *(KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError),
    *(RecursionError, csv.Error),
)
"""What looking into a document raises where it holds something else; UnicodeDecodeError and
JSONDecodeError are ValueErrors."""


@contextmanager
def expecting(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Turn what goes wrong with the contents of a file into a ValueError that names it.

    Args:
        path: The file; errors that name it already stay as they are.
        what: What should be in it.
    """
    try:
        yield
    except WRONG as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(
            f'{path}: damaged ({type(error).__name__}: {error}); expected {what}'
        ) from error


def read_json(path: str | os.PathLike[str], what: str) -> Any:
    """Read a JSON file in UTF-8; see :func:`expecting`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no JSON.
    """
    with expecting(path, what), open(path, encoding='utf-8') as file:
        return json.load(file)
