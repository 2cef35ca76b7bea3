"""When labels were seen, and from when to when they are valid.

The series runs from 1 March to 1 September 2017, 185 days.
"""

import numpy as np
import pyogrio
import pytest
import shapely

from tests.data import SIZE, write_raster
from tests.test_datasets.test_weak_labels.data import (
    NORTH,
    UTM,
    WEST,
    build,
    scores,
    write_points,
    write_vector,
)


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
    text = messages[0][1]
    assert '3 of 6 labels tell about 3 of 6 windows\n' in text
    assert 'labels without a date: 1\n' in text
    assert 'labels of another time than the series: 2' in text
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


@pytest.mark.parametrize(
    ('start', 'end', 'counts'),
    [
        ('2017-03-01', '2017-06-01', True),  # 93 days
        ('2017-03-01', '2017-05-31', False),  # 92 days
        ('2016-10-01', '2017-06-01', True),  # the days before the series do not count
        ('2017-06-01', '2017-09-01', True),  # 93 days
        ('2017-06-02', '2017-12-31', False),
        ('2017', '2017', True),
        ('2015', '2016', False),
        ('', '2017-06-01', True),  # no limit
        ('2017-06-01', '', True),
        ('2017-06-02', '', False),
        ('1900-01-01', '9999-12-31', True),
        ('2017-08-01', '2017-03-01', False),  # ends before it starts
    ],
)
def test_a_label_counts_where_it_is_valid_for_more_than_half_of_the_series(
    root, messages, start, end, counts
):
    rows = [(5, 5, 'Other', 2017, 2017), (45, 5, 'Crop', start, end), (85, 5, 'Crop', '', '')]
    write_points(root, *rows, header='x,y,label,from,to')
    found = scores(build(root, labels=dict(UTM, date_column=('from', 'to'))))
    assert found == ({'area_0': [0, 0], 'area_1': [1, 0]} if counts else {'area_0': [0, 0]})
    assert 'labels without a date: 1' in messages[0][1]
    assert ('labels of another time than the series: 1' in messages[0][1]) is not counts


@pytest.mark.parametrize('name', ['a.gpkg', 'a.geojson', 'a.shp', 'a.parquet'])
def test_columns_of_numbers_and_dates(root, name):
    places = [shapely.Point(WEST + 5 + 40 * column, NORTH - 5) for column in range(3)]
    columns = dict(
        code=np.array([4, 4, np.nan]),
        seen=np.array(['2017-05-01', '2016-05-01', '2017-08-31'], 'datetime64[D]'),
        until=np.array(['9999-12-31', '2016-12-31', 'NaT'], 'datetime64[D]'),
    )
    if name == 'a.parquet':
        days = {key: columns[key].astype(object) for key in ('seen', 'until')}
        write_vector(root / name, places, code=columns['code'], **days)
    else:  # geopandas writes times, which are no dates
        pyogrio.raw.write(
            root / name,
            shapely.to_wkb(places),
            list(columns.values()),
            list(columns),
            geometry_type='Point',
            crs='EPSG:32633',
        )
    labels = dict(file=name, column='code', codes={4: 'Crop'})
    assert list(scores(build(root, labels=labels))) == ['area_0', 'area_1']
    assert list(scores(build(root, labels=dict(labels, date_column='seen')))) == ['area_0']
    valid = dict(labels, date_column=('seen', 'until'))
    assert list(scores(build(root, labels=valid))) == ['area_0']


def test_a_wrong_date_in_a_vector_file_is_named(root):
    write_vector(root / 'a.gpkg', [shapely.Point(WEST, NORTH)], label=['Crop'], seen=['May'])
    with pytest.raises(ValueError, match=r"a.gpkg, column 'seen': date 'May'; expected YYYY-MM-DD"):
        build(root, labels=dict(file='a.gpkg', date_column='seen'))
