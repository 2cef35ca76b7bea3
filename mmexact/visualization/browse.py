"""What a data set looks like: class balance, dates, NDVI through the year, and some windows."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmexact.apis.report_pictures import choose
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.transforms.loading import load_mask
from mmexact.sits import IGNORED
from mmexact.visualization.figures import new_figure, plot_bars
from mmexact.visualization.pages import Gallery
from mmexact.visualization.pictures import colorize, composite

PERIOD = 10
"""Days of the year that a point of an NDVI curve stands for."""

PERIODS = -(-366 // PERIOD)


def ndvi(series: np.ndarray, valid: np.ndarray, red: int, nir: int) -> np.ndarray:
    """Compute the NDVI, (nir - red) / (nir + red).

    Args:
        series: (T, C, h, w) digital numbers.
        valid: bool of that shape.
        red: Index of the red band.
        nir: Index of the near-infrared band.

    Returns:
        (T, h, w) float32, in -1..1 for reflectances; NaN where a band was not observed or the sum
        is not positive.
    """
    dark, bright = (series[:, band].astype(np.float32) for band in (red, nir))
    known = valid[:, red] & valid[:, nir] & (dark + bright > 0)
    return np.where(known, (bright - dark) / np.where(known, dark + bright, 1), np.nan)


def _read_observed(info: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    dates = np.arange(len(info['day_of_year']))
    values, valid = info['reader'].read_observed(dates, info['window'])
    return values, valid


class NDVICurves:
    """NDVI by class and time of the year.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        self.values: list[list[list[np.ndarray]]] = [
            [[] for _ in range(PERIODS)] for _ in range(num_classes)
        ]

    def add(self, index: np.ndarray, day_of_year: np.ndarray, classes: np.ndarray) -> None:
        """Add a window: one value per date and class, the median over the pixels of the class.

        Args:
            index: NDVI (T, h, w), NaN where unknown.
            day_of_year: (T,) 1..366.
            classes: (h, w) class of each pixel, 255 ignored.
        """
        for label in np.unique(classes[classes != IGNORED]):
            pixels = index[:, classes == label]
            known = np.isfinite(pixels).any(1)
            for day, median in zip(day_of_year[known], np.nanmedian(pixels[known], 1), strict=True):
                self.values[label][(int(day) - 1) // PERIOD].append(median)

    def curve(self, label: int) -> np.ndarray:
        """Return the quartiles over the windows, (periods, 3), NaN where nothing is known."""
        return np.array(
            [
                np.percentile(values, (25, 50, 75)) if values else (np.nan,) * 3
                for values in self.values[label]
            ]
        )


class Overview:
    """Gathers what a sheet shows of a data set.

    Args:
        dataset: The data set.
        samples: Number of windows, evenly spaced, to take pixels from.
        red_nir: Indices of the red and near-infrared bands, or None for no NDVI.
        track: Wraps the windows that are read, for instance mmengine's ``track_iter_progress``.
    """

    def __init__(
        self,
        dataset: SITSDataset,
        samples: int,
        red_nir: tuple[int, int] | None,
        track: Callable[[Sequence[int]], Iterable[int]] = iter,
    ) -> None:
        self.dataset = dataset
        self.classes = list(dataset.metainfo['classes'])
        self.first_crop = int(dataset.background)
        self.infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        self.pixels = np.zeros(256, np.int64)
        self.curves = NDVICurves(len(self.classes))
        self.has_masks = all(info['seg_map_path'] is not None for info in self.infos)
        count = min(samples, len(dataset))
        chosen = np.linspace(0, len(dataset) - 1, count).round().astype(int)
        for index in track([int(number) for number in chosen]):
            info = self.infos[index]
            mask = load_mask(info) if self.has_masks else None
            if mask is not None:
                self.pixels += np.bincount(mask.ravel(), minlength=256)
            if red_nir:
                self._add_ndvi(info, mask, red_nir)

    def _add_ndvi(self, info: dict, mask: np.ndarray | None, red_nir: tuple[int, int]) -> None:
        index = ndvi(*_read_observed(info), *red_nir)
        if mask is not None:
            self.curves.add(index, info['day_of_year'], mask)
            return
        # Without masks: all pixels of the window, for each crop that occurs in it.
        for label in np.flatnonzero(info.get('gt_score', np.zeros(0))) + self.first_crop:
            self.curves.add(index, info['day_of_year'], np.full(info['size'], label, np.uint8))

    @property
    def presence(self) -> np.ndarray | None:
        """(N, K) float32: image-level labels of all windows; None where some are unknown."""
        if not all('gt_score' in info for info in self.infos):
            return None
        return np.stack([info['gt_score'] for info in self.infos])

    def facts(self) -> list[tuple[str, str]]:
        """Name what there is: rows of a table."""
        dates = [len(info['day_of_year']) for info in self.infos]
        patches = {info['img_path'] for info in self.infos}
        sizes = sorted({tuple(info['size']) for info in self.infos})
        rows = [
            ('', ''),
            ('data set', f'{type(self.dataset).__name__}, {self.dataset.data_root or ""}'),
            ('windows', f'{len(self.infos)} in {len(patches)} series'),
            ('size in pixels', ', '.join(f'{height} x {width}' for height, width in sizes[:4])),
            ('bands', str(self.infos[0]['reader'].num_bands)),
            ('dates per window', f'{min(dates)} to {max(dates)}, median {np.median(dates):g}'),
        ]
        if (presence := self.presence) is not None:
            rows.append(('crops per window', f'{presence.sum(1).mean():.1f} on average'))
            rows.append(('windows without a crop', str(int((presence.sum(1) == 0).sum()))))
        return rows

    def balance(self) -> list[tuple[str, ...]]:
        """Count windows and pixels by class: rows of a table, the first one its header."""
        presence, total = self.presence, max(self.pixels.sum(), 1)
        rows: list[tuple[str, ...]] = [('class', 'windows', '% of windows', '% of pixels read')]
        for label, name in enumerate(self.classes):
            windows = shares = ''
            if presence is not None and label >= self.first_crop:
                number = int(presence[:, label - self.first_crop].sum())
                windows, shares = str(number), f'{100 * number / len(presence):.1f}'
            pixels = f'{100 * self.pixels[label] / total:.2f}' if self.has_masks else ''
            rows.append((name, windows, shares, pixels))
        if self.has_masks:
            rows.append(('ignored', '', '', f'{100 * self.pixels[IGNORED] / total:.2f}'))
        return rows

    def plot_balance(self) -> Figure | None:
        """Plot in how many windows each crop occurs."""
        if (presence := self.presence) is None:
            return None
        names = self.classes[self.first_crop :]
        counts = dict(zip(names, presence.sum(0), strict=True))
        return plot_bars(counts, self.dataset.metainfo['palette'][self.first_crop :], 'windows')

    def plot_dates(self, rows: int = 24) -> Figure:
        """Plot on which days of the year some of the series were taken."""
        series = {info['img_path']: info for info in self.infos}
        chosen = np.linspace(0, len(series) - 1, min(rows, len(series))).round().astype(int)
        infos = [list(series.values())[index] for index in chosen]
        figure, (axis,) = new_figure(9, 1 + 0.17 * len(infos))
        for row, info in enumerate(infos):
            days = info['day_of_year']
            axis.plot(days, np.full(len(days), row), 'o', color='#4a6fa5', markersize=3)
        labels = [
            f'{info["sample_id"].partition("_")[0]} ({len(info["day_of_year"])})' for info in infos
        ]
        axis.set_yticks(range(len(infos)), labels, fontsize='x-small')
        axis.invert_yaxis()
        axis.set_xlim(0, 367)
        axis.set_xlabel('day of the year')
        return figure

    def plot_ndvi(self) -> Figure | None:
        """Plot median and quartiles of the NDVI through the year, a panel per class."""
        curves = {label: self.curves.curve(label) for label in range(len(self.classes))}
        curves = {label: curve for label, curve in curves.items() if np.isfinite(curve).any()}
        if not curves:
            return None
        columns = 4
        rows = -(-len(curves) // columns)
        figure, _ = new_figure(9, 0.6 + 1.55 * rows)
        figure.clear()
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        days = (np.arange(PERIODS) + 0.5) * PERIOD
        for axis, (label, curve) in zip(axes, curves.items(), strict=False):
            known = np.isfinite(curve[:, 1])
            colour = '#1f6f50'
            axis.fill_between(days[known], *curve[known][:, ::2].T, color=colour, alpha=0.22, lw=0)
            axis.plot(days[known], curve[known, 1], color=colour, linewidth=1.4)
            axis.set_title(self.classes[label], fontsize='small')
        for axis in axes:
            axis.spines[['top', 'right']].set_visible(False)
            axis.grid(color='#e3e5e8', linewidth=0.6)
        for axis in axes[len(curves) :]:
            axis.axis('off')
        axes[0].set(xlim=(0, 366), ylim=(-0.1, 1))
        figure.supxlabel('day of the year', fontsize='small')
        figure.supylabel('NDVI', fontsize='small')
        return figure

    def gallery(self, count: int, bands: Sequence[int]) -> Gallery:
        """Show windows: those that show all crops, or evenly spaced ones where none are known."""
        if self.presence is not None:
            chosen = choose(self.dataset, count)
        else:
            spaced = np.linspace(0, len(self.infos) - 1, min(count, len(self.infos)))
            chosen = [int(index) for index in spaced.round()]
        rows: list[tuple[str, list[np.ndarray]]] = []
        for index in chosen:
            info = self.infos[index]
            series, valid = _read_observed(info)
            dated = np.where(valid, series.astype(np.float32), np.nan)
            pictures = [
                composite(dated[dates], info['day_of_year'][dates], bands)
                for dates in quarters(info['day_of_year'])
            ]
            if self.has_masks:
                mask = load_mask(info)
                pictures.append(colorize(mask, self.dataset.metainfo['palette']))
            rows.append((self._caption(info), pictures))
        titles = ['January to March', 'April to June', 'July to September', 'October to December']
        return Gallery(
            'Windows',
            [*titles, *(['labels'] if self.has_masks else [])],
            rows,
            caption='The median of each quarter, stretched on its own; black: not observed.',
        )

    def _caption(self, info: dict[str, Any]) -> str:
        crops = np.flatnonzero(info.get('gt_score', np.zeros(0))) + self.first_crop
        named = ', '.join(self.classes[label] for label in crops)
        known = named or 'no crop' if 'gt_score' in info else 'crops unknown'
        return f'{info["sample_id"]}: {known} ({len(info["day_of_year"])} dates)'


def quarters(day_of_year: np.ndarray) -> list[np.ndarray]:
    """Split dates by quarter of the year: indices of the dates of each of the four."""
    quarter = np.minimum((day_of_year.astype(int) - 1) * 4 // 365, 3)
    return [np.flatnonzero(quarter == number) for number in range(4)]
