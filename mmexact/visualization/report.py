"""A report of a run as one HTML file: table, figures and pictures, nothing loaded from outside."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mmexact.visualization.visualizer import WHITE, Palette, enlarge

COLOURS = {'pseudo masks': '#8a8f98', 'segmentor': '#1f6f50', 'fully supervised': '#c9a227'}

Curve = Sequence[tuple[float, float]]


@dataclass
class Gallery:
    """Rows of pictures under common column titles.

    Attributes:
        title: Headline.
        columns: Title of each column.
        rows: A label and uint8 (h, w, 3) pictures, one per column.
        factor: How many screen pixels a pixel takes in each direction.
        caption: What there is to see.
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list[np.ndarray]]]
    factor: int
    caption: str = ''


def png(image: np.ndarray) -> str:
    """Encode uint8 (h, w, 3) as the source of an HTML image."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format='png', optimize=True)
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode()


def render(figure: Figure) -> str:
    """Render a figure as the source of an HTML image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=160)
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode()


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Make a plain figure (inches) with axes side by side."""
    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[['top', 'right']].set_visible(False)
        axis.grid(axis='y', color='#e3e5e8', linewidth=0.8)
        axis.set_axisbelow(True)
    return figure, list(axes)


def plot_classes(ious: Mapping[str, Mapping[str, float | None]]) -> Figure:
    """Plot the IoU of each class as bars, for several maps.

    Args:
        ious: Percent (None where a class does not occur) by class, by title of the map.
    """
    figure, (axis,) = new_figure(9, 3.6)
    classes = list(next(iter(ious.values())))
    width = 0.8 / len(ious)
    for number, (title, values) in enumerate(ious.items()):
        heights = [values[name] or 0 for name in classes]
        places = np.arange(len(classes)) + (number - (len(ious) - 1) / 2) * width
        axis.bar(places, heights, width * 0.92, label=title, color=COLOURS.get(title))
        for place, name in zip(places, classes, strict=True):
            if values[name] is None:
                axis.text(place, 1, 'n/a', ha='center', fontsize='x-small', color='#8a8f98')
    axis.set_xticks(range(len(classes)), [name.replace(' ', '\n', 1) for name in classes])
    axis.set_ylim(0, 100)
    axis.set_ylabel('IoU (%)')
    axis.legend(frameon=False, ncols=len(ious), loc='lower center', bbox_to_anchor=(0.5, 1.0))
    return figure


def plot_background(by_score: Sequence[Mapping[str, float]], chosen: float, best: float) -> Figure:
    """Plot OA and mIoU of pseudo masks over the background score.

    Args:
        by_score: ``background_score``, ``OA`` and ``mIoU``.
        chosen: The score that was used.
        best: The best score in hindsight.
    """
    figure, (axis,) = new_figure(9, 3.0)
    scores = [entry['background_score'] for entry in by_score]
    for key, colour in (('OA', '#4a6fa5'), ('mIoU', '#1f6f50')):
        axis.plot(scores, [entry[key] for entry in by_score], color=colour, label=key)
    axis.axvline(chosen, color='#222', linewidth=1, label=f'used: {chosen:.2f}')
    axis.axvline(best, color='#222', linewidth=1, ls=':', label=f'best in hindsight: {best:.2f}')
    axis.set_xlabel('background score')
    axis.set_ylabel('%')
    axis.set_ylim(0, 100)
    axis.legend(frameon=False, loc='center left', bbox_to_anchor=(1.0, 0.5))
    return figure


def plot_losses(panels: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Plot losses over the iterations: curves by name, by title of the panel."""
    figure, axes = new_figure(9, 3.0, len(panels))
    for axis, (title, curves) in zip(axes, panels.items(), strict=True):
        for name, curve in curves.items():
            axis.plot(*zip(*curve, strict=True), label=name, color=COLOURS.get(name))
        axis.set_title(title, fontsize='medium')
        axis.set_xlabel('iteration')
        axis.set_ylim(bottom=0)
        axis.legend(frameon=False, fontsize='small')
    axes[0].set_ylabel('loss')
    return figure


def write_report(
    path: Path,
    title: str,
    summary: str,
    headline: Mapping[str, str],
    table: Sequence[tuple[str, ...]],
    figures: Mapping[str, Figure],
    galleries: Sequence[Gallery],
    legend: tuple[Sequence[str], Palette],
    steps: Sequence[tuple[str, ...]],
    metrics: Mapping[str, Any],
) -> None:
    """Write the report; the file appears whole or not at all.

    Args:
        path: The file.
        title: Headline of the page.
        summary: What was done, in a sentence or two.
        headline: The few figures that matter, by what they are.
        table: Rows of the table of scores, the first one its header.
        figures: Plots by caption.
        galleries: Pictures.
        legend: Names and colours of the classes.
        steps: Rows of the table of what ran, the first one its header.
        metrics: All figures, printed verbatim at the end.
    """
    page = PAGE.substitute(
        title=escape(title),
        summary=escape(summary),
        cards=''.join(
            f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
            for name, value in headline.items()
        ),
        table=html_table(table),
        figures=''.join(
            f'<figure><img src="{render(figure)}" alt="{escape(caption)}">'
            f'<figcaption>{escape(caption)}</figcaption></figure>'
            for caption, figure in figures.items()
        ),
        legend=html_legend(*legend),
        galleries=''.join(html_gallery(gallery) for gallery in galleries),
        steps=html_table(steps),
        metrics=escape(json.dumps(metrics, indent=2)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.name}.part')
    unfinished.write_text(page, encoding='utf-8')
    unfinished.replace(path)


def html_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Format rows of text, the first one as the header."""
    head = ''.join(f'<th>{escape(cell)}</th>' for cell in rows[0])
    body = ''.join(
        '<tr>' + ''.join(f'<td>{escape(cell)}</td>' for cell in row) + '</tr>' for row in rows[1:]
    )
    return f'<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def html_legend(names: Sequence[str], palette: Palette) -> str:
    """Format the colours of the classes."""
    entries = [*zip(names, palette, strict=False), ('ignored (void)', WHITE)]
    return ''.join(
        f'<span><i style="background:rgb({red},{green},{blue})"></i>{escape(name)}</span>'
        for name, (red, green, blue) in entries
    )


def html_gallery(gallery: Gallery) -> str:
    """Format a grid of pictures."""
    cells = [f'<div class="head">{escape(column)}</div>' for column in gallery.columns]
    for label, pictures in gallery.rows:
        cells.append(f'<div class="label">{escape(label)}</div>')
        cells += [
            f'<img src="{png(enlarge(picture, gallery.factor))}" alt="{escape(column)}, '
            f'{escape(label)}">'
            for column, picture in zip(gallery.columns, pictures, strict=True)
        ]
    return (
        f'<h2>{escape(gallery.title)}</h2><p>{escape(gallery.caption)}</p>'
        f'<div class="grid" style="--columns:{len(gallery.columns)}">{"".join(cells)}</div>'
    )


PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  body { font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; color: #1d2125;
         background: #f6f7f5; margin: 0; }
  main { max-width: 1000px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
  h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }
  h2 { font-size: 1.25rem; margin: 2.6rem 0 .4rem; }
  p { margin: .3rem 0 1rem; max-width: 46rem; color: #444b52; }
  .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 1rem;
           margin: 1.6rem 0; }
  .card { background: #fff; border: 1px solid #dfe2e0; border-radius: 8px; padding: .9rem 1.1rem; }
  .card b { display: block; font-size: 1.7rem; color: #1f6f50; }
  .card span { font-size: .86rem; color: #5b636b; }
  table { border-collapse: collapse; width: 100%; background: #fff; border: 1px solid #dfe2e0;
          font-size: .94rem; }
  th, td { text-align: right; padding: .45rem .8rem; border-bottom: 1px solid #eceeec;
           font-variant-numeric: tabular-nums; }
  th { font-weight: 600; color: #5b636b; background: #fafbfa; }
  th:first-child, td:first-child { text-align: left; }
  .steps { overflow-x: auto; }
  .steps td:last-child, .steps th:last-child { text-align: left;
    font: .8rem/1.5 ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
  .steps td:nth-child(2) { white-space: nowrap; }
  figure { margin: 1.2rem 0; background: #fff; border: 1px solid #dfe2e0; border-radius: 8px;
           padding: .8rem; text-align: center; }
  figure img { max-width: 100%; }
  figcaption { font-size: .88rem; color: #5b636b; }
  .legend { position: sticky; top: 0; background: #f6f7f5; padding: .6rem 0; font-size: .86rem;
            border-bottom: 1px solid #dfe2e0; }
  .legend span { display: inline-block; margin-right: 1rem; white-space: nowrap; }
  .legend i { display: inline-block; width: .85em; height: .85em; margin-right: .35em;
              border: 1px solid #888; vertical-align: -.08em; }
  .grid { display: grid; grid-template-columns: repeat(var(--columns), 1fr); gap: .35rem .5rem; }
  .grid img { width: 100%; image-rendering: pixelated; display: block; border: 1px solid #cdd1ce;
              box-sizing: border-box; }
  .head { font-size: .86rem; font-weight: 600; text-align: center; }
  .label { grid-column: 1 / -1; font-size: .84rem; color: #5b636b; margin-top: .5rem; }
  pre { background: #fff; border: 1px solid #dfe2e0; padding: 1rem; overflow-x: auto;
        font-size: .8rem; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p>$summary</p>
<div class="cards">$cards</div>
$table
$figures
<section>
<div class="legend">$legend</div>
$galleries
</section>
<h2>What ran</h2>
<div class="steps">$steps</div>
<h2>All figures</h2>
<details><summary>metrics.json</summary><pre>$metrics</pre></details>
</main>
</body>
</html>
""")
