"""Make pseudo masks of the training windows with a trained classifier.

Maps the windows of the config's test_dataloader. Writes one PNG per window (index of the class,
255 ignored), one in confidence/ (how far each pixel can be trusted, 255 fully) and manifest.json,
and for georeferenced data one GeoTIFF per patch, with a legend. Where the data have pixel labels,
the masks are scored against them; nothing else looks at pixel labels unless
--select-with-pixel-labels says so. An interrupted run goes on where it stopped.
"""

from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmexact.apis.command_line import config_parser, existing_file, load_config
from mmexact.apis.configs import settings_at_fault
from mmexact.engine.checkpoint import load_weights
from mmexact.engine.pseudo_label_hook import FIXED, PseudoLabelHook
from mmexact.evaluation import compares_pixels, select_with_pixel_labels
from mmexact.models.segmentors.exact_classifier import CAM_KINDS


def main() -> None:
    """Make pseudo masks as the command line says."""
    parser = config_parser(__doc__, checkpoint=True)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder of the masks (default: pseudo_masks in the work folder)',
    )
    parser.add_argument(
        '--background-score',
        type=float,
        metavar='S',
        help='score that a crop has to exceed, 0..1 (default: model.test_cfg.background_score)',
    )
    parser.add_argument(
        '--cam', choices=CAM_KINDS, help='kind of CAM (default: model.test_cfg.cam)'
    )
    parser.add_argument(
        '--select-with-pixel-labels',
        nargs='*',
        type=existing_file,
        metavar='CHECKPOINT',
        help="the paper's protocol, for comparison only: try 60 background scores, on this "
        'checkpoint and on others given here, and keep what agrees best with the PIXEL LABELS',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace the masks that are there')
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision in bfloat16, on GPU or CPU'
    )
    args = parser.parse_args()
    cfg = load_config(args)
    settings = cfg.model.setdefault('test_cfg', {})
    if args.background_score is not None:
        if not 0 <= args.background_score <= 1:
            parser.error(f'argument --background-score: {args.background_score} is not in 0..1')
        settings.background_score = args.background_score
    if args.cam:
        settings.cam = args.cam
    if args.select_with_pixel_labels is not None and not compares_pixels(cfg.get('test_evaluator')):
        parser.error(
            'argument --select-with-pixel-labels: compares with pixel labels, for which '
            'test_evaluator of the config needs a PseudoLabelMetric'
        )
    out_dir = args.out or str(Path(cfg.work_dir) / 'pseudo_masks')
    try:
        generate(
            cfg, args.checkpoint, out_dir, args.select_with_pixel_labels, args.overwrite, args.amp
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))


def generate(
    cfg: Config,
    checkpoint: str,
    out_dir: str,
    select_among: list[str] | None = None,
    overwrite: bool = False,
    amp: bool = False,
) -> dict[str, Any]:
    """Write pseudo masks of the windows of ``cfg.test_dataloader``.

    Args:
        cfg: Config of a classifier.
        checkpoint: Its weights.
        out_dir: Folder of the masks.
        select_among: Other checkpoints to choose from by pixel labels, or None not to choose.
        overwrite: Replace the masks that are there.
        amp: Compute in bfloat16.

    Returns:
        Scores of the masks by metric; empty when there are no pixel labels or when an interrupted
        run was completed.
    """
    cfg.load_from, cfg.resume = None, False
    with settings_at_fault(str(cfg.filename)):
        runner = Runner.from_cfg(cfg)
        dataset = runner.test_dataloader.dataset
    chosen_by = FIXED
    if select_among is not None:
        checkpoint = choose(runner, [checkpoint, *select_among])
        chosen_by = 'pixel labels, with the checkpoint (the protocol of the paper)'
    load_weights(runner.model, checkpoint, dataset)
    hook = PseudoLabelHook(out_dir, score_chosen_by=chosen_by, overwrite=overwrite, amp=amp)
    evaluator = runner.build_evaluator(cfg.test_evaluator) if cfg.get('test_evaluator') else None
    scores = hook.map_windows(runner, cfg.test_dataloader, evaluator)
    for name, value in scores.items():
        print_log(f'{name}: {value:.4g}', runner.logger)
    return scores


def choose(runner: Runner, checkpoints: list[str]) -> str:
    """Set the background score, and return the checkpoint, that agree best with pixel labels."""
    scores = []
    for checkpoint in checkpoints:
        load_weights(runner.model, checkpoint)
        scores.append(runner.test())
    best, score = select_with_pixel_labels(scores)
    print_log(f'chosen with pixel labels: {checkpoints[best]}, score {score}', runner.logger)
    runner.model.test_cfg['background_score'] = score
    return checkpoints[best]


if __name__ == '__main__':
    main()
