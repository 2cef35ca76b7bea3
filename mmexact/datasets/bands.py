"""Names of bands that are common in the field, and which of them mean the same band."""

import re
from collections.abc import Sequence

SAME = (
    ('b1', 'coastal', 'coastalaerosol'),
    ('b2', 'blue'),
    ('b3', 'green'),
    ('b4', 'red'),
    ('b5', 'rededge', 'rededge1', 'rededge071', 're1'),
    ('b6', 'rededge2', 'rededge074', 're2'),
    ('b7', 'rededge3', 'rededge078', 're3'),
    ('b8', 'nir', 'nir1', 'nearinfrared'),
    ('b8a', 'nir08', 'nir2', 'narrownir', 'nirnarrow'),
    ('b9', 'nir09', 'watervapour', 'watervapor'),
    ('b10', 'cirrus'),
    ('b11', 'swir1', 'swir16'),
    ('b12', 'swir2', 'swir22'),
)
"""Sentinel-2's numbers, colours, and the common names of STAC, which Landsat has as well.

Landsat's own numbers mean other bands on each of its satellites, so they are left out.
"""

NARROW = {'b8': 'b8a'}
"""What stands for a band that is not there: Landsat and HLS have the narrow near infrared only."""


def find_band(names: Sequence[str] | None, wanted: str) -> int | None:
    """Find a band by any of its names, such as 'red', 'B4', 'B04_10m' or 'band 4'.

    Args:
        names: Names of the bands of the data, None where they have none.
        wanted: A name of the band.

    Returns:
        Index of the band, None where the data have no such band.
    """
    found = [_number(name) for name in names or ()]
    number = _number(wanted)
    for one in (number, NARROW.get(number)):
        if one in found:
            return found.index(one)
    return None


def find_reflectances(names: Sequence[str] | None) -> list[int]:
    """Find the bands that are known as reflectances; an index, a radar or an elevation is not."""
    known = {spellings[0] for spellings in SAME}
    return [index for index, name in enumerate(names or ()) if _number(name) in known]


def _number(name: str) -> str:
    """Return Sentinel-2's number of a band, in lower case; other names without separators."""
    text = re.sub(r'[_\s-]\d+m$', '', name.strip().lower())  # the resolution, as in B04_10m
    text = re.sub(r'[^a-z0-9]', '', text)
    text = re.sub(r'^b(and)?0*(?=\d)', 'b', text)
    return next((names[0] for names in SAME if text in names), text)
