"""What Sentinel-2 records of a synthetic patch, from the ground to clouds and noise.

Everything random is drawn from the generator that is passed in.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mmexact.datasets.synthetic import phenology
from mmexact.datasets.synthetic.calendars import BUILT, COVERS
from mmexact.datasets.synthetic.land import SIZE, Land, smooth_noise
from mmexact.datasets.synthetic.phenology import Units


@dataclass(frozen=True)
class Region:
    """What the patches of one tile share: lateness of the season in days, and soil types."""

    shift: float
    soils: tuple[float, float, float, float]


def draw_units(
    rng: np.random.Generator, covers: np.ndarray, region: Region, difficulty: float
) -> Units:
    """Draw how each unit departs from its cover's calendar."""
    count = len(covers)
    shift = (region.shift + rng.normal(0, 5) + rng.normal(0, 8, count)) * difficulty
    vigour = np.exp(difficulty * (rng.normal(0, 0.08) + rng.normal(0, 0.22, count)))
    cuts = np.full((count, 4), np.inf)
    for row, cover in enumerate(covers):
        days = COVERS[cover].cuts
        cuts[row, : len(days)] = days
    cuts += rng.normal(0, 7 * difficulty, cuts.shape)
    cuts[rng.random(cuts.shape) < 0.12 * difficulty] = np.inf
    # the harder, the less leaves tell crops apart
    distinct = 2 / (1 + difficulty)
    traits = distinct * np.array([COVERS[c].traits for c in covers])
    traits += rng.normal(0, 0.6 * difficulty, traits.shape)
    catch = rng.uniform(0.5, 2.2, count) * (rng.random(count) < 0.3)
    regrowth = rng.uniform(0.3, 1.8, count) * (rng.random(count) < 0.4)
    return Units(covers, shift, vigour, catch * difficulty, regrowth * difficulty, cuts, traits)


def draw_clouds(
    rng: np.random.Generator, days: np.ndarray, difficulty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw clouds and the shadows that they cast to the north-west, longer ones in winter.

    Returns:
        Indices (A,) of the dates that are affected, and for these the cloud opacity and the
        shadow, both (A, 128, 128) in [0, 1].
    """
    affected = np.flatnonzero(rng.random(len(days)) < min(0.32 * difficulty, 0.9))
    reach = 40
    clouds = np.zeros((len(affected), SIZE, SIZE), np.float32)
    shadows = np.zeros_like(clouds)
    for row, date in enumerate(affected):
        overcast = rng.random() < 0.25
        share = rng.uniform(0.6, 0.98) if overcast else rng.beta(1.2, 3.0)
        field = smooth_noise(rng, SIZE + reach, rng.uniform(18, 40))[0]
        field += 0.35 * smooth_noise(rng, SIZE + reach, 8)[0]
        opacity = np.clip((field - np.quantile(field, 1 - share)) / rng.uniform(0.25, 0.7), 0, 1)
        opacity *= rng.uniform(0.6, 1.0)
        # the sun stands in the south-south-east at the overpass, lowest at the winter solstice
        elevation = np.deg2rad(43 - 22 * np.cos(2 * np.pi * (days[date] - 112) / 365))
        length = rng.uniform(6, 16) / np.tan(elevation)
        down = int(np.clip(0.9 * length, 2, reach))
        right = int(np.clip(0.45 * length, 1, reach))
        clouds[row] = opacity[:SIZE, :SIZE]
        shadows[row] = opacity[down : down + SIZE, right : right + SIZE]
    return affected, clouds, shadows


def draw_series(
    rng: np.random.Generator, land: Land, region: Region, days: np.ndarray, difficulty: float
) -> np.ndarray:
    """Draw what Sentinel-2 records of a patch on some days since 1 September 2018.

    Returns:
        (T, 10, 128, 128) int16 digital numbers, reflectance times 10,000. A ``difficulty`` of 0
        leaves a clear, uniform season.
    """
    count, dates = len(land.covers), len(days)
    units = draw_units(rng, land.covers, region, difficulty)
    leaf, dry, flower = phenology.canopy(units, days)
    leaf *= np.exp(rng.normal(0, 0.10 * difficulty, leaf.shape))
    leaves, flowers = phenology.leaf_spectra(units)
    top = leaves[:, None] + flower[:, :, None].astype(np.float32) * (flowers - leaves)[:, None]

    # substrate: bare soil of the region, darker when wet; bright and dark parcels
    soil = rng.dirichlet(np.array(region.soils) * 6 + 0.05).astype(np.float32)
    soil = phenology.SPECTRA['soil'] * (soil @ phenology.SOIL_TYPES)
    spectra = np.stack([phenology.SPECTRA[COVERS[c].substrate] for c in land.covers])
    is_soil = np.array([COVERS[c].substrate == 'soil' for c in land.covers])
    spectra[is_soil] = soil
    spectra = spectra * np.exp(rng.normal(0, 0.10 * difficulty, (count, 1)))
    season = 0.45 + 0.3 * np.cos(2 * np.pi * (days - 130) / 365)
    wet = np.clip(season + rng.normal(0, 0.25, dates), 0, 1)
    wet = np.clip(wet + rng.normal(0, 0.1 * difficulty, (count, dates)), 0, 1) * is_soil[:, None]
    darkening = np.linspace(0.25, 0.5, len(phenology.BANDS))
    substrate = spectra[:, None] * (1 - wet[:, :, None] * darkening)

    texture = np.exp(0.18 * difficulty * smooth_noise(rng, SIZE, 5)[0])
    ground = np.exp(0.07 * difficulty * smooth_noise(rng, SIZE, 7)[0])
    roofs = np.exp(rng.normal(0, 0.28, (SIZE, SIZE)).astype(np.float32))
    ground *= np.where(land.units == count - len(COVERS) + BUILT, roofs, 1)
    pick = land.units
    series = phenology.reflectance(
        leaf.T.astype(np.float32)[:, pick] * texture,
        dry.T.astype(np.float32)[:, pick],
        np.moveaxis(top.astype(np.float32), 0, -1)[:, :, pick],
        np.moveaxis(substrate.astype(np.float32), 0, -1)[:, :, pick] * ground,
    )
    # a pixel gathers light from its neighbours too: parcel borders are mixed
    series = ndimage.gaussian_filter(series, (0, 0, 0.65, 0.65), mode='nearest', truncate=3)

    haze = np.abs(rng.normal(0, 0.010 * difficulty, (dates, 1, 1, 1)))
    scatter = np.array([1.0, 0.7, 0.45, 0.4, 0.3, 0.25, 0.2, 0.2, 0.05, 0.02])[:, None, None]
    gain = np.exp(rng.normal(0, 0.025 * difficulty, (dates, 1, 1, 1)))
    drift = smooth_noise(rng, SIZE, 9, dates)[:, None] * 0.02 * difficulty
    series = series * (gain * (1 + drift)).astype(np.float32) + (haze * scatter).astype(np.float32)
    affected, clouds, shadows = draw_clouds(rng, days, difficulty)
    brightness = rng.uniform(0.35, 0.75, (len(affected), 1, 1, 1)).astype(np.float32)
    colour = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.02, 1.02, 0.75, 0.6], np.float32)
    opacity = clouds[:, None]
    # shadows lie in diffuse, blue light
    shade = np.array([0.4, 0.45, 0.5, 0.5, 0.55, 0.55, 0.55, 0.55, 0.6, 0.6], np.float32)
    lit = series[affected] * (1 - shadows[:, None] * shade[:, None, None])
    series[affected] = lit * (1 - opacity) + opacity * brightness * colour[:, None, None]

    noise = rng.standard_normal(series.shape, dtype=np.float32)
    series += noise * difficulty * (0.006 + 0.025 * series)
    return np.clip(np.rint(series * 10000), 1, 32767).astype(np.int16)
