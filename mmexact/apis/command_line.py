"""The part that all tools on a config share: arguments, errors in one line, the config itself."""

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any, NoReturn

from mmengine.config import Config, DictAction

from mmexact.apis.configs import read_config, settings_at_fault
from mmexact.engine.process import keep_freed_memory, use_gloo_without_gpu
from mmexact.engine.segmentor_check import check_components


class OneLineErrorParser(ArgumentParser):
    """An argument parser that answers a mistake with one line, and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage, which would bury it."""
        self.exit(2, f'{self.prog}: error: {message} (--help lists the arguments)\n')


class ConfigOptions(DictAction):
    """MMEngine's KEY=VALUE parser, with its failures as errors of the command line."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Parse the values into a dict."""
        if wrong := [value for value in values if '=' not in value]:
            parser.error(f'argument {option_string}: expected KEY=VALUE, got {wrong[0]!r}')
        super().__call__(parser, namespace, values, option_string)


def existing_file(path: str) -> str:
    """Accept the path of a file that exists, as a ``type`` of argparse."""
    if not Path(path).is_file():
        kind = 'is a folder, expected a file' if Path(path).is_dir() else 'no such file'
        raise ArgumentTypeError(f'{path}: {kind}')
    return path


def config_parser(description: str, *, checkpoint: bool) -> OneLineErrorParser:
    """Make the parser of a tool that runs a config, with the arguments of MMSeg's tools.

    Args:
        description: What the tool does.
        checkpoint: Whether a trained checkpoint is the second argument.

    Returns:
        A parser to which the tool adds its own arguments.
    """
    parser = OneLineErrorParser(description=description)
    parser.add_argument('config', type=existing_file, help='config file')
    if checkpoint:
        parser.add_argument('checkpoint', type=existing_file, help='checkpoint file (.pth)')
    parser.add_argument(
        '--work-dir', help="folder of logs and checkpoints (default: the config's, or "
        'work_dirs/<name of the config>)'
    )  # fmt: skip
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
        help='settings that replace those of the config, such as train_cfg.max_iters=100, '
        'area.window_size=12 or test_dataloader.dataset.folds="[5]" (quoted, without spaces)',
    )  # fmt: skip
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
        help='what started this process, one of several (default: none, a single process)',
    )  # fmt: skip
    # Launchers before torchrun passed it; torchrun sets the environment variable.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def load_config(args: Namespace) -> Config:
    """Read the config that the arguments of :func:`config_parser` name, and prepare the process.

    Joins the other processes of a launcher on a CPU, and keeps freed memory (see
    :mod:`mmexact.engine.process`). Ends with one line when a component's package is missing, or an
    ``area`` lacks a setting.

    Args:
        args: Parsed arguments.

    Returns:
        The config for ``Runner.from_cfg``, with ``work_dir`` and ``launcher`` set.
    """
    keep_freed_memory()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        cfg = read_config(args.config, args.cfg_options)
        with settings_at_fault('model'):
            check_components(cfg.get('model', {}))
    except ValueError as error:
        OneLineErrorParser().error(f'{args.config}: {error}')
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    use_gloo_without_gpu(cfg)
    return cfg
