"""The seasons of the PASTIS crops and of the land between them, as tables.

Dates and heights are rounded from what is common in France; days are counted from 1 September
2018, the start of the PASTIS season.
"""

from dataclasses import dataclass
from datetime import date

SEASON_START = date(2018, 9, 1)


def season_day(month: int, day: int, year: int | None = None) -> int:
    """Count days from 1 September 2018, by default to the next such day of the year."""
    if year is None:
        year = 2018 if month >= SEASON_START.month else 2019
    return (date(year, month, day) - SEASON_START).days


@dataclass(frozen=True)
class Calendar:
    """The season of one land cover.

    Attributes:
        name: As in the PASTIS nomenclature for crops.
        growth: Double logistics (leaf area index, rise, rise scale, fall, fall scale), in days
            since SEASON_START; rise and fall are the days of half height. They add up.
        base: Leaf area index that is there all year.
        dry: Dry matter area index left standing by the last fall, until `harvest`.
        harvest: Day the field is cleared to stubble; None for permanent covers.
        sown: Day the seed bed is ready; None for permanent covers.
        flower: (colour, day, spread in days, share of the canopy top), or None.
        cuts: Days on which the canopy is mown.
        traits: Leaf chlorophyll, canopy structure (near infrared) and leaf water against an
            average crop, in units of about 10 % of the bands concerned.
        leaf: Key of `phenology.LEAVES`.
        substrate: Key of `phenology.SUBSTRATES`, what lies below the canopy.
    """

    name: str
    growth: tuple[tuple[float, int, float, int, float], ...] = ()
    base: float = 0.0
    dry: float = 0.0
    harvest: int | None = None
    sown: int | None = None
    flower: tuple[str, int, float, float] | None = None
    cuts: tuple[int, ...] = ()
    traits: tuple[float, float, float] = (0.0, 0.0, 0.0)
    leaf: str = 'crop'
    substrate: str = 'soil'


_d = season_day
# after the last day of any series
_NEVER = _d(12, 31, 2019)
CROPS: tuple[Calendar, ...] = (
    Calendar(
        'Meadow',
        (
            (1.3, _d(8, 2, 2018), 10, _d(11, 25), 12),
            (2.6, _d(3, 25), 12, _d(7, 15), 16),
            (1.2, _d(9, 14, 2019), 8, _NEVER, 9),
        ),
        base=1.1,
        dry=0.5,
        cuts=(_d(5, 24), _d(7, 8)),
        traits=(0.2, -0.3, 0.2),
    ),
    Calendar(
        'Soft winter wheat',
        ((0.7, _d(11, 25), 9, _d(4, 10), 12), (4.4, _d(4, 6), 11, _d(6, 24), 6)),
        dry=1.7,
        sown=_d(10, 22),
        harvest=_d(7, 20),
        traits=(0.4, -0.3, -0.2),
    ),
    Calendar(
        'Corn',
        ((4.6, _d(6, 18), 8, _d(9, 9, 2019), 8),),
        dry=1.5,
        sown=_d(4, 25),
        harvest=_d(9, 29, 2019),
        flower=('tassel', _d(7, 22), 10, 0.20),
        traits=(0.2, 0.3, 0.6),
    ),
    Calendar(
        'Winter barley',
        ((0.9, _d(11, 10), 9, _d(4, 5), 12), (4.2, _d(3, 29), 11, _d(6, 5), 6)),
        dry=1.6,
        sown=_d(10, 5),
        harvest=_d(6, 29),
        traits=(-0.2, -0.3, -0.4),
    ),
    Calendar(
        'Winter rapeseed',
        (
            (1.9, _d(10, 4), 9, _d(1, 5), 14),
            (0.9, _d(1, 5), 14, _d(4, 1), 9),
            (4.5, _d(3, 24), 9, _d(6, 12), 8),
        ),
        dry=1.8,
        sown=_d(8, 27, 2018),
        harvest=_d(7, 8),
        flower=('yellow', _d(4, 24), 9, 0.60),
        traits=(0.2, 0.5, 0.6),
    ),
    Calendar(
        'Spring barley',
        ((4.0, _d(4, 27), 8, _d(6, 29), 6),),
        dry=1.5,
        sown=_d(3, 1),
        harvest=_d(7, 24),
        traits=(-0.4, -0.4, -0.4),
    ),
    Calendar(
        'Sunflower',
        ((3.6, _d(6, 10), 8, _d(8, 22), 8),),
        dry=1.3,
        sown=_d(4, 15),
        harvest=_d(9, 14, 2019),
        flower=('yellow', _d(7, 16), 8, 0.30),
        traits=(-0.5, 0.4, 0.3),
    ),
    Calendar(
        'Grapevine',
        (
            (0.9, _d(6, 3, 2018), 9, _d(10, 20), 9),
            (0.4, _d(11, 15), 12, _d(4, 25), 10),
            (0.9, _d(5, 18), 9, _d(10, 18, 2019), 9),
        ),
        base=0.1,
        traits=(0.0, -0.6, -0.6),
    ),
    Calendar(
        'Beet',
        ((4.3, _d(6, 2), 9, _d(11, 5, 2019), 12),),
        sown=_d(3, 28),
        harvest=_d(10, 21, 2019),
        traits=(0.4, 0.6, 1.2),
    ),
    Calendar(
        'Winter triticale',
        ((0.8, _d(11, 18), 9, _d(4, 8), 12), (4.0, _d(3, 31), 11, _d(6, 30), 8)),
        dry=2.0,
        sown=_d(10, 14),
        harvest=_d(7, 22),
        traits=(-0.3, 0.4, -0.6),
    ),
    Calendar(
        'Winter durum wheat',
        ((0.7, _d(12, 1), 9, _d(4, 5), 12), (3.6, _d(3, 28), 10, _d(6, 13), 6)),
        dry=1.4,
        sown=_d(10, 30),
        harvest=_d(7, 4),
        traits=(0.5, -0.9, -0.6),
    ),
    Calendar(
        'Fruits, vegetables, flowers',
        ((2.6, _d(4, 22), 7, _d(6, 18), 5), (2.6, _d(7, 20), 7, _d(9, 21, 2019), 6)),
        sown=_d(3, 10),
        harvest=_d(9, 26, 2019),
        traits=(-0.2, 0.3, 0.9),
    ),
    Calendar(
        'Potatoes',
        ((4.3, _d(5, 28), 7, _d(8, 14), 6),),
        dry=0.5,
        sown=_d(4, 10),
        harvest=_d(8, 31),
        flower=('white', _d(6, 28), 8, 0.15),
        traits=(-0.3, 0.8, 1.0),
    ),
    Calendar(
        'Leguminous fodder',
        ((1.6, _d(7, 23, 2018), 9, _d(11, 20), 10), (3.6, _d(3, 22), 10, _NEVER, 12)),
        base=0.7,
        cuts=(_d(4, 30), _d(6, 5), _d(7, 12), _d(8, 22)),
        traits=(0.8, 0.5, 0.5),
    ),
    Calendar(
        'Soybeans',
        ((4.7, _d(6, 28), 8, _d(9, 2, 2019), 6),),
        dry=1.0,
        sown=_d(5, 8),
        harvest=_d(9, 24, 2019),
        traits=(-0.2, 1.2, 0.4),
    ),
    Calendar(
        'Orchard',
        ((2.0, _d(4, 22), 9, _d(10, 21, 2019), 9), (2.0, _d(6, 3, 2018), 9, _d(10, 25), 9)),
        base=1.0,
        flower=('white', _d(4, 8), 7, 0.20),
        traits=(0.3, -0.2, -0.3),
        leaf='broadleaf',
    ),
    Calendar(
        'Mixed cereal',
        ((1.2, _d(11, 5), 9, _d(4, 14), 12), (3.7, _d(4, 12), 10, _d(7, 2), 9)),
        dry=1.9,
        sown=_d(10, 2),
        harvest=_d(7, 27),
        traits=(0.2, 0.5, 0.5),
    ),
    Calendar(
        'Sorghum',
        ((3.7, _d(6, 30), 9, _d(9, 12, 2019), 9),),
        dry=1.3,
        sown=_d(5, 12),
        harvest=_d(10, 8, 2019),
        flower=('red', _d(8, 18), 14, 0.35),
        traits=(0.1, -0.5, -0.2),
    ),
)
NATURAL: tuple[Calendar, ...] = (
    Calendar(
        'Deciduous forest',
        ((4.3, _d(4, 24), 6, _d(10, 26, 2019), 9), (4.3, _d(5, 4, 2018), 9, _d(10, 28), 8)),
        base=0.5,
        leaf='broadleaf',
        substrate='litter',
    ),
    Calendar('Evergreen forest', base=4.0, leaf='needle', substrate='litter'),
    Calendar('Water', substrate='water'),
    Calendar('Built-up', base=0.25, substrate='built'),
    Calendar(
        'Natural grass',
        (
            (0.6, _d(8, 2, 2018), 10, _d(12, 1), 14),
            (1.7, _d(4, 14), 14, _d(7, 12), 18),
            (0.5, _d(9, 21, 2019), 10, _NEVER, 9),
        ),
        base=0.9,
        dry=0.9,
        traits=(-0.4, -0.6, -0.6),
    ),
)
COVERS = CROPS + NATURAL
DECIDUOUS, EVERGREEN, WATER, BUILT, GRASS = range(len(CROPS), len(COVERS))
