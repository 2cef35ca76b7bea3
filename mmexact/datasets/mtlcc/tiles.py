"""Tiles of MTLCC on disk: gzipped TFRecords of the download, or the pickles of TSViT's users.

A tile is one series of 240 m (24 x 24 pixels of 10 m) or 480 m. Its bands come in the three
resolutions of Sentinel-2, in this order: B4 B3 B2 B8 (10 m), B5 B6 B7 B8A B11 B12 (20 m),
B1 B9 B10 (60 m).
"""

import gzip
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mmexact.datasets.numpy_files import load_arrays
from mmexact.sits import check_days

BANDS = {
    'x10': ('B4', 'B3', 'B2', 'B8'),
    'x20': ('B5', 'B6', 'B7', 'B8A', 'B11', 'B12'),
    'x60': ('B1', 'B9', 'B10'),
}
"""Bands by the name of their array, in the order that read_bands keeps."""

TFRECORD, PICKLE = '.tfrecord.gz', '.pickle'
"""How names of tiles end."""

WAY_OUT = 'download the tile again, or move it away: tiles that are not there are left out'


@dataclass(frozen=True)
class TileFacts:
    """Dates and mask of a tile.

    Attributes:
        days: int16 (T,), days of year 1..366, in the order of the file, padded dates left out.
        codes: uint8 (h, w), what grows there; 0 unknown.
        codes_repeat: Whether all dates have the same codes.
    """

    days: np.ndarray
    codes: np.ndarray
    codes_repeat: bool


def load_tile(path: str) -> tuple[dict[str, np.ndarray], TileFacts]:
    """Read a tile in either format.

    Returns:
        Its bands by resolution ('x10', 'x20', 'x60'), int (T, h, w, bands), and the rest.
    """
    if path.endswith(PICKLE):
        hint = ' as TSViT converts MTLCC (PASTIS24 is read by PASTIS24Dataset)'
        arrays = load_arrays(path, (*BANDS, 'labels', 'day'), 'iu', hint)
    else:
        arrays = _load_tfrecord(path)
    _check_shapes(arrays, path)
    observed = arrays['day'] > 0  # the series of the download are padded to one length
    days = arrays['day'][observed]
    check_days(days, path)
    codes = arrays['labels'][observed]
    facts = TileFacts(
        days.astype(np.int16),
        codes[0].clip(0, 255).astype(np.uint8),  # there are no codes outside: unlisted is unlisted
        bool((codes == codes[0]).all()),
    )
    return {name: arrays[name][observed] for name in BANDS}, facts


def read_bands(path: str, dates: np.ndarray) -> np.ndarray:
    """Read some dates of a tile, its 13 bands at 10 m: int16 (T', 13, h, w) digital numbers.

    Bands of 20 and 60 m are enlarged bilinearly between the centres of their pixels
    (``align_corners=False``) and rounded. Digital numbers above 32767 become 32767.
    """
    bands, facts = load_tile(path)
    size, planes = facts.codes.shape, []
    for array in bands.values():
        values = torch.from_numpy(array[dates].astype(np.float32)).movedim(-1, 1)
        if values.shape[-2:] != size:
            values = F.interpolate(values, size=size, mode='bilinear', align_corners=False)
        planes.append(values.round_().clamp_(-32768, 32767).short())
    return torch.cat(planes, dim=1).numpy()


def _check_shapes(arrays: Mapping[str, np.ndarray], path: str) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    dates = shapes['day'][:1]
    fits = (
        len(shapes['day']) == 1
        and len(shapes['labels']) == 3
        and shapes['x10'][:3] == shapes['labels']
        and all(
            len(shapes[name]) == 4 and shapes[name][::3] == (*dates, len(BANDS[name]))
            for name in BANDS
        )
    )
    if not fits:
        raise ValueError(
            f'{path}: shapes {shapes}; expected x10 (T, h, w, 4), x20 (T, h / 2, w / 2, 6), x60 '
            f'(T, h / 6, w / 6, 3), labels (T, h, w) and day (T,)'
        )


def _load_tfrecord(path: str) -> dict[str, np.ndarray]:
    features = _example(path).features.feature
    days = 'dates/doy', 'dates/shape'
    places = {name: (f'{name}/data', f'{name}/shape') for name in (*BANDS, 'labels')}
    missing = {key for pair in (*places.values(), days) for key in pair} - set(features)
    if missing:
        raise ValueError(
            f'{path}: no feature {sorted(missing)}, found {sorted(features)}; expected a tile of '
            f'MTLCC'
        )
    arrays = {}
    for name, (data, shape) in (places | {'day': days}).items():
        content = b''.join(features[data].bytes_list.value)
        sides = tuple(features[shape].int64_list.value)
        if len(content) != 8 * int(np.prod(sides)):
            raise ValueError(
                f'{path}: {data} has {len(content)} bytes, but {shape} is {sides}; expected 8 '
                f'bytes (int64) per value'
            )
        arrays[name] = np.frombuffer(content, dtype='<i8').reshape(sides)
    return arrays


def _example(path: str) -> Any:
    """Parse the only record of a TFRecord file.

    The package's own reader unpacks a gzipped file twice, once to learn its length. The checksum
    of gzip makes those of the record superfluous.
    """
    try:
        from google.protobuf.message import DecodeError
        from tfrecord.example_pb2 import Example
    except ImportError as error:
        raise ImportError(
            f'{path}: tiles in TFRecords need the package tfrecord ({error}): pip install '
            f"'mmexact[mtlcc]', or set data_root of MTLCCDataset to tiles in pickles (240pkl)"
        ) from error
    try:
        with open(path, 'rb') as file:
            content = gzip.decompress(file.read())
    except FileNotFoundError:
        raise FileNotFoundError(f'{os.path.abspath(path)}: no such file') from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f'{path}: truncated or damaged, {os.path.getsize(path)} bytes ({error}): {WAY_OUT}'
        ) from None
    length = struct.unpack('<Q', content[:8])[0] if len(content) >= 8 else 0
    # A record is its length (8 bytes) and a checksum (4), the data, and another checksum (4).
    if length == 0 or len(content) < length + 16:
        raise ValueError(
            f'{path}: {len(content)} bytes unpacked, expected one record of {length} and 16 bytes '
            f'around it: {WAY_OUT}'
        )
    try:
        return Example.FromString(content[12 : 12 + length])
    except DecodeError as error:
        raise ValueError(f'{path}: not a TFRecord of examples ({error}): {WAY_OUT}') from None
