"""How crops and other surfaces grow, and what Sentinel-2 sees of them.

The deterministic half of the synthetic data: a cover's calendar gives the leaf area, dry matter
and flowers of a day, and a two-layer canopy over a substrate turns these into the reflectance of
the ten bands.
"""

from dataclasses import dataclass

import numpy as np

from mmexact.datasets.synthetic.calendars import COVERS

BANDS = ('B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B11', 'B12')


def _spectrum(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


# Reflectances, rounded from what such surfaces look like in Sentinel-2 level-2A products.
SUBSTRATES = {
    'soil': _spectrum(0.065, 0.090, 0.120, 0.140, 0.155, 0.170, 0.185, 0.195, 0.270, 0.235),
    'litter': _spectrum(0.040, 0.055, 0.065, 0.080, 0.105, 0.120, 0.135, 0.145, 0.190, 0.130),
    'water': _spectrum(0.045, 0.045, 0.032, 0.026, 0.022, 0.020, 0.018, 0.016, 0.010, 0.008),
    'built': _spectrum(0.105, 0.125, 0.140, 0.155, 0.170, 0.180, 0.195, 0.200, 0.225, 0.205),
}
# What soil types are multiplied with: loam, chalk, iron-rich clay, dark humic soil.
SOIL_TYPES = np.stack(
    [
        _spectrum(1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00),
        _spectrum(1.55, 1.50, 1.40, 1.35, 1.30, 1.28, 1.25, 1.22, 1.10, 1.05),
        _spectrum(0.75, 0.85, 1.10, 1.12, 1.12, 1.10, 1.08, 1.06, 1.05, 1.00),
        _spectrum(0.70, 0.70, 0.70, 0.72, 0.74, 0.75, 0.76, 0.77, 0.80, 0.82),
    ]
)
LEAVES = {
    'crop': _spectrum(0.024, 0.055, 0.026, 0.090, 0.300, 0.390, 0.420, 0.440, 0.200, 0.090),
    'broadleaf': _spectrum(0.022, 0.048, 0.024, 0.078, 0.260, 0.340, 0.370, 0.390, 0.175, 0.075),
    'needle': _spectrum(0.018, 0.032, 0.020, 0.048, 0.135, 0.175, 0.195, 0.205, 0.095, 0.045),
}
DRY = _spectrum(0.085, 0.125, 0.170, 0.210, 0.245, 0.270, 0.300, 0.315, 0.340, 0.235)
FLOWERS = {
    'yellow': _spectrum(0.045, 0.190, 0.170, 0.250, 0.380, 0.440, 0.460, 0.470, 0.215, 0.105),
    'white': _spectrum(0.160, 0.190, 0.180, 0.230, 0.370, 0.430, 0.450, 0.460, 0.220, 0.110),
    'tassel': _spectrum(0.050, 0.090, 0.090, 0.140, 0.300, 0.370, 0.390, 0.410, 0.250, 0.130),
    'red': _spectrum(0.040, 0.065, 0.110, 0.160, 0.270, 0.320, 0.350, 0.370, 0.270, 0.160),
}
# Light extinction of green leaves: strong where they absorb, weak where they scatter.
EXTINCTION = _spectrum(0.75, 0.65, 0.75, 0.60, 0.50, 0.45, 0.45, 0.45, 0.50, 0.60)
DRY_EXTINCTION = 0.65
# How chlorophyll, structure and water (the three traits) change the bands of a leaf.
TRAIT_EFFECTS = np.stack(
    [
        _spectrum(-0.06, -0.12, -0.10, -0.12, -0.03, 0.0, 0.0, 0.0, 0.0, 0.0),
        _spectrum(0.0, 0.0, 0.0, 0.03, 0.08, 0.10, 0.10, 0.10, 0.03, 0.0),
        _spectrum(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.01, -0.02, -0.12, -0.16),
    ]
)


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
    leaves = np.stack([LEAVES[COVERS[c].leaf] for c in units.cover])
    leaves = leaves * (1 + units.traits @ TRAIT_EFFECTS)
    colours = [COVERS[c].flower for c in units.cover]
    flowers = [FLOWERS[f[0]] if f else leaves[i] for i, f in enumerate(colours)]
    return leaves.astype(np.float32), np.stack(flowers).astype(np.float32)


def reflectance(
    leaf_area: np.ndarray, dry_area: np.ndarray, canopy_top: np.ndarray, substrate: np.ndarray
) -> np.ndarray:
    """Reflectance (T, 10, H, W) of green leaves over dry matter over a substrate.

    Areas are indices (T, H, W), the other two reflectances (T, 10, H, W). Each layer hides what
    lies below it exponentially in its area index, faster where it absorbs, so that the near
    infrared still grows when the red has long been saturated.
    """
    see_through = np.exp(-leaf_area[:, None] * EXTINCTION[:, None, None])
    bare = np.exp(-DRY_EXTINCTION * dry_area)[:, None]
    below = substrate * bare + DRY[:, None, None] * (1 - bare)
    return canopy_top * (1 - see_through) + below * see_through
