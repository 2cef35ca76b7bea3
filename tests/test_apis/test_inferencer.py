"""Maps of arrays and cubes in memory are those that the tool makes of the same data in files."""

import copy
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmexact.apis
from mmexact.apis import SITSInferencer
from mmexact.apis.inference import build_scenes, load_segmentor, predict_scene
from tests.cubes import make_cube
from tests.data import CORNER, SIZE
from tests.scenes import NODATA, write_scenes

pytestmark = pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')

DAYS = np.array([15, 46, 74, 105, 135])
TIMES = [f'2018-{month:02}-15' for month in range(1, 6)]
TRAINED = dict(classes=['Other', 'Crop', 'Grass'], bands=['B04', 'B08'], months=[1, 2, 3, 4, 5])


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config and checkpoint of a segmentor, and what the tool makes of its first area."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = Config.fromfile(write_scenes(folder))
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'seg.pth')
    scores = dict(classes=folder / 'shares.tif')
    scenes = build_scenes(cfg)
    predict_scene(
        load_segmentor(cfg, folder / 'seg.pth', 'cpu'), scenes, 0, folder / 'map.tif', scores
    )
    meta = dict(trained_on=TRAINED | dict(mean=[500.0] * 2, std=[300.0] * 2))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'seg.pth')
    return cfg, folder / 'seg.pth'


@pytest.fixture(scope='module')
def inferencer(trained):
    return SITSInferencer(*trained, device='cpu', show_progress=False)


def series_of(trained, name='area'):
    """The series of an area, (T, C, H, W), masked where it was not observed."""
    folder = Path(trained[0].test_dataloader.dataset.data_root) / name
    series = []
    for path in sorted(folder.glob('*.tif')):
        with rasterio.open(path) as raster:
            series.append(raster.read())
    return np.ma.masked_equal(np.stack(series), NODATA)


def read(path):
    with rasterio.open(path) as raster:
        return raster.read().squeeze()


def test_an_array_is_mapped_as_the_tool_maps_the_files(trained, inferencer, tmp_path):
    series, expected = series_of(trained), trained[1].with_name('map.tif')
    classes, shares = inferencer(series, DAYS, tmp_path / 'map.tif', probabilities=True)
    assert (classes.dtype, classes.shape) == (np.uint8, SIZE)
    np.testing.assert_array_equal(classes, read(expected))
    np.testing.assert_array_equal(classes, read(tmp_path / 'map.tif'))
    for legend in ('map.tif.aux.xml', 'map.qml'):
        assert (tmp_path / legend).read_text() == expected.with_name(legend).read_text()
    with rasterio.open(tmp_path / 'map.tif') as raster:
        assert raster.tags(1)['class_2'] == 'Grass'
        assert raster.colormap(1)[1] == (250, 200, 0, 255)
        assert raster.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
    assert (shares.dtype, shares.shape) == (np.float32, (3, *SIZE))
    seen = classes < 255
    np.testing.assert_array_equal(np.isnan(shares).all(0), ~seen)
    np.testing.assert_array_equal(shares[:, seen].argmax(0), classes[seen])
    percent = read(trained[1].with_name('shares.tif'))[:, seen]
    np.testing.assert_array_equal((100 * shares[:, seen]).round(), percent)


@pytest.mark.parametrize('south_up', [False, True])
def test_a_cube_is_mapped_with_its_coordinates(trained, inferencer, tmp_path, south_up):
    series = series_of(trained).filled(NODATA)
    # Another band before those of the training, which stand in another order.
    values = np.stack([series[:, 1], series[:, 0] * 0, series[:, 0]], 1).astype(float)
    values[values == NODATA] = np.nan
    cube = make_cube(values, ['B08', 'B11', 'B04'], TIMES, south_up)
    cube = cube.rename(y='northing', x='easting').reflectance
    classes, shares = inferencer(cube, out=tmp_path / 'map.tif', probabilities=True)
    assert classes.dims == ('northing', 'easting')
    assert shares.dims == ('class', 'northing', 'easting')
    assert shares['class'].values.tolist() == ['Other', 'Crop', 'Grass']
    for axis in classes.dims:
        np.testing.assert_array_equal(classes[axis], cube[axis])
    assert 'WGS 84 / UTM zone 33N' in classes.spatial_ref.attrs['crs_wkt']
    assert classes.attrs['flag_meanings'] == 'Other Crop Grass'
    expected = read(trained[1].with_name('map.tif'))
    north_up = classes.sortby('northing', ascending=False)
    np.testing.assert_array_equal(north_up, expected)
    np.testing.assert_array_equal(read(tmp_path / 'map.tif'), expected)
    with rasterio.open(tmp_path / 'map.tif') as raster:
        assert (raster.crs.to_epsg(), raster.transform) == (32633, CORNER)
    bands = cube.to_dataset('band')[['B04', 'B08']]
    np.testing.assert_array_equal(inferencer(bands).classes, classes)


def test_what_the_config_says_of_clouds_and_no_data_holds(trained, tmp_path):
    cfg, series = copy.deepcopy(trained[0]), series_of(trained)
    clouds = dict(band='SCL', codes=[9])
    cfg.test_dataloader.dataset.search = dict(nodata=NODATA, clouds=clouds, bands=['B04', 'B08'])
    inferencer = SITSInferencer(cfg, trained[1], 'cpu', show_progress=False)
    expected = read(trained[1].with_name('map.tif'))
    cube = make_cube(series.filled(NODATA), ['B04', 'B08'], TIMES)
    np.testing.assert_array_equal(inferencer(cube).classes, expected)
    scl = np.where(series.mask[:, :1], 9, 4)
    values = np.concatenate([np.where(series.mask, 5000, series.data), scl], 1)
    cloudy = make_cube(values, ['B04', 'B08', 'SCL'], TIMES)
    hidden = np.ma.masked_where(series.mask.any(1, keepdims=True) & (scl == 9), scl)
    by_mask = np.ma.array(values[:, :2], mask=np.repeat(hidden.mask, 2, 1))
    np.testing.assert_array_equal(inferencer(cloudy).classes, inferencer(by_mask, DAYS).classes)


def test_lists_of_series(trained, inferencer, tmp_path):
    area, field = series_of(trained), series_of(trained, 'field')
    cube = make_cube(area.filled(0), ['B04', 'B08'], TIMES)
    outs = [tmp_path / 'field.tif', tmp_path / 'cube.tif']
    first, second = inferencer([field, cube], [DAYS, None], outs)
    np.testing.assert_array_equal(first.classes, inferencer(field, DAYS).classes)
    np.testing.assert_array_equal(second.classes, inferencer(area.filled(0), DAYS).classes)
    assert first.probabilities is None
    assert [read(path).shape for path in outs] == [(4, 4), SIZE]
    assert inferencer([]) == []
    with pytest.raises(ValueError, match='out: expected a list of 2, one for each series'):
        inferencer([field, cube], [DAYS, None], tmp_path / 'map.tif')


def test_unsuitable_series(trained, inferencer, tmp_path):
    series = series_of(trained)
    cube = make_cube(series.data, ['B04', 'B08'], TIMES)
    out = tmp_path / 'map.tif'
    for given, days, message in (
        (series, None, 'series 0: day_of_year is not set'),
        (series, DAYS[:3], 'expected a whole number for each of the 5 dates'),
        (series[:, :1], DAYS, r'1 bands; expected the 2 .* in this order: B04, B08'),
        (series[..., :3], DAYS, r'10 x 3 pixels, less than a window of the model, 4 x 4'),
        (series * 100.0, DAYS, 'data_preprocessor expects 500'),
        (series, DAYS + 200, r'trained on series of the months .* give data of that season'),
        (series.tolist, DAYS, 'is a method; expected a numpy array'),
        (cube, DAYS, 'day_of_year is set, but the days of a Dataset are'),
        (cube.drop_vars('time'), None, 'series 0: time has no dates'),
        (cube.isel(band=[0]), None, "series 0: no band 'B08'"),
        (cube.rename(x='column'), None, 'expected time, y, x and perhaps band'),
    ):
        with pytest.raises(ValueError, match=message):
            inferencer(given, days, out)
    assert not list(tmp_path.iterdir())


def test_unsuitable_checkpoints(trained, tmp_path):
    cfg, path = trained
    with pytest.raises(ValueError, match=r'overlap=1; expected 0 to below 1'):
        SITSInferencer(cfg, path, overlap=1)
    with pytest.raises(FileNotFoundError, match=r'none\.pth: no such checkpoint'):
        SITSInferencer(cfg, tmp_path / 'none.pth', 'cpu')
    for settings, message in (
        (
            {
                'test_dataloader.dataset.metainfo': dict(
                    classes=('Other', 'Crop'), palette=[[0] * 3] * 2
                )
            },
            'the model has 3 classes',
        ),
        ({'model.type': 'ExactClassifier'}, 'a classifier of stage 1'),
        ({'model.backbone.embed_dims': 4}, 'embed_dims|checkpoint of another model'),
    ):
        other = copy.deepcopy(cfg)
        other.merge_from_dict(settings)
        with pytest.raises(ValueError, match=message):
            SITSInferencer(other, path, 'cpu')
    other = copy.deepcopy(cfg)
    other.test_dataloader.dataset.metainfo.classes = ('Other', 'Grass', 'Crop')
    inferencer = SITSInferencer(other, path, 'cpu', show_progress=False)
    with pytest.raises(ValueError, match=r'trained on the classes .* in this order'):
        inferencer(series_of(trained), DAYS)


def test_data_of_the_training_need_not_be_there(trained, capsys):
    cfg = copy.deepcopy(trained[0])
    cfg.test_dataloader.dataset.data_root = 'nowhere'
    inferencer = SITSInferencer(cfg, trained[1], 'cpu')
    expected = read(trained[1].with_name('map.tif'))
    np.testing.assert_array_equal(inferencer(series_of(trained), DAYS).classes, expected)
    assert '1/1' in capsys.readouterr().out


def test_what_the_package_offers():
    assert all(getattr(mmexact.apis, name) for name in mmexact.apis.__all__)
    with pytest.raises(AttributeError, match="no attribute 'MMSegInferencer'"):
        mmexact.apis.MMSegInferencer  # noqa: B018
