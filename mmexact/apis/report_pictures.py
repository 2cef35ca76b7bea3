"""What a report shows of trained models: predictions for a few windows, and class-wise scores."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample

from mmexact.datasets.transforms.loading import load_mask
from mmexact.engine.checkpoint import load_weights
from mmexact.sits import unfold_time
from mmexact.visualization.pages import Gallery, choose_windows
from mmexact.visualization.pictures import cam_overlay, colorize, composite


def build_dataset(cfg: Config) -> BaseSegDataset:
    """Build the data set of a config's ``test_dataloader``."""
    return DATASETS.build(cfg.test_dataloader.dataset)


def sample_names(dataset: BaseSegDataset) -> list[str]:
    """List the sample ids in the order of the data set."""
    return [dataset.get_data_info(index)['sample_id'] for index in range(len(dataset))]


def class_ious(dataset: BaseSegDataset, mask_dir: Path) -> dict[str, float | None]:
    """Score saved masks ``<mask_dir>/<sample_id>.png`` class by class against the true ones.

    Returns:
        Intersection over union in percent by class; None where a class is neither in the truth nor
        in the masks. Ignored true pixels do not count.

    Raises:
        ValueError: A mask differs in size from the truth.
    """
    classes = dataset.metainfo['classes']
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        truth = load_mask(info)
        mask = read_mask(mask_dir / f'{info["sample_id"]}.png')
        if mask.shape != truth.shape:
            raise ValueError(
                f'{mask_dir / info["sample_id"]}.png: {mask.shape} pixels, the truth has '
                f'{truth.shape}'
            )
        counted = (truth < len(classes)) & (mask < len(classes))
        pairs = truth[counted].astype(np.int64) * len(classes) + mask[counted]
        confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
    hits = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hits
    return {
        name: 100 * float(hit) / float(all_) if all_ else None
        for name, hit, all_ in zip(classes, hits, union, strict=True)
    }


def read_mask(path: Path) -> np.ndarray:
    """Read a mask (h, w) uint8.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file is no picture.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such mask')
    mask = mmcv.imread(path, flag='unchanged')
    if mask is None:
        raise ValueError(f'{path}: cannot be read as a picture')
    return mask


def choose(dataset: BaseSegDataset, count: int) -> list[int]:
    """Choose windows of a data set, see :func:`choose_windows`."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    patches = np.array([info['sample_id'].rpartition('_')[0] for info in infos])
    return choose_windows(np.stack([info['gt_score'] for info in infos]), patches, count)


def predict(cfg: Config, checkpoint: Path, samples: Sequence[dict]) -> list[SegDataSample]:
    """Run a trained model over packed samples of one size, as its test loop would."""
    model = MODELS.build(cfg.model)
    load_weights(model, checkpoint)
    model.eval()
    with torch.no_grad():
        return model.test_step(pseudo_collate(list(samples)))


def show_windows(
    dataset: BaseSegDataset,
    indices: Sequence[int],
    classifier: tuple[Config, Path],
    segmentor: tuple[Config, Path],
    pseudo_dir: Path,
) -> Gallery:
    """Show training windows from the image to the crop map.

    Args:
        dataset: Windows with true masks.
        indices: Which of them.
        classifier: Config and checkpoint of stage 1.
        segmentor: Config and checkpoint of stage 3.
        pseudo_dir: Folder of the pseudo masks.
    """
    classes, palette = dataset.metainfo['classes'], dataset.metainfo['palette']
    samples = [dataset[index] for index in indices]
    maps = predict(*classifier, samples)
    drawn = predict(*segmentor, samples)
    rows: list[tuple[str, list[np.ndarray]]] = []
    for sample, cams, prediction in zip(samples, maps, drawn, strict=True):
        image = sample_composite(sample)
        truth = sample['data_samples']
        crops = [classes[k + 1] for k in truth.gt_score.nonzero().flatten().tolist()]
        masks = [
            read_mask(pseudo_dir / f'{truth.sample_id}.png'),
            prediction.pred_sem_seg.data[0].numpy(),
            truth.gt_sem_seg.data[0].numpy(),
        ]
        overlay = cam_overlay(image, cams.seg_logits.data[1:].float().numpy(), palette)
        pictures = [image, overlay, *(colorize(mask, palette) for mask in masks)]
        rows.append((f'{truth.sample_id}: {", ".join(crops) or "no crop"}', pictures))
    columns = ['colour composite', 'CAM', 'pseudo mask', 'prediction', 'truth']
    return Gallery('Training windows', columns, rows)


def show_patches(
    dataset: BaseSegDataset, indices: Sequence[int], mask_dirs: Mapping[str, Path]
) -> Gallery:
    """Show whole patches beside saved predictions of several models, by the column's title."""
    palette = dataset.metainfo['palette']
    rows: list[tuple[str, list[np.ndarray]]] = []
    for index in indices:
        sample = dataset[index]
        truth = sample['data_samples']
        masks = [read_mask(folder / f'{truth.sample_id}.png') for folder in mask_dirs.values()]
        masks.append(truth.gt_sem_seg.data[0].numpy())
        pictures = [sample_composite(sample), *(colorize(mask, palette) for mask in masks)]
        rows.append((truth.sample_id, pictures))
    return Gallery('Held-out patches', ['colour composite', *mask_dirs, 'truth'], rows)


def sample_composite(sample: dict[str, Any]) -> np.ndarray:
    """Make the colour composite of a packed sample."""
    folded = sample['inputs'].numpy()
    num_bands = len(folded) // len(sample['data_samples'].day_of_year) - 1
    return composite(*unfold_time(folded, num_bands))


def learning_curve(work_dir: Path, keys: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
    """Collect what a training logged, over all its runs: (iteration, value) by key."""
    curves: dict[str, dict[int, float]] = {key: {} for key in keys}
    for entry in logged(work_dir):
        for key, curve in curves.items():
            if key in entry:
                curve[entry['step']] = entry[key]
    return {key: sorted(curve.items()) for key, curve in curves.items()}


def logged(work_dir: Path) -> list[dict]:
    """Read all that the runs in a work folder logged, oldest first."""
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]
