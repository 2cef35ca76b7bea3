"""Folders of results: files that appear whole or not at all, and a manifest of what made them."""

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmexact.documents import read_json
from mmexact.masks.whole import flaw

MANIFEST = 'manifest.json'
PART = '.part'
"""Ending of files that are being written."""


RESERVED = re.compile(r'(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.IGNORECASE)
"""Names that Windows keeps for devices."""
LONGEST_NAME = 200


def check_name(name: str, source: str) -> None:
    """Refuse a name out of a file that cannot be a file of ours, or would lie in another folder.

    Args:
        name: Such as the id of a patch.
        source: Where it stands, for the message.

    Raises:
        ValueError: It is empty or too long, has separators, control characters or a colon, begins
            with a dot, ends with a dot or a space, or is one that Windows keeps for a device.
    """
    if (
        not 0 < len(name) <= LONGEST_NAME
        or re.search(r'[\x00-\x1f/\\:*?"<>|]', name)
        or name.startswith('.')
        or name.endswith(('.', ' '))
        or RESERVED.fullmatch(name)
    ):
        raise ValueError(
            f'{source}: {name[:LONGEST_NAME]!r} cannot be the name of a file; expected at most '
            f'{LONGEST_NAME} characters, no / \\ : * ? " < > |, no leading dot, no name of a device'
        )


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside a file, which becomes the file when the block ends well.

    Folders are made where they are missing. The temporary name ends with ``.part``, so name the
    format to writers that go by endings. Two writers of the same file do not disturb each other:
    the last one wins. Before it gets its name, what was written is on the disk and is read back.

    Raises:
        OSError: It cannot be written: the disk is full, the folder read-only, or in its place
            stands a file. The message names the file.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(f'{path.parent} is a file, expected a folder') from None
    unfinished = path.with_name(f'{path.name}.{secrets.token_hex(4)}{PART}')
    try:
        yield unfinished
        with unfinished.open('rb+') as file:  # a power failure would leave the name, but not this
            os.fsync(file.fileno())
        if problem := flaw(unfinished, path.suffix):
            raise OSError(f'{path}: what was written {problem}; is the disk full?')
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # such as that of a full disk
            raise OSError(error.errno, error.strerror, str(path)) from error
        if error.errno is None and str(path) not in str(error):  # GDAL's
            raise type(error)(f'{path}: {error}') from error
        raise
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
        alone: Refuse a folder that has no manifest, but holds anything.

    Attributes:
        manifest: Contents of ``manifest.json``.

    Raises:
        FileExistsError: The folder holds files of other inputs, or files that are not ours.
        ValueError: Its manifest is damaged, or one of other files.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        kind: str,
        inputs: Mapping[str, Any],
        files: Iterable[str] = (),
        facts: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        alone: bool = False,
    ) -> None:
        self.path = Path(path)
        self.opened = time.time()
        plan = _as_read(dict(kind=kind, inputs=inputs, **(facts or {}), files=list(files)))
        earlier: dict[str, Any] = {}
        if (self.path / MANIFEST).exists():
            earlier = read_manifest(self.path, kind)
            earlier_files = [str(name) for name in earlier.get('files', ())]
            for name in earlier_files:
                for part in name.split('/'):
                    check_name(part, str(self.path / MANIFEST))
            self._refuse_links(earlier_files)
            if overwrite:
                for name in earlier.get('files', ()):
                    (self.path / name).unlink(missing_ok=True)
                earlier = {}
            else:
                self._compare(kind, earlier.get('inputs', {}), plan['inputs'])
        elif alone and self.path.exists() and any(self.path.iterdir()):
            raise FileExistsError(
                f'{self.path} holds something else than {kind}, for it has no {MANIFEST}: choose '
                f'another folder'
            )
        self._refuse_links(plan['files'])
        listed, planned = dict.fromkeys(earlier.get('files', ())), dict.fromkeys(plan['files'])
        for name in planned:
            if name not in listed and (self.path / name).exists():
                raise FileExistsError(
                    f'{self.path / name} is there, but {MANIFEST} does not list it: move it away, '
                    f'or choose another folder'
                )
        # What an earlier run with more files has finished stays ours.
        plan['files'] += [name for name in listed if name not in planned and self.has(name)]
        self.manifest = earlier
        if any(earlier.get(key) != value for key, value in plan.items()):
            self.manifest = plan
            self._save(complete=False)

    def _refuse_links(self, names: Iterable[str]) -> None:
        """Refuse folders of these files that are symbolic links: they would lead elsewhere."""
        for folder in {parent for name in names for parent in Path(name).parents}:
            if folder != Path() and (self.path / folder).is_symlink():
                raise FileExistsError(
                    f'{self.path / folder} is a symbolic link, and may lead to other files: '
                    f'remove it, or choose another folder'
                )

    def _compare(self, kind: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        differing = [
            f'{key}: {earlier.get(key)!r} there, {value!r} now'
            for key, value in now.items()
            if earlier.get(key) != value
        ]
        if differing:
            raise FileExistsError(
                f'{self.path} holds {kind} of other inputs ({"; ".join(differing)}): choose '
                f'another folder, or replace them with --overwrite'
            )

    def has(self, *names: str) -> bool:
        """Tell whether all these files are finished and whole, by this run or an earlier one."""
        paths = [self.path / name for name in names]
        return all(path.exists() and flaw(path) is None for path in paths)

    def require(self, names: Sequence[str]) -> None:
        """Check that these files are finished.

        Raises:
            FileNotFoundError: A file is missing.
        """
        missing = [name for name in names if not self.has(name)]
        if missing:
            raise FileNotFoundError(
                f'{self.path}: {len(missing)} of {len(names)} files are missing, first '
                f'{missing[0]}; run again to make them'
            )

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """Yield where to write one of the files; see :func:`whole_file`."""
        return whole_file(self.path / name)

    def finish(self, **facts: Any) -> dict[str, Any]:
        """Check that all files are there, remove what interrupted runs left, complete the manifest.

        Args:
            **facts: What the manifest says of the finished files, JSON values.

        Returns:
            The manifest.

        Raises:
            FileNotFoundError: A file is missing.
        """
        self.require(self.manifest['files'])
        for unfinished in self.path.rglob(f'*{PART}'):
            with suppress(FileNotFoundError):  # a run beside this one has finished it just now
                if unfinished.stat().st_mtime < self.opened:
                    unfinished.unlink()
        self._save(complete=True, **facts)
        return self.manifest

    def _save(self, **facts: Any) -> None:
        """Write the manifest with these facts; the long list of files comes last."""
        files = self.manifest.pop('files')
        self.manifest |= _as_read(facts)
        self.manifest['files'] = files
        write_json(self.path / MANIFEST, self.manifest)


def _as_read(content: dict[str, Any]) -> dict[str, Any]:
    """Turn JSON values into what reading them gives: tuples into lists, keys into text."""
    read: dict[str, Any] = json.loads(json.dumps(content))
    return read


def read_manifest(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read what a folder of :class:`ResumableFolder` says of its files.

    Raises:
        FileNotFoundError: There is no manifest.
        ValueError: It is damaged, or one of other files.
    """
    manifest = Path(path) / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(f'{manifest.absolute()}: no such file; expected a folder of {kind}')
    content: dict[str, Any] = read_json(manifest, f'a manifest of {kind}, choose another folder')
    if not isinstance(content, dict) or content.get('kind') != kind:
        raise ValueError(f'{manifest}: not a manifest of {kind}; choose another folder')
    files, inputs = content.get('files', []), content.get('inputs', {})
    named = isinstance(files, list) and all(isinstance(name, str) for name in files)
    if not named or not isinstance(inputs, dict):
        raise ValueError(f'{manifest}: damaged; choose another folder')
    return content
