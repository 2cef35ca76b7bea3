"""Map whole scenes with a trained segmentor: one GeoTIFF per patch of the config's test_dataloader.

Masks and image-level labels are neither needed nor read. Scenes are read block by block, so that
they may be larger than memory. An interrupted run goes on with the scene where it stopped.
"""

from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import ProgressBar

from mmexact.apis.command_line import config_parser, load_config
from mmexact.apis.inference import (
    BLOCK_WINDOWS,
    build_scenes,
    load_segmentor,
    plan_blocks,
    predict_scene,
)
from mmexact.engine.pseudo_label_hook import config_digest, weights_digest
from mmexact.masks.map_folder import MapFolder


def main() -> None:
    """Predict as the command line says."""
    parser = config_parser(__doc__, checkpoint=True)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument(
        '--out', metavar='DIR', help='folder of the maps (default: maps in the work folder)'
    )
    parser.add_argument(
        '--scores',
        action='store_true',
        help='also write <patch>_scores.tif, the probability of the predicted class in percent',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace maps that this tool has made there'
    )
    parser.add_argument(
        '--block-windows',
        type=positive,
        default=BLOCK_WINDOWS,
        metavar='N',
        help='read N x N windows of the model at once (default: %(default)s); fewer take less '
        'memory, more read large tiles of a raster less often',
    )
    args = parser.parse_args()
    if args.launcher != 'none':
        parser.error(f'argument --launcher: {args.launcher}, but one process makes all maps')
    cfg = load_config(args)
    out_dir = Path(args.out or Path(cfg.work_dir) / 'maps')
    try:
        maps = predict(
            cfg, args.checkpoint, out_dir, args.scores, args.overwrite, args.block_windows
        )
    except (FileExistsError, FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    print(f'patches mapped: {len(maps)}, in {out_dir}')


def positive(text: str) -> int:
    """Accept a whole number from 1 on, as a ``type`` of argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f'{text}: expected a whole number from 1 on')
    return int(text)


def predict(
    cfg: Config,
    checkpoint: str,
    out_dir: Path,
    scores: bool = False,
    overwrite: bool = False,
    block_windows: int = BLOCK_WINDOWS,
) -> dict[str, Any]:
    """Map the patches of ``cfg.test_dataloader``, without those that are finished.

    Args:
        cfg: Config of a segmentor.
        checkpoint: Its weights.
        out_dir: Folder of the maps.
        scores: Write the probability of the predicted class as well.
        overwrite: Replace the maps that are there.
        block_windows: Windows of the model per side of a block.

    Returns:
        By name of the patch, the ``files`` and the ``pixels`` by class.

    Raises:
        FileExistsError: The folder holds something else, or maps of other inputs.
        FileNotFoundError: The checkpoint or the data are missing.
        ValueError: Config, checkpoint and data do not fit together.
    """
    model = load_segmentor(cfg, checkpoint)
    dataset = build_scenes(cfg)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    blocks = [len(plan_blocks(model, info, block_windows)) for info in infos]
    folder = MapFolder(
        out_dir,
        dict(
            config=config_digest(cfg.model),
            checkpoint=weights_digest(model.state_dict()),
            data=config_digest(cfg.test_dataloader.dataset),
        ),
        overwrite,
    )
    names = [info['sample_id'] for info in infos]
    files = [[f'{name}.tif', f'{name}_scores.tif'][: 1 + scores] for name in names]
    missing = [index for index, name in enumerate(names) if not folder.has(name, files[index])]
    if len(missing) < len(names):
        print(f'{len(names) - len(missing)} of {len(names)} maps are there')
    if missing:
        bar = ProgressBar(sum(blocks[index] for index in missing))
        for index in missing:
            paths = [out_dir / name for name in files[index]]
            pixels = predict_scene(
                model,
                dataset,
                index,
                *paths,
                block_windows=block_windows,
                num_workers=cfg.test_dataloader.get('num_workers', 0),
                after_block=bar.update,
            )
            folder.add(names[index], files[index], pixels)
        print()
    return folder.content['maps']


if __name__ == '__main__':
    main()
