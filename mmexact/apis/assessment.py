"""A finished map against reference points: tables, a plot and a page."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from geopandas import GeoDataFrame
from matplotlib.figure import Figure

from mmexact.apis.class_map import ClassMap
from mmexact.datasets.weak_labels.files import read_labels
from mmexact.datasets.weak_labels.settings import LabelSettings
from mmexact.evaluation.area_estimates import Assessment, Estimate, assess
from mmexact.masks.folder import whole_file, write_json
from mmexact.masks.maps import pixel_hectares
from mmexact.sits import IGNORED
from mmexact.visualization.figures import new_figure
from mmexact.visualization.pages import write_page


@dataclass
class Reference:
    """Reference points on a map.

    Attributes:
        class_map: The map.
        mapped: (P,) class of the map at each point, an index into ``names``.
        given: (P,) class of the reference.
        names: Of all classes, those of the map first.
        points: Where they lie, in the map's CRS.
        drawn_on: The map in whose classes they were drawn.
        strata: (P,) class of that map at each point.
        dropped: How many points cannot be used, by reason.
    """

    class_map: ClassMap
    mapped: np.ndarray
    given: np.ndarray
    names: list[str]
    points: GeoDataFrame
    drawn_on: ClassMap
    strata: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)


def read_reference(
    class_map: ClassMap, settings: LabelSettings, drawn_on: ClassMap | None = None
) -> Reference:
    """Read reference points and what the map says there.

    Args:
        class_map: The map.
        settings: The file of the points, and how to read it.
        drawn_on: The map in whose classes the points were drawn, where it is another one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It does not fit, or no point lies on the map.
    """
    labels = read_labels(settings)[0]
    unusable = labels.geometry.isna() | (labels['name'] == '')
    dropped = {'without place or class': int(unusable.sum())}
    points = labels[~unusable].to_crs(class_map.crs)
    if kinds := sorted({*points.geom_type} - {'Point'}):
        raise ValueError(
            f'{settings.file}: geometries are {kinds}; expected points, drawn at random '
            f'(tools/analysis_tools/sample_map.py draws them)'
        )
    values = class_map.sample(points)
    strata = values if drawn_on is None else drawn_on.sample(points.to_crs(drawn_on.crs))
    on_map = (values != IGNORED) & (strata != IGNORED)
    dropped['outside the map or on no data'] = int((~on_map).sum())
    points, values, strata = points[on_map], values[on_map], strata[on_map]
    if not len(points):
        raise ValueError(
            f'{settings.file}: none of {len(labels)} points lies on {class_map.path} ({dropped}); '
            f'are CRS and area the same?'
        )
    counts = class_map.count()[0]
    names = [class_map.names[value] for value in np.flatnonzero(counts).tolist()]
    # A class that the map lacks is a class all the same: the map is always wrong about it.
    names += sorted({*points['name']} - {*names})
    mapped = np.array([names.index(class_map.names[value]) for value in values])
    given = np.array([names.index(name) for name in points['name']])
    strata_of = drawn_on or class_map
    return Reference(class_map, mapped, given, names, points, strata_of, strata, dropped)


def assess_points(
    reference: Reference,
    pixels: np.ndarray,
    sizes: np.ndarray,
    chosen: np.ndarray | None = None,
) -> tuple[Assessment | None, dict[str, float]]:
    """Assess a map, or the part in which the ``chosen`` points (P,) bool lie.

    Strata with less than two points say nothing about their area, which is left out.

    Args:
        reference: The points.
        pixels: (255,) of the part by value of the map.
        sizes: (255,) of the part by value of the map that the points were drawn on.
        chosen: Which points lie in it; by default all.

    Returns:
        The assessment, None without any stratum that has points, and the share of the area that was
        left out by name of the stratum.
    """
    inside = np.ones(len(reference.strata), bool) if chosen is None else chosen
    enough = np.bincount(reference.strata[inside], minlength=IGNORED)[:IGNORED] >= 2
    drawn_on = reference.drawn_on
    left_out = {
        drawn_on.names[value]: float(sizes[value] / sizes.sum())
        for value in np.flatnonzero((sizes > 0) & ~enough).tolist()
    }
    kept = np.flatnonzero((sizes > 0) & enough)
    if not len(kept):
        return None, left_out
    used = inside & np.isin(reference.strata, kept)
    if drawn_on.path == reference.class_map.path:
        pixels = np.where(enough, pixels, 0)  # what was left out is not part of the map
    result = assess(
        reference.mapped[used],
        reference.given[used],
        reference.class_map.by_name(pixels),
        reference.names,
        np.searchsorted(kept, reference.strata[used]),
        sizes[kept].tolist(),
    )
    return result, left_out


def text(estimate: Estimate, factor: float = 100, digits: int = 1) -> str:
    """Write an estimate with its margin, in percent or another unit; '' where it is unknown."""
    scaled = estimate * factor
    return '' if np.isnan(scaled.value) else (
        f'{scaled.value:,.{digits}f} ± {scaled.margin:,.{digits}f}'
    )  # fmt: skip


def class_table(result: Assessment, hectares: float, unit: str) -> list[list[str]]:
    """Make a table of what is estimated of each class, with a header."""
    rows = [['class', 'points', "user's accuracy (%)", "producer's accuracy (%)", 'F1 (%)',
             f'area, estimated ({unit})', f'area, counted ({unit})']]  # fmt: skip
    for name, one in result.classes.items():
        f1 = '' if np.isnan(one.f1) else f'{100 * one.f1:.1f}'
        area = text(one.area, hectares, 0), f'{one.mapped * hectares:,.0f}'
        rows.append([name, str(one.points), text(one.users), text(one.producers), f1, *area])
    return rows


def confusion_table(result: Assessment) -> list[list[str]]:
    """Make a table of points by class of the map (rows) and of the reference."""
    names = list(result.classes)
    rows = zip(names, result.confusion.tolist(), strict=True)
    return [['map \\ reference', *names], *([name, *map(str, row)] for name, row in rows)]


def plot_areas(result: Assessment, hectares: float, unit: str) -> Figure:
    """Plot the area of each class, counted and estimated, with 95 % intervals."""
    names = list(result.classes)
    figure, (axis,) = new_figure(9, 1.2 + 0.4 * len(names), grid='x')
    places = np.arange(len(names))
    areas = [one.area * hectares for one in result.classes.values()]
    counted = [one.mapped * hectares for one in result.classes.values()]
    axis.barh(places - 0.2, counted, 0.38, label='counted in the map')
    axis.barh(
        places + 0.2, [area.value for area in areas], 0.38, label='estimated from the points',
        xerr=[area.margin for area in areas], capsize=3,
    )  # fmt: skip
    axis.set_yticks(places, names)
    axis.invert_yaxis()
    axis.set_xlabel(unit)
    axis.legend(frameon=False, ncols=2, loc='lower center', bbox_to_anchor=(0.5, 1.0))
    return figure


def write_assessment(
    out: Path,
    reference: Reference,
    regions: GeoDataFrame | None = None,
) -> Assessment:
    """Assess a map, and write ``accuracy.json``, two CSV tables and a page.

    Args:
        out: Folder.
        reference: Points on the map.
        regions: Parts of it to assess besides, with their ``name``.

    Returns:
        The assessment of the whole map.

    Raises:
        ValueError: No stratum has two points.
    """
    class_map, drawn_on = reference.class_map, reference.drawn_on
    pixels = class_map.count()[0]
    result, left_out = assess_points(reference, pixels, drawn_on.count()[0])
    if result is None:
        raise ValueError(f'{drawn_on.path}: no class of the map has two reference points')
    pixel, total = pixel_hectares(class_map.path), pixels.sum() * (1 - sum(left_out.values()))
    size, unit = (100.0, '% of the area') if pixel is None else (total * pixel, 'hectares')
    parts: dict[str, Any] = {}
    if regions is not None:
        for (name, place), counts, sizes in zip(
            regions[['name', 'geometry']].itertuples(index=False),
            class_map.count(regions),
            drawn_on.count(regions.to_crs(drawn_on.crs)),
            strict=True,
        ):
            inside = reference.points.within(place).to_numpy()
            part, missing = assess_points(reference, counts, sizes, inside)
            parts[name] = dict(left_out=missing, points=int(inside.sum()), hectares=None)
            if part is not None:
                parts[name] |= part.as_json()
                parts[name]['text'] = text(part.overall)
            if pixel is not None:
                parts[name]['hectares'] = float(counts.sum() * pixel)
    tables = dict(by_class=class_table(result, size, unit), confusion=confusion_table(result))
    for name, rows in tables.items():
        with (
            whole_file(out / f'{name}.csv') as unfinished,
            unfinished.open('w', newline='') as file,
        ):
            csv.writer(file).writerows(rows)
    facts = dict(
        map=class_map.path, strata=drawn_on.path, points=len(reference.mapped),
        dropped=reference.dropped, left_out=left_out, area=size, unit=unit, regions=parts,
    )  # fmt: skip
    write_json(out / 'accuracy.json', facts | result.as_json())
    region_rows: Sequence[Sequence[str]] = [
        [name, str(part['points']), part.get('text', 'too few points')]
        for name, part in parts.items()
    ]
    write_page(
        out / 'accuracy.html',
        'accuracy.html',
        title=f'Accuracy of {Path(class_map.path).name}',
        overall=text(result.overall),
        facts=facts,
        by_class=tables['by_class'],
        confusion=tables['confusion'],
        regions=[['region', 'points', 'overall accuracy (%)'], *region_rows],
        areas=plot_areas(result, size, unit),
    )
    return result
