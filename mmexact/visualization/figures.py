"""Plots in the style of the pages."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmexact.visualization.style import LINE, MUTED, SERIES, TEXT

Curve = Sequence[tuple[float, float]]


def new_figure(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    grid: str = 'y',
    shared: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Make a figure.

    Args:
        width: Inches.
        height: Inches.
        rows: Rows of axes.
        columns: Columns of axes.
        grid: Which grid lines to draw, 'x', 'y' or 'both'.
        shared: All axes show the same range.

    Returns:
        The figure and its axes, row by row.
    """
    figure = Figure(figsize=(width, height), layout='constrained')
    axes = figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).ravel()
    for axis in axes:
        axis.spines[['top', 'right']].set_visible(False)
        axis.grid(axis=grid, color=LINE, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.set_prop_cycle(color=SERIES)
    return figure, list(axes)


def plot_bars(values: Mapping[str, float], colours: Sequence[Sequence[int]], unit: str) -> Figure:
    """Plot a number per class as bars from top to bottom, in the colours of the classes."""
    figure, (axis,) = new_figure(9, 0.8 + 0.24 * len(values), grid='x')
    shades = np.array(colours[: len(values)]) / 255
    axis.barh(list(values), list(values.values()), color=shades, edgecolor=MUTED, linewidth=0.5)
    axis.invert_yaxis()
    axis.set_xlabel(unit)
    return figure


def plot_classes(ious: Mapping[str, Mapping[str, float | None]]) -> Figure:
    """Plot the IoU of each class as bars, for several maps.

    Args:
        ious: Percent (None where a class does not occur) by class, by title of the map.
    """
    classes = list(next(iter(ious.values())))
    rotation = 90 if len(classes) > 10 else 0
    figure, (axis,) = new_figure(9, 4.8 if rotation else 3.6)
    width = 0.8 / len(ious)
    for number, (title, values) in enumerate(ious.items()):
        places = np.arange(len(classes)) + (number - (len(ious) - 1) / 2) * width
        axis.bar(places, [values[name] or 0 for name in classes], width * 0.92, label=title)
        for place in places[[values[name] is None for name in classes]]:
            axis.text(place, 1, 'n/a', size='x-small', color=MUTED, ha='center', rotation=rotation)
    names = classes if rotation else [name.replace(' ', '\n', 1) for name in classes]
    axis.set_xticks(range(len(classes)), names, rotation=rotation)
    axis.set(ylim=(0, 100), ylabel='IoU (%)')
    axis.legend(frameon=False, ncols=len(ious), loc='lower center', bbox_to_anchor=(0.5, 1.0))
    return figure


def plot_curves(
    panels: Mapping[str, Mapping[str, Curve]],
    x: str,
    y: str,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Plot curves in panels side by side.

    Args:
        panels: Points of the curves by name, by title of the panel.
        x: What goes to the right.
        y: What goes up, from 0 on.
        marks: Where to draw vertical lines, by name.
    """
    figure, axes = new_figure(9, 3.0, columns=len(panels))
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        for name, curve in curves.items():
            axis.plot(*zip(*curve, strict=True), label=name)
        for (name, place), style in zip((marks or {}).items(), ('-', ':', '--'), strict=False):
            axis.axvline(place, color=TEXT, linewidth=1, linestyle=style, label=name)
        axis.set_title(title, fontsize='medium')
        axis.set_xlabel(x)
        axis.set_ylim(bottom=0)
        if axis.lines:
            axis.legend(fontsize='small', edgecolor='none')
    axes[0].set_ylabel(y)
    return figure
