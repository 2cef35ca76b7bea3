"""The data set of a user's rasters: windows, areas, labels, and settings that cannot be."""

import numpy as np
import pytest
import rasterio
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from mmexact.datasets import LoadSITS, LoadSITSAnnotations, PackSITSInputs
from tests.data import CORNER, SIZE, position_code, write_raster
from tests.test_datasets.test_rasters import areas
from tests.test_datasets.test_rasters.areas import read, read_mask

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


def build(root, rasters='series/*.tif', search=None, mask='landcover.tif', **kwargs):
    return areas.build(root, rasters, search, mask, **dict(codes={4: 'Crop', 7: 'Grass'}) | kwargs)


def test_windows_of_a_series_in_chronological_order(root):
    dataset = build(root)
    assert len(dataset) == 6
    info = dataset.get_data_info(5)
    assert info['sample_id'] == 'area_5'
    assert info['window'] == (4, 8, 4, 4)
    assert info['day_of_year'].tolist() == DAYS
    window = read(dataset, 5, [1, 3])
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
    assert read_mask(dataset, 1) == [[1, 1, 2, 2]] * 4
    assert read_mask(dataset) == [[255, 1, 1, 1]] + [[1] * 4] * 3
    assert read_mask(dataset, 4)[1] == [1, 255, 2, 2]
    scores = [dataset.get_data_info(index)['gt_score'].tolist() for index in range(6)]
    assert scores == [[1, 0], [1, 1], [0, 1]] * 2


def test_other_codes_can_be_background_while_no_data_stays_ignored(root):
    dataset = build(root, other_codes='Other', codes={4: 'Crop', 7: 'ignored'})
    assert read_mask(dataset)[0] == [255, 1, 1, 1]
    assert read_mask(dataset, 4)[1] == [1, 0, 255, 255]


def test_without_codes_the_values_are_the_classes(root):
    write_raster(root / 'landcover.tif', (codes() == 7).astype(np.uint16) * 2)
    assert read_mask(build(root, codes=None), 1) == [[0, 0, 2, 2]] * 4
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
    ('values', 'message'),
    [
        (np.zeros((3, *SIZE), np.int16), 'band count 3 at 2017-06-01 .* differs from 2 of'),
        (np.zeros((2, *SIZE), np.float32), 'type float32 of band 1 differs from int16 of'),
    ],
)
def test_rasters_that_disagree_are_named(root, values, message):
    write_raster(root / 'series' / 'S2_20170601.tif', values)
    with pytest.raises(ValueError, match=rf'S2_20170601.tif: {message}.*S2_20161230T100501'):
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


def test_unknown_settings_are_named(tmp_path):
    write_raster(tmp_path / '20170105.tif', position_code(1, 2, *SIZE)[0])
    with pytest.raises(ValueError, match=r"search: no such setting 'band'; .*'bands'"):
        areas.build(tmp_path, search=dict(band=[1]))
    with pytest.raises(ValueError, match=r"search: clouds: no such setting 'code'; .*'codes'"):
        areas.build(tmp_path, search=dict(clouds=dict(code=[1])))
    with pytest.raises(ValueError, match=r"gaps='fill'; expected 'interpolate' or 'pad'"):
        areas.build(tmp_path, gaps='fill')
