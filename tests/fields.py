"""Fields whose pixels tell their class by their season alone, with masks that are partly wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmexact.datasets.reader import PatchReader
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.masks import PseudoMaskWriter
from mmexact.sits import Window, cut

DAYS = np.array([20, 80, 140, 200, 260, 320], np.int16)
SEASONS = 100 * np.array([[5, 5, 5, 5, 5, 5], [2, 8, 8, 2, 2, 2], [2, 2, 2, 8, 8, 2]])
"""Digital numbers of the band of background, wheat and corn at the dates."""

SIDE = 8
CLASSES = ('Background', 'Wheat', 'Corn')


@dataclass(kw_only=True, eq=False)
class FieldReader(PatchReader):
    """A patch in memory; ``hidden`` pixels are never observed."""

    mask: np.ndarray
    values: np.ndarray
    hidden: np.ndarray

    def read(self, dates: np.ndarray, window: Window) -> np.ndarray:
        values = cut(self.values, window)[dates]
        return np.ma.MaskedArray(values, np.broadcast_to(cut(self.hidden, window), values.shape))

    def read_mask(self, window: Window) -> np.ndarray:
        return cut(self.mask, window)


class Fields(SITSDataset):
    """Patches of 16 x 16 pixels in windows of 8 x 8, each with wheat, corn, both or neither."""

    METAINFO = dict(classes=CLASSES, palette=[[0, 0, 0], [200, 200, 0], [0, 200, 0]])

    def __init__(self, patches: int = 8, hidden: float = 0.0, **kwargs) -> None:
        self.patches, self.hidden = patches, hidden
        super().__init__(window_size=SIDE, **kwargs)

    def load_patches(self) -> Iterator[tuple[str, PatchReader]]:
        rng = np.random.default_rng(0)
        for patch in range(self.patches):
            mask = np.zeros((2, SIDE, 2, SIDE), np.uint8)
            for number in range(4):
                row, column = divmod(number, 2)
                kind = (patch + number) % 4
                mask[row, :4, column] = kind & 1
                mask[row, 4:, column, :5] = kind & 2
            mask = mask.reshape(2 * SIDE, 2 * SIDE)
            values = SEASONS[mask].transpose(2, 0, 1)[:, None] + rng.normal(0, 60, (6, 1, 16, 16))
            yield (
                f'p{patch}',
                FieldReader(
                    source=f'p{patch}',
                    mask_source=f'p{patch}.png',
                    size=mask.shape,
                    num_bands=1,
                    days=DAYS,
                    mask=mask,
                    values=values.astype(np.int16),
                    hidden=rng.random(mask.shape) < self.hidden,
                ),
            )


def truth(dataset: Fields) -> list[np.ndarray]:
    """Return the true masks of the windows."""
    infos = map(dataset.get_data_info, range(len(dataset)))
    return [info['reader'].read_mask(info['window']) for info in infos]


def write_masks(folder: Path, dataset: Fields, wrong: float = 0.3) -> Path:
    """Write masks in which a share of the pixels has another class that the window permits."""
    rng = np.random.default_rng(1)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    writer = PseudoMaskWriter(folder, dict(made='by hand'), infos, dataset.metainfo)
    for info, mask in zip(infos, truth(dataset), strict=True):
        permitted = np.flatnonzero([True, *info['gt_score']])
        other = rng.choice(permitted, mask.shape).astype(np.uint8)
        noisy = np.where(rng.random(mask.shape) < wrong, other, mask)
        writer.write(info['sample_id'], noisy, np.full(mask.shape, 0.5))
    writer.finish()
    return folder
