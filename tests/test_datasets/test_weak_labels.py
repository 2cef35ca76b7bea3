"""Image-level labels from points and polygons, on a grid of 2 x 3 windows of 4 x 4 pixels of 10 m.

Window n has its upper left corner at column 4 * (n % 3), row 4 * (n // 3) of :data:`CORNER`.
"""

import logging
import sys

import numpy as np
import pyogrio
import pytest
import rasterio.features
import shapely
from rasterio.warp import transform

from mmexact.datasets import RasterSeriesDataset
from tests.data import CORNER, SIZE, position_code, write_raster

CLASSES = ('Other', 'Crop', 'Grass')
NAMES = ('S2_20170301.tif', 'S2_20170601.tif', 'S2_20170901.tif')
WEST, NORTH = 500000, 5100000


@pytest.fixture
def root(tmp_path):
    for name, values in zip(NAMES, position_code(3, 2, *SIZE), strict=True):
        write_raster(tmp_path / 'series' / name, values)
    return tmp_path


@pytest.fixture
def messages(monkeypatch):
    """What the datasets log, with its level."""
    logged = []
    monkeypatch.setattr(
        'mmexact.datasets.weak_labels.windows.print_log',
        lambda text, _, level: logged.append((level, text)),
    )
    return logged


def build(root, **kwargs):
    settings = dict(
        data_root=str(root),
        series=dict(area=dict(rasters='series/*.tif')),
        window_size=4,
        metainfo=dict(classes=CLASSES),
        serialize_data=False,
    )
    return RasterSeriesDataset(**settings | kwargs)


def scores(dataset):
    """Image-level labels by sample id."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return {info['sample_id']: info['gt_score'].tolist() for info in infos}


UTM = dict(file='points.csv', coordinates=('x', 'y'), crs='EPSG:32633')


def write_points(root, *rows, header='x,y,label'):
    """Write points.csv in UTM; rows are (metres east, metres south of the corner, label, ...)."""
    lines = [','.join(map(str, (WEST + east, NORTH - south, *rest))) for east, south, *rest in rows]
    (root / 'points.csv').write_text('\n'.join([header, *lines, '']))


def square(east, south, width, height=None):
    """A rectangle in UTM, by metres from the corner of the rasters."""
    return shapely.box(
        WEST + east, NORTH - south - (height or width), WEST + east + width, NORTH - south
    )


def write_vector(path, geometries, crs='EPSG:32633', layer=None, append=False, **columns):
    """Write a vector file, a label column and others beside it, with pyogrio."""
    kinds = {shape.geom_type for shape in geometries if shape is not None}
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(geometries, object)),
        [np.asarray(values) for values in columns.values()],
        list(columns),
        geometry_type=kinds.pop() if len(kinds) == 1 else 'Unknown',
        crs=crs,
        layer=layer,
        append=append,
    )
    return path


def test_a_point_on_a_border_lies_in_the_window_right_of_it_or_below(root):
    write_points(
        root,
        (0, 0, 'Crop'),  # the corner of all
        (40, 10, 'Crop'),  # between windows 0 and 1
        (90, 40, 'Grass'),  # between 2 and 5
        (40, 40, 'Grass'),  # the corner of 0, 1, 3 and 4
    )
    dataset = build(root, labels=UTM)
    assert scores(dataset) == {
        'area_0': [1, 0], 'area_1': [1, 0], 'area_4': [0, 1], 'area_5': [0, 1]
    }  # fmt: skip
    info = dataset.get_data_info(0)
    assert info['gt_score'].dtype == np.float32
    assert info['seg_map_path'] is None


def test_points_beyond_the_windows_are_counted(root, messages):
    # The grid of windows ends at 120 m and 80 m, the rasters at 130 m and 100 m.
    places = [(-0.001, 5), (120, 5), (5, 80), (125, 95), (5, -0.001), (5000000, 5)]
    write_points(root, *[(*place, 'Crop') for place in places], (119.999, 79.999, 'Grass'))
    assert scores(build(root, labels=UTM)) == {'area_5': [0, 1]}
    ((level, text),) = messages
    assert level == logging.WARNING
    assert text.splitlines() == [
        f'{root}/points.csv: 1 of 7 labels tell about 1 of 6 windows',
        '  windows by crop: Crop 0, Grass 1',
        '  6 labels outside the windows of the rasters',
        '  5 windows without a label, which are left out',
    ]


def test_longitude_and_latitude(root):
    # The central meridian of the zone is 500 km; Krueger's series gives 46.05357437 for 5,100 km
    # north. A degree is 111.16 km from south to north here, and 77.36 km from west to east.
    (root / 'labels.csv').write_text(
        'longitude,latitude,label\n'
        f'{15 + 41 / 77360:.9f},{46.05357437 - 39 / 111160:.9f},Crop\n'
        f'{15 + 39 / 77360:.9f},{46.05357437 - 41 / 111160:.9f},Grass\n'
    )
    assert scores(build(root, labels=dict(file='labels.csv'))) == {
        'area_1': [1, 0], 'area_3': [0, 1]
    }  # fmt: skip


def test_longitude_and_latitude_the_wrong_way_round_are_seen(root):
    (root / 'labels.csv').write_text('latitude,longitude,label\n46.0535,15.0001,Crop\n')
    swapped = dict(file='labels.csv', coordinates=('latitude', 'longitude'))
    with pytest.raises(
        ValueError, match=r'none .* lies in the rasters: .* x 46.0535 .*y 15.0001'
    ) as e:
        build(root, labels=swapped)
    assert 'area x 14.999' in str(e.value)
    assert 'labels.coordinates names x (longitude) before y (latitude)' in str(e.value)
    assert len(build(root, labels=dict(file='labels.csv'))) == 1


def test_a_table_as_a_spreadsheet_writes_it(root):
    text = '\ufefflabel;x;y;remark\r\nCrop ;500041,5;5099999,5;"a; b"\r\n;;;\r\n'
    (root / 'points.csv').write_text(text, encoding='utf-8', newline='')
    assert scores(build(root, labels=UTM)) == {'area_1': [1, 0]}


def test_what_labels_mean(root, messages):
    rows = [
        (5, 5, 'Crop'),  # a class by its name
        (45, 5, 411),
        (85, 5, 'Wald'),  # ignored: no label
        (85, 5, 'Weinbau'),  # unknown
        (85, 5, 'Weinbau'),
        (85, 5, 'Hopfen'),
        (85, 5, ''),
        (5, 45, 'Other'),  # the background: a window without crops
    ]
    write_points(root, *rows)
    labels = dict(UTM, codes={411: 'Grass', 'Wald': 'ignored'})
    found = scores(build(root, labels=labels))
    assert found == {'area_0': [1, 0], 'area_1': [0, 1], 'area_3': [0, 0]}
    assert messages.pop()[1].splitlines()[2:] == [
        '  1 label without a class',
        "  3 labels of unknown classes ('Weinbau' 2, 'Hopfen' 1)",
        '  3 windows without a label, which are left out',
    ]
    found = scores(build(root, labels=dict(labels, other_codes='Other')))
    assert found == {'area_0': [1, 0], 'area_1': [0, 1], 'area_2': [0, 0], 'area_3': [0, 0]}
    with pytest.raises(ValueError, match=r'points.csv: 1 label without') as refusal:
        build(root, labels=dict(labels, problems='error'))
    assert str(refusal.value) == (
        f"{root}/points.csv: 1 label without a class; 3 labels of unknown classes ('Weinbau' 2, "
        f"'Hopfen' 1); 3 windows without a label, which are left out; correct the file, add names "
        f"to labels.codes, or set labels.problems='report' to go on with the rest"
    )


def test_labels_without_a_problem_pass_as_errors_too(root, messages):
    write_points(root, *[(40 * column, 40 * row, 'Crop') for row in (0, 1) for column in (0, 1, 2)])
    assert len(build(root, labels=dict(UTM, problems='error'))) == 6
    assert messages[0][0] == logging.INFO


def test_only_labels_at_the_time_of_the_series_count(root, messages):
    write_points(
        root,
        (5, 5, 'Crop', '2017-03-01'),  # the first day of the series
        (5, 45, 'Crop', '2017/09/01 23:50:00'),  # the last one
        (45, 5, 'Grass', '2017'),
        (45, 45, 'Grass', '2017-09-02'),
        (85, 5, 'Grass', '2016'),
        (85, 45, 'Grass', ''),
        header='x,y,label,seen',
    )
    found = scores(build(root, labels=dict(UTM, date_column='seen')))
    assert found == {'area_0': [1, 0], 'area_1': [0, 1], 'area_3': [1, 0]}
    assert messages[0][1].splitlines()[2:] == [
        '  1 label without a date',
        '  3 windows without a label, which are left out',
        '  2 labels of another time than the series',
    ]
    assert len(build(root, labels=UTM)) == 6
    early = dict(date_range=('2017-03-01', '2017-06-30'))
    assert list(scores(build(root, labels=dict(UTM, date_column='seen'), search=early))) == [
        'area_0', 'area_1'
    ]  # fmt: skip


def test_a_year_is_that_of_the_harvest(root):
    write_raster(root / 'series' / 'S2_20161015.tif', np.zeros((2, *SIZE), np.int16))
    write_points(root, (5, 5, 'Crop', 2016), (45, 5, 'Grass', 2017), header='x,y,label,year')
    found = scores(build(root, labels=dict(UTM, date_column='year')))
    assert found == {'area_1': [0, 1]}


FORMATS = ('fields.gpkg', 'fields.geojson', 'fields.shp')


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
    shapes = [shape for shape, _ in fields]
    if crs == 'EPSG:4326':
        shapes = shapely.transform(
            np.array(shapes),
            lambda xy: np.column_stack(transform('EPSG:32633', crs, *xy.T)),
        )
    write_vector(root / name, shapes, crs, label=[label for _, label in fields])
    before = {path.name: path.read_bytes() for path in root.glob('fields*')}
    dataset = build(root, labels=dict(file=name))
    assert scores(dataset) == {'area_0': [0, 1], 'area_3': [0, 0], 'area_5': [1, 0]}
    assert messages[0][1].splitlines() == [
        f'{root}/{name}: 5 of 6 labels tell about 3 of 6 windows',
        '  windows by crop: Crop 1, Grass 1',
        '  1 label outside the windows of the rasters, or without a geometry',
        '  3 windows without a label, which are left out',
    ]
    dataset = build(root, labels=dict(file=name, min_share=0.004))
    assert scores(dataset) == {
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
    assert '2 labels outside the windows of the rasters, or without a geometry' in text
    assert '1 label without a place (no point and no polygon)' in text
    assert '1 invalid polygon repaired' in text
    assert len(build(root, labels=dict(file='fields.gpkg', min_share=0.1))) == 5  # not the ring


def test_a_polygon_around_the_world(root):
    world = shapely.box(-180, -90, 180, 90)
    write_vector(root / 'fields.geojson', [world], 'EPSG:4326', label=['Crop'])
    assert scores(build(root, labels=dict(file='fields.geojson'))) == {
        f'area_{window}': [1, 0] for window in range(6)
    }


@pytest.mark.parametrize('name', FORMATS)
def test_columns_of_numbers_and_dates(root, name):
    shapes = [shapely.Point(WEST + 5 + 40 * column, NORTH - 5) for column in range(3)]
    dates = np.array(['2017-05-01', '2016-05-01', '2017-08-31'], 'datetime64[D]')
    columns = dict(code=np.array([4, 4, np.nan]), seen=dates)
    write_vector(root / name, shapes, **columns)
    labels = dict(file=name, column='code', codes={4: 'Crop'})
    assert list(scores(build(root, labels=labels))) == ['area_0', 'area_1']
    found = scores(build(root, labels=dict(labels, date_column='seen')))
    assert found == {'area_0': [1, 0]}


def test_areas_of_different_size_and_crs(root, messages):
    # In zone 32, 6 degrees further west: 500 km is 9 degrees east.
    for name, values in zip(NAMES, position_code(3, 2, 4, 8), strict=True):
        write_raster(root / 'north' / name, values, crs='EPSG:32632')
    (root / 'labels.csv').write_text(
        'longitude,latitude,label\n15.00001,46.0535,Crop\n9.00052,46.0535,Grass\n12,46,Crop\n'
    )
    series = dict(area=dict(rasters='series/*.tif'), north=dict(rasters='north/*.tif'))
    found = scores(build(root, series=series, labels=dict(file='labels.csv')))
    assert found == {'area_0': [1, 0], 'north_1': [0, 1]}
    assert '  1 label outside the windows' in messages[0][1]
    # A label counts wherever it lies.
    series['again'] = dict(rasters='series/*.tif')
    found = scores(build(root, series=series, labels=dict(file='labels.csv')))
    assert found == {'area_0': [1, 0], 'north_1': [0, 1], 'again_0': [1, 0]}
    # A point at 12 degrees is too far for either zone's windows, but polygons are cut first.
    shape = shapely.box(8.9, 46, 15.1, 46.1)
    write_vector(root / 'fields.gpkg', [shape], 'EPSG:4326', label=['Grass'])
    assert len(build(root, series=series, labels=dict(file='fields.gpkg'))) == 14


def test_whole_areas_lists_and_filters(root, messages):
    write_points(root, (5, 5, 'Crop'), (45, 5, 'Other'), (85, 5, 'Grass'), (125, 5, 'Grass'))
    assert scores(build(root, labels=UTM, window_size=None)) == {'area': [1, 1]}
    assert '4 of 4 labels tell about 1 of 1 window' in messages.pop()[1]
    assert list(scores(build(root, labels=UTM, filter_cfg=dict(require_crop=True)))) == [
        'area_0', 'area_2'
    ]  # fmt: skip
    (root / 'train.txt').write_text('area_2\narea_3\narea_0\n')
    dataset = build(root, labels=UTM, ann_file='train.txt')
    assert list(scores(dataset)) == ['area_2', 'area_0']
    assert '1 window without a label, which is left out' in messages[-1][1]


def test_a_label_raster_is_left_for_the_evaluation(root):
    write_raster(root / 'landcover.tif', np.full((1, *SIZE), 2, np.uint8))
    write_points(root, (5, 5, 'Crop'))
    series = dict(area=dict(rasters='series/*.tif', mask='landcover.tif'))
    dataset = build(root, series=series, labels=UTM)
    assert scores(dataset) == {'area_0': [1, 0]}
    info = dataset.get_data_info(0)
    assert (info['reader'].read_mask(info['window']) == 2).all()


def test_classes_without_a_background(root):
    write_points(root, (5, 5, 'Wheat'), (45, 5, 'Maize'))
    metainfo = dict(classes=('Wheat', 'Maize', 'Rape'), background=False)
    found = scores(build(root, labels=UTM, metainfo=metainfo))
    assert found == {'area_0': [1, 0, 0], 'area_1': [0, 1, 0]}


def test_rotated_rasters(tmp_path):
    # A quarter turn: columns run south, rows run east.
    turned = rasterio.Affine(0, 10, WEST, -10, 0, NORTH)
    for name, values in zip(NAMES, position_code(3, 2, *SIZE), strict=True):
        write_raster(tmp_path / 'series' / name, values, turned)
    write_points(tmp_path, (5, 41, 'Crop'), (41, 5, 'Grass'))
    assert scores(build(tmp_path, labels=UTM)) == {'area_1': [1, 0], 'area_3': [0, 1]}
    write_vector(tmp_path / 'fields.gpkg', [square(1, 81, 38)], label=['Crop'])
    assert scores(build(tmp_path, labels=dict(file='fields.gpkg'))) == {'area_2': [1, 0]}


@pytest.mark.parametrize(
    ('header', 'row', 'labels', 'message'),
    [
        (
            'lon,lat,label', '5,5,Crop', {},
            r"points.csv: no column 'x' among \['lon', 'lat', 'label'\]; expected x "
            r'\(labels.coordinates, x\), y \(labels.coordinates, y\), label \(labels.column',
        ),
        ('x,y,crop', '5,5,Crop', {}, r"no column 'label' among .*'crop'"),
        ('x,y,label', '5,5,Crop', dict(date_column='seen'), "no column 'seen'.*labels.date_column"),
        ('x,y,label', '5,5,Crop\n5,north,Crop', {}, r"line 3: y='north'; expected a number"),
        ('x,y,label', 'nan,5,Crop', {}, r"line 2: x='nan'; expected a number"),
        (
            'x,y,label,seen', '5,5,Crop,June 2017', dict(date_column='seen'),
            "points.csv, line 2: date 'June 2017'; expected YYYY-MM-DD or a year",
        ),
        ('x,y,label', ',,Crop', {}, r'points.csv: has no label with a place'),
        ('x,y,label', '500005,5099995,Crops', {},
         r"no window has a label; 1 label of unknown classes \('Crops' 1\).*'Crop'.*labels.codes"),
        ('x,y,label', '5,5,Crop', dict(crs='EPSG:0'), r"labels.crs='EPSG:0': .*EPSG:32633"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_named(root, header, row, labels, message):
    (root / 'points.csv').write_text(f'{header}\n{row}\n')
    with pytest.raises(ValueError, match=message):
        build(root, labels=UTM | labels)


def test_a_table_in_another_encoding_is_named(root):
    (root / 'points.csv').write_bytes('x,y,label\n5,5,Rübe\n'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'points.csv: cannot be read as a table: .*in UTF-8'):
        build(root, labels=UTM)


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (
            dict(UTM, colum='crop'),
            r"labels=.*'colum'.*expected dict\(file='...'\) and any of \['col",
        ),
        (dict(column='crop'), r'labels=.*expected dict\(file='),
        (dict(UTM, problems='ignore'), "labels.problems='ignore'; expected 'error' or 'report'"),
        (dict(UTM, min_share=1), 'labels.min_share=1; expected a share'),
        (dict(UTM, coordinates='xy'), "labels.coordinates='xy'; expected the names of two columns"),
        (
            dict(UTM, codes={1: 'Maize'}),
            "labels.codes: no such class 'Maize'; expected .*'ignored'",
        ),
        (dict(UTM, other_codes='Rest'), "labels.*no such class 'Rest'"),
    ],
)
def test_wrong_settings_are_named(root, labels, message):
    write_points(root, (5, 5, 'Crop'))
    with pytest.raises(ValueError, match=message):
        build(root, labels=labels)


def test_two_sources_of_labels_are_refused(root):
    with pytest.raises(ValueError, match='labels and image_labels_file are both set'):
        build(root, labels=UTM, image_labels_file='labels.csv')


def test_rasters_without_a_crs_are_named(root):
    for name in NAMES:
        write_raster(root / 'bare' / name, np.zeros((2, *SIZE), np.int16), crs=None)
    write_points(root, (5, 5, 'Crop'))
    settings = dict(series=dict(bare=dict(rasters='bare/*.tif')), labels=UTM)
    with pytest.raises(ValueError, match=r"bare: the rasters declare no .*CRS.*search=dict\(crs='"):
        build(root, **settings)
    assert len(build(root, **settings, search=dict(crs='EPSG:32633'))) == 1


def test_a_vector_file_without_a_crs_is_named(root):
    write_vector(root / 'fields.shp', [square(0, 0, 40)], None, label=['Crop'])
    with pytest.raises(ValueError, match=r'fields.shp: has no .*CRS.*\.prj file.*labels.crs'):
        build(root, labels=dict(file='fields.shp'))
    found = scores(build(root, labels=dict(file='fields.shp', crs='EPSG:32633')))
    assert found == {'area_0': [1, 0]}


def test_a_column_that_a_vector_file_lacks_is_named(root):
    write_vector(root / 'fields.gpkg', [square(0, 0, 40)], crop=['Crop'], year=[2017])
    message = (
        r"fields.gpkg, layer fields: no column 'label'; it has \['crop', 'year'\]: set labels.col"
    )
    with pytest.raises(ValueError, match=message):
        build(root, labels=dict(file='fields.gpkg'))
    with pytest.raises(ValueError, match=r"no column 'date'.*set labels.date_column"):
        build(root, labels=dict(file='fields.gpkg', column='crop', date_column='date'))
    labels = dict(file='fields.gpkg', column='crop', date_column='year')
    assert len(build(root, labels=labels)) == 1


def test_a_layer_must_be_named_where_there_are_several(root):
    path = root / 'fields.gpkg'
    write_vector(path, [square(0, 0, 40)], layer='y2016', label=['Crop'])
    write_vector(path, [square(0, 0, 40)], layer='y2017', append=True, label=['Grass'])
    with pytest.raises(ValueError, match=r"layers .*\['y2016', 'y2017'\], labels.layer=None; set"):
        build(root, labels=dict(file='fields.gpkg'))
    with pytest.raises(ValueError, match=r"labels.layer='y2018'"):
        build(root, labels=dict(file='fields.gpkg', layer='y2018'))
    found = scores(build(root, labels=dict(file='fields.gpkg', layer='y2017')))
    assert found == {'area_0': [0, 1]}


def test_vector_files_that_are_missing_damaged_or_without_places_are_named(root):
    with pytest.raises(FileNotFoundError, match=r'gone.gpkg: no such file \(labels.file\)'):
        build(root, labels=dict(file='gone.gpkg'))
    (root / 'fields.gpkg').write_text('no vector file')
    with pytest.raises(ValueError, match=r'fields.gpkg: cannot be opened as a vector file'):
        build(root, labels=dict(file='fields.gpkg'))
    pyogrio.raw.write(
        root / 'table.gpkg', None, [np.array(['Crop'])], ['label'], geometry_type=None, crs=None
    )
    with pytest.raises(ValueError, match=r'table.gpkg: has no layer with geometries'):
        build(root, labels=dict(file='table.gpkg'))


def test_a_polygon_outside_is_named_with_where_it_lies(root):
    write_vector(root / 'fields.gpkg', [square(9000, 0, 40)], label=['Crop'])
    message = (
        r'fields.gpkg: none .*: they span x 509000 to 509040, y 5099960 to 5100000; the rasters'
    )
    with pytest.raises(ValueError, match=message):
        build(root, labels=dict(file='fields.gpkg'))


@pytest.mark.parametrize('package', ['pyogrio', 'shapely'])
def test_points_in_a_table_need_no_package_and_vector_files_name_theirs(root, package, monkeypatch):
    write_vector(root / 'fields.gpkg', [square(0, 0, 40)], label=['Crop'])
    write_points(root, (5, 5, 'Crop'))
    monkeypatch.delitem(sys.modules, 'mmexact.datasets.vector_labels', raising=False)
    monkeypatch.delattr('mmexact.datasets.vector_labels', raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert len(build(root, labels=UTM)) == 1
    message = rf"fields.gpkg \(labels.file\) .* package {package} .*pip install 'mmexact\[vector\]'"
    with pytest.raises(ImportError, match=message):
        build(root, labels=dict(file='fields.gpkg'))
