"""Stages that run one after the other: finished ones are skipped, interrupted ones go on."""

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmexact.apis.configs import from_here, shipped
from mmexact.masks import ResumableFolder

NOT_WHOLE = (OSError, ValueError, LookupError)
"""What reading a result raises that is not whole."""


class StageError(RuntimeError):
    """A stage failed; the message says which and what to do."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: Name of its record.
        title: What it does, for the user.
        script: A file of tools/ that goes on by itself where it was interrupted.
        arguments: Of the script.
        folder: Where it writes; emptied before it starts anew.
        inputs: What the result depends on, JSON values.
        read: Reads the result as JSON values; raises one of NOT_WHOLE when it is not whole.
    """

    name: str
    title: str
    script: str
    arguments: list[str]
    folder: Path
    inputs: Mapping[str, Any]
    read: Callable[[], dict[str, Any]]


class StageRunner:
    """Runs stages, and keeps a record of each, a manifest in ``<work_dir>/stages/<name>``.

    The record of a finished stage holds its ``command``, ``result``, ``seconds`` (of the run that
    finished it) and ``peak_memory_mb`` (of the largest process until then; None on Windows).

    Args:
        work_dir: Folder of the records.
        total: Number of stages.
        overwrite: Make anew what was made from other inputs, instead of refusing it.
        execute: Runs a script with its arguments.

    Attributes:
        records: By name of the stage.
        ran: Names of the stages that were not skipped.
    """

    def __init__(
        self,
        work_dir: Path,
        total: int,
        overwrite: bool = False,
        execute: Callable[[list[str]], None] | None = None,
    ) -> None:
        self.work_dir = work_dir
        self.total = total
        self.overwrite = overwrite
        self.execute = execute or run_script
        self.records: dict[str, dict[str, Any]] = {}
        self.ran: list[str] = []

    def run(self, stage: Stage) -> dict[str, Any]:
        """Run a stage, unless it is finished; returns its result.

        Raises:
            StageError: It failed, was made from other inputs, or its folder holds other files.
        """
        headline = f'[{len(self.records) + 1}/{self.total}] {stage.title}'
        record = self._open(stage)
        if record.manifest['complete']:
            print(f'{headline}: finished before, skipped', flush=True)
        else:
            script = shipped(f'tools/{stage.script}')
            command = shlex.join(['python', from_here(script), *stage.arguments])
            print(f'\n{headline}\n$ {command}', flush=True)
            start = time.monotonic()
            try:
                self.execute([str(script), *stage.arguments])
                result = stage.read()
            except subprocess.CalledProcessError as error:
                raise StageError(
                    f'{stage.title}: the command above ended with status {error.returncode}; what '
                    f'it printed says why. Run again to go on from here'
                ) from None
            except NOT_WHOLE as error:
                raise StageError(f'{stage.title}: the result is not whole: {error}') from error
            seconds = round(time.monotonic() - start, 1)
            facts = dict(seconds=seconds, peak_memory_mb=peak_memory_mb(), result=result)
            record.finish(command=command, **facts)
            self.ran.append(stage.name)
        self.records[stage.name] = record.manifest
        return dict(record.manifest['result'])

    def _open(self, stage: Stage) -> ResumableFolder:
        """Open the record of a stage, new where it has to start anew."""
        path, kind = self.work_dir / 'stages' / stage.name, f'the stage {stage.name!r}'
        if not path.exists() and stage.folder.exists() and any(stage.folder.iterdir()):
            raise StageError(
                f'{stage.folder} is there, but no run of this tool has made it: move it away, or '
                f'choose another --work-dir'
            )
        try:
            record = ResumableFolder(path, kind, stage.inputs)
            if record.manifest['complete']:
                stage.read()
            return record
        except FileExistsError as error:
            if not self.overwrite:
                raise StageError(str(error)) from None
        except NOT_WHOLE:  # somebody has removed or damaged the result
            pass
        shutil.rmtree(stage.folder, ignore_errors=True)
        return ResumableFolder(path, kind, stage.inputs, overwrite=True)


def run_script(command: list[str]) -> None:
    """Run a script with this interpreter; raises CalledProcessError when it fails."""
    subprocess.run([sys.executable, *command], check=True)


def peak_memory_mb() -> int | None:
    """Largest resident size (MiB) of this process or any finished child; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 2**20 if sys.platform == 'darwin' else 2**10
    return max(one.ru_maxrss for one in usage) // unit
