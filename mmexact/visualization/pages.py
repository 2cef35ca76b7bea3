"""HTML pages: single files, nothing loaded from outside."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from mmexact.masks.folder import whole_file
from mmexact.visualization import style


@dataclass
class Gallery:
    """Rows of pictures under common column titles.

    Attributes:
        title: Headline.
        columns: Title of each column.
        rows: A label and uint8 (h, w, 3) pictures, RGB, one per column.
        caption: What there is to see.
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list[np.ndarray]]]
    caption: str = ''


def choose_windows(labels: np.ndarray, patches: np.ndarray, count: int) -> list[int]:
    """Choose windows with several crops that show all crops, by image-level labels alone.

    Each choice prefers crops that were shown seldom so far, and patches that were not shown yet.

    Args:
        labels: (N, K) 1 where a crop occurs in a window.
        patches: (N,) the patch of each window.
        count: How many to choose.

    Returns:
        Indices of ``count`` windows, or of all that there are.
    """
    shown = np.zeros(labels.shape[1])
    chosen: list[int] = []
    while len(chosen) < min(count, len(labels)):
        worth = labels @ (1 / (1 + shown))
        worth[np.isin(patches, patches[chosen])] -= labels.shape[1]
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
        shown += labels[chosen[-1]]
    return chosen


def spread(number: int, count: int) -> list[int]:
    """Choose ``count`` indices out of ``number``, or all, evenly spaced."""
    chosen: list[int] = np.linspace(0, number - 1, min(count, number)).round().astype(int).tolist()
    return chosen


def picture(content: np.ndarray | Figure) -> str:
    """Encode a plot, or uint8 (h, w, 3), as the source of an HTML image."""
    buffer = io.BytesIO()
    if isinstance(content, Figure):
        content.savefig(buffer, format='png', dpi=160)
    else:
        Image.fromarray(content).save(buffer, format='png', optimize=True)
    return 'data:image/png;base64,' + base64.b64encode(buffer.getvalue()).decode()


def write_page(path: Path, template: str, **content: Any) -> None:
    """Write a page; the file appears whole or not at all.

    Args:
        path: The file.
        template: One of ``templates/``, which says what it shows.
        **content: What the template shows. Tables are rows of text, the first one their header.
    """
    pages = Environment(
        loader=PackageLoader('mmexact.visualization'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters['picture'] = picture
    page = pages.get_template(template).render(content, style=style)
    with whole_file(path) as unfinished:
        unfinished.write_text(page, encoding='utf-8')
