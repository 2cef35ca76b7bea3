"""What labels say about windows, and the account of those that say nothing."""

import logging

import numpy as np
import pytest
import rasterio
import shapely

from tests.data import SIZE, position_code, write_raster
from tests.test_datasets.test_weak_labels.data import (
    NAMES,
    NORTH,
    UTM,
    WEST,
    build,
    scores,
    square,
    write_points,
    write_vector,
)

ROWS = [
    (5, 5, 'Crop'),  # a class by its name
    (45, 5, 411),
    (85, 5, 'Wald'),  # ignored: no label
    (85, 5, 'Weinbau'),  # unknown
    (85, 5, 'Weinbau'),
    (85, 5, 'Hopfen'),
    (85, 5, ''),
    (5, 45, 'Other'),  # the background: a window without crops
]
CODED = dict(UTM, codes={411: 'Grass', 'Wald': 'ignored'})


def test_what_labels_mean(root, messages):
    write_points(root, *ROWS)
    assert scores(build(root, labels=CODED)) == {
        'area_0': [1, 0], 'area_1': [0, 1], 'area_3': [0, 0]
    }  # fmt: skip
    text = messages[0][1]
    assert ': 3 of 8 labels tell about 3 of 6 windows\n' in text
    assert 'labels without a class: 1\n' in text
    assert "labels of unknown classes: 3 ('Weinbau' 2, 'Hopfen' 1); add them" in text
    assert "labels.codes or to metainfo.classes, or set labels.other_codes='Other'\n" in text
    assert 'windows without a label, left out: 3' in text
    found = scores(build(root, labels=dict(CODED, other_codes='Other')))
    assert found == {'area_0': [1, 0], 'area_1': [0, 1], 'area_2': [0, 0], 'area_3': [0, 0]}
    assert 'unknown' not in messages[1][1]


def test_the_most_frequent_unknown_names_are_listed(root, messages):
    names = [name for number, name in enumerate('abcdefghijk') for _ in range(number + 1)]
    write_points(root, (5, 5, 'Crop'), *[(5, 5, name) for name in names])
    build(root, labels=UTM)
    assert "unknown classes: 66 ('k' 11, 'j' 10, 'i' 9" in messages[0][1]
    assert "'b' 2, ...); add" in messages[0][1]
    assert "'a' 1" not in messages[0][1]


def test_problems_can_be_errors(root, messages):
    write_points(root, *ROWS)
    with pytest.raises(ValueError, match=r'points.csv: labels without a class: 1; ') as refusal:
        build(root, labels=dict(CODED, problems='error'))
    assert '; windows without a label, left out: 3; correct' in str(refusal.value)
    assert "set labels.problems='report'" in str(refusal.value)
    write_points(root, *[(40 * column, 40 * row, 'Crop') for row in (0, 1) for column in (0, 1, 2)])
    assert len(build(root, labels=dict(UTM, problems='error'))) == 6
    assert messages[-1][0] == logging.INFO


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
    assert 'labels outside the windows of the rasters: 1\n' in messages[0][1]
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
    assert '4 of 4 labels tell about 1 of 1 windows' in messages.pop()[1]
    assert list(scores(build(root, labels=UTM, filter_cfg=dict(require_crop=True)))) == [
        'area_0', 'area_2'
    ]  # fmt: skip
    (root / 'train.txt').write_text('area_2\narea_3\narea_0\n')
    dataset = build(root, labels=UTM, ann_file='train.txt')
    assert list(scores(dataset)) == ['area_2', 'area_0']
    assert 'windows without a label, left out: 1' in messages[-1][1]


def test_a_label_raster_is_left_for_the_evaluation(root):
    write_raster(root / 'landcover.tif', np.full((1, *SIZE), 2, np.uint8))
    write_points(root, (5, 5, 'Crop'))
    series = dict(area=dict(rasters='series/*.tif', mask='landcover.tif'))
    dataset = build(root, series=series, labels=UTM)
    assert scores(dataset) == {'area_0': [1, 0]}
    info = dataset.get_data_info(0)
    assert (info['reader'].read_mask(info['window']) == 2).all()


def test_classes_without_a_background(root, messages):
    write_points(root, (5, 5, 'Wheat'), (45, 5, 'Maize'), (45, 5, 'Oat'))
    metainfo = dict(classes=('Wheat', 'Maize', 'Rape'), background=False)
    found = scores(build(root, labels=UTM, metainfo=metainfo))
    assert found == {'area_0': [1, 0, 0], 'area_1': [0, 1, 0]}
    assert "set labels.other_codes='ignored'" in messages[0][1]


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
        (dict(UTM, date_column=('a', 'b', 'c')), r"labels.date_column=\('a', .*or of two: \('val"),
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


def test_a_crs_that_does_not_go_together_with_that_of_the_rasters_is_named(root):
    write_points(root, (5, 5, 'Crop'))
    moon = dict(UTM, crs='IAU_2015:30100')
    message = r'area: the CRS of the rasters and that of the labels, Moon .*, do not go together'
    with pytest.raises(ValueError, match=message):
        build(root, labels=moon)
