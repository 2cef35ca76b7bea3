"""Image-level labels of windows, and an account of what could not be used for them."""

import logging
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import shapely
from geopandas import GeoDataFrame
from mmengine.logging import print_log
from pyproj import CRS

from mmexact.datasets.labels import find_code
from mmexact.datasets.weak_labels.files import Bounds, read_labels
from mmexact.datasets.weak_labels.places import Area, in_windows, occurrences, repair
from mmexact.datasets.weak_labels.settings import LabelSettings
from mmexact.sits import IGNORED, Window

UNKNOWN, NAMELESS = -1, -2
"""Instead of a class."""

PLACES = ('Point', 'MultiPoint', 'Polygon', 'MultiPolygon', 'GeometryCollection')
"""Kinds of geometries that say where a class occurs; lines do not."""

LISTED = 10
"""Unknown names that a message lists, most frequent first."""


def label_windows(
    settings: LabelSettings,
    classes: Sequence[str],
    background: bool,
    areas: Sequence[Area],
    chosen: Collection[tuple[str, Window]],
) -> dict[tuple[str, Window], np.ndarray]:
    """Find out which crops occur in which window, and log what the labels amount to.

    Args:
        settings: The file of labels, and how to read it.
        classes: Names of all classes.
        background: Whether the first class is the background; the others are crops.
        areas: All windows; a label counts for every area that it lies in.
        chosen: The windows in use, by name of the area.

    Returns:
        For the chosen windows in which a class, maybe the background, is known to occur: float32
        (K,), 1 for crops that do.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file or a setting does not fit, no label lies in a window, no chosen window
            has a label, or there are problems and they are to be errors.
    """
    numbers = _class_numbers(settings, classes)
    other = UNKNOWN if settings.other_codes is None else numbers[settings.other_codes]
    labels, total = read_labels(settings, lambda crs: _bounds(areas, crs))
    found = {name: find_code(numbers, name) for name in labels['name'].unique()} | {'': NAMELESS}
    labels['number'] = labels['name'].map(found).fillna(other).astype(int)
    labels['placed'] = labels.geom_type.isin(PLACES) & ~labels.is_empty
    labels['inside'] = labels['timely'] = False
    parts = labels[labels['placed']].rename_axis('label')
    num_repaired = repair(parts)
    parts = parts.explode().reset_index()
    scores = {}
    for area in areas:
        touching = in_windows(parts, area)
        labels.loc[touching['label'], 'inside'] = True
        touching = touching[area.is_timely(touching, len(settings.date_columns))]
        labels.loc[touching['label'], 'timely'] = True
        occurs = occurrences(touching, area, len(classes), settings.min_share)
        for window, occur in zip(area.windows, occurs, strict=True):
            if occur.any():
                scores[area.name, window] = occur[background:].astype(np.float32)
    if not labels['inside'].any():
        raise ValueError(_nothing_inside(settings, areas))
    scores = {key: scores[key] for key in chosen if key in scores}
    other_name = classes[0] if background else 'ignored'
    used, problems, notes = _account(labels, total, bool(settings.date_columns), other_name)
    if len(scores) < len(chosen):
        problems.append(f'windows without a label, left out: {len(chosen) - len(scores)}')
    if num_repaired:
        notes.append(f'invalid polygons, repaired: {num_repaired}')
    if problems and settings.problems == 'error':
        raise ValueError(
            f'{settings.file}: {"; ".join(problems)}; correct the file, or set '
            f"labels.problems='report' to go on with the rest"
        )
    if not scores:
        raise ValueError(
            f'{settings.file}: no window has a label; {"; ".join(problems + notes)}; the classes '
            f'are {tuple(classes)}'
        )
    totals = np.sum(list(scores.values()), axis=0).astype(int)
    lines = [
        f'{settings.file}: {used} of {total} labels tell about {len(scores)} of {len(chosen)} '
        f'windows',
        'windows by crop: ' + ', '.join(map('{} {}'.format, classes[background:], totals)),
        *problems,
        *notes,
    ]
    print_log('\n  '.join(lines), 'current', logging.WARNING if problems else logging.INFO)
    return scores


def _class_numbers(settings: LabelSettings, classes: Sequence[str]) -> dict[str, int]:
    """Map what the class column may hold, as text, to classes, 255 for ignored."""
    names = {name: index for index, name in enumerate(classes)} | {'ignored': IGNORED}
    for name in (*settings.codes.values(), *filter(None, [settings.other_codes])):
        if name not in names:
            raise ValueError(f'labels.codes: no such class {name!r}; expected one of {list(names)}')
    return names | {str(code).strip(): names[name] for code, name in settings.codes.items()}


def _bounds(areas: Sequence[Area], crs: CRS) -> Bounds:
    left, bottom, right, top = shapely.total_bounds([shapely.box(*a.bounds(crs)) for a in areas])
    return left, bottom, right, top


def _nothing_inside(settings: LabelSettings, areas: Sequence[Area]) -> str:
    labels, _ = read_labels(settings)
    found = 'has no label with a place'
    if np.isfinite(labels.total_bounds).all():
        found = f'none of its labels lies in the rasters: they span {_span(labels.total_bounds)}'
    bounds = ', '.join(f'{area.name} {_span(area.bounds(labels.crs))}' for area in areas)
    return (
        f'{settings.file}: {found}; the rasters span {bounds} in the CRS of the labels, '
        f'{labels.crs.name}; check labels.crs, and for a CSV file that labels.coordinates names x '
        f'(longitude) before y (latitude)'
    )


def _span(bounds: Bounds) -> str:
    left, bottom, right, top = bounds
    return f'x {left:.8g} to {right:.8g}, y {bottom:.8g} to {top:.8g}'


def _account(
    labels: GeoDataFrame, total: int, dated: bool, other: str
) -> tuple[int, list[str], list[str]]:
    """Count the labels that are used, and say why others cannot be, and which were not needed."""
    # Of labels that were not read nothing tells why they are not there.
    or_empty = ', or without a geometry' if total > len(labels) else ''
    outside = f'outside the windows of the rasters{or_empty}'
    unknown, other_time = 'of unknown classes', 'of another time than the series'
    is_unknown = labels['number'] == UNKNOWN
    reasons = {
        'without a place (no point and no polygon)': ~labels['placed'],
        outside: ~labels['inside'],
        'without a class': labels['number'] == NAMELESS,
        unknown: is_unknown,
        'without a date': labels['start'].isna() & dated,
        other_time: ~labels['timely'],
        'ignored': labels['number'] == IGNORED,
    }
    first = np.select(list(reasons.values()), list(reasons), 'used')
    counts = Counter(first.tolist()) + Counter({outside: total - len(labels)})
    lines = {reason: f'labels {reason}: {counts[reason]}' for reason in reasons if counts[reason]}
    if unknown in lines:
        names = Counter(labels.loc[is_unknown & labels['inside'], 'name']).most_common()
        listed = [f'{name!r} {count}' for name, count in names[:LISTED]]
        listed += ['...'] * (len(names) > LISTED)
        lines[unknown] += (
            f' ({", ".join(listed)}); add them to labels.codes or to metainfo.classes, or set '
            f'labels.other_codes={other!r}'
        )
    lines.pop('ignored', None)
    notes = [lines.pop(other_time)] if other_time in lines else []
    return counts['used'], list(lines.values()), notes
