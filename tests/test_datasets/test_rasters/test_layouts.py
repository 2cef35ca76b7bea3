"""Files as people have them: formats, stacks, resolutions, and where dates come from."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.shutil import copy as copy_raster

from mmexact.datasets import RasterSeriesDataset
from mmexact.datasets.rasters.dates import read_date_range
from mmexact.datasets.rasters.files import open_raster
from mmexact.datasets.rasters.grid import Axis, Grid, place
from tests.data import CORNER, SIZE, position_code, write_raster

COARSE = Affine(20, 0, 500000, 0, -20, 5100000)


def build(root, rasters='**/*.tif', search=None, **kwargs):
    settings = dict(
        data_root=str(root),
        series=dict(area=dict(rasters=rasters)),
        search=search,
        window_size=4,
        metainfo=dict(classes=('Other', 'Crop')),
        serialize_data=False,
    )
    return RasterSeriesDataset(**settings | kwargs)


def read(dataset, index=0):
    info = dataset.get_data_info(index)
    return info['reader'].read(np.arange(len(info['day_of_year'])), info['window'])


@pytest.mark.parametrize(
    ('driver', 'options'),
    [
        ('GTiff', {}),
        ('COG', {}),
        ('JP2OpenJPEG', dict(QUALITY='100', REVERSIBLE='YES', BLOCKXSIZE='64', BLOCKYSIZE='64')),
        ('VRT', {}),
    ],
)
def test_formats_of_gdal(tmp_path, driver, options):
    values = np.random.default_rng(0).integers(1, 9000, (2, 3, 70, 80)).astype(np.uint16)
    values[1, :, 5, 9] = 0
    (tmp_path / 'series').mkdir()
    for month, bands in enumerate(values, 1):
        source = write_raster(tmp_path / 'plain' / f'2018{month:02}15.tif', bands, nodata=0)
        copy_raster(source, tmp_path / 'series' / f'2018{month:02}15.x', driver=driver, **options)
    dataset = build(tmp_path, 'series/*.x', dict(bands=[3, 1]), gaps='pad', window_size=10)
    info = dataset.get_data_info(0)
    assert info['georeference'].transform == CORNER[:6]
    assert rasterio.crs.CRS.from_wkt(info['georeference'].crs).to_epsg() == 32633
    window = read(dataset)
    assert window.dtype == np.uint16
    np.testing.assert_array_equal(window.data, values[:, [2, 0], :10, :10])
    # Also where the nodata value stands in a side-car file, as for JPEG 2000.
    assert np.argwhere(window.mask[:, 0]).tolist() == [[1, 5, 9]]
    np.testing.assert_array_equal(read(dataset, 55), values[:, [2, 0], 60:70, 70:80])


def test_a_mask_file_beside_the_raster_is_seen(tmp_path):
    path = write_raster(tmp_path / '20180115.tif', position_code(1, 2, *SIZE)[0] + np.int16(7))
    observed = np.full(SIZE, 255, np.uint8)
    observed[1, 2] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, 'r+') as raster:
        raster.write_mask(observed)
    assert (tmp_path / '20180115.tif.msk').exists()
    window = read(build(tmp_path, '*.tif', gaps='pad'))
    assert np.argwhere(window.mask[0, 0]).tolist() == [[1, 2]]


def describe(path, descriptions, tags=None):
    with rasterio.open(path, 'r+') as raster:
        for number, text in enumerate(descriptions, 1):
            raster.set_band_description(number, text)
        for number, band_tags in enumerate(tags or [], 1):
            raster.update_tags(number, **band_tags)


STACK = ('20170301_B08', '20170105_B02', '20170105_B08', '20170301_B02')


@pytest.fixture
def stack(tmp_path):
    """Two dates of two bands in one file, in disorder; the value is that of position_code."""
    code = position_code(2, 2, *SIZE)
    path = write_raster(tmp_path / 'stack.tif', np.stack([code[1, 1], *code[0], code[1, 0]]))
    describe(
        path,
        STACK,
        [dict(WHEN=f'{text[:4]}-{text[4:6]}-{text[6:8]}', NAME=text[9:]) for text in STACK],
    )
    return tmp_path


@pytest.mark.parametrize(
    'search',
    [
        dict(stack='description', band_pattern=r'_(?P<band>B\d\d)$'),
        dict(stack='NAME', band_pattern=r'(?P<band>.+)', date_tag='WHEN'),
    ],
)
def test_a_stack_of_all_dates_and_bands(stack, search):
    dataset = build(stack, 'stack.tif', dict(search, bands=('B02', 'B08')))
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [5, 60]
    np.testing.assert_array_equal(read(dataset, 1), position_code(2, 2, *SIZE)[..., :4, 4:8])
    info = build(stack, 'stack.tif', dict(search, bands=('B08',))).get_data_info(5)
    window = info['reader'].read(np.array([1]), info['window'])
    np.testing.assert_array_equal(window, position_code(2, 2, *SIZE)[1:, 1:, 4:8, 8:12])


def test_a_stack_of_one_index_without_names(tmp_path):
    path = write_raster(tmp_path / 'ndvi.tif', position_code(1, 3, *SIZE)[0])
    describe(path, ('NDVI 2017-05-01', 'NDVI 2017-03-01', 'NDVI 2017-04-01'))
    dataset = build(tmp_path, 'ndvi.tif', dict(stack='description'))
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [60, 91, 121]
    np.testing.assert_array_equal(
        read(dataset)[:, 0], position_code(1, 3, 10, 13)[0, [1, 2, 0], :4, :4]
    )


@pytest.mark.parametrize(
    ('search', 'message'),
    [
        (dict(bands=('B11',)), r"of 2017-01-05 .* no band 'B11', only \['B02', 'B08'\]"),
        (
            dict(band_pattern=r'_(?P<band>X\d)'),
            r"stack.tif: no name in description '20170301_B08' of band 1 by band_pattern=.*X",
        ),
        (
            dict(date_pattern=r'(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)'),
            r"stack.tif: no date in the description '20170301_B08' of band 1 by date_pattern='\(",
        ),
        (dict(date_tag='SEEN'), r"no date in the tag SEEN='' of band 1"),
        (dict(stack='TEXT'), r"stack.tif: band 1 has no TEXT; .* one of \['NAME', 'WHEN'\]"),
        (dict(band_pattern=None), r'expected no bands, since .* a stack has only one'),
    ],
)
def test_what_is_wrong_with_a_stack_is_named(stack, search, message):
    settings = dict(stack='description', band_pattern=r'_(?P<band>B\d\d)$', bands=('B02', 'B08'))
    with pytest.raises(ValueError, match=message):
        build(stack, 'stack.tif', settings | search)


def test_bands_by_their_descriptions_over_several_files_per_date(tmp_path):
    code = position_code(2, 3, *SIZE)
    for time, values in zip(('20170105', '20170301'), code, strict=True):
        path = write_raster(tmp_path / f'{time}_10m.tif', values[:2])
        describe(path, ('green', 'red'))
        describe(write_raster(tmp_path / f'{time}_other.tif', values[2:]), ('nir',))
    dataset = build(tmp_path, '*.tif', dict(bands=('nir', 'green')))
    np.testing.assert_array_equal(read(dataset, 1), code[:, [2, 0], :4, 4:8])
    with pytest.raises(ValueError, match=r"no band 'swir', only \['green', 'red', 'nir'\]"):
        build(tmp_path, '*.tif', dict(bands=('nir', 'swir')))


def test_a_band_between_pixels_of_half_the_resolution():
    axis = Axis(scale=0.5, shift=0.0, length=2)
    # Centres of the grid at -1/4, 1/4, 3/4 and 5/4 of the raster's.
    assert axis.centres(0, 4).tolist() == [-0.25, 0.25, 0.75, 1.25]
    assert axis.blend(np.array([0.0, 8.0]), 0, 4).tolist() == [0, 2, 6, 8]
    assert axis.nearest(0, 4).tolist() == [0, 0, 1, 1]
    # The two pixels in the middle need both; the last one needs only the last.
    assert [axis.span(first, 1) for first in range(4)] == [(0, 1), (0, 2), (0, 2), (1, 1)]


@pytest.fixture
def sentinel(tmp_path):
    """10 m and 20 m files of two dates, and a 60 m file larger than the area."""
    rng = np.random.default_rng(0)
    for time in ('20170105', '20170301'):
        for band, size, grid in (
            ('B02', (12, 24), CORNER),
            ('B11', (6, 12), COARSE),
            ('B01', (3, 5), Affine(60, 0, 499970, 0, -60, 5100030)),
        ):
            values = rng.integers(1, 9000, (1, *size)).astype(np.uint16)
            write_raster(tmp_path / f'T33_{time}_{band}.tif', values, grid, nodata=0)
    return tmp_path


NAMED = dict(band_pattern=r'_(?P<band>B\d\d)\.', bands=('B11', 'B02', 'B01'))


def test_coarser_bands_come_onto_the_finest_grid(sentinel):
    whole = read(build(sentinel, '*.tif', NAMED, window_size=None))
    assert whole.shape == (2, 3, 12, 24)
    assert whole.dtype == np.uint16
    with rasterio.open(sentinel / 'T33_20170105_B11.tif') as raster:
        coarse = raster.read(1).astype(float)
        by_gdal = raster.read(1, out_shape=(12, 24), resampling=Resampling.bilinear)
    # Row 0 lies outside the outermost centres; column 1 a quarter of the way to the next one.
    assert whole[0, 0, 0, 1] == round(0.75 * coarse[0, 0] + 0.25 * coarse[0, 1])
    assert whole[0, 0, 2, 2] == round(
        0.75 * (0.75 * coarse[1, 1] + 0.25 * coarse[1, 0])
        + 0.25 * (0.75 * coarse[0, 1] + 0.25 * coarse[0, 0])
    )
    assert np.abs(whole[0, 0].astype(int) - by_gdal).max() <= 1
    with rasterio.open(sentinel / 'T33_20170301_B02.tif') as raster:
        np.testing.assert_array_equal(whole[1, 1], raster.read(1))


@pytest.mark.parametrize('missing', [False, True])
def test_a_window_of_coarser_bands_is_that_of_the_whole_area(sentinel, missing):
    if missing:
        with rasterio.open(sentinel / 'T33_20170301_B11.tif', 'r+') as raster:
            raster.write(np.zeros((1, 2, 3), np.uint16), window=((1, 3), (2, 5)))
    whole = read(build(sentinel, '*.tif', NAMED, window_size=None, gaps='pad'))
    for side in (1, 3, 4):
        dataset = build(sentinel, '*.tif', NAMED, window_size=side, gaps='pad')
        for index in range(len(dataset)):
            row, column = dataset.get_data_info(index)['window'][:2]
            part, window = (
                whole[..., row : row + side, column : column + side],
                read(dataset, index),
            )
            np.testing.assert_array_equal(np.ma.getdata(window), np.ma.getdata(part))
            np.testing.assert_array_equal(np.ma.getmaskarray(window), np.ma.getmaskarray(part))
    assert isinstance(whole, np.ma.MaskedArray) == missing
    if missing:
        expected = np.zeros((12, 24), bool)
        expected[2:6, 4:10] = True
        np.testing.assert_array_equal(whole.mask[1, 0], expected)


@pytest.mark.parametrize('nodata', [0, None])
def test_missing_values_do_not_leak_into_their_neighbours(tmp_path, nodata):
    coarse = np.array([[[1000, 1000, 0, 0], [1000, 1000, 0, 3000]]], np.uint16)
    write_raster(tmp_path / '20170105_B02.tif', np.full((1, 4, 8), 5, np.uint16))
    write_raster(tmp_path / '20170105_B11.tif', coarse, COARSE, nodata=nodata)
    search = dict(NAMED, bands=('B02', 'B11'), nodata=None if nodata == 0 else 0)
    window = read(build(tmp_path, '*.tif', search, window_size=None, gaps='pad'))
    assert window.mask[0, 1, 0].tolist() == [False] * 4 + [True] * 4
    assert window.data[0, 1, 0].tolist() == [1000] * 4 + [0] * 4
    assert window.data[0, 1, 3].tolist() == [1000] * 4 + [0] * 2 + [3000] * 2


@pytest.mark.parametrize(
    ('size', 'grid', 'message'),
    [
        ((5, 12), COARSE, r'B11.tif: bounds .* do not cover the area .*\n  rio warp'),
        ((6, 12), Affine(20, 0, 500010, 0, -20, 5100000), 'B11.tif: bounds .* do not cover'),
        ((24, 48), Affine(5, 0, 500000, 0, -5, 5100000), r'B11.tif: size .* differs from'),
        ((6, 12), Affine(20, 1, 500000, 0, -20, 5100000), r'B11.tif: size .* differs from'),
    ],
)
def test_rasters_that_do_not_fit_are_named(sentinel, size, grid, message):
    write_raster(sentinel / 'T33_20170301_B11.tif', np.ones((1, *size), np.uint16), grid)
    with pytest.raises(ValueError, match=message):
        build(sentinel, '*.tif', NAMED)


def test_a_finer_raster_has_a_place_for_masks_only(tmp_path):
    path = str(write_raster(tmp_path / 'fine.tif', position_code(1, 1, 8, 8)[0], CORNER))
    grid = Grid('grid', (4, 4), open_raster(path).crs.to_wkt(), COARSE)
    placement = place(path, grid, finer=True)
    # Centres of 20 m pixels lie between 10 m pixels; the further one counts.
    near = placement.nearest(position_code(1, 1, 8, 8)[0, 0], (0, 0, 4, 4))
    np.testing.assert_array_equal(near, position_code(1, 1, 8, 8)[0, 0, 1::2, 1::2])
    with pytest.raises(ValueError, match=r'fine.tif: size'):
        place(path, grid)


def test_rasters_without_a_crs(tmp_path):
    for name in ('20170105.tif', '20170301.tif'):
        write_raster(tmp_path / name, position_code(1, 2, *SIZE)[0], crs=None)
    assert build(tmp_path).get_data_info(0)['georeference'].crs is None
    crs = build(tmp_path, search=dict(crs='EPSG:32633')).get_data_info(0)['georeference'].crs
    assert rasterio.crs.CRS.from_wkt(crs).to_epsg() == 32633
    with pytest.raises(ValueError, match=r"crs='mine'.*expected e.g. 'EPSG:32633'"):
        build(tmp_path, search=dict(crs='mine'))
    write_raster(tmp_path / '20170401.tif', position_code(1, 2, *SIZE)[0])
    with pytest.raises(ValueError, match=r"20170401.tif: CRS EPSG:32633 differs from None .*crs='"):
        build(tmp_path)
    assert len(read(build(tmp_path, search=dict(crs='EPSG:32633')))) == 3


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
    with pytest.raises(ValueError, match=r"columns \['name;when'\]; expected file and date"):
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


def test_unknown_settings_are_named(tmp_path):
    write_raster(tmp_path / '20170105.tif', position_code(1, 2, *SIZE)[0])
    with pytest.raises(ValueError, match=r"search: no such setting 'band'; .*'bands'"):
        build(tmp_path, search=dict(band=[1]))
    with pytest.raises(ValueError, match=r"search: clouds: no such setting 'code'; .*'codes'"):
        build(tmp_path, search=dict(clouds=dict(code=[1])))
    with pytest.raises(ValueError, match=r"gaps='fill'; expected 'interpolate' or 'pad'"):
        build(tmp_path, gaps='fill')
