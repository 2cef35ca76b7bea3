"""Pseudo masks on disk: a folder that stage 2 writes and stage 3 opens."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmexact.masks.folder import MANIFEST, ResumableFolder, read_manifest
from mmexact.masks.maps import join_windows, map_files, open_map
from mmexact.masks.png import write_mask
from mmexact.sits import IGNORED, Georeference

KIND = 'pseudo masks'
"""What a folder of pseudo masks says in its manifest that it holds."""


class PseudoMaskWriter:
    """Writes a folder of pseudo masks, resumably (see :class:`ResumableFolder`).

    ``<sample_id>.png`` is the mask of a window, uint8: index of the class, 255 ignored.
    ``confidence/<sample_id>.png`` says how far its pixels can be trusted, 0 not at all, 255 fully.
    Windows with a georeference are joined to a map ``<patch>.tif``, 255 where no window lies.

    Args:
        path: The folder; made if missing.
        inputs: What determines the masks (digests, background score and how it was chosen, kind of
            CAM), JSON values.
        windows: Entries of a dataset: ``sample_id``, ``patch`` (its name) and ``georeference``
            (None where that is not known) of all windows that belong to the folder.
        meta: Meta information of the dataset: ``classes``, ``palette`` (an RGB triple of 0..255 per
            class), and ``background``, whether the first class is the background.
        overwrite: Replace the masks that are there.

    Attributes:
        sample_ids: Of all windows, in their order.

    Raises:
        FileExistsError: The folder holds masks of other inputs, or files that are not ours.
        ValueError: Its manifest is damaged, or one of other files.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        inputs: Mapping[str, Any],
        windows: Iterable[Mapping[str, Any]],
        meta: Mapping[str, Any],
        overwrite: bool = False,
    ) -> None:
        self.sample_ids: list[str] = []
        self.patches: dict[str, list[str]] = {}
        self.places: dict[str, Georeference] = {}
        files: list[str] = []
        for info in windows:
            sample_id, place = info['sample_id'], info['georeference']
            self.sample_ids.append(sample_id)
            self.patches.setdefault(info.get('patch', sample_id.rsplit('_', 1)[0]), []).append(
                sample_id
            )
            files += _window_files(sample_id)
            if place is not None and place.crs is not None:
                self.places[sample_id] = place
        for patch in filter(self._is_map, self.patches):
            files += map_files(patch)
        self.legend = list(zip(meta['classes'], meta['palette'], strict=False))
        self.folder = ResumableFolder(
            path,
            KIND,
            inputs,
            files,
            dict(
                classes=meta['classes'],
                palette=meta['palette'],
                background=meta.get('background', True),
            ),
            overwrite,
        )

    def has(self, sample_id: str) -> bool:
        """Tell whether a window's mask was written, now or by an interrupted run."""
        return self.folder.has(*_window_files(sample_id))

    def write(self, sample_id: str, mask: np.ndarray, confidence: np.ndarray) -> None:
        """Write the mask of one window, uint8 (H, W), and its confidence, float (H, W) in 0..1."""
        assert mask.shape == confidence.shape, (mask.shape, confidence.shape)
        planes = (mask, (255 * confidence).round().astype(np.uint8))
        for name, plane in zip(_window_files(sample_id), planes, strict=True):
            write_mask(self.folder.path / name, plane)

    def finish(self, scores: Mapping[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
        """Check that all masks are there, write the maps and the final manifest.

        Args:
            scores: What the masks are worth, for the manifest; without them, those that an
                earlier run with the same inputs left there are kept.
            **facts: What else the manifest says, JSON values.

        Returns:
            The manifest.

        Raises:
            FileNotFoundError: A mask is missing.
        """
        self.folder.require([file for name in self.sample_ids for file in _window_files(name)])
        counts = np.zeros(256, np.int64)
        for patch, windows in self.patches.items():
            masks = {name: self._read(name) for name in windows}
            for mask in masks.values():
                counts += np.bincount(mask.ravel(), minlength=256)
            if self._is_map(patch):
                mosaic, place = join_windows([(masks[n], self.places[n]) for n in windows])
                path = self.folder.path / f'{patch}.tif'
                with open_map(path, mosaic.shape, place, legend=self.legend) as raster:
                    raster.write(mosaic, 1)
        pixels = {name: int(count) for (name, _), count in zip(self.legend, counts, strict=False)}
        return self.folder.finish(
            windows=len(self.sample_ids),
            pixels=dict(pixels, ignored=int(counts[IGNORED])),
            scores=scores or self.folder.manifest.get('scores', {}),
            **facts,
        )

    def _is_map(self, patch: str) -> bool:
        return all(name in self.places for name in self.patches[patch])

    def _read(self, sample_id: str) -> np.ndarray:
        with Image.open(self.folder.path / f'{sample_id}.png') as image:
            return np.asarray(image)


def _window_files(sample_id: str) -> tuple[str, str]:
    return f'{sample_id}.png', f'confidence/{sample_id}.png'


def open_masks(
    folder: str | os.PathLike[str], classes: Sequence[str], sample_ids: Sequence[str]
) -> dict[str, Any]:
    """Check that a folder holds finished pseudo masks of these classes and windows.

    Masks from elsewhere are read as well, with a ``manifest.json`` beside them that says
    ``{"kind": "pseudo masks", "complete": true, "classes": [...]}``.

    Args:
        folder: Where stage 2 wrote ``<sample_id>.png`` and ``manifest.json``.
        classes: Names of the classes that the masks should have, in their order.
        sample_ids: Windows whose masks will be read.

    Returns:
        The manifest.

    Raises:
        FileNotFoundError: Masks of some windows are missing, or the whole folder.
        ValueError: The masks are unfinished, their classes or the order of these differ, or no
            manifest says so.
    """
    folder = Path(folder)
    remedy = (
        f'make them with tools/gen_pseudo.py and tools/refine_pseudo.py, the last one with '
        f'--out {folder}'
    )
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    wanted = [f'{sample_id}.png' for sample_id in sample_ids]
    missing = [name for name in wanted if name not in present]
    others = sorted(name for name in present.difference(wanted) if name.endswith('.png'))
    manifest: dict[str, Any] = {}
    if MANIFEST in present:
        manifest = read_manifest(folder, KIND)
        _compare_classes(folder, manifest.get('classes'), list(classes), remedy)
        if not manifest.get('complete'):
            raise ValueError(
                f'{folder}: the pseudo masks are unfinished; run the tool that makes them again '
                f'with the same arguments, it goes on where it stopped'
            )
    elif len(missing) < len(wanted) or others:
        raise ValueError(
            f'{folder} holds masks, but no {MANIFEST} that says of which classes they are and '
            f'that they are finished; {remedy}\nBeside masks from elsewhere, write a {MANIFEST} '
            f'with {{"kind": "{KIND}", "complete": true, "classes": [...]}}'
        )
    if missing:
        strangers = others and len(missing) == len(wanted)
        raise FileNotFoundError(
            f'{folder.absolute()}: pseudo masks of {len(missing)} of {len(wanted)} windows are '
            f'missing, first {missing[0]}; '
            + (f'there is {others[0]}: choose the folder of this project, or ' if strangers else '')
            + remedy
        )
    return manifest


def _compare_classes(folder: Path, found: Any, expected: list[str], remedy: str) -> None:
    if found == expected:
        return
    same = isinstance(found, list) and sorted(map(str, found)) == sorted(expected)
    kind = 'the same classes in another order' if same else 'other classes'
    raise ValueError(
        f'{folder} holds masks of {kind}: {found}, but the dataset has {expected}; set '
        f'metainfo.classes of the dataset to those of the masks, choose the folder of this '
        f'project, or {remedy}'
    )
