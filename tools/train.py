"""Train the model of a config."""

from mmengine.runner import Runner

from mmexact.apis.command_line import config_parser, load_config
from mmexact.engine.optim_wrapper import use_bfloat16


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
    parser.add_argument(
        '--brief',
        action='store_true',
        help='log the training alone, without environment, config and hooks',
    )
    args = parser.parse_args()
    cfg = load_config(args)
    if args.resume:
        cfg.resume = True
    if args.amp:
        try:
            use_bfloat16(cfg)
        except ValueError as error:
            parser.error(str(error))
    level = cfg.get('log_level', 'INFO')
    if args.brief:
        cfg.log_level = 'WARNING'
    runner = Runner.from_cfg(cfg)
    if args.brief:
        for handler in runner.logger.handlers:
            handler.setLevel(level)
    runner.train()


if __name__ == '__main__':
    main()
