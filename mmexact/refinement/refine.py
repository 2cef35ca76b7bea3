"""Refinement of pseudo masks: from the folder of stage 2 to a folder of better masks."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmengine.utils import ProgressBar

from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.masks import PseudoMaskWriter, config_digest, open_masks, whole_file
from mmexact.refinement.cross_fit import CrossFit
from mmexact.refinement.pixel_series import PixelSeries
from mmexact.refinement.rounds import Round, run_round, start_masks
from mmexact.refinement.window_masks import WindowMasks, score_masks

ROUNDS = 3
"""Rounds after the start; fewer where the masks get worse."""

FALL = 0.03
"""Agreement that is lost where a round makes masks worse; less comes and goes."""

RECIPE = 2
"""Number of this way to refine: masks made in another way are not taken for finished."""

ALIKE = 0.3
"""Likeness of two classes from which on they are named."""

STATE = 'round.npz'
"""What an interrupted run goes on from."""


class MaskRefiner:
    """Refines the pseudo masks of windows by what every pixel did over the season.

    See docs/method.md, "Beyond the paper". No pixel label is looked at.

    Args:
        dataset: The windows, with image-level labels. Of a window without them, the classes of its
            mask stand for them.
        masks_dir: Folder of the masks to refine.
        num_workers: Processes that read the series.

    Raises:
        FileNotFoundError: Masks of some windows are missing, or all.
        ValueError: The masks are of other classes or windows, or there is nothing to learn from.
    """

    def __init__(
        self, dataset: SITSDataset, masks_dir: str | os.PathLike[str], num_workers: int = 0
    ) -> None:
        dataset.full_init()
        self.dataset = dataset
        self.num_workers = num_workers
        self.classes: Sequence[str] = dataset.metainfo['classes']
        self.infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        sample_ids = [info['sample_id'] for info in self.infos]
        self.source = open_masks(masks_dir, self.classes, sample_ids)
        sizes = [info['size'] for info in self.infos]
        self.masks = WindowMasks.read(masks_dir, sample_ids, sizes, len(self.classes))
        self.masks_dir = Path(masks_dir)
        self.named = np.zeros((len(self.infos), len(self.classes)), bool)
        for number, info in enumerate(self.infos):
            if 'gt_score' in info:
                self.named[number, self.dataset.background :] = info['gt_score'] > 0
        self.present = self._find_present()

    def _find_present(self) -> np.ndarray:
        """Return which classes may occur in each window, bool (N, C)."""
        counts = np.array([self.masks.count(n, len(self.classes)) for n in range(len(self.infos))])
        labelled = np.array(['gt_score' in info for info in self.infos])
        present = np.where(labelled[:, None], self.named, counts > 0)
        present[:, : self.dataset.background] = True
        seen = counts.any(0)
        problem = ''
        if (present == present[0]).all():
            problem = (
                f'the same classes may occur in all {len(present)} windows, so that image-level '
                f'labels tell nothing; expected windows that lack a class: make them smaller '
                f'(window_size), or look at the labels'
            )
        elif seen.sum() < 2:
            held = [self.classes[number] for number in np.flatnonzero(seen).tolist()]
            problem = (
                f'the masks hold no other class than {held}, so that there is nothing to tell '
                f'apart; choose another background score, or train the classifier longer'
            )
        if problem:
            raise ValueError(f'{self.masks_dir}: {problem}')
        for number in np.flatnonzero(present.any(0) & ~seen).tolist():
            name = self.classes[number]
            print_log(
                f'{self.masks_dir}: no pixel is {name!r}; it starts from what grows in windows '
                f'that are named for it, and in no others',
                'current',
            )
        return present

    def run(
        self,
        out_dir: str | os.PathLike[str],
        rounds: int = ROUNDS,
        seed: int = 0,
        overwrite: bool = False,
        score: bool = False,
    ) -> dict[str, Any]:
        """Refine, and write a folder as :class:`~mmexact.masks.PseudoMaskWriter` does.

        Args:
            out_dir: Folder of the refined masks. An interrupted run goes on after the last round
                that it finished there.
            rounds: How many. They end earlier when the agreement with image-level labels falls by
                more than :data:`FALL`; a round in which it does so does not count.
            seed: Of everything random.
            overwrite: Replace the masks that are there.
            score: Score the masks against the pixel labels of the dataset.

        Returns:
            The manifest. Its ``refinement`` says of each round the agreement, the share of changed
            pixels, and which classes the seasons of pixels hardly tell apart (``alike``).

        Raises:
            FileExistsError: The folder holds masks of other inputs.
            ValueError: It is the one that is read.
        """
        out = Path(out_dir)
        if out.resolve() == self.masks_dir.resolve():
            raise ValueError(f'{out} holds the masks to refine: choose another folder for the new')
        inputs = dict(
            refined_from=config_digest(self.source.get('inputs', {}), self.masks.digest()),
            image_labels=config_digest(self.present.tolist()),
            rounds=rounds,
            seed=seed,
            recipe=RECIPE,
        )
        writer = PseudoMaskWriter(out, inputs, self.infos, self.dataset.metainfo, overwrite)
        if overwrite:  # rounds of an interrupted run may be those of other masks
            (out / STATE).unlink(missing_ok=True)
        if writer.folder.manifest['complete']:
            return writer.folder.manifest
        masks, records = self._run_rounds(out / STATE, rounds, seed)
        for number, (info, sample_id) in enumerate(zip(self.infos, writer.sample_ids, strict=True)):
            here, size = masks.window(number), info['size']
            confidence = masks.confidence[here].reshape(size) / 255
            writer.write(sample_id, masks.classes[here].reshape(size), confidence)
        kept = records[-2 if _lost(records) else -1]  # the round that the masks are of
        for line in kept['alike']:
            print_log(f'the seasons of pixels look alike: {line}', 'current')
        scores = score_masks(masks, self.dataset) if score else None
        manifest = writer.finish(scores, refinement=records)
        (out / STATE).unlink()
        return manifest

    def _run_rounds(
        self, state: Path, rounds: int, seed: int
    ) -> tuple[WindowMasks, list[dict[str, Any]]]:
        """Run rounds as long as they help; returns the best masks and what is said of each."""
        masks, records = self.masks, []
        if state.exists():
            with np.load(state) as stored:
                masks = WindowMasks(stored['classes'], stored['confidence'], masks.starts)
                records = json.loads(str(stored['records']))
        cross_fit = CrossFit(PixelSeries(self.dataset), self.present, self.num_workers)
        if not records:
            print_log('pixels of windows with and without each crop', 'current')
            bar = ProgressBar(len(self.infos))
            masks = start_masks(
                cross_fit, masks, self.present, self.dataset.background, seed, bar.update
            )
            print()
        while len(records) < rounds and not _lost(records):
            print_log(f'round {len(records) + 1} of {rounds}', 'current')
            start = time.monotonic()
            bar = ProgressBar(len(self.infos))
            result = run_round(
                cross_fit, masks, self.present, self.named, seed + len(records), bar.update
            )
            print()
            records.append(
                dict(
                    agreement=round(result.agreement, 4),
                    changed=round(result.changed, 4),
                    alike=self._name_alike(result),
                    seconds=round(time.monotonic() - start, 1),
                )
            )
            print_log(
                f'agreement with image-level labels {result.agreement:.1%}, changed pixels '
                f'{result.changed:.1%}', 'current',
            )  # fmt: skip
            if not _lost(records):
                masks = result.masks
            with whole_file(state) as unfinished, unfinished.open('wb') as file:
                np.savez(
                    file,
                    classes=masks.classes,
                    confidence=masks.confidence,
                    records=json.dumps(records),
                )
        return masks, records

    def _name_alike(self, result: Round) -> list[str]:
        return [
            f'{result.likeness[given, other]:.0%} of the pixels of {self.classes[given]!r} look '
            f'like {self.classes[other]!r}'
            for given, other in np.argwhere(result.likeness >= ALIKE)
        ]


def _lost(records: Sequence[dict[str, Any]]) -> bool:
    """Whether the agreement has fallen in the last round."""
    agreements = [record['agreement'] for record in records]
    return bool(records) and agreements[-1] < max(agreements) - FALL
