"""The seasons of the PASTIS crops and of the land between them, from calendars.csv.

Dates and heights are rounded from what is common in France; days are counted from 1 September
2018, the start of the PASTIS season.
"""

import csv
from dataclasses import dataclass
from datetime import date
from importlib.resources import files

SEASON_START = date(2018, 9, 1)


def season_day(text: str) -> int:
    """Count days from 1 September 2018 to a date, YYYY-MM-DD."""
    return (date.fromisoformat(text) - SEASON_START).days


@dataclass(frozen=True)
class Calendar:
    """The season of one land cover.

    Attributes:
        name: As in the PASTIS nomenclature for crops.
        growth: Double logistics (leaf area index, rise, rise scale, fall, fall scale), in days
            since SEASON_START; rise and fall are the days of half height. They add up.
        base: Leaf area index that is there all year.
        dry: Dry matter area index left standing by the last fall, until `harvest`.
        sown: Day the seed bed is ready; None for permanent covers.
        harvest: Day the field is cleared to stubble; None for permanent covers.
        flower: (colour, day, spread in days, share of the canopy top), or None.
        cuts: Days on which the canopy is mown.
        traits: Leaf chlorophyll, canopy structure (near infrared) and leaf water against an
            average crop, in units of about 10 % of the bands concerned.
        leaf: Name in spectra.csv.
        substrate: Name in spectra.csv of what lies below the canopy.
    """

    name: str
    growth: tuple[tuple[float, ...], ...]
    base: float
    dry: float
    sown: int | None
    harvest: int | None
    flower: tuple[str, float, float, float] | None
    cuts: tuple[float, ...]
    traits: tuple[float, ...]
    leaf: str
    substrate: str


def _numbers(text: str) -> tuple[float, ...]:
    """Read numbers and dates (as days of the season) between spaces."""
    return tuple(season_day(word) if word.count('-') == 2 else float(word) for word in text.split())


def _read(row: dict[str, str]) -> Calendar:
    colour, _, bloom = row['flower'].partition(' ')
    return Calendar(
        name=row['name'],
        growth=tuple(_numbers(logistic) for logistic in row['growth'].split('+') if logistic),
        base=float(row['base']),
        dry=float(row['dry']),
        sown=season_day(row['sown']) if row['sown'] else None,
        harvest=season_day(row['harvest']) if row['harvest'] else None,
        flower=(colour, *_numbers(bloom)) if colour else None,  # type: ignore[arg-type]
        cuts=_numbers(row['cuts']),
        traits=_numbers(row['traits']),
        leaf=row['leaf'],
        substrate=row['substrate'],
    )


with files(__package__).joinpath('calendars.csv').open(encoding='utf-8') as _file:
    COVERS = tuple(map(_read, csv.DictReader(_file, delimiter=';')))
CROPS = COVERS[:18]
DECIDUOUS, EVERGREEN, WATER, BUILT, GRASS = range(len(CROPS), len(COVERS))
