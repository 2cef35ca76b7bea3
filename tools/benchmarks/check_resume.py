"""Kill a training again and again, resume it, and compare it with one that was left alone.

Both trainings of the config run to the end. One of them is killed (SIGKILL) at moments drawn at
random and goes on with --resume. Then all that the last checkpoints hold (weights, prototypes,
optimizer, schedules) and the logged losses and scores are compared, bit for bit. Exits with 1
where they differ.

    python tools/benchmarks/check_resume.py CONFIG --cfg-options train_cfg.max_iters=40
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmexact.apis.command_line import OneLineErrorParser, existing_file
from mmexact.apis.configs import shipped
from mmexact.engine.checkpoint import read_checkpoint

PARTS = ('state_dict', 'optimizer', 'param_schedulers')
UNEQUAL = ('time', 'data_time', 'memory', 'eta')
"""What a log holds beside the training itself."""


class Training:
    """A training in processes of its own.

    Args:
        command: Of train.py, without ``--work-dir`` and ``--resume``.
        work_dir: Its folder.
        processes: How many train together.
    """

    def __init__(self, command: Sequence[str], work_dir: Path, processes: int) -> None:
        self.work_dir = work_dir
        torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']
        several = processes > 1
        self.command = [sys.executable, *(torchrun if several else ()), *command]
        self.command += ['--work-dir', str(work_dir)]
        self.command += ['--launcher', 'pytorch'] if several else []

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start it; what it prints goes to a file."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        with (self.work_dir / 'printed.txt').open('ab') as file:
            return subprocess.Popen(
                [*self.command, *more], stdout=file, stderr=file, start_new_session=True
            )

    def finish(self, *more: str) -> None:
        """Run it to the end."""
        if status := self.start(*more).wait():
            raise SystemExit(f'training failed ({status}), see {self.work_dir}/printed.txt')

    def kill_at(self, iteration: int, delay: float) -> bool:
        """Run it until it has logged an iteration and some seconds longer; False if it ended."""
        process = self.start('--resume')
        try:
            while process.poll() is None and max(self.iterations(), default=0) < iteration:
                time.sleep(0.02)
            time.sleep(delay)
        finally:
            ended = process.poll() is not None
            if os.name == 'posix' and not ended:
                os.killpg(process.pid, signal.SIGKILL)  # its workers too
            process.kill()
            process.wait()
        return not ended

    def log(self) -> Iterator[dict[str, Any]]:
        """Read what was logged by all runs; the last line of one that was killed may be cut off."""
        for path in sorted(self.work_dir.glob('*/vis_data/scalars.json')):
            for line in path.read_text().splitlines():
                if line.endswith('}'):
                    yield json.loads(line)

    def iterations(self) -> set[int]:
        """Return the iterations that were logged."""
        return {entry['iter'] for entry in self.log() if 'iter' in entry}

    def losses(self) -> dict[tuple[int, str], set[float]]:
        """Return all values that were logged of each loss and score, by step and name."""
        found: dict[tuple[int, str], set[float]] = {}
        for entry in self.log():
            for name, value in entry.items():
                if name not in UNEQUAL:
                    found.setdefault((entry['step'], name), set()).add(value)
        return found

    def checkpoint(self) -> dict[str, Any]:
        """Read the last checkpoint."""
        files = self.work_dir.glob('iter_*.pth')
        return read_checkpoint(max(files, key=lambda path: int(re.sub(r'\D', '', path.stem))))


def differences(one: Any, other: Any, name: str = '') -> Iterator[str]:
    """Yield the names of what differs in two nested values, by a single bit at least."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in [*one, *(key for key in other if key not in one)]:
            yield from differences(one.get(key), other.get(key), f'{name}.{key}')
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f'{name} (length)'
        for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            yield from differences(mine, theirs, f'{name}[{number}]')
    elif isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape or not torch.equal(one, other):
            yield name
    elif one != other:
        yield name


def main() -> None:
    """Compare as the command line says."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('config', type=existing_file, help='config file')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/check_resume'))
    parser.add_argument('--kills', type=int, default=3, help='default: %(default)s')
    parser.add_argument('--processes', type=int, default=1, help='that train together')
    parser.add_argument('--seed', type=int, default=0, help='of the moments of the kills')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.work_dir.exists() and any(args.work_dir.iterdir()):
        parser.error(f'--work-dir {args.work_dir} is not empty')
    command = [str(shipped('tools/train.py')), args.config, '--cfg-options', *args.cfg_options]
    command += ['default_hooks.logger.interval=1']
    whole = Training(command, args.work_dir / 'whole', args.processes)
    killed = Training(command, args.work_dir / 'killed', args.processes)
    print('training without an interruption', flush=True)
    whole.finish()
    rng, last = random.Random(args.seed), max(whole.iterations())
    for iteration in sorted(rng.sample(range(last), args.kills)):
        alive = killed.kill_at(iteration, rng.random() * 0.5)
        print(f'killed after iteration {max(killed.iterations(), default=0)}' if alive else 'ended')
    killed.finish('--resume')
    ours, theirs = whole.checkpoint(), killed.checkpoint()
    found = [
        *(name for part in PARTS for name in differences(ours.get(part), theirs.get(part), part)),
        *(f'log{key}' for key in differences(whole.losses(), killed.losses())),
    ]
    tensors = len(ours['state_dict'])
    print(f'{tensors} weights and {len(whole.losses())} logged values compared')
    if found:
        raise SystemExit(f'{len(found)} differ: {", ".join(found[:5])}')
    print('all equal')


if __name__ == '__main__':
    main()
