"""The ground of a synthetic patch: field blocks and parcels, woods and water, and what grows.

Everything random is drawn from the generator that is passed in.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mmexact.datasets.synthetic import calendars
from mmexact.datasets.synthetic.calendars import COVERS, CROPS, GRASS

SIZE = 128
VOID = 19
# Shares of the PASTIS crops among the parcels, roughly: few common crops and a long tail.
CROP_SHARES = np.array(
    [26, 19, 15, 10, 9, 7, 6, 6, 4, 3.5, 3.5, 4, 2.5, 3, 3, 3, 2.5, 2.5], np.float64
)


@dataclass(frozen=True)
class Land:
    """The ground truth of a patch.

    Attributes:
        labels: (128, 128) uint8, 0 background, 1..K crops, 19 void.
        parcel_ids: (128, 128) int32, 0 where there is no parcel.
        units: (128, 128) index of each pixel's row in a table of homogeneous units.
        covers: (P,) cover of each unit, an index into COVERS.
    """

    labels: np.ndarray
    parcel_ids: np.ndarray
    units: np.ndarray
    covers: np.ndarray


def smooth_noise(rng: np.random.Generator, size: int, scale: float, count: int = 1) -> np.ndarray:
    """Draw smooth random fields (count, size, size) float32 of mean 0 and standard deviation 1.

    ``scale`` is the distance in pixels between independent values.
    """
    cells = int(np.ceil(size / scale)) + 3
    grid = rng.standard_normal((count, cells, cells)).astype(np.float32)
    zoom = np.arange(size, dtype=np.float32) / scale
    begin = rng.uniform(1, 2, 2)
    where = np.stack(np.meshgrid(zoom + begin[0], zoom + begin[1], indexing='ij'))
    fields = np.stack([ndimage.map_coordinates(g, where, order=3, mode='mirror') for g in grid])
    fields -= fields.mean(axis=(1, 2), keepdims=True)
    return fields / fields.std(axis=(1, 2), keepdims=True)


def draw_parcels(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut the patch into field blocks, and each block into parcels of one direction.

    Blocks are Voronoi cells; a block's parcels are strips of varying width, cut crosswise at
    varying places, on coordinates that are rotated and gently bent.

    Returns:
        (128, 128) parcel numbers 0..P-1 and (128, 128) block numbers.
    """
    axis = np.arange(SIZE, dtype=np.float64)
    y, x = np.meshgrid(axis, axis, indexing='ij')
    bend = smooth_noise(rng, SIZE, 32, 2) * 2.5
    y, x = y + bend[0], x + bend[1]
    centres = rng.uniform(-10, SIZE + 10, (int(rng.integers(7, 13)), 2))
    blocks = np.argmin((y[..., None] - centres[:, 0]) ** 2 + (x[..., None] - centres[:, 1]) ** 2, 2)
    cells = np.zeros((SIZE, SIZE), np.int64)
    for block in range(len(centres)):
        inside = blocks == block
        angle = rng.uniform(0, np.pi)
        area = np.clip(rng.lognormal(np.log(260), 0.45), 80, 700)
        aspect = np.clip(rng.lognormal(np.log(1.8), 0.35), 1, 4)
        along, across = np.sqrt(area * aspect), np.sqrt(area / aspect)
        u = x[inside] * np.cos(angle) + y[inside] * np.sin(angle) + 2 * SIZE
        v = y[inside] * np.cos(angle) - x[inside] * np.sin(angle) + 2 * SIZE
        strips = np.searchsorted(np.cumsum(across * rng.uniform(0.6, 1.4, 200)), v)
        cuts = np.cumsum(along * rng.uniform(0.6, 1.4, (200, 200)), axis=1)
        cuts -= along * rng.uniform(0, 1, (200, 1))
        places = (cuts[strips] < u[:, None]).sum(axis=1)
        cells[inside] = (block * 256 + strips) * 256 + places
    _, parcels = np.unique(cells, return_inverse=True)
    parcels = parcels.reshape(SIZE, SIZE)
    # slivers at the edges of blocks join the nearest parcel
    sliver = np.bincount(parcels.ravel())[parcels] < 30
    nearest = ndimage.distance_transform_edt(sliver, return_distances=False, return_indices=True)
    _, parcels = np.unique(parcels[tuple(nearest)], return_inverse=True)
    return parcels.reshape(SIZE, SIZE), blocks


def draw_background(rng: np.random.Generator, blocks: np.ndarray) -> np.ndarray:
    """Place woods, water, settlements, and the margins between field blocks.

    Returns:
        (128, 128) index into COVERS, or -1 where fields are.
    """
    cover = np.full((SIZE, SIZE), -1)
    edge = np.zeros((SIZE, SIZE), bool)
    edge[:, 1:] |= blocks[:, 1:] != blocks[:, :-1]
    edge[1:] |= blocks[1:] != blocks[:-1]
    cover[edge & (smooth_noise(rng, SIZE, 24)[0] > 0)] = GRASS
    woods, stand = smooth_noise(rng, SIZE, 30)[0], smooth_noise(rng, SIZE, 25)[0]
    woods = woods + 0.25 * smooth_noise(rng, SIZE, 7)[0]
    wooded = woods > np.quantile(woods, 1 - rng.uniform(0.04, 0.24))
    cover[wooded] = np.where(stand > 0.5, calendars.EVERGREEN, calendars.DECIDUOUS)[wooded]
    if rng.random() < 0.6:
        village = smooth_noise(rng, SIZE, 22)[0]
        cover[village > np.quantile(village, 1 - rng.uniform(0.01, 0.06))] = calendars.BUILT
    if rng.random() < 0.45:
        valley = smooth_noise(rng, SIZE, 45)[0]
        slope = np.hypot(*np.gradient(valley)) + 0.01
        # the zero line of a smooth field winds through the patch like a river
        cover[np.abs(valley) / slope < rng.uniform(0.7, 2.2)] = calendars.WATER
    if rng.random() < 0.25:
        basin = smooth_noise(rng, SIZE, 28)[0]
        cover[basin > np.quantile(basin, 1 - rng.uniform(0.01, 0.04))] = calendars.WATER
    return cover


def draw_land(
    rng: np.random.Generator,
    num_crops: int,
    favoured: tuple[int, ...],
    first_parcel_id: int,
    fallow: float = 0.1,
) -> Land:
    """Draw a patch of the first ``num_crops`` crops of PASTIS, favoured ones more often.

    A share ``fallow`` of the parcels is background.
    """
    parcels, blocks = draw_parcels(rng)
    background = draw_background(rng, blocks)
    count = int(parcels.max()) + 1
    block_of = ndimage.maximum(blocks, parcels, np.arange(count)).astype(int)

    shares = CROP_SHARES[:num_crops] * rng.lognormal(0, 0.5, num_crops)
    shares /= shares.sum()
    shares[list(favoured)] = np.maximum(4 * shares[list(favoured)], 0.15)
    keep = int(rng.integers(4, 7))
    shares[np.argsort(shares)[:-keep]] *= 0.05
    # no crop takes a whole patch, whatever the draw
    shares = np.minimum(shares / shares.sum(), 0.4)
    shares /= shares.sum()
    # neighbours often grow the same: two crops dominate each block
    covers = rng.choice(num_crops, count, p=shares)
    dominant = rng.choice(num_crops, (int(blocks.max()) + 1, 2), p=shares)
    follow = rng.random(count) < 0.55
    choice = rng.integers(0, 2, count)
    covers[follow] = dominant[block_of, choice][follow]
    lies_fallow = rng.random(count) < fallow
    covers[lies_fallow] = GRASS

    size = np.bincount(parcels[background < 0], minlength=count)
    whole = np.bincount(parcels.ravel(), minlength=count)
    border = np.unique(np.concatenate([parcels[0], parcels[-1], parcels[:, 0], parcels[:, -1]]))
    at_border = np.isin(np.arange(count), border)
    void = ~lies_fallow & (rng.random(count) < np.where(at_border & (whole < 120), 0.35, 0.01))
    # void parcels grow anything, crops outside the nomenclature of this tree included
    covers[void] = rng.integers(0, len(CROPS), int(void.sum()))
    covers[size < 20] = GRASS
    void &= size >= 20

    label_of = np.where(covers < num_crops, covers + 1, 0)
    label_of[void] = VOID
    in_field = background < 0
    labels = np.where(in_field, label_of[parcels], 0).astype(np.uint8)
    ids = np.where(label_of > 0, first_parcel_id + np.arange(count), 0)
    parcel_ids = np.where(in_field, ids[parcels], 0).astype(np.int32)
    units = np.where(in_field, parcels, count + background - len(CROPS))
    natural = np.arange(len(CROPS), len(COVERS))
    return Land(labels, parcel_ids, units, np.concatenate([covers, natural]))
