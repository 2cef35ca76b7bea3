"""How crops and other surfaces grow, and what Sentinel-2 sees of them.

The deterministic half of the synthetic data: a cover's calendar gives the leaf area, dry matter
and flowers of a day, and a two-layer canopy over a substrate turns these into the reflectance of
the ten bands.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from mmexact.datasets.synthetic.calendars import COVERS

with files(__package__).joinpath('spectra.csv').open(encoding='utf-8') as _file:
    (_, *_bands), *_rows = csv.reader(_file, delimiter=';')
BANDS = tuple(_bands)
SPECTRA = {
    name: np.array([float(value) for value in values], np.float32) for name, *values in _rows
}
"""Values of the bands by name, rounded from what such surfaces look like in Sentinel-2 level 2A.

Reflectances of substrates, leaves, dry matter and flowers; factors on bare soil by its type; the
extinction of light in green leaves, strong where they absorb, weak where they scatter; and how much
chlorophyll, structure and leaf water, the three traits, change the bands of a leaf.
"""
SOIL_TYPES = np.stack(
    [SPECTRA[name] for name in ('loam', 'chalk', 'iron-rich clay', 'dark humic soil')]
)
TRAIT_EFFECTS = np.stack([SPECTRA[name] for name in ('chlorophyll', 'structure', 'leaf water')])
DRY_EXTINCTION = 0.65


@dataclass(frozen=True)
class Units:
    """Homogeneous pieces of land, P of them; every array has P rows.

    Attributes:
        cover: Index into COVERS (crop k of the labels is k - 1).
        shift: Days that the season of this unit is late.
        vigour: Factor on its leaf area, about 1.
        catch_crop: Leaf area index of what covers the field in the autumn before a sowing.
        regrowth: Leaf area index of what comes up after the harvest.
        cuts: (P, 4) days of mowing; never is infinity.
        traits: (P, 3) leaf traits (see Calendar).
    """

    cover: np.ndarray
    shift: np.ndarray
    vigour: np.ndarray
    catch_crop: np.ndarray
    regrowth: np.ndarray
    cuts: np.ndarray
    traits: np.ndarray


def _step(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def canopy(units: Units, days: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leaf area, dry matter and flowers of P units on T days since SEASON_START.

    Returns:
        Three arrays (P, T): green leaf area index, dry matter area index, and the share of the
        canopy top in flower (0..1).
    """
    shape = (len(units.cover), len(days))
    leaf, dry, flower = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for cover in np.unique(units.cover):
        rows = np.flatnonzero(units.cover == cover)
        calendar = COVERS[cover]
        late = days - units.shift[rows, None]
        green = np.full(late.shape, calendar.base)
        for height, rise, rise_scale, fall, fall_scale in calendar.growth:
            green += height * _step((late - rise) / rise_scale) * _step((fall - late) / fall_scale)
        green *= units.vigour[rows, None]
        if calendar.dry and calendar.growth:
            # what was green and has fallen stands dry
            _, rise, _, fall, fall_scale = calendar.growth[-1 if calendar.harvest else 1]
            dry[rows] = calendar.dry * _step((late - fall) / fall_scale)
            if calendar.harvest is None:
                dry[rows] *= _step((fall + 60 - late) / 15)
        if calendar.sown is not None and calendar.harvest is not None:
            standing = _step((calendar.harvest - late) / 1.5)
            stubble = 0.5 * np.exp(-np.clip(late - calendar.harvest, 0, None) / 30)
            before = _step((calendar.sown - 10 - late) / 3)
            residue = 0.5 * np.exp(-np.clip(late, 0, None) / 40) * before
            catch = _step((late - 30) / 8) * _step((min(calendar.sown - 15, 140) - late) / 8)
            weeds = _step((late - calendar.harvest - 40) / 8)
            green = green * standing + units.catch_crop[rows, None] * catch
            green += units.regrowth[rows, None] * weeds
            dry[rows] = dry[rows] * standing + stubble * (1 - standing) + residue
        for cut in units.cuts[rows].T:
            since = days - cut[:, None]
            green *= 1 - 0.75 * (since >= 0) * np.exp(-np.clip(since, 0, None) / 20)
        if calendar.flower:
            _, peak, spread, share = calendar.flower
            flower[rows] = share * np.exp(-0.5 * ((late - peak) / spread) ** 2)
        leaf[rows] = green
    return leaf, dry, flower


def leaf_spectra(units: Units) -> tuple[np.ndarray, np.ndarray]:
    """Reflectances (P, 10) of the leaves and of the flowers of each unit."""
    leaves = np.stack([SPECTRA[COVERS[c].leaf] for c in units.cover])
    leaves = leaves * (1 + units.traits @ TRAIT_EFFECTS)
    colours = [COVERS[c].flower for c in units.cover]
    flowers = [SPECTRA[f[0]] if f else leaves[i] for i, f in enumerate(colours)]
    return leaves.astype(np.float32), np.stack(flowers).astype(np.float32)


def reflectance(
    leaf_area: np.ndarray, dry_area: np.ndarray, canopy_top: np.ndarray, substrate: np.ndarray
) -> np.ndarray:
    """Reflectance (T, 10, H, W) of green leaves over dry matter over a substrate.

    Areas are indices (T, H, W), the other two reflectances (T, 10, H, W). Each layer hides what
    lies below it exponentially in its area index, faster where it absorbs, so that the near
    infrared still grows when the red has long been saturated.
    """
    see_through = np.exp(-leaf_area[:, None] * SPECTRA['extinction'][:, None, None])
    bare = np.exp(-DRY_EXTINCTION * dry_area)[:, None]
    below = substrate * bare + SPECTRA['dry'][:, None, None] * (1 - bare)
    return canopy_top * (1 - see_through) + below * see_through
