"""What a data set looks like: class balance, dates, NDVI through the season, some windows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmexact.sits import IGNORED
from mmexact.visualization.figures import new_figure, plot_bars
from mmexact.visualization.pages import Gallery, choose_windows, spread, write_page
from mmexact.visualization.pictures import colorize, composite, observe
from mmexact.visualization.season import align, name_months
from mmexact.visualization.style import ACCENT

PERIOD = 10
"""Days that a point of an NDVI curve stands for."""


def ndvi(series: np.ndarray, bands: Sequence[int]) -> np.ndarray:
    """Return the NDVI, or compute it as (nir - red) / (nir + red).

    Args:
        series: (T, C, h, w) float digital numbers, NaN where not observed.
        bands: Index of the NDVI, which is used as it is, or those of red and near infrared.

    Returns:
        (T, h, w); NaN where a band was not observed or the sum is not positive.
    """
    if len(bands) == 1:
        return series[:, bands[0]]
    red, nir = (series[:, band] for band in bands)
    positive = red + nir > 0
    return np.where(positive, (nir - red) / np.where(positive, red + nir, 1), np.nan)


class Overview:
    """Gathers what a page shows of a data set.

    Args:
        windows: Entries of the data set: ``sample_id``, ``patch``, ``window``, ``size`` (h, w),
            ``reader`` of the patch, and ``gt_score`` where its crops are known.
        meta: ``classes``, ``palette``, and ``background`` (False without a background class).
        read_mask: Reads the mask (h, w) of an entry; None without masks.
        ndvi_bands: See :func:`ndvi`; none for no curves.
        samples: Number of windows, evenly spaced, to take pixels and NDVI from.
        track: Wraps the windows that are read, for instance MMEngine's ``track_iter_progress``.
    """

    def __init__(
        self,
        windows: Sequence[Mapping[str, Any]],
        meta: Mapping[str, Any],
        read_mask: Callable[[Any], np.ndarray] | None,
        ndvi_bands: Sequence[int],
        samples: int,
        track: Callable[[Sequence[Any]], Iterable[Any]] = iter,
    ) -> None:
        self.windows, self.read_mask = windows, read_mask
        self.classes, self.palette = list(meta['classes']), meta['palette']
        self.first_crop = int(meta.get('background', True))
        self.presence: np.ndarray | None = None  # (N, K), 1 where a crop occurs in a window
        if all('gt_score' in window for window in windows):
            self.presence = np.stack([window['gt_score'] for window in windows])
        readers = {window['patch']: window['reader'] for window in windows}
        dates = align([reader.days for reader in readers.values()])
        self.dates = dict(zip(readers, dates, strict=True))
        self.pixels = np.zeros(256, np.int64)
        self.curves: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for window in track([windows[index] for index in spread(len(windows), samples)]):
            self._add(window, ndvi_bands)

    def _add(self, window: Mapping[str, Any], ndvi_bands: Sequence[int]) -> None:
        crops = np.flatnonzero(window.get('gt_score', ())) + self.first_crop
        if self.read_mask is not None:
            mask = self.read_mask(window)
            self.pixels += np.bincount(mask.ravel(), minlength=256)
            areas = {label: mask == label for label in np.unique(mask[mask != IGNORED])}
        else:  # all pixels of the window, for each crop that occurs in it
            areas = {label: np.ones(window['size'], bool) for label in crops}
        if not ndvi_bands or not areas:
            return
        index = ndvi(observe(window['reader'], window['window']), ndvi_bands)
        for label, area in areas.items():
            known = np.isfinite(index[:, area]).any(1)
            if known.any():
                medians = np.nanmedian(index[known][:, area], 1)
                dates = self.dates[window['patch']][known]
                self.curves.append((np.full(len(dates), label), dates, medians))

    def facts(self, source: str) -> list[tuple[str, str]]:
        """Name what there is: rows of a table without a header."""
        numbers = [len(self.dates[window['patch']]) for window in self.windows]
        sizes = sorted({'{} x {}'.format(*window['size']) for window in self.windows})
        reader = self.windows[0]['reader']
        rows = {
            '': '',
            'data set': source,
            'windows': f'{len(self.windows)} in {len(self.dates)} series',
            'size in pixels': ', '.join(sizes[:4]),
            'bands': ', '.join(reader.bands or [str(reader.num_bands)]),
            'dates': f'{min(numbers)} to {max(numbers)}, median {np.median(numbers):g}',
        }
        if self.presence is not None:
            crops = self.presence.sum(1)
            rows['crops per window'] = f'{crops.mean():.1f} on average'
            rows['windows without a crop'] = str((crops == 0).sum())
        return list(rows.items())

    def balance(self) -> list[tuple[str, ...]]:
        """Count windows and pixels by class: rows of a table, the first one its header."""
        rows: list[tuple[str, ...]] = [('class', 'windows', '% of windows', '% of pixels read')]
        for label, name in [*enumerate(self.classes), (IGNORED, 'ignored')]:
            cells = ['', '', '']
            if self.presence is not None and self.first_crop <= label < IGNORED:
                number = int(self.presence[:, label - self.first_crop].sum())
                cells[:2] = str(number), f'{100 * number / len(self.windows):.1f}'
            if self.read_mask is not None:
                cells[2] = f'{100 * self.pixels[label] / self.pixels.sum():.2f}'
            rows.append((name, *cells))
        return rows

    def plot_balance(self) -> Figure | None:
        """Plot in how many windows each crop occurs."""
        if self.presence is None:
            return None
        counts = dict(zip(self.classes[self.first_crop :], self.presence.sum(0), strict=True))
        return plot_bars(counts, self.palette[self.first_crop :], 'windows')

    def plot_dates(self, rows: int = 24) -> Figure:
        """Plot when the dates of some of the series are."""
        names = [list(self.dates)[index] for index in spread(len(self.dates), rows)]
        figure, (axis,) = new_figure(9, 1 + 0.17 * len(names))
        for row, name in enumerate(names):
            dates = self.dates[name]
            axis.plot(dates, np.full(len(dates), row), 'o', color=ACCENT, markersize=3)
        labels = [f'{name} ({len(self.dates[name])})' for name in names]
        axis.set_yticks(range(len(names)), labels, fontsize='x-small')
        axis.invert_yaxis()
        name_months(axis, 16)
        return figure

    def plot_ndvi(self) -> Figure | None:
        """Plot median and quartiles of the NDVI through the season, a panel per class."""
        if not self.curves:
            return None
        labels, dates, values = (np.concatenate(part) for part in zip(*self.curves, strict=True))
        start = dates.min()
        period = (dates - start).astype(int) // PERIOD
        shown, columns = np.unique(labels), 4
        rows = -(-len(shown) // columns)
        figure, axes = new_figure(9, 0.6 + 1.55 * rows, rows, columns, grid='both', shared=True)
        for axis, label in zip(axes, shown, strict=False):
            periods = np.unique(period[labels == label])
            parts = [values[(labels == label) & (period == number)] for number in periods]
            low, middle, high = np.transpose([np.percentile(p, (25, 50, 75)) for p in parts])
            days = start + (PERIOD * periods + PERIOD // 2).astype('timedelta64[D]')
            axis.fill_between(days, low, high, color=ACCENT, alpha=0.22, linewidth=0)
            axis.plot(days, middle, color=ACCENT, linewidth=1.4)
            axis.set_title(self.classes[label], fontsize='small')
        name_months(axes[0], 6)  # which all share
        for axis in axes[max(0, len(shown) - columns) : len(shown)]:
            axis.tick_params(labelbottom=True)
        for axis in axes[len(shown) :]:
            axis.axis('off')
        figure.supylabel('NDVI', fontsize='small')
        return figure

    def gallery(self, count: int, colours: Sequence[int]) -> Gallery:
        """Show some windows that show all crops, or evenly spaced ones where none are known."""
        chosen = spread(len(self.windows), count)
        if self.presence is not None:
            patches = np.array([window['patch'] for window in self.windows])
            chosen = choose_windows(self.presence, patches, count)
        every = np.concatenate(list(self.dates.values()))
        edges = every.min() + (np.ptp(every) + 1) * np.arange(4) // 4
        rows: list[tuple[str, list[np.ndarray]]] = []
        for window in (self.windows[index] for index in chosen):
            dates, days = self.dates[window['patch']], window['reader'].days
            seen = observe(window['reader'], window['window'])
            quarter = np.searchsorted(edges, dates, 'right')
            parts = [quarter == number for number in range(1, 5)]
            pictures = [composite(seen[part], days[part], colours) for part in parts]
            if self.read_mask is not None:
                pictures.append(colorize(self.read_mask(window), self.palette))
            crops = np.flatnonzero(window.get('gt_score', ())) + self.first_crop
            named = ', '.join(self.classes[label] for label in crops) or 'no crop'
            known = named if 'gt_score' in window else 'crops unknown'
            rows.append((f'{window["sample_id"]}: {known} ({len(dates)} dates)', pictures))
        return Gallery(
            'Windows',
            [f'from {day.day} {day:%b}' for day in edges.tolist()]
            + ['labels'] * (self.read_mask is not None),
            rows,
            'The median of each quarter of the season, stretched on its own; black: not observed.',
        )

    def write(
        self, path: Path, title: str, source: str, count: int, colours: Sequence[int], note: str
    ) -> None:
        """Write the page.

        Args:
            path: The file.
            title: Headline.
            source: What the data set is and where it lies.
            count: How many windows to show.
            colours: Their red, green and blue bands.
            note: What is to say about the NDVI.
        """
        write_page(
            path,
            'browse.html',
            title=title,
            facts=self.facts(source),
            bars=self.plot_balance(),
            balance=self.balance(),
            dates=self.plot_dates(),
            ndvi=self.plot_ndvi(),
            note=note,
            gallery=self.gallery(count, colours),
            classes=self.classes,
            palette=self.palette,
        )
