"""What a report shows of trained models: windows from image to map, and scenes beside maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmexact.datasets.bands import find_band
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.transforms.loading import load_mask
from mmexact.engine.checkpoint import load_weights
from mmexact.masks.maps import read_map
from mmexact.sits import Window
from mmexact.visualization.pages import Gallery, choose_windows
from mmexact.visualization.pictures import cam_overlay, colorize, composite, observe, true_colour

WINDOWS, SCENES = 6, 3
SIDE = 256
"""Pixels that a picture of a scene has at most in each direction."""


def show_windows(
    windows: SITSDataset,
    configs: Mapping[str, Config],
    weights: Mapping[str, str],
    masks: Mapping[str, Path],
) -> Gallery:
    """Show some windows from the image to the crop map.

    Args:
        windows: Windows whose crops are known.
        configs: Configs of the classifier (``cls``) and the segmentor (``seg``).
        weights: Their checkpoints.
        masks: Folders of masks that the segmentor learned from, by what they are.
    """
    classes, palette = windows.metainfo['classes'], windows.metainfo['palette']
    infos = [windows.get_data_info(index) for index in range(len(windows))]
    labels, patches = (np.array([info[key] for info in infos]) for key in ('gt_score', 'patch'))
    chosen = choose_windows(labels, patches, WINDOWS)
    samples = [windows[index] for index in chosen]
    cams, drawn = (predict(configs[name], weights[name], samples) for name in ('cls', 'seg'))
    truth = infos[0]['seg_map_path'] is not None
    rows = []
    for index, cam, prediction in zip(chosen, cams, drawn, strict=True):
        info = infos[index]
        image = show_ground(windows, index, info['window'])
        activation = cam.seg_logits.data[1:].float().numpy()
        shown = [read_map(folder / f'{info["sample_id"]}.png') for folder in masks.values()]
        shown.append(prediction.pred_sem_seg.data[0].numpy())
        shown += [load_mask(info)] if truth else []
        overlay = cam_overlay(image, activation, palette, windows.background)
        crops = [classes[crop + windows.background] for crop in np.flatnonzero(labels[index])]
        pictures = [image, overlay, *(colorize(mask, palette) for mask in shown)]
        rows.append((f'{info["sample_id"]}: {", ".join(crops) or "no crop"}', pictures))
    return Gallery(
        'Training windows',
        ['colour composite', 'CAM', *masks, 'prediction', *['truth'] * truth],
        rows,
        'Chosen by their labels alone, so that every crop is shown. Above each row stands all that '
        'the classifier was told about the window. The CAM is the colour of the strongest class, '
        'the more opaque the more active; a class that exceeds the background score enters the '
        'pseudo mask. The refined mask goes by the season of every pixel.',
    )


def show_scenes(tested: SITSDataset, folders: Mapping[str, Path]) -> Gallery:
    """Show the first scenes beside their maps, and beside the truth where it is known.

    Args:
        tested: Windows or patches; of large patches the middle is shown.
        folders: Folders of maps ``<sample_id>.tif`` or ``.png`` by what they are; one that lacks
            the scenes is left out.
    """
    scenes, palette = tested.for_prediction(), tested.metainfo['palette']
    infos = [scenes.get_data_info(index) for index in range(min(SCENES, len(scenes)))]
    maps = {}
    for title, folder in folders.items():
        names = [(f'{info["sample_id"]}.tif', f'{info["sample_id"]}.png') for info in infos]
        paths = [folder / name for pair in names for name in pair if (folder / name).exists()]
        if len(paths) == len(infos):
            maps[title] = paths
    readers = [tested.readers[info['patch']] for info in infos]
    truth = all(reader.mask_source is not None for reader in readers)
    large = any(max(info['size']) > SIDE for info in infos)
    rows = []
    for index, info in enumerate(infos):
        size = height, width = info['size']
        h, w = min(height, SIDE), min(width, SIDE)
        window = ((height - h) // 2, (width - w) // 2, h, w)
        masks = [read_map(paths[index], window) for paths in maps.values()]
        masks += [readers[index].read_mask(window)] if truth else []
        if large:
            step = -(-max(size) // SIDE)
            masks.append(read_map(next(iter(maps.values()))[index])[::step, ::step])
        pictures = [show_ground(scenes, index, window), *(colorize(m, palette) for m in masks)]
        rows.append((info['sample_id'], pictures))
    return Gallery(
        'Maps',
        ['colour composite', *maps, *['truth'] * truth, *['the whole map'] * large],
        rows,
        'The first patches' + f'; of large ones the middle {SIDE} pixels' * large + '.',
    )


def show_ground(data: SITSDataset, index: int, window: Window) -> np.ndarray:
    """Make the colour composite of a part of a patch, uint8 (h, w, 3)."""
    reader = data.get_data_info(index)['reader']
    bands = (find_band(data.band_names, colour) for colour in ('red', 'green', 'blue'))
    return composite(observe(reader, window), reader.days, true_colour(*bands))


def predict(cfg: Config, weights: str, samples: Sequence[dict[str, Any]]) -> list[SegDataSample]:
    """Run a trained model over packed samples of one size, as its test loop would."""
    model = MODELS.build(cfg.model).eval()
    load_weights(model, weights)
    with torch.no_grad():
        return model.test_step(pseudo_collate(list(samples)))
