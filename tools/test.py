"""Test a trained model with the metrics of its config."""

from argparse import Namespace

from mmengine.config import Config
from mmengine.runner import Runner

from mmexact.apis.command_line import OneLineErrorParser, config_parser, load_config
from mmexact.engine.checkpoint import load_weights


def main() -> None:
    """Test as the command line says."""
    parser = config_parser(__doc__, checkpoint=True)
    parser.add_argument('--out', metavar='DIR', help='save each predicted mask as DIR/<id>.png')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', metavar='DIR', help='save pictures of predictions in DIR')
    parser.add_argument(
        '--wait-time', type=float, default=2, help='how long --show shows each (s, default: 2)'
    )
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    args = parser.parse_args()
    cfg = load_config(args)
    if args.show or args.show_dir:
        draw_predictions(cfg, args, parser)
    if args.tta:
        enable_tta(cfg, parser)
    if args.out:
        hook = dict(type='SavePredictionsHook', out_dir=args.out)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]

    # Loaded by us: MMEngine only warns of weights that are missing or left over.
    cfg.load_from, cfg.resume = None, False
    runner = Runner.from_cfg(cfg)
    checkpoint = load_weights(runner.model, args.checkpoint, runner.test_dataloader.dataset)
    runner.call_hook('after_load_checkpoint', checkpoint=checkpoint)
    runner.test()


def draw_predictions(cfg: Config, args: Namespace, parser: OneLineErrorParser) -> None:
    """Switch the config's visualization hook on, in place."""
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        parser.error(
            '--show and --show-dir need default_hooks.visualization, which the config has not'
        )
    hook.update(draw=True)
    if args.show:
        hook.update(show=True, wait_time=args.wait_time)
    if args.show_dir:
        cfg.visualizer.save_dir = args.show_dir


def enable_tta(cfg: Config, parser: OneLineErrorParser) -> None:
    """Put the config's pipeline and wrapper of test-time augmentation in place."""
    for key in ('tta_pipeline', 'tta_model'):
        if key not in cfg:
            parser.error(f'--tta needs {key}, which the config has not')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.tta_model, module=cfg.model)


if __name__ == '__main__':
    main()
