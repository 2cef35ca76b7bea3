"""Fields on a map small enough to count by hand."""

import sys

import geopandas
import numpy as np
import pytest
from shapely import Point, box

from mmexact.masks.maps import open_map
from mmexact.sits import Georeference
from tests.test_apis.test_assessment import CRS, LEGEND, run

pytest.importorskip('exactextract')
PLACE = Georeference(CRS, (10, 0, 500_000, 0, -10, 5_000_000))


def square(left, top, right, bottom):
    """A rectangle in pixels of the map."""
    return box(500_000 + 10 * left, 5_000_000 - 10 * bottom, 500_000 + 10 * right,
               5_000_000 - 10 * top)  # fmt: skip


@pytest.fixture
def map_path(tmp_path):
    """Ten pixels each way: wheat left, maize right, no data in the first three rows."""
    values = np.ones((10, 10), np.uint8)
    values[:, 5:] = 2
    values[:3] = 255
    with open_map(tmp_path / 'map.tif', values.shape, PLACE, legend=LEGEND) as raster:
        raster.write(values, 1)
    return tmp_path / 'map.tif'


@pytest.fixture
def fields(tmp_path):
    shapes = [
        square(2, 4, 7.5, 7.5),  # 3 x 3.5 pixels of wheat, 2.5 x 3.5 of maize
        square(0, 0, 10, 3.5),  # half of a row has data: 2.5 of each, the first class wins
        square(6, 0, 9, 2),  # no data
        square(40, 40, 50, 50),  # beside the map
        None,
    ]
    frame = geopandas.GeoDataFrame(dict(owner=list('abcde')), geometry=shapes, crs=CRS)
    frame.to_file(tmp_path / 'fields.gpkg')
    return tmp_path / 'fields.gpkg'


@pytest.mark.parametrize('suffix', ['.parquet', '.gpkg'])
def test_the_class_that_covers_most(map_path, fields, tmp_path, capsys, suffix):
    out = tmp_path / 'new' / f'out{suffix}'
    run('field_majority', map_path, '--fields', fields, '--out', out)
    read = geopandas.read_parquet if suffix == '.parquet' else geopandas.read_file
    found = read(out)
    assert list(found.owner) == list('abcde')
    assert found.crs == CRS
    assert [name if isinstance(name, str) else None for name in found.map_class] == [
        'Wheat', 'Wheat', None, None, None,
    ]  # fmt: skip
    shares = [10.5 / 19.25, 0.5, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(found.map_share, shares)
    np.testing.assert_allclose(found.map_pixels, [19.25, 5, 0, 0, 0])
    assert 'map_probability' not in found
    assert capsys.readouterr().out.splitlines()[-2:] == [
        'Wheat: 2 fields',
        f'2 of 5 fields in {out}',
    ]
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_another_crs_and_the_mean_score(map_path, fields, tmp_path):
    percent = np.full((10, 10), 80, np.uint8)
    percent[:, 5:] = 60
    percent[:3] = 255
    with open_map(tmp_path / 'map_probability.tif', percent.shape, PLACE) as raster:
        raster.write(percent, 1)
    geopandas.read_file(fields).to_crs('EPSG:4326').to_parquet(tmp_path / 'fields.parquet')
    out = tmp_path / 'out.parquet'
    run('field_majority', map_path, '--fields', tmp_path / 'fields.parquet', '--out', out)
    found = geopandas.read_parquet(out)
    assert found.crs == 'EPSG:4326'
    assert found.map_class[0] == 'Wheat'
    assert found.map_share[0] == pytest.approx(10.5 / 19.25, abs=1e-4)
    assert found.map_probability[0] == pytest.approx((10.5 * 80 + 8.75 * 60) / 19.25, abs=1e-2)
    assert np.isnan(found.map_probability[2])


def test_many_fields_go_in_pieces(map_path, fields, tmp_path, monkeypatch):
    run('field_majority', map_path, '--fields', fields, '--out', tmp_path / 'all.parquet')
    monkeypatch.setattr('mmexact.apis.fields.PIECE', 1)
    run('field_majority', map_path, '--fields', fields, '--out', tmp_path / 'one.parquet')
    assert (tmp_path / 'all.parquet').read_bytes() == (tmp_path / 'one.parquet').read_bytes()


def test_what_does_not_fit_is_said_in_one_line(map_path, fields, tmp_path, capsys):
    far = geopandas.GeoDataFrame(geometry=[square(40, 40, 50, 50)], crs=CRS)
    far.to_file(tmp_path / 'far.gpkg')
    points = geopandas.GeoDataFrame(geometry=[Point(500_050, 4_999_950)], crs=CRS)
    points.to_file(tmp_path / 'points.gpkg')
    far.to_file(tmp_path / 'two.gpkg', layer='a')
    far.to_file(tmp_path / 'two.gpkg', layer='b')
    (tmp_path / 'broken.gpkg').write_bytes(fields.read_bytes()[:100])
    far.set_crs(None, allow_override=True).to_file(tmp_path / 'nowhere.gpkg')
    for name, out, message in [
        ('far.gpkg', 'o.gpkg', 'map.tif: none of the 1 fields lies on pixels with a class. In the '
         'CRS of the map the fields span x 500400 to 500500, y 4.9995e+06 to 4.9996e+06; the map'),
        ('points.gpkg', 'o.gpkg', 'points.gpkg: has geometries of type Point; expected polygons'),
        ('two.gpkg', 'o.gpkg', "two.gpkg: has the layers ['a', 'b']; name one of them (--layer)"),
        ('broken.gpkg', 'o.gpkg', 'broken.gpkg: cannot be read'),
        ('nowhere.gpkg', 'o.gpkg', 'nowhere.gpkg: has no geometries with a coordinate reference'),
        ('fields.gpkg', 'o.csv', 'o.csv; expected a name that ends with .parquet or .gpkg'),
        ('fields.gpkg', 'fields.gpkg', 'fields.gpkg is the file of the fields'),
    ]:  # fmt: skip
        with pytest.raises(SystemExit):
            run('field_majority', map_path, '--fields', tmp_path / name, '--out', tmp_path / out)
        last = capsys.readouterr().err.splitlines()[-1]
        assert message in last, last
        assert not (tmp_path / 'o.gpkg').exists()


def test_the_package_is_named_where_it_is_missing(map_path, fields, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'exactextract', None)
    with pytest.raises(SystemExit):
        run('field_majority', map_path, '--fields', fields, '--out', tmp_path / 'o.gpkg')
    assert 'is not installed: pip install exactextract' in capsys.readouterr().err
