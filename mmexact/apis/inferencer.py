"""Maps of series in memory, for notebooks and programs: arrays in, arrays out."""

import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np
from mmengine.config import Config
from mmengine.utils import ProgressBar

from mmexact.apis.blocks import OVERLAP, plan_blocks
from mmexact.apis.configs import read_config, settings_at_fault
from mmexact.apis.cubes import read_given, with_coordinates
from mmexact.apis.data import open_data
from mmexact.apis.inference import (
    build_segmentor,
    check_classes,
    prepare_pipeline,
)
from mmexact.apis.strips import predict_strips
from mmexact.datasets.in_memory import ArrayReader, SeriesInMemory
from mmexact.datasets.reader import PatchReader
from mmexact.engine.checkpoint import load_weights
from mmexact.engine.segmentor_check import check_components
from mmexact.engine.training_data import check_data
from mmexact.engine.value_check import check_dataset
from mmexact.masks.maps import open_map
from mmexact.sits import IGNORED

PathLike: TypeAlias = str | os.PathLike[str]


class Prediction(NamedTuple):
    """What :class:`SITSInferencer` says of a series.

    Attributes:
        classes: Index of the class of each pixel, uint8 (H, W); 255 where it was never observed.
        probabilities: Of each class, float32 (K, H, W) in 0..1, NaN where it was never observed;
            None unless asked for.

    Both are arrays, or DataArrays with the coordinates of the series where it is one of xarray's.
    """

    classes: Any
    probabilities: Any = None


class SITSInferencer:
    """Maps series with a trained segmentor.

    Windows overlap and their probabilities are blended, as in ``tools/predict.py``: of the same
    data both make the same map. Series are read block by block, so that a cube that xarray reads on
    demand may be larger than memory.

    Args:
        model: Config of a segmentor, or its file.
        weights: Its checkpoint.
        device: Where to compute, such as 'cuda:0'; by default the GPU if there is one.
        overlap: Share of a window's side that the next one covers again, 0 to below 1.
        show_progress: Whether to draw a progress bar.

    Attributes:
        classes: Names of the classes, by their index in the maps.
        palette: Their colours, RGB 0..255.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        ValueError: The config describes no segmentor, or the checkpoint does not fit it.
    """

    def __init__(
        self,
        model: Config | PathLike,
        weights: PathLike,
        device: str | None = None,
        overlap: float = OVERLAP,
        show_progress: bool = True,
    ) -> None:
        if not 0 <= overlap < 1:
            raise ValueError(f'overlap={overlap}; expected 0 to below 1')
        cfg = model if isinstance(model, Config) else read_config(model)
        with settings_at_fault(f'{cfg.filename}: model'):
            check_components(cfg.get('model', {}))
            # Says what the classes are and how series are read; its own data need not be there.
            self.trained_as = open_data(cfg, 'test', lazy_init=True)
            self.model = build_segmentor(cfg, device)
        self.classes: tuple[str, ...] = tuple(self.trained_as.metainfo['classes'])
        self.palette: list[Sequence[int]] = list(self.trained_as.metainfo['palette'])
        check_classes(self.model, self.classes)
        self.overlap, self.show_progress = overlap, show_progress
        self.weights, meta = weights, load_weights(self.model, str(weights)).get('meta') or {}
        self.meta = {key: meta[key] for key in ('trained_on', 'dataset_meta') if key in meta}
        hooks = cfg.get('default_hooks', {})
        self.checks_values = hooks.get('segmentor_check', {}).get('check_values', True)

    @overload
    def __call__(
        self,
        series: list[Any],
        day_of_year: Sequence[Any] | None = ...,
        out: Sequence[PathLike] | None = ...,
        probabilities: bool = ...,
    ) -> list[Prediction]: ...

    @overload
    def __call__(
        self,
        series: Any,
        day_of_year: Any = ...,
        out: PathLike | None = ...,
        probabilities: bool = ...,
    ) -> Prediction: ...

    def __call__(
        self, series: Any, day_of_year: Any = None, out: Any = None, probabilities: bool = False
    ) -> Prediction | list[Prediction]:
        """Map a series, or each of a list of them.

        Args:
            series: An array (T, C, H, W) of digital numbers, with the bands of the training in
                their order; masked values and NaN were not observed. Or a DataArray or Dataset of
                xarray with the dimensions time, y, x and band (or a variable for each band): bands
                go by their names, days come from ``time``, the place on the ground from the
                coordinates and the CRS. What the config's ``search`` says of clouds, no data and
                an offset holds, as for cubes in files; without a band of clouds no cloud is hidden.
            day_of_year: Of an array: whole days 1..366 (T,), in order of time. For a list of series
                a list, with None for those of xarray.
            out: GeoTIFF to write besides, as ``tools/predict.py`` writes it: Cloud-Optimised, with
                names and colours of the classes. For a list of series a list.
            probabilities: Return those of all classes as well.

        Raises:
            ValueError: The series has another shape, or other bands, days or values than the model
                was trained on.
        """
        if not isinstance(series, list):
            return self._map([series], [day_of_year], [out], probabilities)[0]
        given = {'day_of_year': day_of_year, 'out': out}
        for name, values in given.items():
            if values is None:
                given[name] = [None] * len(series)
            elif isinstance(values, str | os.PathLike) or len(values) != len(series):
                raise ValueError(f'{name}: expected a list of {len(series)}, one for each series')
        return self._map(series, given['day_of_year'], given['out'], probabilities)

    def _map(
        self,
        series: Sequence[Any],
        days: Sequence[Any],
        outs: Sequence[PathLike | None],
        probabilities: bool,
    ) -> list[Prediction]:
        if not series:
            return []
        names = [f'series {number}' for number in range(len(series))]
        given = zip(names, series, days, strict=True)
        readers = {name: self._read(one, its_days, name) for name, one, its_days in given}
        scenes = SeriesInMemory(readers, self.trained_as).for_prediction()
        prepare_pipeline(scenes)
        check_data(dict(meta=self.meta), scenes, self.model, self.weights)
        if self.checks_values:
            check_dataset(scenes, self.model)
        infos = [scenes.get_data_info(index) for index in range(len(scenes))]
        blocks = [plan_blocks(self.model, info, self.overlap) for info in infos]
        bar = None
        if self.show_progress:
            bar = ProgressBar(sum(map(len, blocks)), file=sys.stdout)
        predictions = []
        for one, info, out in zip(series, infos, outs, strict=True):
            classes, shares = [], []
            after_block = None if bar is None else bar.update
            for strip in predict_strips(
                self.model, scenes, info, overlap=self.overlap, after_block=after_block
            ):
                classes.append(strip.classes[0])
                if probabilities:
                    share = strip.probability.cpu().numpy()
                    shares.append(np.where(strip.classes == IGNORED, np.float32(np.nan), share))
            planes = [np.concatenate(classes), *([np.concatenate(shares, 1)] if shares else [])]
            if out is not None:
                legend = list(zip(self.classes, self.palette, strict=False))
                with open_map(out, info['size'], info['georeference'], legend=legend) as raster:
                    raster.write(planes[0], 1)
            if not isinstance(one, np.ndarray):
                planes = [with_coordinates(plane, one, self.classes) for plane in planes]
            predictions.append(Prediction(*planes))
        if bar is not None:
            print()
        return predictions

    def _read(self, series: Any, days: Any, name: str) -> PatchReader:
        """Make the reader of a series."""
        trained = self.meta.get('trained_on', {}).get('bands')
        gaps = getattr(self.trained_as, 'gaps', 'interpolate')
        reader: PatchReader
        if isinstance(series, np.ndarray):
            if days is None:
                raise ValueError(f'{name}: day_of_year is not set; expected a day of each date')
            reader = ArrayReader(source=name, values=series, days=days, gaps=gaps)
        elif hasattr(series, 'dims') and hasattr(series, 'coords'):  # without importing xarray
            if days is not None:
                raise ValueError(
                    f'{name}: day_of_year is set, but the days of a {type(series).__name__} are '
                    f'those of its coordinate time; leave it out'
                )
            search = getattr(self.trained_as, 'search', {})
            reader = read_given(series, name, trained or search.get('bands'), search, gaps)
        else:
            raise ValueError(
                f'{name} is a {type(series).__name__}; expected a numpy array (dates, bands, '
                f'height, width), or a DataArray or Dataset of xarray'
            )
        expected = len(self.model.data_preprocessor.mean)
        if reader.num_bands != expected:
            raise ValueError(
                f'{name}: {reader.num_bands} bands; expected the {expected} that the model was '
                f'trained on' + (f', in this order: {", ".join(trained)}' if trained else '')
            )
        return reader
