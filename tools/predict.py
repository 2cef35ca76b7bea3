"""Map whole scenes with a trained segmentor: one GeoTIFF per patch of the config's test_dataloader.

Masks and image-level labels are neither needed nor read. Scenes are read block by block, so that
they may be larger than memory. An interrupted run goes on with the scene where it stopped. With
--ray blocks are predicted on all cores or GPUs of a machine, or of a cluster.
"""

from argparse import Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import ProgressBar

from mmexact.apis.area_of_interest import area_digest, box_in_degrees, read_area
from mmexact.apis.blocks import BLOCK_WINDOWS, OVERLAP, plan_blocks
from mmexact.apis.command_line import config_parser, existing_file, load_config
from mmexact.apis.configs import settings_at_fault
from mmexact.apis.inference import build_scenes, load_segmentor, predict_scene
from mmexact.apis.ray_blocks import connect, predict_blocks, start_actors
from mmexact.apis.strips import SCORES
from mmexact.engine.process import limit_raster_cache
from mmexact.engine.value_check import check_dataset
from mmexact.masks import ResumableFolder, config_digest, map_files, weights_digest
from mmexact.masks.maps import count_classes


def main() -> None:
    """Predict as the command line says."""
    parser = config_parser(__doc__, checkpoint=True)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument(
        '--out', metavar='DIR', help='folder of the maps (default: maps in the work folder)'
    )
    parser.add_argument(
        '--scores',
        nargs='*',
        choices=SCORES,
        default=None,
        help='also write <patch>_<score>.tif, in percent: the probability of the predicted class '
        '(default), its margin over the next one, the entropy (100: all are as probable), or a '
        'band with the probability of each of the classes',
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        '--area',
        metavar='FILE',
        type=existing_file,
        help='map the polygons of a vector file only, in any coordinate reference system',
    )
    place.add_argument(
        '--bbox',
        nargs=4,
        type=float,
        metavar=('WEST', 'SOUTH', 'EAST', 'NORTH'),
        help='map a box in degrees only',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace maps that this tool has made there'
    )
    parser.add_argument(
        '--overlap',
        type=float,
        default=OVERLAP,
        help="share of a window's side that the next one covers again (default: %(default)s): "
        'their probabilities are blended, so that maps show no seams; 0 is four times as fast',
    )
    parser.add_argument(
        '--block-windows',
        type=int,
        default=BLOCK_WINDOWS,
        metavar='N',
        help='read N x N windows of the model at once (default: %(default)s); fewer take less '
        'memory, more read large tiles of a raster less often',
    )
    parser.add_argument(
        '--ray',
        nargs='?',
        const='local',
        metavar='ADDRESS',
        help='share the blocks out with Ray: without an address over this machine, with that of a '
        "running cluster, or 'auto', over its machines; all have to see the scenes at the same "
        'path',
    )
    args = parser.parse_args()
    if args.launcher != 'none':
        parser.error(
            f'argument --launcher: {args.launcher}, but one process makes all maps; --ray shares '
            f'the work out over processes and machines'
        )
    if args.block_windows < 1:
        parser.error(f'argument --block-windows: {args.block_windows}; expected 1 or more')
    if not 0 <= args.overlap < 1:
        parser.error(f'argument --overlap: {args.overlap}; expected 0 to below 1')
    limit_raster_cache()
    cfg = load_config(args)
    out_dir = Path(args.out or Path(cfg.work_dir) / 'maps')
    try:
        manifest = predict(cfg, args, out_dir)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'patches mapped: {len(manifest["pixels"])}, in {out_dir}')


def predict(cfg: Config, args: Namespace, out_dir: Path) -> dict[str, Any]:
    """Map the patches of ``cfg.test_dataloader``, without those that are finished.

    Returns:
        The manifest of the folder, with the ``pixels`` of each patch by class.
    """
    if args.ray is not None:
        connect(args.ray)
    with settings_at_fault(args.config):
        dataset = build_scenes(cfg)
        device = None if args.ray is None else 'cpu'
        model = load_segmentor(cfg, args.checkpoint, device, scenes=dataset)
        hooks = cfg.get('default_hooks', {})
        if hooks.get('segmentor_check', {}).get('check_values', True):
            check_dataset(dataset, model)
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        blocks = [len(plan_blocks(model, info, args.overlap, args.block_windows)) for info in infos]
    scores = args.scores if args.scores or args.scores is None else ['probability']
    area = read_area(args.area) if args.area else None
    area = box_in_degrees(args.bbox) if args.bbox else area
    names = [info['sample_id'] for info in infos]
    files = [map_files(name) + [f'{name}_{kind}.tif' for kind in scores or ()] for name in names]
    folder = ResumableFolder(
        out_dir,
        'maps',
        dict(
            config=config_digest(cfg.model),
            checkpoint=weights_digest(model.state_dict()),
            data=config_digest(cfg.test_dataloader.dataset),
            overlap=args.overlap,
            area=None if area is None else area_digest(area),
        ),
        [name for of_scene in files for name in of_scene],
        dict(classes=dataset.metainfo['classes'], palette=dataset.metainfo['palette']),
        args.overwrite,
    )
    missing = [index for index, of_scene in enumerate(files) if not folder.has(*of_scene)]
    if len(missing) < len(names):
        print(f'{len(names) - len(missing)} of {len(names)} maps are there')
    if missing:
        predictions = None
        if args.ray is not None:
            settings = area, args.overlap, args.block_windows
            predictions = predict_blocks(start_actors(), model, dataset, missing, *settings)
        bar = ProgressBar(sum(blocks[index] for index in missing))
        for index in missing:
            predict_scene(
                model,
                dataset,
                index,
                out_dir / f'{names[index]}.tif',
                {kind: out_dir / f'{names[index]}_{kind}.tif' for kind in scores or ()},
                area,
                overlap=args.overlap,
                block_windows=args.block_windows,
                num_workers=cfg.test_dataloader.get('num_workers', 0),
                after_block=bar.update,
                predictions=predictions,
            )
        print()
    classes = dataset.metainfo['classes']
    pixels = {name: count_classes(out_dir / f'{name}.tif', classes) for name in names}
    return folder.finish(pixels=pixels)


if __name__ == '__main__':
    main()
