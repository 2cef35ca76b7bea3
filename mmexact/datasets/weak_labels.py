"""Image-level labels of windows from points and polygons, and what could not be used of them."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmexact.datasets.label_places import (
    Area,
    LabelPlaces,
    LabelSettings,
    points_in_windows,
    read_points,
)
from mmexact.sits import IGNORED

UNKNOWN, NAMELESS = -1, -2
"""Instead of a class."""

LISTED = 10
"""Unknown names that a message lists, most frequent first."""


@dataclass(frozen=True)
class WeakLabels:
    """What a file of labels says about the windows of all areas.

    Attributes:
        path: The file.
        classes: Names of all classes.
        crops: Names of the K crops, which are the last of the classes.
        scores: By area, float32 (windows, K), 1 for crops that occur.
        labelled: By area, bool (windows,), where a class, maybe the background, is known to occur.
        num_labels: Labels in the file.
        num_used: Labels of known classes that lie in a window, at its time.
        problems: What cannot be used, in words.
        notes: What else there is to know, in words.
    """

    path: str
    classes: tuple[str, ...]
    crops: tuple[str, ...]
    scores: dict[str, np.ndarray]
    labelled: dict[str, np.ndarray]
    num_labels: int
    num_used: int
    problems: list[str]
    notes: list[str]


def read_weak_labels(
    path: str,
    settings: LabelSettings,
    classes: Sequence[str],
    areas: Sequence[Area],
    background: bool = True,
) -> WeakLabels:
    """Read a file of labels and find out which crops occur in which window.

    Args:
        path: The file that ``settings.file`` names.
        settings: How to read it.
        classes: Names of all classes.
        areas: The windows; a label counts for every area that it lies in.
        background: Whether the first class is the background; the others are crops.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file or a setting does not fit, or no label lies in a window.
        ImportError: It is a vector file, and the packages to read it are missing.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(
            f'{os.path.abspath(path)}: no such file (labels.file); expected a CSV file of points, '
            f'or a vector file of points or polygons'
        )
    table = class_table(settings, classes)
    if settings.is_table:
        places = read_points(path, settings)
    else:
        places = _vector_functions(path).read_vector(path, settings, areas)
    other = UNKNOWN if settings.other_codes is None else table[settings.other_codes]
    label_classes = np.array(
        [table.get(name, other) if name else NAMELESS for name in places.names], dtype=int
    )
    inside, in_time = np.zeros((2, len(label_classes)), dtype=bool)
    scores: dict[str, np.ndarray] = {}
    labelled: dict[str, np.ndarray] = {}
    for area in areas:
        timely = _timely(places, area)
        usable = np.where(timely & (label_classes != IGNORED), label_classes, UNKNOWN)
        occurs, touching = _occurrences(
            path, places, area, usable, len(classes), settings.min_share
        )
        inside[touching] = True
        in_time[touching] |= timely[touching]
        scores[area.name] = occurs[:, background:].astype(np.float32)
        labelled[area.name] = np.asarray(occurs.any(1))
    if not inside.any():
        raise ValueError(_nothing_inside(path, places, areas))
    known = inside & (label_classes >= 0)
    return WeakLabels(
        path=path,
        classes=tuple(classes),
        crops=tuple(classes[background:]),
        scores=scores,
        labelled=labelled,
        num_labels=len(label_classes) + places.num_distant,
        num_used=int((known & in_time & (label_classes != IGNORED)).sum()),
        problems=_problems(places, label_classes, inside),
        notes=_notes(places, known & ~in_time),
    )


def class_table(settings: LabelSettings, classes: Sequence[str]) -> dict[str, int]:
    """Map what the class column may hold, as text, to classes, 255 for ignored.

    Raises:
        ValueError: A setting names a class that there is not.
    """
    names = {name: index for index, name in enumerate(classes)} | {'ignored': IGNORED}
    for name in (*settings.codes.values(), *filter(None, [settings.other_codes])):
        if name not in names:
            raise ValueError(f'labels.codes: no such class {name!r}; expected one of {list(names)}')
    return names | {str(code).strip(): names[name] for code, name in settings.codes.items()}


def _vector_functions(path: str) -> Any:
    try:
        from mmexact.datasets import vector_labels
    except ImportError as error:
        raise ImportError(
            f'{path} (labels.file) is a vector file, and the package {error.name} to read it is '
            f"missing: pip install 'mmexact[vector]', or export points as CSV"
        ) from error
    return vector_labels


def _timely(places: LabelPlaces, area: Area) -> np.ndarray:
    """Tell which labels hold at the time of a series, bool (N,)."""
    if places.days is None:
        return np.ones(len(places.names), dtype=bool)
    return np.array([area.is_timely(day) for day in places.days], dtype=bool)


def _occurrences(
    path: str,
    places: LabelPlaces,
    area: Area,
    label_classes: np.ndarray,
    num_classes: int,
    min_share: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Find out where classes occur, bool (windows, classes), and which labels lie in a window."""
    occurs = np.zeros((len(area.windows), num_classes), dtype=bool)
    windows, touching = points_in_windows(places, area)
    good = label_classes[touching] >= 0
    occurs[windows[good], label_classes[touching[good]]] = True
    if len(places.polygons):
        vector = _vector_functions(path)
        windows, labels, parts = vector.polygons_in_windows(places, area)
        good = label_classes[labels] >= 0
        groups = windows[good] * num_classes + label_classes[labels[good]]
        height, width = area.windows[-1][2:]
        occurs.flat[vector.covered(groups, parts[good], min_share * height * width)] = True
        touching = np.concatenate([touching, labels])
    return occurs, touching


def _nothing_inside(path: str, places: LabelPlaces, areas: Sequence[Area]) -> str:
    found = 'has no label with a place'
    if places.span is not None:
        found = f'none of its labels lies in the rasters: they span {_span(places.span)}'
    bounds = ', '.join(f'{area.name} {_span(area.bounds(places.crs))}' for area in areas)
    return (
        f'{path}: {found}; the rasters span {bounds} in the CRS of the labels, {places.crs}; check '
        f'labels.crs, and for a CSV file that labels.coordinates names x (longitude) before y '
        f'(latitude)'
    )


def _span(bounds: tuple[float, float, float, float]) -> str:
    left, bottom, right, top = bounds
    return f'x {left:.8g} to {right:.8g}, y {bottom:.8g} to {top:.8g}'


def _problems(places: LabelPlaces, label_classes: np.ndarray, inside: np.ndarray) -> list[str]:
    placed = np.zeros(len(inside), dtype=bool)
    placed[places.point_labels] = placed[places.polygon_labels] = True
    undated = np.zeros(len(inside), dtype=bool)
    if places.days is not None:
        undated = inside & np.array([day is None for day in places.days])
    unknown = Counter(
        places.names[index] for index in (inside & (label_classes == UNKNOWN)).nonzero()[0]
    )
    listed = ', '.join(f'{name!r} {count}' for name, count in unknown.most_common(LISTED))
    outside = 'outside the windows of the rasters'
    if places.num_distant:  # not read, so that nothing tells which
        outside += ', or without a geometry'
    counted = {
        outside: places.num_distant + int((placed & ~inside).sum()),
        'without a place (no point and no polygon)': int((~placed).sum()),
        'without a class': int((inside & (label_classes == NAMELESS)).sum()),
        f'of unknown classes ({listed}{", ..." if len(unknown) > LISTED else ""})': unknown.total(),
        'without a date': int((undated & (label_classes >= 0)).sum()),
    }
    return [f'{_count(number, "label")} {what}' for what, number in counted.items() if number]


def _notes(places: LabelPlaces, untimely: np.ndarray) -> list[str]:
    notes = []
    if places.days is not None:
        late = sum(places.days[index] is not None for index in np.flatnonzero(untimely))
        if late:
            notes.append(f'{_count(late, "label")} of another time than the series')
    if places.num_repaired:
        notes.append(f'{_count(places.num_repaired, "invalid polygon")} repaired')
    return notes


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'


def report(
    weak: WeakLabels,
    settings: LabelSettings,
    scores: Sequence[np.ndarray],
    num_windows: int,
) -> None:
    """Log in one message what the labels amount to.

    Args:
        weak: The labels.
        settings: Whether problems are errors.
        scores: Of the windows that have labels, (K,) each.
        num_windows: Windows of the dataset, with labels or without.

    Raises:
        ValueError: No window has a label, or there are problems and they are to be errors.
    """
    problems = list(weak.problems)
    if len(scores) < num_windows:
        problems.append(
            f'{_count(num_windows - len(scores), "window")} without a label, which '
            f'{"is" if num_windows - len(scores) == 1 else "are"} left out'
        )
    if settings.problems == 'error' and problems:
        raise ValueError(
            f'{weak.path}: {"; ".join(problems)}; correct the file, add names to labels.codes, or '
            f"set labels.problems='report' to go on with the rest"
        )
    if not scores:
        raise ValueError(
            f'{weak.path}: no window has a label; {"; ".join([*problems, *weak.notes])}; expected '
            f'classes {weak.classes}: set labels.codes to name others'
        )
    totals = np.sum(scores, axis=0).astype(int)
    by_class = ', '.join(f'{name} {total}' for name, total in zip(weak.crops, totals, strict=True))
    lines = [
        f'{weak.path}: {weak.num_used} of {_count(weak.num_labels, "label")} tell about '
        f'{len(scores)} of {_count(num_windows, "window")}',
        f'windows by crop: {by_class}',
        *problems,
        *weak.notes,
    ]
    print_log('\n  '.join(lines), 'current', logging.WARNING if problems else logging.INFO)
