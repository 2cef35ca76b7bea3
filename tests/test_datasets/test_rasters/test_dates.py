"""When rasters were taken: names, tags, tables, and the choice of a season."""

from datetime import datetime

import numpy as np
import pytest

from mmexact.datasets.rasters.dates import parse_date, read_date_range
from mmexact.datasets.rasters.settings import DATE_PATTERN
from tests.data import SIZE, position_code, write_raster
from tests.test_datasets.test_rasters.areas import build, read


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('S2_20170305.tif', datetime(2017, 3, 5)),
        ('ndvi-2017-03-05.tif', datetime(2017, 3, 5)),
        ('S2A_MSIL2A_20170305T100026_N0205_R122_T33TWM_20170305T145403.jp2', (10, 0, 26)),
        ('20170305_100026_1_0e20_SR.tif', (10, 0, 26)),
        ('LC08_L2SP_190028_20170305_20200905_02_T1.tif', datetime(2017, 3, 5)),
        ('2017/03/05/B02.tif', datetime(2017, 3, 5)),
        ('2017:03:05 10:00:26', (10, 0, 26)),
        ('scene_120170305.tif', None),
        ('B02.tif', None),
    ],
)
def test_dates_are_found_in_names(text, expected):
    if isinstance(expected, tuple):
        expected = datetime(2017, 3, 5, *expected)
    assert parse_date(text, DATE_PATTERN) == expected


def test_dates_as_days_of_year():
    pattern = r'\.(?P<year>\d{4})(?P<day_of_year>\d{3})T(?P<hour>\d\d)'
    name = 'HLS.S30.T33TWM.2020366T155956.v2.0.B02.tif'
    assert parse_date(name, pattern) == datetime(2020, 12, 31, 15)
    with pytest.raises(ValueError, match='unconverted data remains: 7'):
        parse_date(name.replace('366', '367'), pattern)


def test_dates_from_a_tag(tmp_path):
    tags = ('2018:02:01 10:00:00', '2017-12-31', '2018:02:01 09:00:00')
    for number, (tag, values) in enumerate(zip(tags, position_code(3, 2, 4, 4), strict=True)):
        path = tmp_path / 'series' / f'{number}.tif'
        write_raster(path, values, tags={'ACQUIRED': tag})
    dataset = build(tmp_path, search=dict(date_tag='ACQUIRED'))
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [365, 32, 32]
    np.testing.assert_array_equal(read(dataset), position_code(3, 2, 4, 4)[[1, 2, 0]])
    with pytest.raises(ValueError, match=r"0.tif: no date in its tag WHEN='' .*'ACQUIRED'"):
        build(tmp_path, search=dict(date_tag='WHEN'))
    with pytest.raises(ValueError, match=r"0.tif: no date in its name 'series/0.tif'.*date_tag"):
        build(tmp_path)


def test_a_date_that_no_calendar_has_is_named(tmp_path):
    write_raster(tmp_path / 'S2_20170231.tif', np.zeros((2, *SIZE), np.int16))
    with pytest.raises(ValueError, match=r'S2_20170231.tif: the date in its name.*day'):
        build(tmp_path)


def write_dates(root, *lines):
    (root / 'dates.csv').write_text('\n'.join(('file,date', *lines)) + '\n')


def test_dates_from_a_table(tmp_path):
    for name, values in zip('abc', position_code(3, 2, *SIZE), strict=True):
        write_raster(tmp_path / 'series' / f'{name}.tif', values)
    write_dates(tmp_path, 'a.tif,2017-03-01', 'series/b.tif,20170105T100000', 'c.tif,2017-01-05')
    dataset = build(tmp_path, 'series/*.tif', dict(dates_file='dates.csv'))
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [5, 5, 60]
    np.testing.assert_array_equal(read(dataset), position_code(3, 2, *SIZE)[[2, 1, 0], :, :4, :4])


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        (['a.tif,2017-03-01'], r"b.tif: dates_file does not list 'b.tif'; it lists e.g. 'a.tif'"),
        (['a.tif,soon'], r"dates.csv, line 2: no date in 'soon' by date_pattern="),
        (['a.tif,2017-02-30'], r"dates.csv, line 2: the date in '2017-02-30': day"),
        (['a.tif,2017-03-01', 'a.tif,2017-03-02'], r'line 3: another date for a.tif'),
    ],
)
def test_what_is_wrong_with_a_table_of_dates_is_named(tmp_path, lines, message):
    for name in 'ab':
        write_raster(tmp_path / f'{name}.tif', position_code(1, 2, *SIZE)[0])
    write_dates(tmp_path, *lines)
    with pytest.raises(ValueError, match=message):
        build(tmp_path, '*.tif', dict(dates_file='dates.csv'))
    (tmp_path / 'dates.csv').write_text('name;when\n')
    with pytest.raises(ValueError, match=r"no column 'file' among \['name', 'when'\]"):
        build(tmp_path, '*.tif', dict(dates_file='dates.csv'))
    with pytest.raises(FileNotFoundError, match=r'none.csv: no such dates_file'):
        build(tmp_path, '*.tif', dict(dates_file='none.csv'))


def test_the_pattern_that_finds_no_date_is_named(tmp_path):
    write_raster(tmp_path / 'spring.tif', position_code(1, 2, *SIZE)[0])
    with pytest.raises(
        ValueError, match=r"spring.tif: no date in its name .* date_pattern='\(\?<!"
    ):
        build(tmp_path, '*.tif')


def test_seasons_by_month_may_cross_the_new_year():
    first, last = read_date_range(('2019-10', '2020-02'))
    assert (str(first), str(last)) == ('2019-10-01', '2020-02-29')
    with pytest.raises(ValueError, match='the last day comes before the first'):
        read_date_range(('2020-03', '2020-02'))
    with pytest.raises(ValueError, match=r"expected \('YYYY-MM-DD'"):
        read_date_range(('2020-03',))


def test_a_season_can_be_chosen(tmp_path):
    names = ('20161230', '20170101', '20170301T090000', '20170301T101500', '20171231')
    for name, values in zip(names, position_code(5, 2, *SIZE), strict=True):
        write_raster(tmp_path / f'{name}.tif', values)
    dataset = build(tmp_path, search=dict(date_range=('2017-01-01', '2017-03-01')))
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [1, 60, 60]
    np.testing.assert_array_equal(read(dataset), position_code(5, 2, *SIZE)[1:4, :, :4, :4])
    with pytest.raises(ValueError, match=r'no raster; .* from 2016-12-30 to 2017-12-31'):
        build(tmp_path, search=dict(date_range=('2018-01-01', '2018-12-31')))
    with pytest.raises(ValueError, match=r'date_range=.*Spring.*YYYY-MM-DD'):
        build(tmp_path, search=dict(date_range=('Spring', '2018-12-31')))


def test_a_season_for_each_area(tmp_path):
    names = ('20161103', '20170401', '20171103', '20180401')
    for name, values in zip(names, position_code(4, 2, *SIZE), strict=True):
        write_raster(tmp_path / f'{name}.tif', values)
    series = {
        str(year): dict(rasters='*.tif', search=dict(date_range=(f'{year - 1}-10', f'{year}-09')))
        for year in (2017, 2018)
    }
    dataset = build(tmp_path, series=series, window_size=None, search=dict(bands=[2]))
    # Calendar days, in chronological order: a season may start with the last ones.
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [308, 91]
    np.testing.assert_array_equal(read(dataset, 1), position_code(4, 2, *SIZE)[2:, 1:])
