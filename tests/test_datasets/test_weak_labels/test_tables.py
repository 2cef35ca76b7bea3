"""CSV files of points."""

import logging

import numpy as np
import pytest

from mmexact.datasets.weak_labels import LabelSettings, read_labels
from tests.test_datasets.test_weak_labels.data import UTM, build, scores, write_points


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
    places = [(-0.01, 5), (120.01, 5), (5, 80.01), (125, 95), (5, -0.01), (5000000, 5)]
    write_points(root, *[(*place, 'Crop') for place in places], (119.99, 79.99, 'Grass'))
    assert scores(build(root, labels=UTM)) == {'area_5': [0, 1]}
    ((level, text),) = messages
    assert level == logging.WARNING
    assert text.startswith(f'{root}/points.csv: 1 of 7 labels tell about 1 of 6 windows\n')
    assert 'windows by crop: Crop 0, Grass 1\n' in text
    assert 'labels outside the windows of the rasters: 6\n' in text
    assert text.endswith('windows without a label, left out: 5')


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
    assert 'in the CRS of the labels, WGS 84;' in str(e.value)
    assert 'labels.coordinates names x (longitude) before y (latitude)' in str(e.value)
    assert len(build(root, labels=dict(file='labels.csv'))) == 1


@pytest.mark.parametrize(
    'text',
    [
        '\ufefflabel;x;y;remark\r\nCrop ;500041,5;5099999,5;"a; b"\r\n;;;\r\n',
        'x\ty\tlabel\n500041.5\t5099999.5\tCrop\n\n500041.5\t5099999.5\n',
        'x, y, label\n 500041.5, 5.0999995e6, Crop, too many, cells\n',
    ],
    ids=['spreadsheet', 'tabs', 'spaces'],
)
def test_tables_as_they_are(root, text):
    (root / 'points.csv').write_text(text, encoding='utf-8', newline='')
    assert scores(build(root, labels=UTM)) == {'area_1': [1, 0]}


def test_what_a_table_holds(root):
    write_points(root, (5, 5, 'Crop', 1), (5, 5, 7, 2), (5, 5, 'Crop', 3), header='x,y,crop,id')
    path = str(root / 'points.csv')
    settings = LabelSettings(path, 'crop', coordinates=('x', 'y'), crs='EPSG:32633')
    labels, total = read_labels(settings)
    assert total == 3
    assert labels.crs.to_epsg() == 32633
    assert labels.geom_type.value_counts().to_dict() == {'Point': 3}
    assert labels['name'].value_counts().to_dict() == {'Crop': 2, '7': 1}


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
        ('x,y,label', '"5\n",5,Crop\n\ninf,5,Crop', {}, r"line 5: x='inf'; expected a number"),
        ('x,y,label', 'nan,5,Crop', {}, r"line 2: x='nan'; expected a number"),
        (
            'x,y,label,seen', '5,5,Crop,2017\n5,5,Crop,June 2017', dict(date_column='seen'),
            "points.csv, line 3: date 'June 2017'; expected YYYY-MM-DD or a year",
        ),
        ('x,y,label', ',,Crop', {}, r'points.csv: has no label with a place'),
        ('x,y,label', '500005,5099995,Crops', {},
         r"no window has a label; labels of unknown classes: 1 \('Crops' 1\).*codes.*'Crop'"),
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
