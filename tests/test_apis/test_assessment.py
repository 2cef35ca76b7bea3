"""Maps against reference points, on maps small enough to count by hand."""

import csv
import json
import re
import runpy
import sys

import geopandas
import numpy as np
import pytest
from shapely import Point, box

from mmexact.apis.class_map import ClassMap
from mmexact.apis.configs import shipped
from mmexact.masks.maps import open_map
from mmexact.sits import Georeference
from tests.data import write_raster

SIDE = 100
LEGEND = [('Other', (60, 60, 60)), ('Wheat', (230, 159, 0)), ('Maize', (86, 180, 233))]
CRS = 'EPSG:32633'


@pytest.fixture
def map_path(tmp_path):
    """Wheat in the left half, maize in the right one; no data in the first ten rows."""
    values = np.ones((SIDE, SIDE), np.uint8)
    values[:, 50:] = 2
    values[:10] = 255
    path = tmp_path / 'map.tif'
    place = Georeference(CRS, (10, 0, 500_000, 0, -10, 5_000_000))
    with open_map(path, values.shape, place, legend=LEGEND) as raster:
        raster.write(values, 1)
    return path


def run(tool, *arguments):
    script = str(shipped(f'tools/analysis_tools/{tool}.py'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [script, *map(str, arguments)])
        runpy.run_path(script, run_name='__main__')


def write_points(path, rows, column='crop', crs=CRS):
    """Points by (row, column) of the map, and their class."""
    places = [Point(500_005 + 10 * column, 4_999_995 - 10 * row) for row, column, _ in rows]
    frame = geopandas.GeoDataFrame({column: [name for *_, name in rows]}, geometry=places, crs=CRS)
    frame.to_crs(crs).to_file(path)
    return path


POINTS = [
    *((20 + n, 10, 'Wheat') for n in range(9)), (40, 20, 'Maize'),
    *((20 + n, 60, 'Maize') for n in range(8)), (40, 70, 'Wheat'), (41, 70, 'Rye'),
]  # fmt: skip


@pytest.mark.parametrize('crs', [CRS, 'EPSG:4326'])
def test_a_map_is_assessed(map_path, tmp_path, capsys, crs):
    points = [*POINTS, (5, 5, 'Wheat'), (-20, 5, 'Wheat'), (50, 5, '')]
    points = write_points(tmp_path / 'points.gpkg', points, crs=crs)
    run('assess_map', map_path, '--reference', points, '--column', 'crop', '--out', tmp_path / 'a')
    found = json.loads((tmp_path / 'a/accuracy.json').read_text())
    # Half of the map is wheat, of which 9 of 10 are right, half maize, of which 8 of 10 are.
    assert found['overall_accuracy']['value'] == pytest.approx(0.85)
    variance = 0.25 * (0.9 * 0.1 + 0.8 * 0.2) / 9
    assert found['overall_accuracy']['margin'] == pytest.approx(1.959964 * variance**0.5)
    assert found['area'] == pytest.approx(90)  # 9,000 pixels of 100 square metres
    assert found['classes']['Wheat']['area']['value'] == pytest.approx((0.9 + 0.1) / 2)
    assert found['classes']['Rye']['producers']['value'] == 0
    assert found['dropped'] == {'without place or class': 1, 'outside the map or on no data': 2}
    rows = list(csv.reader((tmp_path / 'a/confusion.csv').open()))
    assert rows[1:] == [
        ['Wheat', '9', '1', '0'], ['Maize', '1', '8', '1'], ['Rye', '0', '0', '0']
    ]  # fmt: skip
    page = (tmp_path / 'a/accuracy.html').read_text()
    assert '85.0 ± 16.3' in page
    assert 'overall accuracy (%): 85.0' in capsys.readouterr().out


def test_regions_are_assessed_besides(map_path, tmp_path):
    points = write_points(tmp_path / 'points.gpkg', POINTS)
    parts = [box(500_000, 4_999_000, 500_500, 5_000_000), box(500_500, 4_999_000, 501_000, 5e6)]
    frame = geopandas.GeoDataFrame(dict(name=['west', 'east']), geometry=parts, crs=CRS)
    frame.to_file(tmp_path / 'regions.gpkg')
    run(
        'assess_map', map_path, '--reference', points, '--column', 'crop',
        '--regions', tmp_path / 'regions.gpkg',
    )  # fmt: skip
    found = json.loads((tmp_path / 'map_accuracy/accuracy.json').read_text())['regions']
    assert {name: part['points'] for name, part in found.items()} == dict(west=10, east=10)
    assert found['west']['overall_accuracy']['value'] == pytest.approx(0.9)
    assert found['east']['hectares'] == pytest.approx(45)


def test_points_that_were_drawn_on_another_map(map_path, tmp_path):
    # A quarter of the area is one stratum, with 3 of 4 points right, the rest another, 3 of 6.
    strata = np.full((SIDE, SIDE), 2, np.uint8)
    strata[:, :25], strata[:10] = 1, 255
    place = Georeference(CRS, (10, 0, 500_000, 0, -10, 5_000_000))
    with open_map(tmp_path / 'drawn_on.tif', strata.shape, place, legend=LEGEND) as raster:
        raster.write(strata, 1)
    rows = [(20 + n, 10, 'Wheat') for n in range(3)] + [(30, 10, 'Maize')]
    rows += [(20 + n, 60, 'Maize') for n in range(3)] + [(30 + n, 40, 'Maize') for n in range(3)]
    points = write_points(tmp_path / 'points.gpkg', rows)
    run(
        'assess_map', map_path, '--reference', points, '--column', 'crop', '--out', tmp_path / 'a',
        '--strata', tmp_path / 'drawn_on.tif',
    )  # fmt: skip
    found = json.loads((tmp_path / 'a/accuracy.json').read_text())
    assert found['overall_accuracy']['value'] == pytest.approx(0.25 * 0.75 + 0.75 * 0.5)
    # Variances within the strata are 1/4 and 3/10.
    variance = 0.25**2 * (1 / 4) / 4 + 0.75**2 * (3 / 10) / 6
    assert found['overall_accuracy']['margin'] == pytest.approx(1.959964 * variance**0.5)
    assert found['classes']['Wheat']['area']['value'] == pytest.approx(0.25 * 0.75)
    assert found['classes']['Wheat']['mapped'] == pytest.approx(0.5)


def test_a_class_without_points_is_left_out_and_named(map_path, tmp_path):
    points = write_points(tmp_path / 'points.gpkg', [*POINTS[:10], (30, 70, 'Maize')])
    run('assess_map', map_path, '--reference', points, '--column', 'crop', '--out', tmp_path / 'a')
    found = json.loads((tmp_path / 'a/accuracy.json').read_text())
    assert found['left_out'] == dict(Maize=0.5)
    assert found['area'] == pytest.approx(45)
    assert 'less than two points' in (tmp_path / 'a/accuracy.html').read_text()


def test_points_are_drawn_in_every_class(map_path, tmp_path, capsys):
    out = tmp_path / 'sample.gpkg'
    run('sample_map', map_path, '--out', out, '--margin', '0.1', '--fewest', '10')
    # (0.4 / (0.1 / 1.96))^2 = 61.5 points, half of them each.
    assert 'Wheat: 31 points of 4,500 pixels' in capsys.readouterr().out
    points = geopandas.read_file(out)
    values = ClassMap(str(map_path)).sample(points)
    assert np.bincount(values).tolist() == [0, 31, 31]
    assert len({(point.x, point.y) for point in points.geometry}) == 62
    assert points.columns.tolist() == ['id', 'crop', 'geometry']
    assert (np.diff(values.astype(int)) != 0).sum() > 10  # in no order
    again = ClassMap(str(map_path)).draw({1: 31, 2: 31}, 0)
    assert again.geometry.geom_equals_exact(points.geometry, 1e-6).all()


@pytest.mark.parametrize(
    ('points', 'arguments', 'message'),
    [
        ([(-20, 5, 'Wheat')], (), 'none of 1 points lies on'),
        ([(20, 5, 'Wheat'), (20, 60, 'Wheat')], (), 'no class of the map has two'),
        (POINTS, ('--column', 'name'), "no column 'name'; it has \\['crop'\\]"),
        (POINTS, ('--reference', 'nothing.gpkg'), 'nothing.gpkg: no such file'),
    ],
)
def test_points_that_do_not_fit(map_path, tmp_path, capsys, points, arguments, message):
    path = write_points(tmp_path / 'points.gpkg', points)
    with pytest.raises(SystemExit):
        run('assess_map', map_path, '--reference', path, '--column', 'crop', *arguments)
    assert re.search(message, capsys.readouterr().err)


def test_what_is_no_map_is_refused(tmp_path):
    write_raster(tmp_path / 'f.tif', np.zeros((1, 2, 2), np.float32))
    with pytest.raises(ValueError, match='float32 with the CRS EPSG:32633; expected a map'):
        ClassMap(str(tmp_path / 'f.tif'))
    (tmp_path / 'text.tif').write_text('no')
    with pytest.raises(ValueError, match='cannot be read as a map'):
        ClassMap(str(tmp_path / 'text.tif'))
