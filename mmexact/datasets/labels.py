"""Labels and sample ids in tables and lists, and labels renumbered."""

import csv
import os
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np
from mmengine import list_from_file

from mmexact.documents import expecting

T = TypeVar('T')


def read_table(
    path: str, columns: Mapping[str, str]
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read columns of a CSV file: UTF-8, separated by ',', ';' or tabs, with a header.

    Args:
        path: The file.
        columns: What a column holds, by its name; for the message.

    Returns:
        The names of all columns of the file; and per row its line in the file, and its cells of
        ``columns`` without spaces around them.
    """
    try:
        # The byte order mark is what spreadsheets put at the start.
        with open(path, encoding='utf-8-sig', newline='') as file:
            header = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=max(',;\t', key=header.count))
            found = [name.strip() for name in next(rows, [])]
            missing = [name for name in columns if name not in found]
            if missing:
                raise ValueError(
                    f'{path}: no column {missing[0]!r} among {found}; expected '
                    + ', '.join(f'{name} ({holds})' for name, holds in columns.items())
                )
            places = [found.index(name) for name in columns]
            return found, [
                (rows.line_num, [row[n].strip() if n < len(row) else '' for n in places])
                for row in rows
                if row
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f'{path}: cannot be read as a table: {error}; save it as CSV in UTF-8'
        ) from None


def read_image_labels(
    path: str, classes: Sequence[str], background: bool = True
) -> dict[str, np.ndarray]:
    """Read image-level labels from a CSV file with the columns ``sample_id`` and ``classes``.

    Args:
        path: The file. ``classes`` holds the names of the crops that occur, separated by ';';
            it may be empty.
        classes: Names of all classes.
        background: Whether the first class is the background, which no row may name.

    Returns:
        float32 (K,) by sample id, 1 for crops that occur.
    """
    _require(path, 'image_labels_file', 'a CSV file with the columns sample_id and classes')
    labels, crops = {}, tuple(classes[background:])
    columns = {'sample_id': 'of the window', 'classes': "names separated by ';'"}
    for line, (sample_id, listed) in read_table(path, columns)[1]:
        names = [name.strip() for name in listed.split(';') if name.strip()]
        unknown = set(names) - set(crops)
        if unknown:
            raise ValueError(
                f'{path}, line {line}: no such crop {sorted(unknown)}; expected names from {crops}'
            )
        labels[sample_id] = np.isin(crops, names).astype(np.float32)
    return labels


def find_code(codes: Mapping[str, T], value: str) -> T | None:
    """Return what belongs to a value: by the code itself, or by the longest that it begins with.

    Args:
        codes: What belongs to codes; '3301*' stands for all that begin with 3301.
        value: A value as text.
    """
    if value in codes:
        return codes[value]
    groups = [code for code in codes if code.endswith('*') and value.startswith(code[:-1])]
    return codes[max(groups, key=len)] if value and groups else None


def read_ids(path: str) -> list[str]:
    """Read the sample ids of an ``ann_file``, one per line."""
    _require(path, 'ann_file', 'a text file with one sample id per line')
    with expecting(path, 'UTF-8 text with one sample id per line'):
        return [line.strip() for line in list_from_file(path) if line.strip()]


def _require(path: str, setting: str, expected: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{os.path.abspath(path)}: no such {setting}; expected {expected}')


def check_ids(wanted: Collection[str], known: Collection[str], path: str) -> None:
    """Refuse sample ids of a file that are not in the data."""
    unknown = [sample_id for sample_id in wanted if sample_id not in known]
    if unknown:
        raise ValueError(
            f'{path}: {len(unknown)} of {len(wanted)} sample ids are not in the data, first '
            f'{unknown[0]!r}; expected ids such as {next(iter(known), None)!r}'
        )


def map_labels(mask: np.ndarray, label_map: dict[int, int] | None) -> np.ndarray:
    """Renumber a uint8 mask by MMSeg's ``label_map``; values outside the map stay."""
    if label_map is None:
        return mask
    table = np.arange(256, dtype=np.uint8)
    table[list(label_map)] = list(label_map.values())
    return table[mask]
