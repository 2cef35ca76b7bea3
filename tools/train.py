"""Train the model of a config."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec('mmexact') is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config
from mmengine.runner import Runner

from mmexact.command_line import OneLineErrorParser, config_parser, load_config


def main() -> None:
    """Train as the command line says."""
    parser = config_parser(__doc__, checkpoint=False)
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the latest checkpoint in the work folder, if there is one',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision in bfloat16, on GPU or CPU'
    )
    args = parser.parse_args()
    cfg = load_config(args)
    if args.resume:
        cfg.resume = True
    if args.amp:
        enable_amp(cfg, parser)
    Runner.from_cfg(cfg).train()


def enable_amp(cfg: Config, parser: OneLineErrorParser) -> None:
    """Exchange the config's optimizer wrapper for the one in mixed precision, in place."""
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    name = kind if isinstance(kind, str) else kind.__name__
    if name == 'OptimWrapper':
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    elif name not in ('BFloat16OptimWrapper', 'AmpOptimWrapper'):
        parser.error(f'--amp takes the place of an OptimWrapper, the config has a {name}')


if __name__ == '__main__':
    main()
