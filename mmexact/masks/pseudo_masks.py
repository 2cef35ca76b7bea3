"""Pseudo masks on disk: PNGs per window, a manifest, and GeoTIFFs where the data are located."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rasterio.transform import Affine

from mmexact.datasets.labels import WEIGHTS, weights_path
from mmexact.masks.rasters import describe_classes, open_map
from mmexact.sits import IGNORED

MANIFEST = 'manifest.json'


class PseudoMaskWriter:
    """Writes ``<out_dir>/<sample_id>.png`` and ``manifest.json``, resumably.

    Masks are uint8: index of the class, 255 ignored. Beside each lies
    ``<out_dir>/weights/<sample_id>.png``, uint8 as well: how far a pixel of the mask can be
    trusted, 0 not at all, 255 fully. Every file appears whole or not at all. The
    manifest says what the masks were made from; it is written before the first mask with
    ``complete`` false, so that a second run with the same inputs goes on and one with other
    inputs refuses.

    Args:
        out_dir: Folder of the masks; made if missing.
        inputs: What determines the masks (digests, background score and how it was chosen, kind of
            CAM), JSON values.
        classes: Names of the classes.
        palette: An RGB triple of 0..255 per class.
        overwrite: Replace masks of other inputs.

    Raises:
        FileExistsError: ``out_dir`` holds masks of other inputs, or masks without a manifest, and
            ``overwrite`` is off.
    """

    def __init__(
        self,
        out_dir: str | os.PathLike,
        inputs: Mapping[str, Any],
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        overwrite: bool = False,
    ) -> None:
        self.out_dir = Path(out_dir)
        self.inputs = json.loads(json.dumps(inputs))
        self.classes = list(classes)
        self.palette = [tuple(color) for color in palette]
        self.scores: dict[str, Any] = {}
        self._start(overwrite)

    def _start(self, overwrite: bool) -> None:
        (self.out_dir / WEIGHTS).mkdir(parents=True, exist_ok=True)
        manifest = self.out_dir / MANIFEST
        found = sorted(self.out_dir.glob('*.png'))
        if manifest.exists() or found:
            earlier = json.loads(manifest.read_text()) if manifest.exists() else {}
            differing = [
                f'{key}: {earlier.get("inputs", {}).get(key)!r} there, {value!r} now'
                for key, value in self.inputs.items()
                if earlier.get('inputs', {}).get(key) != value
            ]
            if differing and not overwrite:
                raise FileExistsError(
                    f'{self.out_dir} holds pseudo masks of other inputs ({"; ".join(differing)}): '
                    f'choose another folder, or replace them with --overwrite'
                )
            if differing:
                old = [*found, *self.out_dir.glob('*.tif'), *self.out_dir.glob(f'{WEIGHTS}/*.png')]
                for path in old:
                    path.unlink()
            else:
                self.scores = earlier.get('scores', {})
        self._write_manifest(complete=False)

    def has(self, sample_id: str) -> bool:
        """Tell whether a window's mask was written, now or by an interrupted run."""
        return (self.out_dir / f'{sample_id}.png').exists()

    def write(self, sample_id: str, mask: np.ndarray, confidence: np.ndarray) -> None:
        """Write the mask of one window, uint8 (H, W), and its confidence, float (H, W) in 0..1."""
        assert mask.dtype == np.uint8, mask.dtype
        assert mask.shape == confidence.shape, (mask.shape, confidence.shape)
        mask_path = self.out_dir / f'{sample_id}.png'
        # The mask last: where it is, the window is done.
        weights = (255 * confidence).round().astype(np.uint8)
        for path, values in ((weights_path(mask_path), weights), (mask_path, mask)):
            # Of two processes that share a padded batch's window, each writes a file of its own.
            unfinished = Path(path).with_suffix(f'.{os.getpid()}.part')
            Image.fromarray(values).save(unfinished, format='png')
            unfinished.replace(path)

    def read(self, sample_id: str) -> np.ndarray:
        """Read one window's mask, uint8 (H, W)."""
        with Image.open(self.out_dir / f'{sample_id}.png') as image:
            return np.asarray(image)

    def finish(
        self, windows: Mapping[str, dict | None], scores: Mapping[str, Any] | None = None
    ) -> dict:
        """Check that all masks are there, write the maps and the final manifest.

        Windows with a georeference are joined to one ``<patch>.tif`` per patch, 255 (no data)
        where no window lies.

        Args:
            windows: All windows that belong to the folder: by sample id ``crs`` (WKT) and
                ``transform`` (6 numbers) of the window, or None where that is not known.
            scores: What the masks are worth, for the manifest; without them, those that an
                earlier run with the same inputs left there are kept.

        Returns:
            The manifest.

        Raises:
            FileNotFoundError: A mask is missing.
        """
        missing = [name for name in windows if not self.has(name)]
        if missing:
            raise FileNotFoundError(
                f'{self.out_dir}: {len(missing)} of {len(windows)} masks are missing, first '
                f'{missing[0]}.png; run again to make them'
            )
        counts = np.zeros(256, np.int64)
        for name in windows:
            counts += np.bincount(self.read(name).ravel(), minlength=256)
        self._write_maps(windows)
        for unfinished in self.out_dir.rglob('*.part'):  # left by an interrupted run
            unfinished.unlink()
        pixels = dict(zip(self.classes, counts.tolist(), strict=False))
        return self._write_manifest(
            complete=True,
            windows=len(windows),
            pixels=pixels | {'ignored': int(counts[IGNORED])},
            scores=dict(scores or self.scores),
        )

    def _write_manifest(self, **state: Any) -> dict:
        manifest = dict(inputs=self.inputs, classes=self.classes, **state)
        unfinished = self.out_dir / f'{MANIFEST}.part'
        unfinished.write_text(json.dumps(manifest, indent=2) + '\n')
        unfinished.replace(self.out_dir / MANIFEST)
        return manifest

    def _write_maps(self, windows: Mapping[str, dict | None]) -> None:
        patches: dict[str, list[tuple[np.ndarray, dict]]] = {}
        for name, georeference in windows.items():
            if georeference is not None and georeference['crs'] is not None:
                pieces = patches.setdefault(name.rsplit('_', 1)[0], [])
                pieces.append((self.read(name), georeference))
        for patch, pieces in patches.items():
            mosaic, crs, transform = join_windows(pieces)
            place = dict(crs=crs, transform=transform)
            with open_map(self.out_dir / f'{patch}.tif', mosaic.shape, place) as raster:
                describe_classes(raster, self.classes, self.palette)
                raster.write(mosaic, 1)


def join_windows(
    windows: Sequence[tuple[np.ndarray, Mapping[str, Any]]],
) -> tuple[np.ndarray, str, Affine]:
    """Put windows of one grid side by side.

    Args:
        windows: Masks uint8 (H, W), each with its ``crs`` and ``transform``.

    Returns:
        uint8 (rows, columns), 255 where there is no window; its CRS (WKT) and transform.
    """
    crs, grid = windows[0][1]['crs'], Affine(*windows[0][1]['transform'])
    places = []
    for mask, georeference in windows:
        corner = Affine(*georeference['transform'])
        column, row = ~grid @ (corner.c, corner.f)
        places.append((round(row), round(column), mask))
    top, left = min(place[0] for place in places), min(place[1] for place in places)
    height = max(row - top + mask.shape[0] for row, _, mask in places)
    width = max(column - left + mask.shape[1] for _, column, mask in places)
    mosaic = np.full((height, width), IGNORED, np.uint8)
    for row, column, mask in places:
        mosaic[row - top :, column - left :][: mask.shape[0], : mask.shape[1]] = mask
    return mosaic, crs, grid @ Affine.translation(left, top)
