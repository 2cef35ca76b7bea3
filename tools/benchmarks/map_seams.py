"""Say how much a map depends on where windows begin, with and without overlap, and what it costs.

Maps the patches of the config's test_dataloader twice, the second time without their first rows and
columns, so that all windows move by a half and by a quarter of their side. Prints the share of
pixels that get the same class, the overall accuracy, and the seconds; reading is timed alone.

    python tools/benchmarks/map_seams.py configs/exact/seg_tsvit_demo.py CHECKPOINT
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.utils import track_iter_progress

from mmexact.apis.blocks import OVERLAP, plan_blocks, window_size
from mmexact.apis.command_line import config_parser, load_config
from mmexact.apis.inference import build_scenes, load_segmentor, predict_scene
from mmexact.masks.maps import read_map
from mmexact.sits import IGNORED


class Shifted:
    """Scenes without their first rows and columns.

    Args:
        scenes: From ``build_scenes``.
        shift: How many.
    """

    def __init__(self, scenes: Any, shift: int) -> None:
        self.scenes, self.shift = scenes, shift
        self.metainfo, self.pipeline = scenes.metainfo, scenes.pipeline

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return an entry with a smaller window."""
        info = self.scenes.get_data_info(index)
        row, column, height, width = info['window']
        rest = height - self.shift, width - self.shift
        return dict(info, window=(row + self.shift, column + self.shift, *rest), size=rest)


def main() -> None:
    """Measure as the command line says."""
    parser = config_parser(__doc__ or '', checkpoint=True)
    args = parser.parse_args()
    cfg = load_config(args)
    model, scenes = load_segmentor(cfg, args.checkpoint), build_scenes(cfg)
    infos = [scenes.get_data_info(index) for index in range(len(scenes))]
    side = window_size(model, infos[0])[0]
    truth = [info['reader'].read_mask(info['window']) for info in infos]
    start = time.perf_counter()
    for info in infos:
        for block in plan_blocks(model, info):
            scenes.pipeline(dict(info, window=block.read, size=block.read[2:], seg_fields=[]))
    print(f'reading: {time.perf_counter() - start:.1f} s')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'map.tif')

        def predict(shift: int, overlap: float) -> list[np.ndarray]:
            shifted: Any = Shifted(scenes, shift)
            maps = []
            for index in track_iter_progress(range(len(scenes))):
                predict_scene(model, shifted, index, path, overlap=overlap)
                maps.append(read_map(path))
            return maps

        for overlap in (0.0, OVERLAP):
            start = time.perf_counter()
            maps = predict(0, overlap)
            seconds = time.perf_counter() - start
            known = [labels != IGNORED for labels in truth]
            right = [(m == t)[k] for m, t, k in zip(maps, truth, known, strict=True)]
            print(
                f'\noverlap {overlap}: {seconds:.1f} s, '
                f'overall accuracy {np.concatenate(right).mean():.2%}'
            )
            for shift in (side // 2, side // 4):
                others = predict(shift, overlap)
                same = [
                    (one[shift:, shift:] == other).ravel()
                    for one, other in zip(maps, others, strict=True)
                ]
                print(
                    f'\noverlap {overlap}: windows moved by {shift} of {side} pixels: '
                    f'{np.concatenate(same).mean():.2%} of the pixels get the same class'
                )


if __name__ == '__main__':
    main()
