"""Folders of results: files that appear whole or not at all, and a manifest of what made them."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MANIFEST = 'manifest.json'
PART = '.part'
"""Ending of files that are being written."""


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside a file, which becomes the file when the block ends well.

    Folders are made where they are missing. The temporary name ends with ``.part``, so name the
    format to writers that go by endings. Processes that write the same file do not disturb each
    other: the last one wins.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.name}.{os.getpid()}{PART}')
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')


def config_digest(*settings: Any) -> str:
    """SHA-256 of settings, independent of the order of their keys."""
    text = json.dumps(_with_text_keys(settings), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_text_keys(settings: Any) -> Any:
    """Make keys comparable: codes of labels may be numbers and names."""
    if isinstance(settings, Mapping):
        return {str(key): _with_text_keys(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [_with_text_keys(value) for value in settings]
    return settings


def weights_digest(state_dict: Mapping[str, Tensor]) -> str:
    """SHA-256 of weights and buffers."""
    digest = hashlib.sha256()
    for name, value in state_dict.items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class ResumableFolder:
    """A folder of files made from the same inputs, so that an interrupted run goes on.

    ``manifest.json`` is written before the first file. It says what ``kind`` of files these are,
    from which ``inputs`` they are made, which ``files`` belong to the folder, finished or not, and
    whether they are ``complete``. A second run with the same inputs goes on; one with other inputs
    is refused, and so is a folder with a file of these names that its manifest does not list.

    Args:
        path: The folder; made if missing.
        kind: What the files are, such as 'pseudo masks'.
        inputs: What determines their contents (digests and settings), JSON values.
        files: Names, relative to the folder, of all files that will be written.
        facts: What else the manifest says from the start, JSON values.
        overwrite: Remove the files that an earlier manifest of this kind lists, and start anew.

    Attributes:
        manifest: Contents of ``manifest.json``.

    Raises:
        FileExistsError: The folder holds something else, or files of other inputs.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        kind: str,
        inputs: Mapping[str, Any],
        files: Iterable[str] = (),
        facts: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        new = dict(kind=kind, inputs=inputs, complete=False, files=list(files), **(facts or {}))
        self.manifest: dict[str, Any] = json.loads(json.dumps(new))
        self.path.mkdir(parents=True, exist_ok=True)
        earlier: dict[str, Any] = dict(files=[])
        if (self.path / MANIFEST).exists():
            earlier = self._earlier(kind)
            if overwrite:
                for name in earlier['files']:
                    (self.path / name).unlink(missing_ok=True)
                earlier = dict(files=[])
            else:
                self._compare(earlier['inputs'])
        listed = set(earlier['files'])
        for name in self.manifest['files']:
            if name not in listed and (self.path / name).exists():
                raise FileExistsError(
                    f'{self.path / name} is there, but {MANIFEST} does not list it: move it away, '
                    f'or choose another folder'
                )
        if {key: earlier.get(key) for key in self.manifest} != self.manifest | dict(
            complete=earlier.get('complete')
        ):
            write_json(self.path / MANIFEST, self.manifest)
        else:
            self.manifest = earlier

    def _earlier(self, kind: str) -> dict[str, Any]:
        path = self.path / MANIFEST
        try:
            earlier = json.loads(path.read_text(encoding='utf-8'))
        except ValueError:
            earlier = None
        if not isinstance(earlier, dict) or earlier.get('kind') != kind:
            raise FileExistsError(f'{path} is no manifest of {kind}: choose another folder')
        return earlier

    def _compare(self, earlier: Mapping[str, Any]) -> None:
        differing = [
            f'{key}: {earlier.get(key)!r} there, {value!r} now'
            for key, value in self.manifest['inputs'].items()
            if earlier.get(key) != value
        ]
        if differing:
            raise FileExistsError(
                f'{self.path} holds {self.manifest["kind"]} of other inputs '
                f'({"; ".join(differing)}): choose another folder, or replace them with --overwrite'
            )

    def has(self, *names: str) -> bool:
        """Tell whether all these files are finished, by this run or an earlier one."""
        return all((self.path / name).exists() for name in names)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield where to write one of the files; see :func:`whole_file`."""
        with whole_file(self.path / name) as unfinished:
            yield unfinished

    def finish(self, **facts: Any) -> dict[str, Any]:
        """Check that all files are there, remove what interrupted runs left, complete the manifest.

        Args:
            **facts: What the manifest says of the finished files, JSON values.

        Returns:
            The manifest.

        Raises:
            FileNotFoundError: A file is missing.
        """
        missing = [name for name in self.manifest['files'] if not self.has(name)]
        if missing:
            raise FileNotFoundError(
                f'{self.path}: {len(missing)} of {len(self.manifest["files"])} files are missing, '
                f'first {missing[0]}; run again to make them'
            )
        for unfinished in self.path.rglob(f'*{PART}'):
            unfinished.unlink()
        self.manifest |= json.loads(json.dumps(dict(facts, complete=True)))
        write_json(self.path / MANIFEST, self.manifest)
        return self.manifest


def read_manifest(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read what a folder of :class:`ResumableFolder` says of its files.

    Raises:
        FileNotFoundError: There is no manifest.
        ValueError: It is damaged, or one of other files.
    """
    manifest = Path(path) / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(f'{manifest.absolute()}: no such file; expected a folder of {kind}')
    try:
        content = json.loads(manifest.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(
            f'{manifest}: not valid JSON ({error}); expected a manifest of {kind}'
        ) from None
    if not isinstance(content, dict) or content.get('kind') != kind:
        raise ValueError(f'{manifest}: not a manifest of {kind}; choose the folder of {kind}')
    return content
