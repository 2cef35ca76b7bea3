"""Masks by other means than Exact's and refinement, scored on the training windows.

From the CAMs of a trained classifier: background by Otsu's threshold, of all windows together and
of each one; a threshold-free background, 1 - the strongest crop, stretched to [0, 1] in each
window, after the idea of BAO (Fujimori et al. 2025) that the background has an activation of its
own; refinement from masks of other background scores. Without CAMs: what refinement starts from,
image-level labels of single pixels, and what its rounds make of that.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from torch import Tensor

from mmexact.apis.command_line import config_parser, load_config
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.engine.checkpoint import load_weights
from mmexact.masks import PseudoMaskWriter
from mmexact.masks.folder import write_json
from mmexact.pseudo_labels import cams_to_mask, confidence, scale_cams
from mmexact.refinement import ROUNDS, MaskRefiner
from mmexact.refinement.cross_fit import CrossFit
from mmexact.refinement.pixel_series import PixelSeries
from mmexact.refinement.rounds import run_round, start_masks
from mmexact.refinement.window_masks import WindowMasks, score_masks
from mmexact.sits import IGNORED

OTHER_SCORES = (0.15, 0.55)


def otsu(values: Tensor) -> float:
    """Return the threshold that tells values (P,) of 0..1 apart best (Otsu 1979)."""
    counts = torch.histc(values, 256, 0, 1)
    centres = (torch.arange(256) + 0.5) / 256
    below, total = counts.cumsum(0), (counts * centres).cumsum(0)
    above = below[-1] - below
    difference = total / below.clamp(min=1) - (total[-1] - total) / above.clamp(min=1)
    return (int((below * above * difference**2).argmax()) + 1) / 256


def activate_background(cams: Tensor) -> Tensor:
    """Put 1 - the strongest crop, stretched to [0, 1] by window, before CAMs (N, K, H, W)."""
    return torch.cat([scale_cams(1 - cams.amax(1, keepdim=True)), cams], 1)


class Baselines:
    """Scores masks of all windows of a dataset with background, before and after refinement."""

    def __init__(self, dataset: SITSDataset, num_workers: int) -> None:
        self.dataset, self.num_workers = dataset, num_workers
        self.infos = [dataset.get_data_info(number) for number in range(len(dataset))]
        self.scores: dict[str, dict[str, float]] = {}

    def add(self, name: str, masks: Any) -> None:
        """Score masks (N, H, W)."""
        self._note(name, self._score(window_masks(np.asarray(masks))))

    def add_without_cams(self, present: np.ndarray, size: tuple[int, int]) -> None:
        """Score what image-level labels (N, C) alone say of single pixels, and its refinement."""
        cross_fit = CrossFit(PixelSeries(self.dataset), present, self.num_workers)
        nothing = window_masks(np.full((len(present), *size), IGNORED, np.uint8))
        masks = start_masks(cross_fit, nothing, present, background=True, seed=0)
        self._note('no CAM: pixels of windows with and without a crop', self._score(masks))
        named = present.copy()
        named[:, 0] = False
        for number in range(ROUNDS):
            masks = run_round(cross_fit, masks, present, named, number).masks
        self._note('no CAM, refined', self._score(masks))

    def add_refined(self, name: str, masks: Any, sure: Any) -> None:
        """Score what refinement makes of masks and confidences (N, H, W)."""
        with tempfile.TemporaryDirectory() as folder:
            given = Path(folder, 'given')
            writer = PseudoMaskWriter(given, dict(made=name), self.infos, self.dataset.metainfo)
            for sample_id, mask, trust in zip(
                writer.sample_ids, np.asarray(masks), np.asarray(sure), strict=True
            ):
                writer.write(sample_id, mask, trust)
            writer.finish()
            try:
                refiner = MaskRefiner(self.dataset, given, self.num_workers)
            except ValueError as error:  # nothing to learn from: they stay as they are
                print(f'{name}: {error}')
                self.add(name, masks)
            else:
                manifest = refiner.run(Path(folder, 'refined'), score=True)
                self._note(name, manifest['scores'])

    def _score(self, masks: WindowMasks) -> dict[str, Any]:
        return score_masks(masks, self.dataset)

    def _note(self, name: str, scores: dict[str, Any]) -> None:
        self.scores[name] = dict(OA=scores['pseudo/OA'], mIoU=scores['pseudo/mIoU'])
        print(name, {key: round(value, 1) for key, value in self.scores[name].items()}, flush=True)


def window_masks(masks: np.ndarray) -> WindowMasks:
    """Hold masks (N, H, W) as refinement does, all trusted fully."""
    starts = np.arange(len(masks) + 1) * masks[0].size
    return WindowMasks(masks.reshape(-1), np.full(masks.size, 255, np.uint8), starts)


def main() -> None:
    """Score as the command line says; writes scores.json."""
    parser = config_parser(__doc__, checkpoint=True)
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='of scores.json')
    args = parser.parse_args()
    cfg = load_config(args)
    runner = Runner.from_cfg(cfg)
    load_weights(runner.model, args.checkpoint)
    runner.model.eval()
    loader = runner.build_dataloader(cfg.test_dataloader)
    with torch.no_grad():
        batches = [runner.model.test_step(batch) for batch in loader]
    samples = [sample for batch in batches for sample in batch]
    cams = torch.stack([sample.seg_logits.data[1:].float() for sample in samples])
    labels = np.stack([sample.gt_score.numpy() > 0 for sample in samples])
    dataset: Any = loader.dataset
    baselines = Baselines(dataset, cfg.test_dataloader.num_workers)

    strongest = cams.amax(1)
    by_window = torch.tensor([otsu(one.ravel()) for one in strongest])[:, None, None]
    most = cams_to_mask(cams, 0)
    threshold = otsu(strongest.ravel())
    baselines.add('Otsu, all windows', torch.where(strongest > threshold, most, 0))
    baselines.add('Otsu, each window', torch.where(strongest > by_window, most, 0))
    baselines.add('background activation', activate_background(cams).argmax(1).to(torch.uint8))
    for score in OTHER_SCORES:
        masks = cams_to_mask(cams, score)
        planes = torch.cat([torch.full_like(cams[:, :1], score), cams], 1)
        baselines.add(f"Exact's masks, score {score}", masks)
        baselines.add_refined(f'refined from {score}', masks, confidence(planes))
    present = np.column_stack([np.ones(len(labels), bool), labels])
    baselines.add_without_cams(present, (cams.shape[-2], cams.shape[-1]))
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / 'scores.json', baselines.scores)


if __name__ == '__main__':
    main()
