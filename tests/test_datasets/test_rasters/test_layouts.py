"""Files as people have them: formats, and where their bands and dates stand."""

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine

from mmexact.datasets import RasterSeriesDataset
from tests.data import CORNER, SIZE, position_code, write_raster
from tests.test_datasets.test_rasters.areas import build, describe, read


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
    ending = 'vrt' if driver == 'VRT' else 'x'
    for month, bands in enumerate(values, 1):
        source = write_raster(tmp_path / 'series/plain' / f'2018{month:02}15.tif', bands, nodata=0)
        name = f'series/2018{month:02}15.{ending}'
        copy_raster(source, tmp_path / name, driver=driver, **options)
    dataset = build(tmp_path, f'series/*.{ending}', dict(bands=[3, 1]), gaps='pad', window_size=10)
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
    window = read(build(stack, 'stack.tif', dict(search, bands=('B08',))), 5, [1])
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


@pytest.fixture
def files_of_bands(tmp_path):
    """A file for each of two bands, which holds three dates, in disorder."""
    code = position_code(3, 2, *SIZE)
    for band, values in zip(('B08', 'B02'), code.swapaxes(0, 1), strict=True):
        write_raster(tmp_path / f'area_{band}.tif', values[[2, 0, 1]])
    return tmp_path


BY_BAND = dict(
    stack='dates_file',
    dates_file='dates.txt',
    band_pattern=r'_(?P<band>B\d\d)',
    bands=('B08', 'B02'),
)


@pytest.mark.parametrize(
    'lines',
    [
        ['2017-05-01', '20170301', '2017-04-01 10:00:00', ''],
        ['date', '2017-05-01', '2017-03-01', '2017-04-01'],
        ['orbit;date', '122;2017-05-01', '22;2017-03-01', '122;2017-04-01'],
        [
            'file,date',
            *(
                f'area_{band}.tif,2017-0{month}-01'
                for month in (5, 3, 4)
                for band in ('B02', 'B08')
            ),
        ],
    ],
)
def test_a_file_for_each_band_and_the_dates_in_another(files_of_bands, lines):
    (files_of_bands / 'dates.txt').write_text('\n'.join(lines))
    dataset = build(files_of_bands, search=BY_BAND)
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [60, 91, 121]
    np.testing.assert_array_equal(read(dataset, 1), position_code(3, 2, *SIZE)[..., :4, 4:8])
    one = dict(stack='dates_file', dates_file='dates.txt', date_range=('2017-04', '2017-05'))
    window = read(build(files_of_bands, 'area_B02.tif', one))
    np.testing.assert_array_equal(window, position_code(3, 2, *SIZE)[1:, 1:, :4, :4])


def test_a_wrong_number_of_dates_is_named(files_of_bands):
    (files_of_bands / 'dates.txt').write_text('2017-05-01\n2017-03-01\n')
    with pytest.raises(
        ValueError, match=r'B02.tif: 3 bands, but .*dates.txt has 2 dates; expected'
    ):
        build(files_of_bands, search=BY_BAND)
    (files_of_bands / 'dates.txt').write_text('2017-05-01\nsoon\n2017-03-01\n')
    with pytest.raises(ValueError, match=r"dates.txt, line 2: no date in 'soon' by date_pattern"):
        build(files_of_bands, search=BY_BAND)
    (files_of_bands / 'dates.txt').write_text('file,date\narea_B08.tif,2017-05-01\n')
    with pytest.raises(ValueError, match=r"B02.tif: dates_file does not list 'area_B02.tif'"):
        build(files_of_bands, search=BY_BAND)
    with pytest.raises(ValueError, match=r"stack='dates_file', but dates_file is not set"):
        build(files_of_bands, search=BY_BAND | dict(dates_file=None))


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


def test_bands_by_their_common_names(tmp_path):
    code = position_code(1, 3, *SIZE)[0]
    describe(write_raster(tmp_path / '20170105.tif', code), ('B8A', 'B04', 'nir'))
    dataset = build(tmp_path, search=dict(bands=('red', 'nir')))
    np.testing.assert_array_equal(read(dataset)[0], code[1:, :4, :4])
    assert list(dataset.band_names) == ['red', 'nir']
    np.testing.assert_array_equal(
        read(build(tmp_path, search=dict(bands=('B4', 'nir08'))))[0], code[[1, 0], :4, :4]
    )
    describe(write_raster(tmp_path / 'other' / '20170105.tif', code), ('B8A', 'B04', 'swir'))
    # Another band than B8A, which may stand for it elsewhere.
    with pytest.raises(ValueError, match=r"no band 'nir', only \['B8A', 'B04', 'swir'\]"):
        build(tmp_path, 'other/*', search=dict(bands=('nir',)))


def test_some_bands_of_each_file(tmp_path):
    write_raster(tmp_path / '20161230.tif', position_code(1, 2, *SIZE)[0])
    window = read(build(tmp_path, search=dict(bands=(2,))), 1)
    np.testing.assert_array_equal(window, position_code(1, 2, *SIZE)[:, 1:, :4, 4:8])
    for bands, message in (
        ((3,), r'of 2016-12-30 .* no band 3, only \[1, 2\]'),
        (('B02',), 'have no descriptions; set bands to numbers, or band_pattern'),
        ((1, 'B02'), r"bands=\(1, 'B02'\) with .*numbers .* or names"),
    ):
        with pytest.raises(ValueError, match=message):
            build(tmp_path, search=dict(bands=bands))


@pytest.fixture
def banded(tmp_path):
    """One file per date (folder) and band; the order of the names is not that of the bands."""
    for time, bands in zip(('20170105', '20170301'), position_code(2, 2, 4, 4), strict=True):
        for band, values in zip(('B8A', 'B02'), bands, strict=True):
            write_raster(tmp_path / time / f'scene_{band}_10m.tif', values[None])
        write_raster(tmp_path / time / 'scene_SCL_20m.tif', np.zeros((1, 2, 2), np.uint8))
    return tmp_path


BANDS = dict(band_pattern=r'_(?P<band>B\d[\dA])_', bands=('B8A', 'B02'))


def test_one_file_per_date_and_band(banded):
    dataset = build(banded, search=BANDS)
    info = dataset.get_data_info(0)
    assert info['day_of_year'].tolist() == [5, 60]
    np.testing.assert_array_equal(read(dataset), position_code(2, 2, 4, 4))
    assert read(dataset, 0, [1]).shape == (1, 2, 4, 4)
    blue = build(banded, search=BANDS | dict(bands=('blue',)))
    np.testing.assert_array_equal(read(blue), position_code(2, 2, 4, 4)[:, 1:])
    with pytest.raises(ValueError, match='names of bands with a band_pattern'):
        build(banded, search=dict(band_pattern=BANDS['band_pattern']))


def test_a_missing_band_is_named_with_its_date(banded):
    (banded / '20170301' / 'scene_B02_10m.tif').unlink()
    with pytest.raises(ValueError, match=r"of 2017-03-01 .*no band 'B02', only \['B8A'\]"):
        build(banded, search=BANDS)
    with pytest.raises(ValueError, match=r"finds none of the bands \['B11'\]"):
        build(banded, search=BANDS | dict(bands=('B11',)))


def test_bands_without_a_date_in_common_are_named(tmp_path):
    for name in ('20170105_B02', '20170301_B8A', '20170401_B8A'):
        write_raster(tmp_path / f'{name}_10m.tif', np.zeros((1, *SIZE), np.int16))
    message = (
        r'no date has all of the bands: B8A is of 2017-03-01 .*, 2017-04-01 .*; B02 is of 2017-01'
    )
    with pytest.raises(ValueError, match=message):
        build(tmp_path, search=BANDS)


def test_a_band_that_is_there_twice_is_named(banded):
    write_raster(banded / '20170301' / 'later_B02_10m.tif', np.zeros((1, 4, 4), np.int16))
    with pytest.raises(ValueError, match=r'scene_B02.* and .*later_B02.* both hold band B02'):
        build(banded, search=BANDS)


def test_a_raster_without_pixel_size_is_named(tmp_path):
    path = tmp_path / '20180101.tif'
    write_raster(path, np.ones((2, 4, 4), np.int16), Affine(10, 10, 500_000, 10, 10, 5_100_000))
    with pytest.raises(ValueError, match=r'20180101\.tif: its transform .* has no pixel size'):
        RasterSeriesDataset(
            data_root=str(tmp_path),
            series=dict(a=dict(rasters='*.tif')),
            window_size=None,
            metainfo=dict(classes=('Background', 'Corn')),
        )
