"""A user's own data: dated rasters of an area, with a raster of labels or a table of them."""

import copy
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mmseg.registry import DATASETS

from mmexact.datasets.rasters.reader import LabelRaster, RasterReader
from mmexact.datasets.rasters.search import find_series
from mmexact.datasets.rasters.settings import Search
from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.datasets.windows import window_grid
from mmexact.sits import IGNORED

DRAWS = 100
"""Windows that training draws in place of one that was never observed, before it gives up."""


@DATASETS.register_module()
class RasterSeriesDataset(SITSDataset):
    """Series of dated rasters in any format of GDAL, a data cube, or STAC items, read by window.

    The finest raster of the first date defines the grid of an area, and coarser bands are
    interpolated onto it. What was not observed, because there are no data or a cloud hides it, is
    interpolated in time or becomes padding; pixels that were never observed are 0 and ignored in
    masks, and training leaves windows out in which no pixel was.
    A window of a tiled file costs its tiles; one of an untiled file costs its rows over the whole
    width, so tile large rasters.

    Args:
        data_root: Folder that relative paths start at.
        series: For each area a name, which the sample ids start with, and ``dict(rasters=...,
            mask=...)``: the glob pattern of its rasters, its cube or file of STAC items, and the
            raster of labels on the same grid, or None. ``search`` in it overrides settings for this
            area, such as the ``date_range`` of its season.
        codes: Class name, or 'ignored', by value of the label raster, e.g. ``{1: 'Cultivated'}``.
            By default the values are the classes already, 255 ignored.
        other_codes: Class name for values that ``codes`` does not list, or 'ignored'. No data is
            always ignored, unless it is listed.
        search: Which bands and dates to use, and which clouds to hide: settings of
            :class:`~mmexact.datasets.rasters.settings.Search`.
        gaps: What becomes of a date at which a pixel was not observed: 'interpolate' fills it from
            the pixel's other dates, see :func:`~mmexact.datasets.gaps.fill_gaps`; 'pad'
            makes it padding for that pixel, its bands and its day of year 0.
        labels: Take image-level labels from points or polygons instead of the label raster:
            settings of :class:`~mmexact.datasets.weak_labels.LabelSettings`, e.g.
            ``dict(file='fields.gpkg', column='crop')``. Windows without any label are left out.
        **kwargs: Of :class:`SITSDataset`; ``metainfo=dict(classes=...)`` is needed and starts with
            the background. Image-level labels come from the label raster by the 1 % rule, from
            ``labels``, or from ``image_labels_file``.

    Raises:
        FileNotFoundError: A raster is missing.
        ValueError: Rasters do not agree, a date or a band is missing, or a label is unknown.
    """

    def __init__(
        self,
        data_root: str | None = None,
        series: Mapping[str, Mapping[str, Any]] | None = None,
        codes: Mapping[int, str] | None = None,
        other_codes: str = 'ignored',
        search: Mapping[str, Any] | None = None,
        gaps: str = 'interpolate',
        labels: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not series:
            raise ValueError(
                "series is not set; expected e.g. dict(area=dict(rasters='series/*.tif', "
                "mask='labels.tif'))"
            )
        classes = (kwargs.get('metainfo') or {}).get('classes')
        if not classes:
            raise ValueError(
                'metainfo=dict(classes=...) is not set; name all classes, the background first'
            )
        names = dict(zip([*classes, 'ignored'], [*range(len(classes)), IGNORED], strict=True))
        for name in {*(codes or {}).values(), other_codes}:
            if name not in names:
                raise ValueError(f'codes: no such class {name!r}; expected one of {list(names)}')
        self.series = {name: dict(paths) for name, paths in series.items()}
        self.codes = None if codes is None else {code: names[codes[code]] for code in codes}
        self.other_codes = names[other_codes]
        if gaps not in ('interpolate', 'pad'):
            raise ValueError(f"gaps={gaps!r}; expected 'interpolate' or 'pad'")
        self.search = dict(search or {})
        self.searches = {
            name: Search.parse({**self.search, **(paths.get('search') or {})})
            for name, paths in self.series.items()
        }
        self.gaps = gaps
        self.labels = labels
        if self.labels is not None and kwargs.get('image_labels_file') is not None:
            raise ValueError('labels and image_labels_file are both set; expected one of them')
        super().__init__(data_root=data_root, **kwargs)

    def load_patches(self) -> Iterator[tuple[str, RasterReader]]:
        """Yield the areas."""
        root = self.data_root or ''
        if not os.path.isdir(root or '.'):
            raise FileNotFoundError(
                f'{os.path.abspath(root)}: data_root is no such directory; set it to the folder of '
                f'your rasters, or link that folder there'
            )
        for name, paths in self.series.items():
            reader = find_series(root, str(paths['rasters']), self.searches[name])
            labels = None
            if paths.get('mask') and self.with_masks:
                labels = LabelRaster.open(
                    os.path.join(root, str(paths['mask'])),
                    reader.grid,
                    self.searches[name].crs,
                    self.codes,
                    other_codes=self.other_codes,
                    num_classes=len(self._metainfo['classes']),
                )
            yield name, replace(reader, gaps=self.gaps, labels=labels)

    @property
    def labelled_by_masks(self) -> bool:
        """Whether image-level labels come from the label raster."""
        return self.labels is None and super().labelled_by_masks

    def load_data_list(self) -> list[dict[str, Any]]:
        """Cut all areas into windows and work out the image-level labels."""
        data_list = super().load_data_list()
        return data_list if self.labels is None else self._place_labels(data_list, self.labels)

    def _place_labels(
        self, data_list: list[dict[str, Any]], labels: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Keep the windows for which the points or polygons have labels."""
        # Imported here because it needs packages that other labels do not need.
        from mmexact.datasets.weak_labels import Area, LabelSettings, label_windows

        areas = []
        for name, reader in self.readers.items():
            assert isinstance(reader, RasterReader)
            windows = window_grid(reader.size, self.window_size, name)
            georeference = reader.georeference((0, 0, *reader.size))
            days = (reader.times[0].date(), reader.times[-1].date())
            areas.append(Area(name, windows, georeference, days))
        infos = {(info['patch'], info['window']): info for info in data_list}
        scores = label_windows(
            LabelSettings.parse(labels, self.data_root),
            self._metainfo['classes'],
            self.background,
            areas,
            chosen=infos,
        )
        return [dict(infos[key], gt_score=score) for key, score in scores.items()]

    def for_prediction(self) -> SITSDataset:
        """Return the same data to be mapped; see :class:`SITSDataset`."""
        unlabelled = copy.copy(self)
        unlabelled.labels = None
        return super(RasterSeriesDataset, unlabelled).for_prediction()

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on a window; in training on another one for one never observed."""
        for _ in range(DRAWS):
            sample = super().prepare_data(idx)
            if sample is not None:
                return sample
            idx = self._rand_another()
        raise ValueError(
            f'{DRAWS} windows in a row hold no pixel that was ever observed, the last one in '
            f'{self.get_data_info(idx)["img_path"]}; check nodata and clouds of search='
            f'{self.search} (is the threshold in the units of the mask?)'
        )
