"""A pipeline of commands that skips what is finished and goes on where it was interrupted."""

import codecs
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mmexact.masks import config_digest

RECORDS = 'steps'
RECORD = re.compile(r'\d\d/\d\d \d\d:\d\d:\d\d - mmengine - [A-Z]+ - (.*)')
BANNERS = ('Config:', 'Hooks will be executed in the following order:')
KEYS = ('command', 'inputs', 'finished', 'seconds', 'peak_memory_mb')


class StepError(RuntimeError):
    """A step failed; the message says which and what to do."""


@dataclass
class Step:
    """One step of a pipeline.

    Attributes:
        name: Name of its record.
        title: What it does, for the user.
        action: A command (script and arguments, the interpreter left out), or a function.
        folder: Where it writes; emptied before it starts anew.
        read: Reads the result; raises OSError, ValueError, KeyError or IndexError when it is not
            whole.
        inputs: What the result depends on, besides the command; JSON values.
        keep: What other steps write into the folder.
        can_resume: Tells whether the command can go on with ``--resume`` after an interruption.
    """

    name: str
    title: str
    action: list[str] | Callable[[], None]
    folder: Path
    read: Callable[[], dict]
    inputs: list
    keep: Collection[Path] = ()
    can_resume: Callable[[], bool] = lambda: False

    @property
    def command(self) -> list[str]:
        """The command; empty when the action is a function."""
        return self.action if isinstance(self.action, list) else []


class Pipeline:
    """Runs steps one after the other, and keeps a record of each in ``<work_dir>/steps``.

    A step is skipped when it has finished with the same inputs and its result is whole. A record
    holds the ``command``, its ``inputs`` (a digest), whether it has ``finished``, ``seconds`` (over
    all attempts) and ``peak_memory_mb``, the largest resident size of any one process until then.

    Args:
        work_dir: Folder of the records.
        total: Number of steps.
        overwrite: Start every step anew, whatever is there.
    """

    def __init__(self, work_dir: Path, total: int, overwrite: bool = False) -> None:
        self.records = work_dir / RECORDS
        self.total = total
        self.overwrite = overwrite
        self.done: dict[str, dict] = {}
        self.start = time.monotonic()

    def run(self, step: Step) -> dict:
        """Run a step, unless it is finished.

        Returns:
            The step's result.

        Raises:
            StepError: It failed, or its folder holds files that no pipeline wrote.
        """
        number = f'[{len(self.done) + 1}/{self.total}]'
        digest = config_digest(step.command, step.inputs)
        record = self._load(step)
        same = not self.overwrite and record.get('inputs') == digest
        if same and record['finished'] and (result := self._result(step)) is not None:
            print(f'{number} {step.title}: finished before, skipped', flush=True)
            self.done[step.name] = record
            return result
        go_on = same and not record['finished'] and step.can_resume()
        if not go_on:
            self._clear(step)
        command = step.command + ['--resume'] * go_on
        print(f'\n{"=" * 80}\n{number} {step.title} (after {self._elapsed()})')
        if command:
            print(f'$ python {shlex.join(command)}')
        print('=' * 80, flush=True)
        seconds = self._attempt(step, command, digest, record['seconds'] if go_on else 0.0)
        result = self._result(step)
        if result is None:
            raise StepError(f'{number} {step.title}: ended well, but left no whole result')
        self._save(step, digest, seconds, finished=True)
        print(f'{number} done in {duration(seconds)}', flush=True)
        return result

    def _attempt(self, step: Step, command: list[str], digest: str, before: float) -> float:
        """Run the step and return the seconds of all attempts; those of a failed one are kept."""
        self._save(step, digest, before, finished=False)
        start = time.monotonic()
        try:
            if command:
                run_command(command)
            elif callable(step.action):
                step.action()
        except subprocess.CalledProcessError as error:
            raise StepError(
                f'{step.title}: the command above ended with status {error.returncode}; what it '
                f'printed says why. Run again to go on from here'
            ) from None
        finally:
            seconds = before + time.monotonic() - start
            self._save(step, digest, seconds, finished=False)
        return seconds

    def _result(self, step: Step) -> dict | None:
        try:
            return step.read()
        except (OSError, ValueError, KeyError, IndexError):
            return None

    def _clear(self, step: Step) -> None:
        """Empty the step's folder, if a pipeline made it."""
        if not step.folder.is_dir():
            return
        old = [path for path in step.folder.iterdir() if path not in step.keep]
        if old and not self.overwrite and not self._path(step).exists():
            raise StepError(
                f'{step.folder} holds {old[0].name}, which this pipeline did not write: remove it, '
                f'choose another --work-dir, or let --overwrite replace it'
            )
        for path in old:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _path(self, step: Step) -> Path:
        return self.records / f'{step.name}.json'

    def _load(self, step: Step) -> dict[str, Any]:
        """Read a record; an unreadable one counts as none."""
        try:
            record = json.loads(self._path(step).read_text())
            return {key: record[key] for key in KEYS}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _save(self, step: Step, digest: str, seconds: float, finished: bool) -> None:
        record = dict(
            command=step.command,
            inputs=digest,
            finished=finished,
            seconds=round(seconds, 1),
            peak_memory_mb=peak_memory_mb(),
        )
        write_json(self._path(step), record)
        if finished:
            self.done[step.name] = record

    def _elapsed(self) -> str:
        return duration(time.monotonic() - self.start)


def run_command(command: list[str]) -> None:
    """Run a script with this interpreter, and show what it prints as it prints it.

    Raises:
        subprocess.CalledProcessError: It ended with another status than 0.
    """
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        env=dict(os.environ, PYTHONUNBUFFERED='1'),
    )
    with process:
        try:
            assert process.stdout is not None
            forward(process.stdout, sys.stdout)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def forward(source: Any, target: TextIO) -> None:
    """Copy the output of an MMEngine run, progress bars included, to the end.

    Left out are the hundreds of lines in which every run lists its environment, its config and its
    hooks; they are in the log file of the run.

    Args:
        source: A binary stream with ``read1``.
        target: Where to.
    """
    decode = codecs.getincrementaldecoder('utf-8')('replace').decode
    hidden, rest = False, ''
    while chunk := source.read1(2**16):
        *lines, rest = (rest + decode(chunk)).split('\n')
        for line in lines:
            if record := RECORD.match(line):
                hidden = not record[1] or record[1].startswith(BANNERS)
            if not hidden or '\r' in line:
                target.write(f'{line}\n')
        if '\r' in rest:  # a progress bar draws over its line and ends it at the very end
            hidden = False
            target.write(rest)
            rest = ''
        target.flush()
    target.write(rest)
    target.flush()


def duration(seconds: float) -> str:
    """Write seconds as '3 min 20 s'."""
    minutes, rest = divmod(round(seconds), 60)
    return f'{minutes} min {rest} s' if minutes else f'{rest} s'


def peak_memory_mb() -> int:
    """Largest resident size (MiB) that this process or any finished descendant has had."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 2**20 if sys.platform == 'darwin' else 2**10
    return max(one.ru_maxrss for one in usage) // unit


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.name}.part')
    unfinished.write_text(json.dumps(content, indent=2) + '\n')
    unfinished.replace(path)
