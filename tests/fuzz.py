"""Damage files of every format at random and read them, or settings of a config (make fuzz).

Each outcome has to be a result, or an error of ours, a ValueError or OSError that names the file,
within 10 seconds and 2 GB.
"""

import argparse
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from tests.fuzz_seeds import Seed, write_seeds
from tests.fuzz_settings import try_settings

EXTREMES = (b'', b'-1', b'1e999', b'NaN', b'null', b'[]', b'{}', b'"x"', b'99999999999999999999')
EXPECTED = {'read', 'refused'}
SECONDS, WAIT, BYTES = 10, 60, 2 << 30
"""Limits of one reading: of its CPU time, of the time altogether, and of memory."""


class Hangs(BaseException):
    """Comes when a limit of time is reached; no reader catches it."""


@contextmanager
def within_limits(name: str) -> Iterator[list[str]]:
    """Stop what takes too long; the list then tells so, and when there was too much memory."""
    beyond: list[str] = []
    before = _peak()
    started = time.process_time(), time.monotonic()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAIT)
    try:
        yield beyond
    except Hangs:
        pass
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    if time.process_time() - started[0] >= SECONDS or time.monotonic() - started[1] >= WAIT:
        beyond.append(f'{name}: more than {SECONDS} s')
    if _peak() - before > BYTES:
        beyond.append(f'{name}: more than {BYTES >> 30} GB')


def _peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == 'darwin' else size * 1024


def _hang(*_args: object) -> None:
    raise Hangs


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Damage the contents of a file in one of six ways."""
    data = bytearray(content)
    start = rng.randrange(len(data))
    end = min(len(data), start + 1 + int(rng.expovariate(1 / 8)))
    match rng.randrange(6):
        case 0:  # flip bits
            for place in range(start, end):
                data[place] ^= 1 << rng.randrange(8)
        case 1:  # cut off
            del data[start:]
        case 2:  # leave out
            del data[start:end]
        case 3:  # write twice
            data[start:start] = data[start:end] * rng.choice((1, 1000))
        case 4:  # other bytes
            data[start:end] = rng.randbytes(end - start)
        case 5:  # another value, where text has one
            data[start:end] = rng.choice(EXTREMES)
    return bytes(data)


def read(seed: Seed) -> str:
    """Read a damaged file; returns what comes of it."""
    try:
        seed.reader(seed.root)
    except (ValueError, OSError) as error:
        told = str(error)
        if any(name in told for name in (seed.path.name, seed.path.stem, str(seed.root))):
            return 'refused'
        return f'{type(error).__name__} without the file: {told[:80]}'
    except Exception as error:
        return f'{type(error).__name__}: {str(error)[:80]}'
    return 'read'


def attack(name: str, number: int, rng_seed: int) -> Counter:
    """Damage the file of a format so many times; returns what came of it how often."""
    counts: Counter = Counter()
    rng = random.Random(f'{rng_seed} {name}')
    if not MMLogger.check_instance_created('fuzz'):
        MMLogger.get_instance('fuzz', log_level='ERROR')
    init_default_scope('mmseg')
    for alarm in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(alarm, _hang)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if name == SETTINGS:
            for outcome in try_settings(Path(folder), number, rng, within_limits):
                counts[outcome] += 1
            return counts
        seed = write_seeds(Path(folder))[name]
        seed.reader(seed.root)  # whole, it is read; and the index of MTLCC is made
        content = seed.path.read_bytes()
        for _ in range(number):
            seed.path.write_bytes(mutate(content, rng))
            outcome = 'not finished'
            with within_limits(name) as beyond:
                outcome = read(seed)
            counts[beyond[0] if beyond else outcome] += 1
    return counts


SETTINGS = 'settings of predict.py'


def names() -> list[str]:
    """Return all formats, and what stands for the settings."""
    with tempfile.TemporaryDirectory() as folder:
        return [*write_seeds(Path(folder)), SETTINGS]


def run(
    chosen: Sequence[str], mutations: int, seed: int, each: Callable = map
) -> Iterator[tuple[str, Counter]]:
    """Damage files of some formats; ``each`` is what maps, here or in other processes."""
    one = partial(attack, number=mutations // len(chosen), rng_seed=seed)
    return zip(chosen, each(one, chosen), strict=True)


def _be_quiet() -> None:
    """Hide what GDAL and HDF5 say of damaged files."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)


def main() -> None:
    """Damage as the command line says, and write the outcomes as a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--mutations', type=int, default=20_000, help='of all formats together')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='processes')
    parser.add_argument('--only', nargs='+', help='formats (default: all)')
    args = parser.parse_args()
    bad = False
    spawn = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(args.jobs, spawn, _be_quiet) as pool:
        print('| file | read | refused | otherwise |\n| --- | --- | --- | --- |')
        for name, counts in run(args.only or names(), args.mutations, args.seed, pool.map):
            otherwise = counts.keys() - EXPECTED
            row = counts['read'], counts['refused'], sum(counts[one] for one in otherwise)
            print(f'| {name} | {" | ".join(map(str, row))} |', flush=True)
            for outcome in otherwise:
                print(f'  {counts[outcome]} times {outcome}', flush=True)
            bad |= bool(otherwise)
    sys.exit(bad)


if __name__ == '__main__':
    main()
