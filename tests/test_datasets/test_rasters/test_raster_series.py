from datetime import datetime

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmexact.datasets import LoadSITS, LoadSITSAnnotations, PackSITSInputs, RasterSeriesDataset
from mmexact.datasets.rasters.dates import DATE_PATTERN, parse_date
from mmexact.datasets.rasters.gaps import fill_gaps, hide_gaps
from tests.data import CORNER, SIZE, position_code, write_raster

CLASSES = ('Other', 'Crop', 'Grass')

NAMES = (
    'S2_20161230T100501.tif',
    'S2_20170101T100501.tif',
    'S2_20170301T090000.tif',
    'S2_20170301T101500.tif',
    'S2_20171231T100501.tif',
)
"""In chronological order; two of one day, three years."""

DAYS = [365, 1, 60, 60, 365]


def codes():
    """Land cover: code 4 on the left half, 7 on the right, one pixel of 9, none in the corner."""
    mask = np.full((1, *SIZE), 4, np.uint8)
    mask[0, :, 6:] = 7
    mask[0, 5, 5] = 9
    mask[0, 0, 0] = 0
    return mask


@pytest.fixture
def root(tmp_path):
    for name, values in zip(NAMES, position_code(5, 2, *SIZE), strict=True):
        write_raster(tmp_path / 'series' / name, values)
    write_raster(tmp_path / 'landcover.tif', codes(), nodata=0)
    return tmp_path


def build(root, rasters='series/*.tif', mask='landcover.tif', search=None, **kwargs):
    settings = dict(
        data_root=str(root),
        series=dict(area=dict(rasters=rasters, mask=mask)),
        search=search,
        codes={4: 'Crop', 7: 'Grass'},
        window_size=4,
        metainfo=dict(classes=CLASSES),
        serialize_data=False,
    )
    return RasterSeriesDataset(**settings | kwargs)


def read(dataset, index=0):
    info = dataset.get_data_info(index)
    return info['reader'].read(np.arange(len(info['day_of_year'])), info['window'])


def test_windows_of_a_series_in_chronological_order(root):
    dataset = build(root)
    assert len(dataset) == 6
    info = dataset.get_data_info(5)
    assert info['sample_id'] == 'area_5'
    assert info['window'] == (4, 8, 4, 4)
    assert info['day_of_year'].tolist() == DAYS
    window = info['reader'].read(np.array([1, 3]), info['window'])
    assert window.dtype == np.int16
    np.testing.assert_array_equal(window, position_code(5, 2, *SIZE)[[1, 3], :, 4:8, 8:12])


def test_a_window_knows_where_it_lies(root):
    georeference = build(root).get_data_info(5)['georeference']
    # 8 columns of 10 m east and 4 rows south of the corner.
    assert georeference.transform == (10, 0, 500080, 0, -10, 5099960)
    assert rasterio.crs.CRS.from_wkt(georeference.crs).to_epsg() == 32633
    whole = build(root, window_size=None).get_data_info(0)
    assert whole['georeference'].transform == CORNER[:6]
    assert read(build(root, window_size=None)).shape == (5, 2, *SIZE)


def test_codes_become_classes(root):
    dataset = build(root)
    info = dataset.get_data_info(1)
    assert info['reader'].read_mask(info['window']).tolist() == [[1, 1, 2, 2]] * 4
    info = dataset.get_data_info(0)
    assert info['reader'].read_mask(info['window']).tolist() == [[255, 1, 1, 1]] + [[1] * 4] * 3
    info = dataset.get_data_info(4)
    assert info['reader'].read_mask(info['window'])[1].tolist() == [1, 255, 2, 2]
    scores = [dataset.get_data_info(index)['gt_score'].tolist() for index in range(6)]
    assert scores == [[1, 0], [1, 1], [0, 1]] * 2


def test_other_codes_can_be_background_while_no_data_stays_ignored(root):
    dataset = build(root, other_codes='Other', codes={4: 'Crop', 7: 'ignored'})
    info = dataset.get_data_info(0)
    assert info['reader'].read_mask(info['window'])[0].tolist() == [255, 1, 1, 1]
    info = dataset.get_data_info(4)
    assert info['reader'].read_mask(info['window'])[1].tolist() == [1, 0, 255, 255]


def test_without_codes_the_values_are_the_classes(root):
    write_raster(root / 'landcover.tif', (codes() == 7).astype(np.uint16) * 2)
    info = build(root, codes=None).get_data_info(1)
    assert info['reader'].read_mask(info['window']).tolist() == [[0, 0, 2, 2]] * 4
    write_raster(root / 'codes.tif', codes())
    with pytest.raises(ValueError, match=r'codes.tif: label 4 .* expected 0\.\.2'):
        build(root, codes=None, mask='codes.tif')
    write_raster(root / 'float.tif', codes().astype(np.float32))
    with pytest.raises(ValueError, match=r'float.tif: labels of type float32; expected integers'):
        build(root, mask='float.tif')


def test_image_labels_come_from_a_table_without_masks(root):
    (root / 'labels.csv').write_text('sample_id,classes\narea_1,Grass\n')
    dataset = build(root, mask=None, image_labels_file='labels.csv')
    info = dataset.get_data_info(0)
    assert len(dataset) == 1
    assert info['seg_map_path'] is None
    assert info['gt_score'].tolist() == [0, 1]
    assert 'gt_score' not in build(root, mask=None).get_data_info(0)


def test_several_areas_of_different_size(root):
    for name, values in zip(NAMES, position_code(5, 2, 4, 8), strict=True):
        write_raster(root / 'north' / name, values, crs='EPSG:32632')
    series = dict(
        area=dict(rasters='series/*.tif', mask='landcover.tif'), north=dict(rasters='north/*.tif')
    )
    dataset = build(root, series=series)
    assert len(dataset) == 8
    info = dataset.get_data_info(7)
    assert info['sample_id'] == 'north_1'
    assert info['seg_map_path'] is None
    np.testing.assert_array_equal(read(dataset, 7), position_code(5, 2, 4, 8)[..., 4:])
    for name in NAMES:
        write_raster(root / 'south' / name, np.zeros((3, 4, 4), np.int16))
    series['south'] = dict(rasters='south/*.tif')
    with pytest.raises(ValueError, match=r'south.* has 3 bands, .*series.* has 2'):
        build(root, series=series)


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
    dataset = build(tmp_path, mask=None, search=dict(date_tag='ACQUIRED'))
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [365, 32, 32]
    np.testing.assert_array_equal(read(dataset), position_code(3, 2, 4, 4)[[1, 2, 0]])
    with pytest.raises(ValueError, match=r"0.tif: no date in its tag WHEN='' .*'ACQUIRED'"):
        build(tmp_path, mask=None, search=dict(date_tag='WHEN'))
    with pytest.raises(ValueError, match=r"0.tif: no date in its name 'series/0.tif'.*date_tag"):
        build(tmp_path, mask=None)


def test_a_date_that_no_calendar_has_is_named(root):
    write_raster(root / 'series' / 'S2_20170231.tif', np.zeros((2, *SIZE), np.int16))
    with pytest.raises(ValueError, match=r'S2_20170231.tif: the date in its name.*day'):
        build(root)


def test_a_season_can_be_chosen(root):
    dataset = build(root, search=dict(date_range=('2017-01-01', '2017-03-01')))
    assert dataset.get_data_info(0)['day_of_year'].tolist() == [1, 60, 60]
    np.testing.assert_array_equal(read(dataset), position_code(5, 2, *SIZE)[1:4, :, :4, :4])
    with pytest.raises(ValueError, match=r'no raster; .* from 2016-12-30 to 2017-12-31'):
        build(root, search=dict(date_range=('2018-01-01', '2018-12-31')))
    with pytest.raises(ValueError, match=r'date_range=.*Spring.*YYYY-MM-DD'):
        build(root, search=dict(date_range=('Spring', '2018-12-31')))


def test_some_bands_of_each_file(root):
    window = read(build(root, search=dict(bands=(2,))), 1)
    np.testing.assert_array_equal(window, position_code(5, 2, *SIZE)[:, 1:, :4, 4:8])
    with pytest.raises(ValueError, match=r'of 2016-12-30 .* no band 3, only \[1, 2\]'):
        build(root, search=dict(bands=(3,)))
    with pytest.raises(
        ValueError, match='the file have no descriptions; set bands to numbers, or band_pattern'
    ):
        build(root, search=dict(bands=('B02',)))
    with pytest.raises(ValueError, match=r"bands=\(1, 'B02'\) with .*numbers .* or names"):
        build(root, search=dict(bands=(1, 'B02')))


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
    dataset = build(banded, '**/*.tif', None, BANDS)
    info = dataset.get_data_info(0)
    assert info['day_of_year'].tolist() == [5, 60]
    np.testing.assert_array_equal(read(dataset), position_code(2, 2, 4, 4))
    assert info['reader'].read(np.array([1]), info['window']).shape == (1, 2, 4, 4)
    with pytest.raises(ValueError, match='names of bands with a band_pattern'):
        build(banded, '**/*.tif', None, dict(band_pattern=BANDS['band_pattern']))


def test_a_missing_band_is_named_with_its_date(banded):
    (banded / '20170301' / 'scene_B02_10m.tif').unlink()
    with pytest.raises(ValueError, match=r"of 2017-03-01 .*no band 'B02', only \['B8A'\]"):
        build(banded, '**/*.tif', None, BANDS)
    with pytest.raises(ValueError, match=r"finds none of the bands \['B11'\]"):
        build(banded, '**/*.tif', None, BANDS | dict(bands=('B11',)))


def test_a_band_that_is_there_twice_is_named(banded):
    write_raster(banded / '20170301' / 'later_B02_10m.tif', np.zeros((1, 4, 4), np.int16))
    with pytest.raises(ValueError, match=r'scene_B02.* and .*later_B02.* both hold band B02'):
        build(banded, '**/*.tif', None, BANDS)


def test_gaps_are_filled_linearly_in_time():
    days = np.array([0.0, 1.0, 4.0, 10.0])
    values = np.array([[0, 7, 40, 0], [10, -9, -9, -9], [-9, -9, 100, -9]], np.int16).T
    valid = values != -9
    valid[[0, 3], 0] = False
    filled = fill_gaps(values[:, :, None, None], valid[:, :, None, None], days)
    assert filled.dtype == np.int16
    assert type(filled) is np.ndarray
    # Between days 1 (7) and 4 (40); the ends repeat the nearest observation.
    assert filled[:, 0, 0, 0].tolist() == [7, 7, 40, 40]
    assert filled[:, 1, 0, 0].tolist() == [10, 10, 10, 10]
    assert filled[:, 2, 0, 0].tolist() == [100, 100, 100, 100]
    assert values[0, 0] == 0

    values = np.array([0, -9, -9, 5], np.int16).reshape(4, 1, 1, 1)
    filled = fill_gaps(values, values != -9, days)
    # 0.5 and 2 of 5 at day 1 and day 4 of 10; halves go to the even number.
    assert filled.ravel().tolist() == [0, 0, 2, 5]
    filled = fill_gaps(values.astype(np.float32), values != -9, days)
    np.testing.assert_allclose(filled.ravel(), [0, 0.5, 2, 5])
    assert filled.dtype == np.float32


@pytest.mark.parametrize('alike', [True, False])
def test_gaps_are_filled_the_same_in_blocks(monkeypatch, alike):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 60000, (6, 3, 5, 7)).astype(np.uint16)
    valid = np.broadcast_to(rng.random((6, 1 if alike else 3, 5, 7)) > 0.6, values.shape)
    days = np.array([0, 2, 3, 7, 20, 21.5])
    filled = fill_gaps(values, valid, days)
    # Pixel by pixel with numpy's own interpolation.
    for band, row, column in np.ndindex(3, 5, 7):
        place = (slice(None), band, row, column)
        seen = valid[place]
        if seen.any():
            expected = np.rint(np.interp(days, days[seen], values[place][seen]))
            assert np.abs(filled.data[place].astype(int) - expected).max() <= 1
            assert (filled.data[place][seen] == values[place][seen]).all()
            assert not filled.mask[place].any()
        else:
            assert filled.mask[place].all()
            assert not filled.data[place].any()
    monkeypatch.setattr('mmexact.datasets.rasters.gaps.BLOCK', 50)
    blocked = fill_gaps(values, valid, days)
    np.testing.assert_array_equal(blocked.data, filled.data)
    np.testing.assert_array_equal(blocked.mask, filled.mask)


def test_gaps_become_padding_for_all_bands_of_a_date():
    values = np.arange(8, dtype=np.int16).reshape(2, 2, 1, 2) + 1
    valid = values != 3
    hidden = hide_gaps(values, valid)
    # Band 2 of the first date misses the left pixel.
    assert hidden.mask[:, :, 0].tolist() == [[[True, False]] * 2, [[False, False]] * 2]
    assert hidden.data.ravel().tolist() == [0, 2, 0, 4, 5, 6, 7, 8]
    assert values[0, 0, 0, 0] == 1


def test_gaps_between_two_acquisitions_at_the_same_time():
    values = np.array([3, -9, 5], np.int16).reshape(3, 1, 1, 1)
    assert fill_gaps(values, values != -9, np.zeros(3)).ravel().tolist() == [3, 3, 5]


def test_what_was_never_observed_is_zero_and_masked():
    values = np.full((3, 2, 1, 2), -9, np.int16)
    values[1, :, 0, 0] = 5
    values[2, 0, 0, 1] = 6
    filled = fill_gaps(values, values != -9, np.arange(3.0))
    assert filled.data[:, 1, 0].tolist() == [[5, 0]] * 3
    assert filled.data[:, 0, 0].tolist() == [[5, 6]] * 3
    assert filled.mask.tolist() == [[[[False, False]], [[False, True]]]] * 3


@pytest.mark.parametrize(
    ('dtype', 'missing', 'declared', 'search'),
    [
        ('int16', -32768, -32768, {}),
        ('uint16', 0, 0, {}),
        ('uint16', 0, None, {'nodata': 0}),
        ('float32', np.nan, None, {}),
        ('float32', np.nan, np.nan, {}),
    ],
)
def test_no_data_is_filled_on_reading(tmp_path, dtype, missing, declared, search):
    for month, value in ((1, 100), (2, missing), (3, 300)):
        values = np.full((1, 4, 4), value, dtype)
        values[0, 3, 3] = missing
        write_raster(tmp_path / 'series' / f'2017{month:02}01.tif', values, nodata=declared)
    write_raster(tmp_path / 'mask.tif', np.ones((1, 4, 4), np.uint8))
    pipeline = [LoadSITS(), LoadSITSAnnotations(), PackSITSInputs()]
    dataset = build(tmp_path, mask='mask.tif', codes=None, pipeline=pipeline, search=search)
    sample = dataset[0]
    # 31 of 59 days from January to March.
    middle = 100 + 200 * 31 / 59
    if dtype != 'float32':
        middle = round(middle)
    assert sample['inputs'][::2, 0, 0].tolist() == pytest.approx([100, middle, 300])
    assert sample['inputs'][::2, 3, 3].tolist() == [0, 0, 0]
    assert sample['inputs'][1::2, 3, 3].tolist() == [1, 32, 60]
    mask = sample['data_samples'].gt_sem_seg.data[0]
    assert mask[3].tolist() == [1, 1, 1, 255]
    assert (mask[:3] == 1).all()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(crs='EPSG:32632'), r'CRS EPSG:32632 differs from EPSG:32633 of .*rio warp'),
        (
            dict(values=np.zeros((2, 10, 14), np.int16)),
            r'size \(height, width\) \(10, 14\) differs from \(10, 13\) of',
        ),
        (
            dict(transform=Affine(10, 0, 500005, 0, -10, 5100000)),
            r'transform \(10.0, 0.0, 500005.0, .* differs from \(10.0, 0.0, 500000.0',
        ),
        (
            dict(values=np.zeros((3, *SIZE), np.int16)),
            'band count 3 at 2017-06-01 .* differs from 2 of',
        ),
        (
            dict(values=np.zeros((2, *SIZE), np.float32)),
            'type float32 of band 1 differs from int16 of',
        ),
    ],
)
def test_rasters_that_disagree_are_named(root, change, message):
    settings = dict(values=np.zeros((2, *SIZE), np.int16)) | change
    write_raster(root / 'series' / 'S2_20170601.tif', **settings)
    with pytest.raises(ValueError, match=rf'(?s)S2_20170601.tif: {message}.*S2_20161230T100501'):
        build(root)


def test_a_shift_far_below_a_pixel_is_no_shift(root):
    shifted = Affine(10, 0, 500000.01, 0, -10, 5100000)
    write_raster(root / 'series' / '20170601.tif', np.zeros((2, *SIZE), np.int16), shifted)
    assert read(build(root)).shape[0] == 6


def test_labels_on_another_grid_are_named(root):
    write_raster(root / 'landcover.tif', codes(), Affine(20, 0, 500000, 0, -20, 5100000))
    message = r'landcover.tif: transform .*\n  rio warp .*landcover.tif .*--like .*S2_20161230'
    with pytest.raises(ValueError, match=message):
        build(root)


def test_a_window_larger_than_the_area_is_named(root):
    with pytest.raises(ValueError, match=r'area: .* 10 x 13 .*window_size=24'):
        build(root, window_size=24)


def test_missing_and_damaged_rasters_are_named(root):
    with pytest.raises(FileNotFoundError, match=r'nowhere/\*.tif: no such rasters'):
        build(root, rasters='nowhere/*.tif')
    with pytest.raises(FileNotFoundError, match=r'labels.tif: no such raster'):
        build(root, mask='labels.tif')
    with pytest.raises(FileNotFoundError, match=r'elsewhere: .*no such directory'):
        build(root / 'elsewhere')
    path = root / 'series' / 'S2_20170601.tif'
    path.write_text('no raster')
    with pytest.raises(ValueError, match=r'S2_20170601.tif: cannot be opened as a raster'):
        build(root)


def test_a_truncated_raster_is_named_on_reading(tmp_path):
    path = tmp_path / 'series' / '20170601.tif'
    write_raster(path, np.zeros((2, 200, 200), np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r'20170601.tif: cannot be (read at row|opened)'):
        read(build(tmp_path, mask=None, window_size=200))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(series=None), 'series is not set; expected e.g. dict'),
        (dict(metainfo=None), 'classes=.* is not set; .*background first'),
        (dict(codes={4: 'Maize'}), "codes: no such class 'Maize'; expected one of .*'Crop'"),
        (dict(other_codes='Rest'), "no such class 'Rest'"),
    ],
)
def test_wrong_settings_are_named(root, settings, message):
    with pytest.raises(ValueError, match=message):
        build(root, **settings)


def test_workers_read_the_same_as_the_main_process(root):
    pipeline = [LoadSITS(), LoadSITSAnnotations(), PackSITSInputs()]
    dataset = build(root, pipeline=pipeline, serialize_data=True)
    # Reading here first leaves open files to the workers that are forked afterwards.
    expected = [dataset[index]['inputs'] for index in range(6)]
    loader = DataLoader(dataset, batch_size=3, num_workers=2, collate_fn=pseudo_collate)
    images = [image for batch in loader for image in batch['inputs']]
    assert len(images) == 6
    assert all(torch.equal(*pair) for pair in zip(images, expected, strict=True))
