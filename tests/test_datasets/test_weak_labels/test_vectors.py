"""Vector files of points and polygons."""

import sys

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio.features
import shapely
from pyarrow import parquet

from mmexact.datasets.weak_labels import LabelSettings, read_labels
from tests.data import CORNER, SIZE, write_raster
from tests.test_datasets.test_weak_labels.data import (
    NORTH,
    UTM,
    WEST,
    build,
    scores,
    square,
    write_points,
    write_vector,
)

FORMATS = ('fields.gpkg', 'fields.geojson', 'fields.shp', 'fields.zip', 'fields.parquet')


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('crs', ['EPSG:32633', 'EPSG:4326'])
def test_a_crop_occurs_where_its_polygons_cover_more_than_a_share(root, name, crs, messages):
    fields = [
        (square(38, 0, 4, 4), 'Crop'),  # 8 m2 of each of two windows of 1600 m2
        (square(10, 10, 4, 4.1), 'Grass'),  # 1.03 %
        (square(50, 10, 4, 3.9), 'Grass'),  # 0.98 %
        (square(80, 40, 200, 40), 'Crop'),  # all of window 5, and much beyond
        (square(0, 60, 10), 'Other'),
        (square(900, 900, 10), 'Grass'),
    ]
    shapes, names = zip(*fields, strict=True)
    write_vector(root / name, shapes, to_crs=crs, label=names)
    before = {path.name: path.read_bytes() for path in root.glob('fields*')}
    assert scores(build(root, labels=dict(file=name))) == {
        'area_0': [0, 1], 'area_3': [0, 0], 'area_5': [1, 0]
    }  # fmt: skip
    text = messages[0][1]
    assert text.startswith(f'{root}/{name}: 5 of 6 labels tell about 3 of 6 windows\n')
    assert 'windows by crop: Crop 1, Grass 1\n' in text
    assert 'labels outside the windows of the rasters' in text
    assert 'windows without a label, left out: 3' in text
    assert scores(build(root, labels=dict(file=name, min_share=0.004))) == {
        'area_0': [1, 1], 'area_1': [1, 1], 'area_3': [0, 0], 'area_5': [1, 0]
    }  # fmt: skip
    assert scores(build(root, labels=dict(file=name, min_share=0.99))) == {'area_5': [1, 0]}
    assert {path.name: path.read_bytes() for path in root.glob('fields*')} == before


def test_polygons_of_a_label_raster_give_its_labels(root):
    mask = np.random.default_rng(0).choice([0, 1, 2], SIZE, p=[0.8, 0.15, 0.05]).astype(np.uint8)
    write_raster(root / 'landcover.tif', mask[None])
    found = [
        (shapely.geometry.shape(shape), int(value))
        for shape, value in rasterio.features.shapes(mask, transform=CORNER)
    ]
    shapes, values = zip(*found, strict=True)
    write_vector(root / 'fields.gpkg', shapes, label=values)
    codes = {0: 'Other', 1: 'Crop', 2: 'Grass'}
    series = dict(area=dict(rasters='series/*.tif', mask='landcover.tif'))
    expected = scores(build(root, series=series, codes=codes))
    assert len({tuple(labels) for labels in expected.values()}) > 1
    for share, same in ((0.01, True), (0.15, False)):
        labels = dict(file='fields.gpkg', codes=codes, min_share=share)
        assert (scores(build(root, labels=labels)) == expected) is same


def test_exactly_the_share_is_not_more(root):
    shapes = [square(0, 0, 4), square(40, 0, 4, 4.01)]
    write_vector(root / 'fields.gpkg', shapes, label=['Crop', 'Crop'])
    assert scores(build(root, labels=dict(file='fields.gpkg'))) == {'area_1': [1, 0]}


def test_small_polygons_add_up_but_what_overlaps_counts_once(root):
    shapes = [
        square(0, 0, 3, 4), square(10, 0, 3, 4),  # 0.75 % each
        square(40, 0, 3, 4), square(40.5, 0, 3, 4),  # 0.875 % together
        square(80, 0, 3, 4), square(90, 0, 3, 4),  # of two crops
        square(0, 40, 30), square(90, 50, 1, 2), square(0, 40, 30),
    ]  # fmt: skip
    labels = ['Crop'] * 5 + ['Grass', 'Grass', 'Crop', 'Grass']
    write_vector(root / 'fields.gpkg', shapes, label=labels)
    found = scores(build(root, labels=dict(file='fields.gpkg')))
    assert found == {'area_0': [1, 0], 'area_3': [0, 1]}


def test_geometries_of_all_kinds(root, messages):
    bow_tie = shapely.Polygon(
        [(WEST + 40, NORTH), (WEST + 60, NORTH - 20), (WEST + 60, NORTH), (WEST + 40, NORTH - 20)]
    )
    ring = square(80, 0, 40).difference(square(81, 1, 38))  # 9.75 % of window 2
    shapes = [
        shapely.MultiPolygon([square(1, 1, 3), square(1, 41, 30)]),  # 0.56 % of window 0
        bow_tie,  # half of 20 m x 20 m: 12.5 % of window 1
        ring,
        shapely.force_3d(square(42, 42, 20), 300),
        shapely.LineString([(WEST, NORTH), (WEST + 100, NORTH - 10)]),
        shapely.MultiPoint([(WEST + 100, NORTH - 60), (WEST + 5, NORTH - 5)]),
        shapely.Polygon(),
        None,
    ]
    write_vector(root / 'fields.gpkg', shapes, label=['Crop'] * 5 + ['Grass'] * 3)
    found = scores(build(root, labels=dict(file='fields.gpkg', min_share=0.09)))
    assert found == {
        'area_0': [0, 1], 'area_1': [1, 0], 'area_2': [1, 0],
        'area_3': [1, 0], 'area_4': [1, 0], 'area_5': [0, 1],
    }  # fmt: skip
    text = messages[0][1]
    assert '5 of 8 labels tell about 6 of 6 windows' in text
    assert 'labels outside the windows of the rasters, or without a geometry: 2\n' in text
    assert 'labels without a place (no point and no polygon): 1\n' in text
    assert 'invalid polygons, repaired: 1' in text
    assert len(build(root, labels=dict(file='fields.gpkg', min_share=0.1))) == 5  # not the ring


def test_a_polygon_that_touches_a_row_of_windows_along_a_line(root):
    # Two teeth reach into the lower row of windows; between them the border is the polygon's.
    teeth = shapely.union_all([square(0, 30, 120, 10), square(0, 40, 10), square(110, 40, 10)])
    write_vector(root / 'fields.gpkg', [teeth], label=['Crop'])
    assert list(scores(build(root, labels=dict(file='fields.gpkg')))) == [
        'area_0', 'area_1', 'area_2', 'area_3', 'area_5'
    ]  # fmt: skip


def test_lines_of_collections_are_no_labels_and_what_reaches_beyond_is_cut(root):
    # The windows and 1 % around them, which is read, begin 1.2 m west of the corner.
    comb = [square(-30, 10, 28.8, 20), square(-5, 10, 25, 4), square(-1.2, 26, 10, 4)]
    line = shapely.LineString([(WEST + 45, NORTH - 5), (WEST + 75, NORTH - 5)])
    point = shapely.Point(WEST + 5, NORTH - 45)
    collection = shapely.GeometryCollection([line, square(82, 2, 10), point])
    shapes = [shapely.union_all(comb), collection]
    write_vector(root / 'fields.gpkg', shapes, label=['Crop', 'Grass'])
    found = scores(build(root, labels=dict(file='fields.gpkg')))
    assert found == {'area_0': [1, 0], 'area_2': [0, 1], 'area_3': [0, 1]}


def test_a_polygon_around_the_world(root):
    world = shapely.box(-180, -90, 180, 90)
    write_vector(root / 'fields.geojson', [world], 'EPSG:4326', label=['Crop'])
    assert scores(build(root, labels=dict(file='fields.geojson'))) == {
        f'area_{window}': [1, 0] for window in range(6)
    }


@pytest.mark.parametrize('name', FORMATS)
def test_what_a_vector_file_holds(root, name):
    shapes = [square(0, 0, 10), square(20, 0, 10), square(9000, 0, 10)]
    write_vector(root / name, shapes, crop=[4, 4, 8], farm=['a', 'b', 'c'])
    labels, total = read_labels(LabelSettings(str(root / name), 'crop'))
    assert labels.crs.to_epsg() == 32633
    assert labels.geom_type.value_counts().to_dict() == {'Polygon': 3}
    assert labels['name'].value_counts().to_dict() == {'4': 2, '8': 1}
    assert total == 3


@pytest.mark.parametrize(('name', 'read'), [('a.gpkg', 1), ('bounds.parquet', 1), ('a.parquet', 2)])
def test_only_what_is_near_is_read(root, name, read):
    frame = geopandas.GeoDataFrame(
        dict(crop=[4, 8]), geometry=[square(0, 0, 10), square(9000, 0, 10)], crs='EPSG:32633'
    )
    if name == 'a.gpkg':
        frame.to_file(root / name)
    else:  # without bounds of the rows there is nothing to tell what is near
        frame.to_parquet(root / name, write_covering_bbox=name == 'bounds.parquet')
    settings = LabelSettings(str(root / name), 'crop')
    labels, total = read_labels(settings, lambda crs: square(-10, -10, 100).bounds)
    assert len(labels) == read
    assert total == 2


def test_a_vector_file_without_a_crs_is_named(root):
    write_vector(root / 'fields.parquet', [square(0, 0, 40)], None, label=['Crop'])
    with pytest.raises(ValueError, match=r'fields.parquet: has no .*CRS.*\.prj file.*labels.crs'):
        build(root, labels=dict(file='fields.parquet'))
    write_vector(root / 'fields.shp', [square(0, 0, 40)], label=['Crop'])
    (root / 'fields.prj').unlink()
    with pytest.raises(ValueError, match=r'fields.shp: has no .*CRS.*\.prj file.*labels.crs'):
        build(root, labels=dict(file='fields.shp'))
    for name in ('fields.shp', 'fields.parquet'):
        found = scores(build(root, labels=dict(file=name, crs='EPSG:32633')))
        assert found == {'area_0': [1, 0]}


@pytest.mark.parametrize('name', ['fields.gpkg', 'fields.parquet'])
def test_a_column_that_a_vector_file_lacks_is_named(root, name):
    write_vector(root / name, [square(0, 0, 40)], crop=['Crop'], year=[2017])
    message = rf"{name}: no column 'label'; it has \['crop', 'year'\]: set labels.column to one"
    with pytest.raises(ValueError, match=message):
        build(root, labels=dict(file=name))
    with pytest.raises(ValueError, match=r"no column 'date'.*set labels.date_column"):
        build(root, labels=dict(file=name, column='crop', date_column='date'))
    assert len(build(root, labels=dict(file=name, column='crop', date_column='year'))) == 1


def test_a_layer_must_be_named_where_there_are_several(root):
    for year, label in ((2016, 'Crop'), (2017, 'Grass')):
        frame = geopandas.GeoDataFrame(
            dict(label=[label]), geometry=[square(0, 0, 40)], crs='EPSG:32633'
        )
        frame.to_file(root / 'fields.gpkg', layer=f'y{year}')
    with pytest.raises(ValueError, match=r"layers .*\['y2016', 'y2017'\], labels.layer=None; set"):
        build(root, labels=dict(file='fields.gpkg'))
    with pytest.raises(ValueError, match=r"labels.layer='y2018'"):
        build(root, labels=dict(file='fields.gpkg', layer='y2018'))
    found = scores(build(root, labels=dict(file='fields.gpkg', layer='y2017')))
    assert found == {'area_0': [0, 1]}


def test_vector_files_that_are_missing_damaged_or_without_places_are_named(root):
    with pytest.raises(FileNotFoundError, match=r'gone.gpkg: no such file \(labels.file\)'):
        build(root, labels=dict(file='gone.gpkg'))
    for name in ('fields.gpkg', 'fields.parquet'):
        (root / name).write_text('no vector file')
        with pytest.raises(ValueError, match=rf'{name}: cannot be read as a vector file'):
            build(root, labels=dict(file=name))
    pyogrio.raw.write(
        root / 'table.gpkg', None, [np.array(['Crop'])], ['label'], geometry_type=None, crs=None
    )
    with pytest.raises(ValueError, match=r'table.gpkg: has no layer with geometries'):
        build(root, labels=dict(file='table.gpkg'))
    write_vector(root / 'fields.parquet', [square(0, 0, 40)], label=['Crop'])
    table = parquet.read_table(root / 'fields.parquet').replace_schema_metadata()
    parquet.write_table(table, root / 'table.parquet')
    with pytest.raises(ValueError, match=r'table.parquet: has no geometries; write it as GeoParq'):
        build(root, labels=dict(file='table.parquet'))


@pytest.mark.parametrize('name', ['fields.gpkg', 'fields.parquet'])
def test_a_polygon_outside_is_named_with_where_it_lies(root, name):
    write_vector(root / name, [square(9000, 0, 40)], label=['Crop'])
    message = rf'{name}: none .*: they span x 509000 to 509040, y 5099960 to 5100000; the rasters'
    with pytest.raises(ValueError, match=message):
        build(root, labels=dict(file=name))


@pytest.mark.parametrize('package', ['geopandas', 'pyarrow'])
def test_a_missing_package_is_named(root, package, monkeypatch):
    write_points(root, (5, 5, 'Crop'))
    for name in [name for name in sys.modules if name.startswith('mmexact.datasets.weak_labels')]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr('mmexact.datasets.weak_labels')
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{package} .*pip install 'mmexact\[vector\]'"):
        build(root, labels=UTM)
    assert len(build(root)) == 6


HCAT = {'33010101*': 'Crop', '3301010102': 'ignored', '33*': 'Other', '330*': 'Grass'}


@pytest.mark.parametrize('name', ['fields.parquet', 'fields.gpkg', 'fields.csv'])
@pytest.mark.parametrize('kind', [str, int])
def test_hierarchical_codes_stand_for_their_groups(root, name, kind):
    """The longest beginning counts, in a column of fiboa whose name has a colon."""
    codes = [3301010101, 3301010102, 3302000000, 3399000000, 4400000000]
    squares = [square(40 * (n % 3), 40 * (n // 3), 40) for n in range(5)]
    columns = {'crop:code': [kind(code) for code in codes], 'crop:name': list('abcde')}
    settings = dict(file=name, column='crop:code', codes=HCAT)
    if name.endswith('.csv'):
        rows = [(40 * (n % 3) + 20, 40 * (n // 3) + 20, code) for n, code in enumerate(codes)]
        write_points(root, *rows, header='x,y,crop:code')
        (root / 'points.csv').rename(root / name)
        settings = dict(UTM) | settings
    else:
        write_vector(root / name, squares, **columns)
    expected = {'area_0': [1, 0], 'area_2': [0, 1], 'area_3': [0, 0]}
    assert scores(build(root, labels=settings)) == expected


def test_names_and_dates_of_fiboa(root):
    columns = {'crop:name': ['Crop', 'Grass'], 'determination:date': ['2017-04-01', '2016-04-01']}
    write_vector(root / 'f.parquet', [square(0, 0, 40), square(40, 0, 40)], **columns)
    labels = dict(file='f.parquet', column='crop:name', date_column='determination:date')
    assert scores(build(root, labels=labels)) == {'area_0': [1, 0]}
