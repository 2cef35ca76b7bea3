"""Pictures of what a classifier looked at over the season."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmexact.visualization.figures import new_figure
from mmexact.visualization.season import align, name_months
from mmexact.visualization.style import SERIES, TEXT


def plot_clues(
    days: np.ndarray,
    clues: Sequence[Any],
    classes: Sequence[str],
    curves: Sequence[str],
    mask: str = 'mask',
) -> Figure:
    """Plot the attention of each class to the dates, and beside it its curves over the season.

    Dashed lines mark the pivotal dates in both; bands about the curves reach from the lower to the
    upper quartile.

    Args:
        days: Days of year of the dates, (T,).
        clues: Of each class: ``index``, ``attention`` (T,), ``pivotal`` dates, ``quartiles``
            (curves, 3, T) and ``pixels``, see :class:`mmexact.apis.explanation.ClassClue`.
        classes: Names of the classes.
        curves: Names of the curves.
        mask: What the mask is called whose pixels the curves are of.
    """
    rows = len(clues)
    figure, axes = new_figure(10, 0.6 + 2.0 * rows, rows, columns=2)
    (dates,) = align([days])
    for clue, left, right in zip(clues, axes[::2], axes[1::2], strict=True):
        left.bar(dates, 100 * clue.attention, width=4, color=SERIES[0])
        left.set_title(classes[clue.index], loc='left', fontsize='medium', fontweight='bold')
        left.set_ylabel('attention (%)')
        for number, (name, (lower, median, upper)) in enumerate(
            zip(curves, clue.quartiles, strict=True)
        ):
            colour = SERIES[number % len(SERIES)]
            right.fill_between(dates, lower, upper, color=colour, alpha=0.25, linewidth=0)
            right.plot(dates, median, color=colour, marker='.', label=name)
        right.set_title(f'{clue.pixels} pixels of the {mask}', loc='left', fontsize='medium')
        for axis in (left, right):
            axis.set_xlim(dates[0] - 6, dates[-1] + 6)
            name_months(axis, 6)
            for number, date in enumerate(dates[clue.pivotal]):
                axis.axvline(
                    date, color=TEXT, linewidth=1, linestyle='--', zorder=0.9,
                    label=None if number else 'pivotal dates',
                )  # fmt: skip
        right.set_ylabel(curves[0] if len(curves) == 1 else 'digital number')
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside upper right', ncols=len(labels), frameon=False)
    return figure
