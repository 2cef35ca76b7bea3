import copy
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from geopandas import GeoDataFrame
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from rasterio.errors import NotGeoreferencedWarning
from shapely import Polygon

from mmexact.apis.blocks import blending, plan_blocks, total_weight, window_starts
from mmexact.apis.inference import build_scenes, load_segmentor, predict_scene
from mmexact.apis.strips import SCORES
from tests.cubes import make_cube, write_cube
from tests.data import CORNER, SIZE, write_pastis, write_pastis24, write_raster
from tests.scenes import CORNER_SIDE, NODATA, write_scenes


@pytest.fixture(autouse=True, scope='module')
def one_thread():
    # Two threads wait for each other in models this small, long when the machine is busy.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """Config and checkpoint of a segmentor with weights that tell pixels apart."""
    folder = tmp_path_factory.mktemp('scene')
    cfg = Config.fromfile(write_scenes(folder))
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save(model.state_dict(), folder / 'seg.pth')
    return cfg, str(folder / 'seg.pth')


ALONE = np.outer(
    np.isin(range(10), [6, 7], invert=True), np.isin(range(13), [9, 10, 11], invert=True)
)
"""Pixels of a scene that lie in one window only: where the last one is moved back to the edge,
MMSeg means logits, and maps mean probabilities."""


def build(scene, **test_cfg):
    cfg = copy.deepcopy(scene[0])
    cfg.model.test_cfg.update(test_cfg)
    return load_segmentor(cfg, scene[1], 'cpu'), build_scenes(cfg)


def whole(model, dataset, index=0):
    """What MMSeg predicts when it gets the whole scene."""
    batch = {key: [value] for key, value in dataset[index].items()}
    with torch.no_grad():
        return model.test_step(batch)[0]


def read(path):
    with rasterio.open(path) as raster:
        return raster.read(1)


def test_windows_reach_to_the_edge():
    assert window_starts(101, 24, 0) == [0, 24, 48, 72, 77]
    assert window_starts(24, 24, 0.5) == [0]
    assert window_starts(13, 4, 0.5) == [0, 2, 4, 6, 8, 9]
    assert window_starts(4, 2, 0.9) == [0, 1, 2]


def test_weights_of_windows_that_overlap_by_half_add_up_to_one():
    np.testing.assert_allclose(blending(2), [0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(blending(3), [0.25, 1, 0.25], rtol=1e-6)
    total = total_weight(20, window_starts(20, 8, 0.5), 8)
    np.testing.assert_allclose(total[4:16], 1, rtol=1e-6)
    np.testing.assert_allclose(total[:4], blending(8)[:4])


def test_every_window_belongs_to_one_block(scene):
    model, dataset = build(scene)
    info = dataset.get_data_info(0)  # 10 x 13 pixels, windows of 4
    blocks = plan_blocks(model, info, 0.5, 1)
    windows = [(row, column) for block in blocks for row in block.rows for column in block.columns]
    rows, columns = [0, 2, 4, 6], [0, 2, 4, 6, 8, 9]
    assert sorted(windows) == [(row, column) for row in rows for column in columns]
    assert [block.finished for block in blocks] == [4] * 3 + [10] * 3
    assert blocks[0] == ((0, 0, 6, 6), [0, 2], [0, 2], 4)
    assert blocks[-1] == ((4, 8, 6, 5), [4, 6], [8, 9], 10)
    assert len(plan_blocks(model, info, 0.5, 8)) == 1


@pytest.mark.parametrize(('block_windows', 'num_workers'), [(1, 0), (2, 1), (8, 0)])
def test_without_overlap_a_map_is_what_mmseg_predicts(scene, tmp_path, block_windows, num_workers):
    model, dataset = build(scene)
    paths = tmp_path / 'map.tif', tmp_path / 'scores.tif'
    calls = []
    pixels = predict_scene(
        model,
        dataset,
        0,
        paths[0],
        dict(probability=paths[1]),
        None,
        0,
        block_windows,
        num_workers,
        lambda: calls.append(1),
    )
    assert len(calls) == len(plan_blocks(model, dataset.get_data_info(0), 0, block_windows))
    sample = whole(model, dataset)
    classes = sample.pred_sem_seg.data[0].numpy()
    percent = 100 * sample.seg_logits.data.softmax(0).amax(0).numpy()
    assert len(np.unique(classes)) == 3
    for plane in (classes, percent):
        plane[:CORNER_SIDE, :CORNER_SIDE] = 255
    np.testing.assert_array_equal(read(paths[0])[ALONE], classes[ALONE])
    np.testing.assert_array_equal(read(paths[1])[ALONE], np.rint(percent)[ALONE])
    names = ((0, 'Other'), (1, 'Crop'), (2, 'Grass'), (255, 'no data'))
    assert pixels == {name: (read(paths[0]) == number).sum() for number, name in names}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'map.qml', 'map.tif', 'map.tif.aux.xml', 'scores.tif'
    ]  # fmt: skip


@pytest.mark.parametrize(('overlap', 'block_windows'), [(0.5, 1), (0.5, 8), (0.25, 2), (0.7, 1)])
def test_windows_that_overlap_are_blended(scene, tmp_path, overlap, block_windows):
    model, dataset = build(scene)
    paths = tmp_path / 'map.tif', tmp_path / 'scores.tif'
    scores = dict(probability=paths[1])
    predict_scene(model, dataset, 0, paths[0], scores, None, overlap, block_windows)
    inputs = dataset[0]['inputs']
    total, weight = torch.zeros(3, *SIZE), torch.zeros(SIZE)
    window = torch.from_numpy(np.outer(blending(4), blending(4)))
    for row in window_starts(SIZE[0], 4, overlap):
        for column in window_starts(SIZE[1], 4, overlap):
            here = (..., slice(row, row + 4), slice(column, column + 4))
            with torch.no_grad():
                sample = model.test_step(dict(inputs=[inputs[here]]))[0]
            total[here] += sample.seg_logits.data.softmax(0) * window
            weight[here] += window
    best, classes = (total / weight).max(0)
    classes, percent = classes.numpy(), (100 * best).numpy()
    for plane in (classes, percent):
        plane[:CORNER_SIDE, :CORNER_SIDE] = 255
    np.testing.assert_array_equal(read(paths[0]), classes)
    np.testing.assert_allclose(read(paths[1]), percent, atol=0.501)


def test_a_part_of_a_scene_is_read_from_its_own_corner(scene, tmp_path, monkeypatch):
    model, dataset = build(scene)
    predict_scene(model, dataset, 0, tmp_path / 'whole.tif', overlap=0)
    info = dict(dataset.get_data_info(0), window=(4, 4, 4, 4), size=(4, 4))
    monkeypatch.setattr(dataset, 'get_data_info', lambda index: info)
    predict_scene(model, dataset, 0, tmp_path / 'part.tif', overlap=0)
    # Rows 4 and 5 of the whole lie in no other window than that of the part.
    part, whole = read(tmp_path / 'part.tif'), read(tmp_path / 'whole.tif')
    np.testing.assert_array_equal(part[:2], whole[4:6, 4:8])


def test_the_map_lies_where_the_series_lies(scene, tmp_path):
    predict_scene(*build(scene), 0, tmp_path / 'map.tif')
    with rasterio.open(tmp_path / 'map.tif') as raster:
        assert raster.crs.to_epsg() == 32633
        assert raster.transform == CORNER
        assert raster.shape == SIZE
        assert raster.nodata == 255
        assert raster.colormap(1)[1] == (250, 200, 0, 255)
        assert raster.tags(1)['class_2'] == 'Grass'


def test_whole_mode_is_one_block(scene):
    # The second area is as large as the one window that TSViT takes.
    model, dataset = build(scene, mode='whole')
    assert plan_blocks(model, dataset.get_data_info(1)) == [((0, 0, 4, 4), [0], [0], 4)]
    sample = whole(model, dataset, 1)
    assert torch.equal(sample.seg_logits.data, whole(*build(scene), 1).seg_logits.data)


def pastis_config(cfg, kind, root):
    cfg = copy.deepcopy(cfg)
    dataset = dict(type=kind, data_root=str(root), folds=(1,))
    keep = {key: cfg.test_dataloader.dataset[key] for key in ('pipeline',)}
    cfg.test_dataloader.dataset = dict(**dataset, **keep, metainfo=dict(classes=PASTIS_CLASSES))
    for part in (cfg.model.backbone, cfg.model.data_preprocessor):
        part.update(
            dict(in_channels=3) if 'in_channels' in part else dict(mean=[9] * 3, std=[9] * 3)
        )
    return cfg


PASTIS_CLASSES = ('Background', 'Meadow', 'Corn')


def weights(cfg, path):
    torch.save(MODELS.build(cfg.model).state_dict(), path)
    return str(path)


def test_windows_of_pastis_are_mapped_as_whole_patches_without_georeference(scene, tmp_path):
    write_pastis(tmp_path / 'PASTIS', {7: np.zeros(SIZE, int)})
    cfg = pastis_config(scene[0], 'PASTISDataset', tmp_path / 'PASTIS')
    cfg.test_dataloader.dataset.window_size = 4
    model = load_segmentor(cfg, weights(cfg, tmp_path / 'seg.pth'), 'cpu')
    dataset = build_scenes(cfg)
    assert [dataset.get_data_info(0)['sample_id'], len(dataset)] == ['7', 1]
    predict_scene(model, dataset, 0, tmp_path / '7.tif', overlap=0, block_windows=2)
    with pytest.warns(NotGeoreferencedWarning):
        classes = read(tmp_path / '7.tif')
    expected = whole(model, dataset).pred_sem_seg.data[0].numpy()
    np.testing.assert_array_equal(classes[ALONE], expected[ALONE])


def test_windows_of_pastis24_are_mapped_in_parts(scene, tmp_path):
    write_pastis24(tmp_path / 'P24', {'7_0': np.zeros((8, 8), int)}, {1: ['7_0']})
    cfg = pastis_config(scene[0], 'PASTIS24Dataset', tmp_path / 'P24')
    model = load_segmentor(cfg, weights(cfg, tmp_path / 'seg.pth'), 'cpu')
    dataset = build_scenes(cfg)
    for side in (1, 8):
        predict_scene(model, dataset, 0, tmp_path / f'{side}.tif', overlap=0, block_windows=side)
        with pytest.warns(NotGeoreferencedWarning):
            classes = read(tmp_path / f'{side}.tif')
        np.testing.assert_array_equal(classes, whole(model, dataset).pred_sem_seg.data[0])


def test_a_pipeline_that_changes_the_size_is_refused(scene, tmp_path):
    cfg = copy.deepcopy(scene[0])
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='RandomCrop', crop_size=(4, 4)))
    with pytest.raises(ValueError, match='area: a block of 10 x 13 pixels came out as 4 x 4'):
        predict_scene(load_segmentor(*scene, 'cpu'), build_scenes(cfg), 0, tmp_path / 'map.tif')


def test_a_list_of_windows_stands_for_their_patches(scene, tmp_path):
    write_pastis(tmp_path / 'PASTIS', {n: np.zeros(SIZE, int) for n in (7, 8, 9)})
    (tmp_path / 'PASTIS' / 'test.txt').write_text('9_0\n7_3\n9_5\n')
    cfg = pastis_config(scene[0], 'PASTISDataset', tmp_path / 'PASTIS')
    cfg.test_dataloader.dataset.update(window_size=4, ann_file='test.txt')
    (tmp_path / 'PASTIS' / 'ANNOTATIONS' / 'TARGET_7.npy').unlink()  # masks are not read
    dataset = build_scenes(cfg)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info['sample_id'] for info in infos] == ['9', '7']
    assert all(info['seg_map_path'] is None and 'gt_score' not in info for info in infos)
    (tmp_path / 'PASTIS' / 'test.txt').write_text('9_0\n5_3\n')
    with pytest.raises(ValueError, match=r"test.txt: 1 of 2 sample ids are not in the data.*'5'"):
        build_scenes(cfg)


def test_an_interruption_leaves_nothing_half_written(scene, tmp_path):
    calls = []

    def interrupt():
        calls.append(list(tmp_path.iterdir()))
        if len(calls) == 2:
            raise KeyboardInterrupt

    paths = tmp_path / 'map.tif', tmp_path / 'scores.tif'
    scores = dict(probability=paths[1])
    with pytest.raises(KeyboardInterrupt):
        predict_scene(*build(scene), 0, paths[0], scores, None, 0, 1, after_block=interrupt)
    assert sorted(path.suffixes[::2] for path in calls[0]) == [['.tif', '.part']] * 2
    assert not list(tmp_path.iterdir())


def test_a_scene_smaller_than_a_window_is_refused(scene):
    model, dataset = build(scene, crop_size=(4, 14))
    with pytest.raises(ValueError, match=r'area has 10 x 13 pixels, less than a window.* 4 x 14'):
        plan_blocks(model, dataset.get_data_info(0))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'test_dataloader': None}, 'no test_dataloader'),
        ({'test_dataloader.dataset.type': 'ADE20KDataset'}, 'expected a dataset of series'),
        ({'test_dataloader.dataset.pipeline.0.date_choice': 'random'}, "set 'even' or 'first'"),
    ],
)
def test_unsuitable_test_data(scene, options, message):
    cfg = copy.deepcopy(scene[0])
    cfg.merge_from_dict(options)
    with pytest.raises(ValueError, match=message):
        build_scenes(cfg)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'model.type': 'ExactClassifier'}, 'a classifier of stage 1.*seg_tsvit_pastis'),
        ({'model.type': 'TSViT'}, r"model\.type='TSViT'; expected a segmentor"),
        ({'model.backbone.temporal_depth': 2}, 'checkpoint of another model'),
    ],
)
def test_unsuitable_model(scene, options, message):
    cfg = copy.deepcopy(scene[0])
    cfg.merge_from_dict(options)
    with pytest.raises(ValueError, match=message):
        load_segmentor(cfg, scene[1], 'cpu')


def test_classes_of_model_and_data_must_agree(scene, tmp_path):
    cfg = copy.deepcopy(scene[0])
    cfg.test_dataloader.dataset.metainfo = dict(classes=('Other', 'Crop'))
    with pytest.raises(ValueError, match=r'the model has 3 classes, but .* has 2'):
        predict_scene(load_segmentor(*scene, 'cpu'), build_scenes(cfg), 0, tmp_path / 'map.tif')


def read_area(cfg):
    """The series of the first area, (T, C, H, W), and its dates."""
    paths = sorted((Path(cfg.test_dataloader.dataset.data_root) / 'area').glob('*.tif'))
    values = []
    for path in paths:
        with rasterio.open(path) as raster:
            values.append(raster.read())
    return np.stack(values), [path.stem for path in paths]


def layout(cfg, folder, name):
    """The scene with its first area in another form."""
    values, dates = read_area(cfg)
    cfg = copy.deepcopy(cfg)
    settings = cfg.test_dataloader.dataset
    settings.series = dict(area=dict(rasters=str(folder / name), mask='none.tif'))
    if name == 'stack.tif':
        path = write_raster(folder / name, values.reshape(-1, *SIZE), nodata=NODATA)
        with rasterio.open(path, 'r+') as raster:
            for number, date in enumerate(np.repeat(dates, 2)):
                raster.set_band_description(number + 1, f'{date} {"ab"[number % 2]}')
        settings.search = dict(stack='description', band_pattern='(?P<band>.)$', bands=['a', 'b'])
    else:
        times = [f'{date[:4]}-{date[4:6]}-{date[6:]}' for date in dates]
        write_cube(folder / name, make_cube(values, 'ab', times, south_up=True))
        settings.search = dict(nodata=NODATA)
    return cfg


@pytest.mark.parametrize(('name', 'num_workers'), [('stack.tif', 0), ('c.zarr', 1), ('c.nc', 0)])
def test_a_stack_or_a_cube_is_mapped_as_files_are(scene, tmp_path, name, num_workers):
    model, dataset = build(scene)
    expected = predict_scene(model, dataset, 0, tmp_path / 'expected.tif')
    dataset = build_scenes(layout(scene[0], tmp_path, name))
    pixels = predict_scene(
        model, dataset, 0, tmp_path / 'map.tif', block_windows=2, num_workers=num_workers
    )
    assert pixels == expected
    np.testing.assert_array_equal(read(tmp_path / 'map.tif'), read(tmp_path / 'expected.tif'))
    with rasterio.open(tmp_path / 'map.tif') as raster:
        assert raster.crs.to_epsg() == 32633
        assert raster.transform == CORNER


@pytest.mark.parametrize('gaps', ['pad', 'interpolate'])
def test_all_blocks_see_the_clearest_dates_of_the_scene(scene, tmp_path, gaps):
    cfg = copy.deepcopy(scene[0])
    settings = cfg.test_dataloader.dataset
    settings.gaps = gaps
    settings.pipeline[0] = dict(type='LoadSITS', num_dates=2, date_choice='clear')
    # Of the third and the fifth date the right half is missing.
    values, dates = read_area(cfg)
    values[[2, 4], :, :, 6:] = NODATA
    for date, bands in zip(dates, values, strict=True):
        write_raster(tmp_path / 'clouds' / f'{date}.tif', bands, nodata=NODATA)
    settings.series = dict(area=dict(rasters=str(tmp_path / 'clouds' / '*.tif')))
    model, dataset = load_segmentor(cfg, scene[1], 'cpu'), build_scenes(cfg)
    shares = dataset.readers['area'].clear_shares((0, 0, *SIZE))
    assert shares[[2, 4]].max() < shares[[0, 1, 3]].min()
    small, large = (
        predict_scene(model, dataset, 0, tmp_path / f'{side}.tif', block_windows=side)
        for side in (1, 8)
    )
    assert small == large
    np.testing.assert_array_equal(read(tmp_path / '1.tif'), read(tmp_path / '8.tif'))


def test_scores_say_how_sure_a_map_is(scene, tmp_path):
    model, dataset = build(scene)
    scores = {kind: tmp_path / f'{kind}.tif' for kind in SCORES}
    predict_scene(model, dataset, 0, tmp_path / 'map.tif', scores)
    with rasterio.open(scores['classes']) as raster:
        assert raster.descriptions == ('Other', 'Crop', 'Grass')
        shares = raster.read() / 100
    classes, seen = read(tmp_path / 'map.tif'), read(tmp_path / 'map.tif') < 255
    assert (shares[:, ~seen] == 2.55).all()
    assert np.abs(shares[:, seen].sum(0) - 1).max() < 0.02
    ranked = np.sort(shares, 0)
    entropy = -(shares * np.log(np.maximum(shares, 1e-9))).sum(0) / np.log(3)
    chosen = np.take_along_axis(shares, np.where(seen, classes, 0)[None].astype(int), 0)[0]
    for kind, expected in (
        ('probability', chosen),
        ('margin', ranked[2] - ranked[1]),
        ('entropy', entropy),
    ):
        assert np.abs(read(scores[kind])[seen] - 100 * expected[seen]).max() < 3, kind
        assert (read(scores[kind])[~seen] == 255).all()


@pytest.mark.parametrize('block_windows', [1, 8])
def test_an_area_of_interest_in_degrees_is_mapped_as_the_whole_is(scene, tmp_path, block_windows):
    model, dataset = build(scene)
    predict_scene(model, dataset, 0, tmp_path / 'whole.tif')
    # Columns 6 to 9 and rows 2 to 8, as polygons in degrees.
    corners = [CORNER @ corner for corner in ((6, 2), (10, 2), (10, 9), (6, 9))]
    area = GeoDataFrame(geometry=[Polygon(corners)], crs=32633).to_crs(4326)
    calls = []
    predict_scene(
        model,
        dataset,
        0,
        tmp_path / 'part.tif',
        area=area,
        block_windows=block_windows,
        after_block=lambda: calls.append(1),
    )
    info = dataset.get_data_info(0)
    assert len(calls) == len(plan_blocks(model, info, block_windows=block_windows))
    inside = np.zeros(SIZE, bool)
    inside[2:9, 6:10] = True
    expected = np.where(inside, read(tmp_path / 'whole.tif'), 255)
    found = read(tmp_path / 'part.tif')
    np.testing.assert_array_equal(found == 255, expected == 255)
    # A window that lies outside is not predicted: it has no part in the blend at the border.
    assert (found == expected).mean() > 0.95
