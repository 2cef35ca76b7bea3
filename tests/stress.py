"""Kill train.py, gen_pseudo.py, refine_pseudo.py and predict.py at random moments (make stress).

Every tool is started on a folder, killed (SIGKILL), and started again. After each kill all files in
the folder that have their names are read; when a run has come to its end, the results are compared
with those of a run that nobody disturbed, and the tool begins with a new folder.
"""

import argparse
import json
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sklearn.ensemble  # noqa: F401  imported once, for all processes that are forked
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import mmexact.refinement  # noqa: F401
from mmexact.apis import inference  # noqa: F401
from mmexact.engine.checkpoint import read_checkpoint
from mmexact.masks.whole import flaw
from tests.toy_classifier import toy_config, write_tree

TOOLS = Path(__file__).resolve().parents[1] / 'tools'


RESULTS = ('.png', '.tif', '.qml', '.xml')


@dataclass(frozen=True)
class Victim:
    """A tool, how it is started for a folder, and what it leaves there in the end."""

    script: str
    arguments: Callable[[Path], list[str]]
    results: Callable[[Path], Any]


def pictures(folder: Path) -> dict[str, bytes]:
    """Read masks and maps, and whether the manifest calls them complete."""
    assert json.loads((folder / 'manifest.json').read_text())['complete'] is True
    files = [path for path in folder.rglob('*') if path.suffix in RESULTS]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def weights(folder: Path) -> list[bytes]:
    """Read the weights of the last checkpoint."""
    state = read_checkpoint(folder / 'iter_30.pth')['state_dict']
    return [value.numpy().tobytes() for value in state.values()]


def write_configs(root: Path) -> None:
    """Write a tree, a classifier's config that trains on it, and a segmentor's."""
    tree = write_tree(root / 'tree')
    cfg = toy_config(tree, root / 'cls')
    cfg.custom_imports = dict(imports=['mmexact'], allow_failed_imports=False)
    cfg.train_cfg.max_iters = 30
    cfg.default_hooks.checkpoint = dict(
        type='ResumableCheckpointHook', by_epoch=False, interval=3, max_keep_ckpts=1
    )
    cfg.train_dataloader.sampler = dict(type='SeededSampler')
    cfg.pop('experiment_name')
    cfg.dump(root / 'cls.py')
    backbone = dict(cfg.model.backbone, num_classes=4, global_token=False)
    cfg.model = dict(
        type='EncoderDecoder',
        data_preprocessor=cfg.model.data_preprocessor,
        backbone=backbone,
        decode_head=dict(
            type='TSViTHead',
            in_channels=6,
            num_classes=4,
            patch_size=2,
            loss_decode=dict(type='CrossEntropyLoss'),
        ),
        test_cfg=dict(mode='slide', crop_size=(4, 4), stride=(4, 4)),
    )
    palette = [[0, 0, 0], [0, 200, 0], [200, 200, 0], [200, 0, 0]]
    cfg.test_dataloader.dataset.metainfo.palette = palette
    cfg.dump(root / 'seg.py')


class Stress:
    """Kills tools; see the module."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng = root, random.Random(seed)
        cls, seg = str(root / 'cls.py'), str(root / 'seg.py')
        quiet = ['--cfg-options', 'log_level=ERROR']
        self.victims = [
            Victim('train.py', lambda out: [cls, '--resume', f'--work-dir={out}'], weights),
            Victim(
                'gen_pseudo.py',
                lambda out: [
                    *(cls, f'{root}/train.py-whole/iter_30.pth', f'--out={out}'),
                    *(f'--work-dir={root}/work', *quiet),
                ],
                pictures,
            ),
            Victim(
                'refine_pseudo.py',
                lambda out: [
                    *(cls, f'{root}/gen_pseudo.py-whole', f'--out={out}'),
                    *(f'--work-dir={root}/work', *quiet),
                ],
                pictures,
            ),
            Victim('predict.py', lambda out: [seg, f'{root}/seg.pth', f'--out={out}'], pictures),
        ]

    def start(self, victim: Victim, out: Path) -> int:
        """Start a tool in a process of its own; returns its number."""
        sys.stdout.flush()
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.setsid()
            with (self.root / 'printed.txt').open('a') as printed:
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
            script = str(TOOLS / victim.script)
            sys.argv = [script, *victim.arguments(out)]
            try:
                runpy.run_path(script, run_name='__main__')
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            sys.stdout.flush()
        finally:
            os._exit(code)

    def finish(self, victim: Victim, out: Path) -> float:
        """Run a tool to its end; returns the seconds that it took."""
        start = time.monotonic()
        _, status = os.waitpid(self.start(victim, out), 0)
        if status:
            raise SystemExit(f'{victim.script} failed in {out}, see {self.root}/printed.txt')
        return time.monotonic() - start

    def kill(self, victim: Victim, out: Path, after: float) -> bool:
        """Kill a tool after some seconds; returns whether it was still running."""
        process = self.start(victim, out)
        end = time.monotonic() + after
        while time.monotonic() < end:
            if os.waitpid(process, os.WNOHANG)[0]:
                return False
            time.sleep(0.002)
        try:
            os.killpg(process, signal.SIGKILL)
        except ProcessLookupError:  # it has not called setsid yet
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return True

    def attack(self, victim: Victim, kills: int) -> str:
        """Kill a tool so many times; returns a line of the table."""
        whole = self.root / f'{victim.script}-whole'
        seconds = self.finish(victim, whole)
        expected, killed, runs = victim.results(whole), 0, 0
        out = self.root / f'{victim.script}-killed'
        while killed < kills:
            if self.kill(victim, out, self.rng.random() * seconds):
                killed += 1
                for path in out.rglob('*'):
                    if path.suffix == '.pth':
                        read_checkpoint(path)
                    elif path.suffix in RESULTS or path.name == 'manifest.json':
                        assert flaw(path) is None, path
                continue
            self._compare(victim, out, expected)
            runs += 1
        self.finish(victim, out)
        self._compare(victim, out, expected)
        return f'| {victim.script} | {killed} | {runs + 1} |'

    def _compare(self, victim: Victim, out: Path, expected: Any) -> None:
        found = victim.results(out)
        if found != expected:
            names = found.keys() | expected.keys() if isinstance(found, dict) else ()
            differ = [name for name in names if found.get(name) != expected.get(name)]
            raise SystemExit(f'{victim.script}: {out} differs from the undisturbed run: {differ}')
        shutil.rmtree(out)


def main() -> None:
    """Kill as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=100, help='of each tool')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        stress = Stress(root, args.seed)
        if not os.fork():  # PyTorch's threads stay out of the process that forks
            torch.set_num_threads(1)
            write_configs(root)
            cfg = Config.fromfile(root / 'seg.py')
            runner = Runner.from_cfg(cfg)
            torch.save(dict(state_dict=runner.model.state_dict()), root / 'seg.pth')
            os._exit(0)
        os.wait()
        print(
            '| tool | kills survived | runs that ended as an undisturbed one |\n| --- | --- | --- |'
        )
        for victim in stress.victims:
            print(stress.attack(victim, args.kills), flush=True)


if __name__ == '__main__':
    main()
