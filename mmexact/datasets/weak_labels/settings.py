"""Settings of labels with places: where they come from and what they mean."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mmexact.datasets.windows import PRESENCE


@dataclass(frozen=True)
class LabelSettings:
    """Where labels with places come from and what they mean.

    Attributes:
        file: CSV file of points (suffix .csv, .tsv or .txt), or vector file of points or polygons:
            GeoPackage, GeoJSON, Shapefile (zipped or not) or whatever else GDAL reads, or
            GeoParquet (.parquet).
        column: Column with the class names.
        codes: Name of the class, or 'ignored', by value of that column. Names of classes need not
            be listed. '33010101*' stands for all values that begin so, as groups of hierarchical
            codes (HCAT of EuroCrops) do; of several the longest counts.
        other_codes: The same for all other values, e.g. the background; by default they are
            reported as unknown.
        coordinates: Columns of a CSV file with x and y, that is longitude before latitude.
        crs: Coordinate reference system of the places. By default what the vector file says, and
            'EPSG:4326' (longitude and latitude) for CSV files.
        layer: Layer of a vector file that has several.
        date_column: Column with the date of each label. Dates (YYYY-MM-DD) count for series whose
            first and last date they lie between, years (YYYY) for series that end in them. Or two
            columns, with the first and the last day that each label is valid, empty for no limit:
            it counts for series of which it covers more than half.
        min_share: A crop occurs in a window when its polygons cover strictly more than this share
            of the window, 0..1. A single point is enough.
        problems: 'report' logs how many labels and windows cannot be used, and why; with 'error'
            they stop the run.
    """

    file: str
    column: str = 'label'
    codes: Mapping[int | str, str] = field(default_factory=dict)
    other_codes: str | None = None
    coordinates: Sequence[str] = ('longitude', 'latitude')
    crs: str | None = None
    layer: str | None = None
    date_column: str | Sequence[str] | None = None
    min_share: float = PRESENCE
    problems: str = 'report'

    def __post_init__(self) -> None:
        if self.problems not in ('error', 'report'):
            raise ValueError(f"labels.problems={self.problems!r}; expected 'error' or 'report'")
        if not 0 <= self.min_share < 1:
            raise ValueError(f'labels.min_share={self.min_share}; expected a share, 0 <= share < 1')
        if isinstance(self.coordinates, str) or len(self.coordinates) != 2:
            raise ValueError(
                f'labels.coordinates={self.coordinates!r}; expected the names of two columns, x '
                f"before y: ('longitude', 'latitude')"
            )
        if len(self.date_columns) > 2:
            raise ValueError(
                f'labels.date_column={self.date_column!r}; expected the name of a column, or of '
                f"two: ('valid_from', 'valid_to')"
            )

    @classmethod
    def parse(cls, labels: Mapping[str, Any], root: str | None) -> 'LabelSettings':
        """Read settings from a config; a relative path of the file starts at ``root``."""
        known = [setting.name for setting in fields(cls)]
        if 'file' not in labels or not set(labels) <= set(known):
            raise ValueError(
                f"labels={dict(labels)}; expected dict(file='...') and any of {known[1:]}"
            )
        return cls(**{**labels, 'file': os.path.join(root or '', labels['file'])})

    @property
    def date_columns(self) -> tuple[str, ...]:
        """No column, one with dates, or two with the first and last day."""
        columns = self.date_column or ()
        return (columns,) if isinstance(columns, str) else tuple(columns)
