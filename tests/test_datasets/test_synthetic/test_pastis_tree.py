import importlib.util
import json
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from mmexact.datasets.synthetic import phenology
from mmexact.datasets.synthetic.calendars import CROPS, WATER, season_day
from mmexact.datasets.synthetic.land import VOID, draw_land
from mmexact.datasets.synthetic.pastis_tree import DEFAULTS, draw_dates, write_pastis_tree
from mmexact.datasets.synthetic.series import Region, draw_series

TOOL = Path(__file__).parents[3] / 'tools/dataset_converters/make_synthetic_pastis.py'
B4, B8 = phenology.BANDS.index('B4'), phenology.BANDS.index('B8')
REGION = Region(0.0, (1.0, 0.0, 0.0, 0.0))


@pytest.fixture(scope='module')
def tree(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'tree'
    assert write_pastis_tree(root, num_patches=6, num_crops=4, num_dates=(6, 9), seed=3)
    return root


@pytest.fixture(scope='module')
def metadata(tree) -> dict:
    return json.loads((tree / 'metadata.geojson').read_text())


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Run the tool in this process; returns what it prints."""
    spec = importlib.util.spec_from_file_location('make_synthetic_pastis', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*argv):
        monkeypatch.setattr(sys, 'argv', [TOOL.name, *map(str, argv)])
        try:
            tool.main()
        except SystemExit as stop:
            if stop.code != 2:
                raise
            return capsys.readouterr().err
        return capsys.readouterr().out

    return run


def test_layout(tree, metadata):
    names = {'metadata.geojson', 'NORM_S2_patch.json', 'manifest.json'}
    for patch in range(10000, 10006):
        names |= {f'DATA_S2/S2_{patch}.npy', f'ANNOTATIONS/TARGET_{patch}.npy'}
        names |= {f'ANNOTATIONS/ParcelIDs_{patch}.npy'}
    assert set(contents(tree)) == names
    assert metadata['crs']['properties']['name'].endswith('EPSG::2154')
    assert [f['properties']['Fold'] for f in metadata['features']] == [1, 2, 3, 4, 5, 1]
    ids = [f['properties']['ID_PATCH'] for f in metadata['features']]
    assert ids == list(range(10000, 10006))


def test_arrays(tree, metadata):
    for feature in metadata['features']:
        properties = feature['properties']
        patch = properties['ID_PATCH']
        series = np.load(tree / f'DATA_S2/S2_{patch}.npy')
        assert series.dtype == np.int16
        assert series.shape == (len(properties['dates-S2']), 10, 128, 128)
        assert 6 <= len(series) <= 9
        assert series.min() >= 1
        target = np.load(tree / f'ANNOTATIONS/TARGET_{patch}.npy')
        assert target.dtype == np.uint8
        assert target.shape == (3, 128, 128)
        assert set(np.unique(target[0])) <= {0, 1, 2, 3, 4, VOID}
        ids = np.load(tree / f'ANNOTATIONS/ParcelIDs_{patch}.npy')
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids > 0, target[0] > 0)
        is_parcel = (target[0] > 0) & (target[0] < VOID)
        assert properties['N_Parcel'] == len(np.unique(ids[is_parcel]))
        assert properties['Parcel_Cover'] == pytest.approx(is_parcel.mean(), abs=1e-6)
        # a parcel has one label
        for parcel in np.unique(ids[ids > 0]):
            assert len(np.unique(target[0][ids == parcel])) == 1


def test_dates_are_real_and_rise(metadata):
    series = []
    for feature in metadata['features']:
        dates = feature['properties']['dates-S2']
        assert list(dates) == [str(i) for i in range(len(dates))]
        days = [datetime.strptime(str(d), '%Y%m%d') for d in dates.values()]
        assert all(a < b for a, b in pairwise(days))
        assert datetime(2018, 9, 1) <= days[0]
        assert days[-1] < datetime(2019, 11, 1)
        series.append(tuple(dates.values()))
    assert len(set(series)) == len(series)


def test_patches_are_squares_of_1280_m_that_do_not_overlap(metadata):
    corners = set()
    for feature in metadata['features']:
        ring = np.array(feature['geometry']['coordinates'][0])
        np.testing.assert_array_equal(ring[0], ring[-1])
        np.testing.assert_array_equal(np.ptp(ring, axis=0), [1280, 1280])
        corners.add(tuple(ring[0]))
    assert len(corners) == len(metadata['features'])


def test_statistics_are_those_of_the_fold(tree):
    statistics = json.loads((tree / 'NORM_S2_patch.json').read_text())
    assert list(statistics) == [f'Fold_{i}' for i in range(1, 6)]
    series = np.load(tree / 'DATA_S2/S2_10001.npy').astype(np.float64)
    np.testing.assert_allclose(statistics['Fold_2']['mean'], series.mean((0, 2, 3)))
    np.testing.assert_allclose(statistics['Fold_2']['std'], series.std((0, 2, 3)))


def test_same_arguments_same_bytes_and_patches_do_not_depend_on_their_number(tree, tmp_path):
    arguments = dict(num_crops=4, num_dates=(6, 9))
    write_pastis_tree(tmp_path / 'again', num_patches=6, seed=3, **arguments)
    assert contents(tmp_path / 'again') == contents(tree)
    write_pastis_tree(tmp_path / 'fewer', num_patches=1, seed=3, **arguments)
    first = contents(tmp_path / 'fewer')
    arrays = [name for name in first if name.endswith('.npy')]
    assert len(arrays) == 3
    assert all(first[name] == contents(tree)[name] for name in arrays)
    write_pastis_tree(tmp_path / 'other', num_patches=1, seed=4, **arguments)
    other = contents(tmp_path / 'other')
    assert all(first[name] != other[name] for name in arrays)


def test_dates_fill_the_revisit_grid_at_most_once():
    for count in (1, 2, 24, DEFAULTS.most_dates):
        days = draw_dates(np.random.default_rng(count), count)
        assert len(days) == count
        assert (np.diff(days) > 0).all()
        assert (np.diff(days) % 5 == 0).all()


def test_favoured_crops_reach_every_fold():
    for fold in range(5):
        seen = [c for turn in range(4) for c in DEFAULTS.favoured_crops(5 * turn + fold)]
        assert sorted(seen) == list(range(8))


def test_class_shares_have_a_long_tail_and_windows_differ():
    pixels, crops_of = np.zeros(20), []
    for index in range(40):
        land = draw_land(np.random.default_rng(index), 8, DEFAULTS.favoured_crops(index), 1)
        pixels += np.bincount(land.labels.ravel(), minlength=20)
        windows = land.labels[:120, :120].reshape(5, 24, 5, 24).swapaxes(1, 2).reshape(25, -1)
        for window in windows:
            counts = np.bincount(window, minlength=20)[1:9]
            crops_of.append(tuple(np.flatnonzero(counts > 5.76)))
    shares = pixels / pixels.sum()
    assert 0.25 < shares[0] < 0.40
    assert 0.01 < shares[VOID] < 0.06
    assert shares[1:9].max() > 4 * shares[1:9].min() > 0.06
    assert 2 < np.mean([len(c) for c in crops_of]) < 3.5
    presence = [np.mean([k in c for c in crops_of]) for k in range(8)]
    assert max(presence) < 0.8
    assert min(presence) > 0.1


def test_parcels_have_the_size_of_fields():
    sizes = []
    for index in range(10):
        land = draw_land(np.random.default_rng(index), 8, (), 1)
        sizes += list(np.unique(land.parcel_ids[land.parcel_ids > 0], return_counts=True)[1])
    assert min(sizes) >= 20
    assert 80 < np.median(sizes) < 250
    assert np.quantile(sizes, 0.99) < 900


def units(covers) -> phenology.Units:
    """Units that follow their calendars to the day."""
    count = len(covers)
    none, never = np.zeros(count), np.full((count, 4), np.inf)
    return phenology.Units(
        np.array(covers), none, np.ones(count), none, none, never, np.zeros((count, 3))
    )


def test_canopy_follows_the_calendar():
    names = [crop.name for crop in CROPS]
    wheat, barley = names.index('Soft winter wheat'), names.index('Winter barley')
    corn = names.index('Corn')
    days = np.array([season_day(f'2019-{day}') for day in ('05-10', '06-15', '07-30')])
    leaf, dry, _ = phenology.canopy(units([wheat, barley, corn]), days)
    # May: both cereals are green, corn is bare
    assert leaf[0, 0] > 3.5
    assert leaf[1, 0] > 3.5
    assert leaf[2, 0] < 0.2
    # mid-June: barley has turned and wheat has not
    assert dry[1, 1] > 1.0 > 0.5 > dry[0, 1]
    # end of July: cereals are harvested, corn is closed
    assert leaf[0, 2] < 0.2
    assert leaf[2, 2] > 4


def test_shift_moves_the_season():
    early = units([1])
    late = phenology.Units(**{**vars(early), 'shift': np.array([10.0])})
    days = np.arange(100, 300, 7)
    np.testing.assert_allclose(
        phenology.canopy(early, days)[0], phenology.canopy(late, days + 10)[0]
    )


def test_cuts_mow_the_meadow():
    meadow = units([0])
    cut = phenology.Units(**{**vars(meadow), 'cuts': np.array([[250.0] + [np.inf] * 3])})
    days = np.array([249, 250, 500])
    before, after = phenology.canopy(meadow, days)[0][0], phenology.canopy(cut, days)[0][0]
    np.testing.assert_allclose(after / before, [1, 0.25, 1], atol=1e-4)


def test_bare_and_closed_canopy():
    substrate = np.linspace(0.1, 0.3, 10).reshape(1, 10, 1, 1)
    top = np.full((1, 10, 1, 1), 0.4)
    nothing, dense = np.zeros((1, 1, 1)), np.full((1, 1, 1), 50.0)
    np.testing.assert_allclose(
        phenology.reflectance(nothing, nothing, top, substrate), substrate, rtol=1e-6
    )
    np.testing.assert_allclose(phenology.reflectance(dense, nothing, top, substrate), top)
    np.testing.assert_allclose(
        phenology.reflectance(nothing, dense, top, substrate).ravel(), phenology.SPECTRA['dry']
    )


def test_series_look_like_their_crops():
    days = np.array([season_day(f'2019-{day}') for day in ('04-24', '05-15', '07-30', '08-20')])
    ndvi, red, wet = {k: [] for k in range(1, 9)}, {k: [] for k in range(1, 9)}, []
    for index in range(4):
        rng = np.random.default_rng(index)
        land = draw_land(rng, 8, DEFAULTS.favoured_crops(index), 1)
        series = draw_series(rng, land, REGION, days, difficulty=0.0).astype(np.float64)
        index_of = (series[:, B8] - series[:, B4]) / (series[:, B8] + series[:, B4])
        for crop in range(1, 9):
            where = land.labels == crop
            if where.sum() > 100:
                ndvi[crop].append(np.median(index_of[:, where], axis=1))
                red[crop].append(np.median(series[0, B4, where]))
        # beside the mixed pixels of the banks
        water = binary_erosion(land.covers[land.units] == WATER, iterations=2)
        wet += list(index_of[:, water].ravel())
    meadow, wheat, corn = (np.mean(ndvi[k], axis=0) for k in (1, 2, 3))
    assert meadow[1] > 0.7 > 0.35 > corn[1]
    assert wheat[1] > 0.7
    assert wheat[2] < 0.45 < 0.7 < corn[2]
    assert len(wet) > 100
    assert max(wet) < 0.15
    # in late April flowering rapeseed reflects far more red than green wheat
    assert np.mean(red[5]) > 2 * np.mean(red[2])


def test_clear_sky_pixels_keep_their_nature_at_the_default_difficulty(tree, metadata):
    meadow = []
    for feature in metadata['features']:
        properties = feature['properties']
        series = np.load(tree / f'DATA_S2/S2_{properties["ID_PATCH"]}.npy').astype(np.float64)
        labels = np.load(tree / f'ANNOTATIONS/TARGET_{properties["ID_PATCH"]}.npy')[0]
        for image, day in zip(series, properties['dates-S2'].values(), strict=True):
            clear = (image[0] < 1000) & (image[B8] > 1800) & (labels == 1)
            if str(day)[4:6] in ('04', '05') and clear.sum() > 50:
                red, infrared = image[B4][clear], image[B8][clear]
                meadow.append(np.median((infrared - red) / (infrared + red)))
    assert len(meadow) >= 3
    assert np.median(meadow) > 0.65


def test_difficulty_brings_clouds():
    land = draw_land(np.random.default_rng(0), 8, (), 1)
    days = np.arange(20, 400, 10)
    clouded = []
    for difficulty in (0.0, 1.0, 2.0):
        series = draw_series(np.random.default_rng(1), land, REGION, days, difficulty)
        clouded.append(np.mean(series[:, 0] > 2500))
    # settlements hold a few bright roofs, which are no clouds
    assert clouded[0] < 0.01 < 0.05 < clouded[1] < clouded[2] < 0.5


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'num_patches': 0}, 'num_patches=0'),
        ({'num_crops': 19}, 'num_crops=19; expected 2 to 18'),
        ({'num_dates': (9, 6)}, r'num_dates=\(9, 6\)'),
        ({'num_dates': (5, 500)}, r'num_dates=\(5, 500\)'),
        ({'difficulty': 9.0}, 'difficulty=9.0'),
        ({'seed': -1}, 'seed=-1'),
    ],
)
def test_arguments_out_of_range(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_pastis_tree(tmp_path / 'tree', **wrong)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_tree_goes_on(tree, tmp_path):
    def stop_after_one(patches):
        yield patches[0]
        raise KeyboardInterrupt

    arguments = dict(num_patches=6, num_crops=4, num_dates=(6, 9), seed=3)
    with pytest.raises(KeyboardInterrupt):
        write_pastis_tree(tmp_path / 'tree', **arguments, track=stop_after_one)
    first = tmp_path / 'tree/DATA_S2/S2_10000.npy'
    assert [path.name for path in first.parent.iterdir()] == ['S2_10000.npy']
    written = first.stat().st_mtime_ns
    assert write_pastis_tree(tmp_path / 'tree', **arguments)
    assert first.stat().st_mtime_ns == written
    assert contents(tmp_path / 'tree') == contents(tree)


def test_tool_resumes_refuses_and_overwrites(tmp_path, run_tool):
    out = tmp_path / 'tree'
    small = ('--out', out, '--patches', 1, '--min-dates', 2, '--max-dates', 3)
    assert f'wrote 1 patches to {out}' in run_tool(*small)
    before = contents(out)
    assert run_tool(*small) == f'{out}: complete\n'
    assert 'seed: 0 there, 7 now' in run_tool(*small, '--seed', 7)
    assert contents(out) == before
    assert 'wrote 1 patches' in run_tool(*small, '--seed', 7, '--overwrite')
    assert json.loads((out / 'manifest.json').read_text())['inputs']['seed'] == 7
    assert contents(out).keys() == before.keys()
    assert contents(out) != before
    assert [p.name for p in tmp_path.iterdir()] == ['tree']


def test_tool_leaves_foreign_directories_alone(tmp_path, run_tool):
    (tmp_path / 'S2_1.npy').write_text('mine')
    error = run_tool('--out', tmp_path, '--patches', 1, '--overwrite')
    assert 'holds something else than synthetic PASTIS' in error
    assert [path.name for path in tmp_path.iterdir()] == ['S2_1.npy']
    assert (tmp_path / 'S2_1.npy').read_text() == 'mine'
