"""A copy of PASTIS in which the series of a window lies in one piece, for slow disks.

In the download a window is scattered over its patch, of which a disk has to read nearly all (14 MB
for the 0.5 MB of a window). The copy has the same files, but ``DATA_S2/S2_<id>.npy`` is
(windows, T, C, 24, 24), ``DATA_S2/BORDER_<id>.npy`` (T, C, pixels) holds the pixels that belong to
no window, and ``manifest.json`` tells the sizes.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmexact.datasets.numpy_files import map_array, save_array
from mmexact.datasets.windows import window_grid
from mmexact.documents import expecting, read_json
from mmexact.masks.folder import MANIFEST, ResumableFolder
from mmexact.sits import Window, cut

KIND = 'a copy of PASTIS by windows'
"""What the manifest of a copy says that it holds."""

METADATA = 'metadata.geojson'


@dataclass(frozen=True)
class WindowLayout:
    """How patches lie in a window-contiguous copy.

    Attributes:
        window_size: Side of a window in pixels.
        patch_size: (height, width) of all patches in pixels.
    """

    window_size: int
    patch_size: tuple[int, int]

    @classmethod
    def of(cls, data_root: str | os.PathLike[str]) -> 'WindowLayout | None':
        """Read the layout of a finished copy; None for a download."""
        path = os.path.join(data_root, MANIFEST)
        if not os.path.isfile(path):
            return None
        expected = 'the manifest of a copy or of a synthetic tree'
        manifest = read_json(path, expected)
        with expecting(path, expected):
            if manifest['kind'] != KIND:  # a synthetic tree has a manifest as well
                return None
            inputs, complete = manifest['inputs'], manifest['complete']
            (height, width), side = inputs['patch_size'], inputs['window_size']
            if not min(height, width) >= side > 0:
                raise ValueError(f'windows of {side} in patches of {height} x {width} pixels')
        if not complete:
            raise FileNotFoundError(
                f'{path}: the copy is incomplete; run tools/dataset_converters/pastis_windows.py '
                f'again, it goes on where it stopped'
            )
        return cls(side, (height, width))

    @property
    def windows(self) -> list[Window]:
        """The windows in the order of the sample ids."""
        return window_grid(self.patch_size, self.window_size, 'PASTIS')

    def patch_shape(self, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the patch that a file of some shape holds: (T, C, H, W)."""
        size, number = self.window_size, len(self.windows)
        if len(shape) != 5 or shape[0] != number or shape[3:] != (size, size):
            raise ValueError(
                f'{path}: shape {shape}; expected ({number}, dates, bands, {size}, {size}) in a '
                f'window-contiguous copy'
            )
        return *shape[1:3], *self.patch_size

    @property
    def border(self) -> np.ndarray:
        """(H, W) bool: pixels outside all windows."""
        outside = np.ones(self.patch_size, dtype=bool)
        for window in self.windows:
            cut(outside, window)[...] = False
        return outside

    def read(self, path: str, dates: np.ndarray, window: Window) -> np.ndarray:
        """Read some dates (T',) from a file of the copy.

        A window of the layout lies in one piece; others are cut out of the whole patch.

        Returns:
            (T', C, h, w) in the type of the file.
        """
        parts, windows = map_array(path), self.windows
        if window in windows:
            return parts[windows.index(window)][dates]
        patch = np.empty((len(dates), parts.shape[2], *self.patch_size), parts.dtype)
        for part, place in zip(parts, windows, strict=True):
            cut(patch, place)[...] = part[dates]
        if self.border.any():
            patch[..., self.border] = map_array(border_path(path))[dates]
        return cut(patch, window)


def border_path(path: str) -> str:
    """Name the file of the border beside ``DATA_S2/S2_<id>.npy``."""
    folder, name = os.path.split(path)
    return os.path.join(folder, name.replace('S2_', 'BORDER_', 1))


def copy_windows(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    window_size: int = 24,
    track: Callable[[list[Path]], Iterable[Path]] = iter,
    overwrite: bool = False,
) -> int:
    """Copy a PASTIS download so that each window lies in one piece.

    An interrupted copy goes on where it stopped.

    Args:
        source: The unpacked download; not modified.
        target: Folder of the copy.
        window_size: Side of a window in pixels.
        track: Wraps the list of patches, for instance mmengine's ``track_iter_progress``.
        overwrite: Replace a copy that is there.

    Returns:
        Number of patches that were written; 0 when the copy was complete.

    Raises:
        FileNotFoundError: ``source`` is not a download of PASTIS.
        FileExistsError: ``target`` holds something else.
        ValueError: A file is damaged, patches differ in size, or windows do not fit.
        OSError: The disk has too little room.
    """
    source, target = Path(source), Path(target)
    patches = sorted((source / 'DATA_S2').glob('S2_*.npy'))
    if not patches or not (source / METADATA).is_file():
        raise FileNotFoundError(
            f'{source.absolute()}: no {METADATA} and DATA_S2/S2_*.npy in it; expected an unpacked '
            f'download of PASTIS'
        )
    if WindowLayout.of(source) is not None:
        raise ValueError(f'{source}: is a window-contiguous copy already; start from the download')
    height, width = map_array(str(patches[0])).shape[-2:]
    layout = WindowLayout(window_size, (height, width))
    window_grid(layout.patch_size, window_size, patches[0].name)
    others = [*(source / 'ANNOTATIONS').glob('TARGET_*.npy'), *source.glob('NORM_S2_*.json')]
    copied = [str(path.relative_to(source)) for path in [*others, source / METADATA]]
    cut = [name for path in patches for name in _files(path.name, layout)]
    folder = ResumableFolder(
        target, KIND, asdict(layout), [*cut, *copied], overwrite=overwrite, alone=True
    )
    missing = [path for path in patches if not folder.has(*_files(path.name, layout))]
    needed, free = sum(path.stat().st_size for path in missing), shutil.disk_usage(target).free
    if needed > free:
        raise OSError(
            f'{target.absolute()}: the copy needs {needed / 1e9:.1f} GB more, but the disk has '
            f'{free / 1e9:.1f} GB free'
        )
    for path in track(missing) if missing else ():
        _copy_patch(path, target, layout)
    for name in copied:
        if not folder.has(name):
            with folder.writing(name) as unfinished:
                shutil.copyfile(source / name, unfinished)
    folder.finish()
    return len(missing)


def _files(name: str, layout: WindowLayout) -> list[str]:
    """Name the files that ``S2_<id>.npy`` becomes."""
    path = os.path.join('DATA_S2', name)
    return [path, border_path(path)] if layout.border.any() else [path]


def _copy_patch(path: Path, target: Path, layout: WindowLayout) -> None:
    series = map_array(str(path))
    if series.ndim != 4 or series.shape[2:] != layout.patch_size:
        raise ValueError(
            f'{path}: shape {series.shape}; expected (dates, bands, *{layout.patch_size})'
        )
    windows = np.stack([cut(series, window) for window in layout.windows])
    arrays = (windows, series[..., layout.border])
    for name, array in zip(_files(path.name, layout), arrays, strict=False):
        save_array(target / name, array)
