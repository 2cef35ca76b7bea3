"""Tell a file that is whole from one that was cut off or damaged, by reading it."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

from mmexact.gdal_files import open_gdal


def _read_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _read_raster(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with open_gdal(path) as file:
            for _, window in file.block_windows(1):
                file.read(window=window)


def _read_array(path: Path) -> None:
    np.lib.format.open_memmap(path, mode='r')  # compares header and size


def _read_xml(path: Path) -> None:
    ElementTree.parse(path)


def _read_json(path: Path) -> None:
    json.loads(path.read_text(encoding='utf-8'))


READERS: dict[str, Callable[[Path], None]] = {
    '.png': _read_picture,
    '.tif': _read_raster,
    '.npy': _read_array,
    '.json': _read_json,
    '.geojson': _read_json,
    '.xml': _read_xml,
    '.qml': _read_xml,
}
"""By ending of the name; other files are not looked at."""


def flaw(path: Path, ending: str | None = None) -> str | None:
    """Say what is wrong with a file, None where it is whole.

    Args:
        path: A file that exists.
        ending: Of the name that it will have; that of ``path`` by default.
    """
    reader = READERS.get((path.suffix if ending is None else ending).lower())
    try:
        if reader is not None:
            reader(path)
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # ParseError is a SyntaxError
        return f'cannot be read back ({error})'
    return None
