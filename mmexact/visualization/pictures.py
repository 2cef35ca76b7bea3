"""Pictures of series, masks and activation maps, as arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mmexact.sits import IGNORED, Window
from mmexact.visualization.style import WHITE

RED_GREEN_BLUE = (2, 1, 0)
"""Bands B4, B3 and B2 in the order of PASTIS."""

Palette = Sequence[Sequence[int]]


def true_colour(*bands: int | None) -> list[int]:
    """Choose red, green and blue: the given bands, or those of PASTIS where one is unknown."""
    return [
        usual if band is None else band for usual, band in zip(RED_GREEN_BLUE, bands, strict=True)
    ]


def observe(reader: Any, window: Window) -> np.ndarray:
    """Read all dates of a window as they were observed, with a reader of its patch.

    Returns:
        float32 (T, C, h, w), NaN where not observed.
    """
    values, valid = reader.read_observed(np.arange(len(reader.days)), window)
    return np.where(valid, values, np.float32(np.nan))


def composite(
    series: np.ndarray, day_of_year: np.ndarray, bands: Sequence[int] = RED_GREEN_BLUE
) -> np.ndarray:
    """Show a series as one colour picture.

    Every pixel is the median over the dates, which clouds and their shadows hardly move as long as
    most dates are clear. The values of all three bands are stretched from their 2nd to their 98th
    percentile: together, which keeps the colours of a small window true.

    Args:
        series: (T, C, h, w) digital numbers; NaN counts as not observed.
        day_of_year: (T,); dates of day 0 are padding and left out.
        bands: Which bands are red, green and blue. A series of fewer than three bands becomes grey,
            from its first.

    Returns:
        uint8 (h, w, 3), RGB; black where nothing was observed.

    Raises:
        ValueError: The series has three bands or more, but not these.
    """
    available = series.shape[1]
    chosen = list(bands) if available >= 3 else [0, 0, 0]
    if max(chosen) >= available:
        raise ValueError(
            f'bands={tuple(bands)}: the series has the bands 0..{available - 1}; choose three of '
            f'them for red, green and blue'
        )
    dated = np.asarray(series[day_of_year > 0][:, chosen], np.float32)
    observed = np.logical_or.reduce(np.isfinite(dated), axis=0)
    median = np.zeros(dated.shape[1:], np.float32)
    median[observed] = np.nanmedian(dated[:, observed], axis=0)
    low, high = np.percentile(median[observed], (2, 98)) if observed.any() else (0.0, 0.0)
    scaled = 255 * np.clip((median - low) / max(high - low, 1e-6), 0, 1)
    return np.where(observed, scaled.round(), 0).astype(np.uint8).transpose(1, 2, 0)


def colorize(mask: np.ndarray, palette: Palette) -> np.ndarray:
    """Paint a mask (h, w) of class indices as uint8 (h, w, 3), RGB; 255 (ignored) is white.

    Raises:
        ValueError: A class has no colour.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    table[IGNORED] = WHITE
    unknown = mask[(mask >= len(palette)) & (mask != IGNORED)]
    if unknown.size:
        raise ValueError(
            f'class {unknown[0]} in a mask, but the palette has {len(palette)} colours'
        )
    return table[mask]


def cam_overlay(
    image: np.ndarray, cams: np.ndarray, palette: Palette, background: bool = True
) -> np.ndarray:
    """Lay the strongest class over a picture, the more opaque the stronger its activation.

    Args:
        image: uint8 (h, w, 3), RGB.
        cams: (K, h, w) in [0, 1], a map per crop.
        palette: Colours of the classes.
        background: Whether the first class is the background, which has no map.

    Returns:
        uint8 (h, w, 3): the picture in light grey where no class is active, the colour of the
        winning class where it is fully active.
    """
    grey = 127.5 + image.mean(-1, keepdims=True) / 2
    strength = np.clip(cams.max(0), 0, 1)[..., None]
    colours = colorize((cams.argmax(0) + background).astype(np.uint8), palette)
    return (grey * (1 - strength) + colours * strength).round().astype(np.uint8)
