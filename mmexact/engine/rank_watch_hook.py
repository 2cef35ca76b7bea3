"""Several processes: when one of them stops, the others end and say which it was."""

import os
import threading
import time
from datetime import timedelta
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.distributed import TCPStore  # type: ignore[attr-defined]


@HOOKS.register_module()
class RankWatchHook(Hook):
    """End this process of several when another one has stopped or hangs.

    The processes of a training wait for each other in every step: for half an hour in PyTorch, or
    for ever, and without a word about which of them is missing. Here a thread of each process
    tells the others that it lives, and how many steps it has begun. Does nothing in a single
    process.

    Args:
        timeout: Seconds without a step after which the others are looked at. Validation counts as
            steps; what one process does while the others wait must not take longer.

    Raises:
        ValueError: ``timeout`` is not positive.
    """

    def __init__(self, timeout: float = 600) -> None:
        if timeout <= 0:
            raise ValueError(f'timeout={timeout}; expected seconds above 0')
        self.timeout = timeout
        self.steps, self.moved = 0, time.monotonic()
        self.ended = threading.Event()

    def before_train(self, runner: Runner) -> None:
        """Start to watch, where there are several processes."""
        if get_world_size() == 1 or 'MASTER_ADDR' not in os.environ:
            return
        self.ended.clear()
        self._move()
        threading.Thread(target=self._watch, args=(runner,), daemon=True).start()

    def before_train_iter(self, *_args: Any, **_kwargs: Any) -> None:
        """Count a step, whose batch is loaded."""
        self.steps += 1
        self._move()

    def after_val_iter(self, *_args: Any, **_kwargs: Any) -> None:
        """Note that this process goes on."""
        self._move()

    def after_train(self, runner: Runner) -> None:
        """Stop to watch."""
        self.ended.set()

    def _move(self) -> None:
        self.moved = time.monotonic()

    def _watch(self, runner: Runner) -> None:
        """Tell the others that this process lives; end it when it waits for one that does not."""
        place = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])
        wait = timedelta(seconds=self.timeout)
        store, rank, others = None, get_rank(), [*range(get_world_size())]
        others.remove(rank)
        heard = dict.fromkeys(others, ('', time.monotonic()))
        beats = 0
        while not self.ended.wait(self.timeout / 10):
            behind: dict[int, str] = {}
            try:
                store = store or TCPStore(*place, is_master=False, timeout=wait)
                store.set(f'mmexact/{rank}', f'{beats} {self.steps}')
                beats += 1
                for other in others:
                    key = f'mmexact/{other}'
                    told = store.get(key).decode() if store.check([key]) else ''
                    if told != heard[other][0]:
                        heard[other] = told, time.monotonic()
                    silent = time.monotonic() - heard[other][1] > self.timeout / 2
                    steps = int((told or '0 0').split()[1])
                    if silent or steps < self.steps:
                        behind[other] = f'{other} (step {steps}{", silent" if silent else ""})'
            except RuntimeError as error:  # the process that holds the store may be the one
                behind = {0: f'0, or what launched it ({str(error).splitlines()[0]})'}
            if behind and time.monotonic() - self.moved > self.timeout and not self.ended.is_set():
                runner.logger.error(
                    f'process {rank} of {get_world_size()} is at step {self.steps} and has waited '
                    f'for {self.timeout:g} s: no answer from process '
                    f'{", ".join(behind.values())}. It ends here; look at what became of the other'
                )
                os._exit(1)  # the main thread waits in a collective operation, deaf to exceptions
