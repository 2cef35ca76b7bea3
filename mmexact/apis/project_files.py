"""The files of a new project, and what its user is told about them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmexact.datasets.rasters.reader import RasterReader
from mmexact.datasets.splits import Split, count_classes, write_lists
from mmexact.masks.folder import whole_file

SHARES = dict(train=0.6, val=0.2, test=0.2)
"""Parts of the split and their shares of the windows."""

Found = list[tuple[str, str]]
"""What was found or chosen, after its name."""


def describe(
    area: Mapping[str, Any], reader: RasterReader, labels: Counter[str], split: Split
) -> Found:
    """Say what was found and chosen, by what it is."""
    first, last = (time.date() for time in (reader.times[0], reader.times[-1]))
    height, width = reader.size
    crs = reader.grid.crs
    step = f'{abs(reader.grid.transform.a):.3g}' + (' m' if crs and crs.is_projected else '')
    window, months = area['window_size'], (last - first).days / 30.4
    bands = area['search'].get('bands') or [f'all {reader.num_bands}']
    found = [
        ('dates', f'{len(reader.times)} from {first} to {last}'),
        ('bands', ', '.join(map(str, bands))),
        ('grid', f'{width} x {height} pixels of {step}, {crs.to_string() if crs else "no CRS"}'),
        ('labels', ', '.join(f'{name} {count}' for name, count in labels.most_common())),
        ('windows', f'{len(split.sample_ids)} of {window} x {window} pixels have labels'),
    ]
    if months > 15:
        found.append(('note', f'{months:.0f} months; --date-range can choose the season of a crop'))
    if 'clouds' in area['search']:
        found.append(('clouds', f'hidden where {area["search"]["clouds"]} says so'))
    dealt = count_classes(split.numbers, split.labels, len(SHARES))
    for title, row in zip(('windows in', *split.classes), dealt.T, strict=True):
        parts = ', '.join(f'{part} {number}' for part, number in zip(SHARES, row, strict=True))
        found.append((title, parts + ('' if row[0] else ': cannot be learned')))
    return found


def write_project(folder: Path, area: Mapping[str, Any], split: Split, found: Found) -> None:
    """Write the files of a project."""
    settings = dict(
        area,
        split={part: f'{{{{ fileDirname }}}}/splits/{part}.txt' for part in SHARES},
        work_dir='{{ fileDirname }}/results',
    )
    about = ''.join(f'{name}: {text}\n' for name, text in found[:4])
    lines = ''.join(f'    {key}={to_source(value, 8)},\n' for key, value in settings.items())
    text = (
        f'"""{folder.resolve().name}: a user\'s own area.\n\n{about}\n'
        f'mmexact.apis.areas says what the settings mean.\n"""\n\narea = dict(\n{lines})\n'
    )
    files = {'area.py': text}
    for stage in ('cls', 'seg'):
        base = f"['./area.py', 'mmexact::_base_/stages/{stage}_area.py']"
        files[f'{stage}.py'] = f'_base_ = {base}\n'
    for name, content in files.items():
        with whole_file(folder / name) as unfinished:
            unfinished.write_text(content, encoding='utf-8')
    lists = {
        part: [split.sample_ids[index] for index in np.flatnonzero(split.numbers == number)]
        for number, part in enumerate(SHARES)
    }
    write_lists(folder / 'splits', lists, overwrite=True)


def to_source(value: Any, indent: int) -> str:
    """Write a setting as Python, in lines of at most 100 characters where it has items."""
    if isinstance(value, Mapping):
        named = all(isinstance(key, str) and key.isidentifier() for key in value)
        items = [
            f'{key}={to_source(item, indent)}' if named else f'{key!r}: {to_source(item, indent)}'
            for key, item in value.items()
        ]
        opening, closing = ('dict(', ')') if named else ('{', '}')
    elif isinstance(value, list | tuple):
        items = [to_source(item, indent) for item in value]
        opening, closing = '[]' if isinstance(value, list) else '()'
        if len(items) == 1 and opening == '(':
            closing = ',)'
    else:
        return repr(value)
    text = f'{opening}{", ".join(items)}{closing}'
    if len(text) < 100 - 2 * indent:
        return text
    lines = ['']
    for item in items:
        if len(lines[-1]) + len(item) > 96 - indent:
            lines.append('')
        lines[-1] += f'{item}, '
    inside = ''.join(f'\n{" " * indent}{line.rstrip()}' for line in lines)
    return f'{opening}{inside}\n{" " * (indent - 4)}{closing}'
