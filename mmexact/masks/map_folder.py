"""A folder of maps that knows what they were made from."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmexact.apis.steps import write_json

MANIFEST = 'manifest.json'


class MapFolder:
    """A folder of maps with ``manifest.json``, so that an interrupted run goes on.

    The manifest holds ``inputs`` and, in ``maps``, for each finished scene its ``files`` and its
    ``pixels`` by class. No file is replaced or removed that it does not list.

    Args:
        out_dir: The folder; made if missing.
        inputs: What determines the maps (digests), JSON values.
        overwrite: Forget and remove the maps that are there.

    Raises:
        FileExistsError: The folder holds maps of other inputs and ``overwrite`` is off, or the
            manifest of something else.
    """

    def __init__(
        self, out_dir: str | os.PathLike, inputs: Mapping[str, Any], overwrite: bool = False
    ) -> None:
        self.out_dir = Path(out_dir)
        self.out_dir.mkdir(parents=True, exist_ok=True)
        self.path = self.out_dir / MANIFEST
        self.content: dict[str, Any] = dict(inputs=dict(inputs), maps={})
        if self.path.exists():
            self._take_over(json.loads(self.path.read_text()), overwrite)
        write_json(self.path, self.content)

    def _take_over(self, earlier: dict, overwrite: bool) -> None:
        if 'maps' not in earlier:
            raise FileExistsError(f'{self.path} is no manifest of maps: choose another folder')
        differing = [
            name
            for name, value in self.content['inputs'].items()
            if earlier['inputs'].get(name) != value
        ]
        if overwrite:
            for entry in earlier['maps'].values():
                for name in entry['files']:
                    (self.out_dir / Path(name).name).unlink(missing_ok=True)
        elif differing:
            raise FileExistsError(
                f'{self.out_dir} holds maps of other inputs (other {" and ".join(differing)}): '
                f'choose another folder, or replace them with --overwrite'
            )
        else:
            self.content = earlier

    def has(self, sample_id: str, names: Sequence[str]) -> bool:
        """Tell whether all these files of a scene are finished.

        Raises:
            FileExistsError: One of them is there, but this folder does not list it.
        """
        entry = self.content['maps'].get(sample_id, dict(files=[]))
        present = [name for name in names if (self.out_dir / name).exists()]
        for name in present:
            if name not in entry['files']:
                raise FileExistsError(
                    f'{self.out_dir / name} is there, but {MANIFEST} does not list it: move it '
                    f'away, or choose another folder'
                )
        return len(present) == len(names)

    def add(self, sample_id: str, names: Sequence[str], pixels: Mapping[str, int]) -> None:
        """List the finished files of a scene."""
        self.content['maps'][sample_id] = dict(files=list(names), pixels=dict(pixels))
        write_json(self.path, self.content)
