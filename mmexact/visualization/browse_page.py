"""The page of an overview of a data set."""

from pathlib import Path

from mmexact.visualization import pages
from mmexact.visualization.browse import Overview


def write_page(
    path: Path, title: str, overview: Overview, windows: int, bands: tuple[int, ...], note: str
) -> None:
    """Write the page; the file appears whole or not at all.

    Args:
        path: The file.
        title: Headline.
        overview: What there is to show.
        windows: How many windows to show.
        bands: Indices of the red, green and blue bands.
        note: What is to say about the NDVI.
    """
    sections = [
        ('Class balance', '', overview.plot_balance(), overview.balance()),
        (
            'Dates',
            'Series with the number of their dates in brackets.',
            overview.plot_dates(),
            None,
        ),
        ('NDVI', note, overview.plot_ndvi(), None),
    ]
    pages.write_page(
        path,
        'browse.html',
        title=title,
        facts=overview.facts(),
        sections=sections,
        gallery=overview.gallery(windows, bands),
        classes=overview.dataset.metainfo['classes'],
        palette=overview.dataset.metainfo['palette'],
    )
