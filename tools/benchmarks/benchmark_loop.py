"""Say how much of the time of training, and of making pseudo masks, goes into the model.

Trains a few iterations of a config as tools/train.py does, loading, hooks and logging included, and
(for a classifier, in a single process) maps windows as tools/gen_pseudo.py does. The rest of the
time is what a faster model would not save. Writes to a temporary folder.

    python tools/benchmarks/benchmark_loop.py configs/exact/cls_demo.py --amp
    torchrun --nproc_per_node 2 tools/benchmarks/benchmark_loop.py CONFIG --launcher pytorch
"""

import time
from collections.abc import Callable

START = time.perf_counter()

import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from mmengine.dist import get_world_size, is_main_process  # noqa: E402
from mmengine.hooks import Hook  # noqa: E402
from mmengine.model import is_model_wrapper  # noqa: E402
from mmengine.runner import Runner  # noqa: E402

from mmexact.apis.command_line import config_parser, load_config  # noqa: E402
from mmexact.engine.optim_wrapper import use_bfloat16  # noqa: E402
from mmexact.engine.pseudo_label_hook import PseudoLabelHook  # noqa: E402
from mmexact.models import ExactClassifier  # noqa: E402

WARM_UP = 10


class Stopwatch:
    """Adds up the time inside a function."""

    def __init__(self) -> None:
        self.inside = 0.0

    def watch(self, function: Callable) -> Callable:
        """Wrap a function."""

        def watched(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = function(*args, **kwargs)
            self.inside += time.perf_counter() - start
            return result

        return watched


class LoopHook(Hook):
    """Watches the training loop after its first iterations."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.watch = Stopwatch()
        self.first_iteration = self.begin = self.end = 0.0

    def before_train(self, runner: Runner) -> None:
        """Watch the model's steps."""
        runner.model.train_step = self.watch.watch(runner.model.train_step)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note when the first iteration starts."""
        self.first_iteration = self.first_iteration or time.perf_counter() - START

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Start the clock after the warm-up."""
        if batch_idx + 1 == WARM_UP:
            self.begin, self.watch.inside = time.perf_counter(), 0.0
        self.end = time.perf_counter()


def main() -> None:
    """Train and map as the command line says."""
    parser = config_parser(__doc__, checkpoint=False)
    parser.add_argument('--iterations', type=int, default=60, help='that count (default: 60)')
    parser.add_argument('--amp', action='store_true', help='mixed precision in bfloat16')
    args = parser.parse_args()
    if args.iterations < 1:
        parser.error(f'--iterations {args.iterations}: expected a positive number')
    with tempfile.TemporaryDirectory() as folder:
        args.work_dir = folder
        cfg = load_config(args)
        if args.amp:
            try:
                use_bfloat16(cfg)
            except ValueError as error:
                parser.error(str(error))
        cfg.train_cfg.update(max_iters=WARM_UP + args.iterations, val_interval=10**9)
        runner = Runner.from_cfg(cfg)
        loop = LoopHook()
        runner.register_hook(loop)
        runner.train()
        seconds = loop.end - loop.begin
        windows = args.iterations * runner.train_dataloader.batch_size * get_world_size()
        report(
            f'start to first iteration {loop.first_iteration:.1f} s; training: '
            f'{windows / seconds:.1f} windows/s, {100 * loop.watch.inside / seconds:.1f} % of the '
            f'time in the model'
        )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        # Every rank has a temporary folder of its own, but masks need a common one.
        if isinstance(model, ExactClassifier) and get_world_size() == 1:
            report(map_windows(runner, folder, args.amp))


def map_windows(runner: Runner, folder: str, amp: bool) -> str:
    """Make pseudo masks of the test windows and say where the time went."""
    watch = Stopwatch()
    runner.model.test_step = watch.watch(runner.model.test_step)
    hook = PseudoLabelHook(str(Path(folder) / 'masks'), amp=amp)
    evaluator = runner.build_evaluator(runner.cfg.test_evaluator)
    start = time.perf_counter()
    hook.map_windows(runner, runner.cfg.test_dataloader, evaluator)
    seconds = time.perf_counter() - start
    return f'pseudo masks: {seconds:.1f} s, {100 * watch.inside / seconds:.1f} % in the model'


def report(line: str) -> None:
    """Print a line once, not on every rank."""
    if is_main_process():
        print(line, flush=True)


if __name__ == '__main__':
    main()
