"""The tools that read a config's data, run on small trees in the real formats."""

import base64
import importlib.util
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from mmexact.datasets import PASTISDataset
from mmexact.datasets.pastis.pastis import METAINFO
from tests.data import CORNER, SIZE, position_code, write_pastis, write_raster

TOOLS = Path(__file__).parents[2] / 'tools'
CONVERTERS, ANALYSIS = TOOLS / 'dataset_converters', TOOLS / 'analysis_tools'


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run a tool in this process: its standard output, or its message if it stops."""
    monkeypatch.chdir(tmp_path)

    def run(path, *args):
        monkeypatch.setattr(sys, 'argv', [path.name, *map(str, args)])
        module = load(path)
        try:
            module.main()
        except SystemExit as stop:
            code = stop.code
        else:
            return capsys.readouterr().out
        last = capsys.readouterr().err.splitlines()[-1]
        assert (code, last.startswith(f'{path.name}: error: ')) == (2, True)
        return last

    return run


@pytest.fixture
def root(tmp_path):
    masks = {}
    for patch in range(6):
        masks[patch] = np.full(SIZE, 1 + patch % 3, np.uint8)
        masks[patch][:4, :4] = (0, 19)[patch % 2]
    return write_pastis(tmp_path / 'pastis', masks, folds=dict.fromkeys(masks, 1))


@pytest.fixture
def config(root, tmp_path):
    path = tmp_path / 'my_config.py'
    path.write_text(
        "custom_imports = dict(imports=['mmexact'])\n"
        f'windows = dict(type="PASTISDataset", data_root={str(root)!r}, folds=[1], window_size=4)\n'
        'train_dataloader = dict(dataset=windows)\n'
    )
    return path


def write_area(root, name='area', cover=None, **kwargs):
    """Write a raster series of 8 x 12 pixels, three dates of two bands, no data at some places."""
    for index, date in enumerate(('20200110', '20200501', '20200915')):
        values = np.stack([np.full((8, 12), 100), np.full((8, 12), 300)]).astype(np.int16)
        values += np.int16(index * 10)
        values[:, index, 2] = -1
        write_raster(root / name / f'{date}.tif', values, nodata=-1, **kwargs)
    if cover is not None:
        write_raster(root / f'{name}_labels.tif', cover[None], **kwargs)


@pytest.fixture
def raster_config(tmp_path):
    cover = np.repeat([[0, 1, 2]], 8, 0).repeat(4, 1).astype(np.uint8)
    write_area(tmp_path / 'rasters', 'area', cover)
    write_area(tmp_path / 'rasters', 'other', cover, transform=CORNER @ Affine.translation(12, 0))
    path = tmp_path / 'raster_config.py'
    path.write_text(
        "custom_imports = dict(imports=['mmexact'])\n"
        'train_dataloader = dict(dataset=dict(\n'
        f'    type="RasterSeriesDataset", data_root={str(tmp_path / "rasters")!r}, window_size=4,\n'
        '    series={name: dict(rasters=f"{name}/*.tif", mask=f"{name}_labels.tif")\n'
        '            for name in ("area", "other")},\n'
        '    metainfo=dict(classes=("Background", "Wheat", "Maize"),\n'
        '                  palette=[[0, 0, 0], [255, 0, 0], [0, 0, 255]])))\n'
    )
    return path


def figures(text, name):
    return [float(value) for value in re.search(rf'{name}=\[(.*)\],', text)[1].split(', ')]


def test_band_statistics_are_those_of_all_windows(run, config):
    out = run(CONVERTERS / 'compute_band_statistics.py', config)
    windows = np.stack([position_code(5, 3, *SIZE)[..., :8, :12] + patch for patch in range(6)])
    np.testing.assert_allclose(figures(out, 'mean'), windows.mean((0, 1, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(figures(out, 'std'), windows.std((0, 1, 3, 4)), rtol=1e-5)
    assert f'# 36 windows, {6 * 5 * 96} values per band or more' in out
    out = run(CONVERTERS / 'compute_band_statistics.py', config, '--percentiles', 5, 95)
    middle = np.sort(windows[:, :, 0].ravel())
    low, high = middle[int(0.05 * len(middle)) - 1], middle[int(0.95 * len(middle)) - 1]
    kept = middle[(middle >= low) & (middle <= high)]
    assert figures(out, 'mean')[0] == pytest.approx(kept.mean(), rel=1e-5)
    assert figures(out, 'std')[0] == pytest.approx(kept.std(), rel=1e-5)


def test_band_statistics_leave_out_what_was_not_observed(run, raster_config):
    out = run(CONVERTERS / 'compute_band_statistics.py', raster_config)
    # 95 of 96 pixels at each date; filled gaps would be counted otherwise.
    assert f'# 12 windows, {2 * 3 * 95} values' in out
    assert figures(out, 'mean') == [110, 310]
    assert figures(out, 'std') == pytest.approx([np.std([100, 110, 120])] * 2, rel=1e-5)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--percentiles', '98', '2'], r'--percentiles: 98 2; expected 0 <= LOW < HIGH <= 100'),
        (['--loader', 'val'], r'my_config.py: the config has no val_dataloader'),
        (
            ['--cfg-options', 'train_dataloader.dataset.data_root=nowhere'],
            r'nowhere: no such directory. PASTIS',
        ),
        (
            [
                '--cfg-options',
                'windows.type=PASTIS24Dataset',
                'train_dataloader.dataset.folds="[4]"',
            ],
            r'no fold \[4\], only \[1\]',
        ),
    ],
)
def test_what_statistics_cannot_do_is_said_in_a_line(run, config, options, message):
    error = run(CONVERTERS / 'compute_band_statistics.py', config, *options)
    assert re.search(rf'error: .*{message}', error)


def test_tools_want_a_plain_dataset_of_series(run, config):
    wrapped = 'dataset=dict(type="RepeatDataset", times=2, dataset=windows)'
    config.write_text(config.read_text().replace('dataset=windows', wrapped))
    error = run(CONVERTERS / 'compute_band_statistics.py', config)
    assert "train_dataloader.dataset.type='RepeatDataset'; expected a dataset of series" in error


def test_the_window_copy_is_made_and_completed(run, root, tmp_path):
    arguments = (CONVERTERS / 'pastis_windows.py', root, tmp_path / 'copy', '--window-size', 4)
    assert run(*arguments).endswith('copy: complete, 6 patches written by this run\n')
    assert run(*arguments).endswith('copy: complete, 0 patches written by this run\n')
    datasets = [
        PASTISDataset(str(place), [1], window_size=4) for place in (root, tmp_path / 'copy')
    ]
    for index in range(36):
        infos = [dataset.get_data_info(index) for dataset in datasets]
        series = [info['reader'].read(np.arange(5), info['window']) for info in infos]
        np.testing.assert_array_equal(*series)


def test_a_copy_of_nothing_is_refused(run, tmp_path):
    error = run(CONVERTERS / 'pastis_windows.py', tmp_path / 'nowhere', tmp_path / 'copy')
    assert re.search(r'nowhere: no metadata.geojson and DATA_S2', error)
    assert not (tmp_path / 'copy').exists()


def read_lists(folder):
    return {path.stem: path.read_text().split() for path in folder.iterdir()}


def test_splits_hold_whole_patches_and_all_windows(run, config, root, tmp_path):
    shares = ['--shares', 'train=0.5', 'test=0.5']
    out = run(CONVERTERS / 'split_windows.py', config, '--out', tmp_path / 'splits', *shares)
    lists = read_lists(tmp_path / 'splits')
    assert sorted(lists) == ['test', 'train']
    patches = {name: {sample.split('_')[0] for sample in ids} for name, ids in lists.items()}
    assert not patches['train'] & patches['test']
    assert sorted(lists['train'] + lists['test']) == sorted(
        f'{p}_{w}' for p in range(6) for w in range(6)
    )
    # Patches 0 and 3 have one crop, 1 and 4 another, 2 and 5 a third: each split gets all.
    assert {int(patch) % 3 for patch in patches['test']} == {0, 1, 2}
    row = re.search(r'^Soft winter wheat .*$', out, re.M)[0]
    assert row.split()[3:] == ['5', '(50', '%)', '5', '(50', '%)']
    ann_file = str(tmp_path / 'splits' / 'test.txt')
    dataset = PASTISDataset(str(root), [1], window_size=4, ann_file=ann_file)
    ids = [dataset.get_data_info(index)['sample_id'] for index in range(len(dataset))]
    assert ids == lists['test']


def test_folds_on_the_ground_keep_their_distance(run, raster_config, tmp_path):
    run(
        CONVERTERS / 'split_windows.py', raster_config, '--out', tmp_path / 'folds',
        '--folds', 3, '--block-size', 8, '--buffer', 1, '--map', tmp_path / 'maps' / 'folds.png',
    )  # fmt: skip
    lists = read_lists(tmp_path / 'folds')
    places = {}
    for index, name in enumerate(('area', 'other')):
        for number in range(6):
            places[f'{name}_{number}'] = (number // 3, number % 3 + 3 * index)
    # Blocks of 2 x 2 windows reach from one raster into the next.
    tested = [sample for fold in (1, 2, 3) for sample in lists[f'fold_{fold}']]
    assert sorted(tested) == sorted(places)
    for fold in (1, 2, 3):
        test, train = lists[f'fold_{fold}'], lists[f'fold_{fold}_train']
        assert len({places[sample][1] // 2 for sample in test}) == 1
        for one in test:
            for other in train:
                steps = np.subtract(places[one], places[other])
                assert np.abs(steps).max() > 1
    picture = np.asarray(Image.open(tmp_path / 'maps' / 'folds.png').convert('RGB'))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--shares', 'train=0.5', 'test=0.6'], r'--shares: the sum is 1.1; expected 1'),
        (['--shares', 'train'], r'--shares: train; expected NAME=SHARE'),
        (['--shares', 'a=-1', 'b=2'], r'expected different names and positive shares'),
        (['--folds', '1'], r'--folds: 1; expected 2 or more'),
        (['--folds', '7'], r'6 blocks for 7 splits: make the blocks smaller'),
        (['--block-size', '0'], r'--block-size has to be positive'),
        (['--block-size', '4', '--buffer', '99'], r'train.txt would be empty: use smaller blocks'),
    ],
)
def test_what_cannot_be_split_is_said_in_a_line(run, config, tmp_path, options, message):
    error = run(CONVERTERS / 'split_windows.py', config, '--out', tmp_path / 'splits', *options)
    assert re.search(rf'error: .*{message}', error)
    assert not (tmp_path / 'splits').exists()


def test_splits_are_not_replaced_unasked(run, config, tmp_path):
    arguments = (CONVERTERS / 'split_windows.py', config, '--out', tmp_path / 'splits')
    run(*arguments)
    before = read_lists(tmp_path / 'splits')
    error = run(*arguments, '--seed', 1)
    assert re.search(r'train.txt is there already: choose another --out, or replace it', error)
    assert read_lists(tmp_path / 'splits') == before
    run(*arguments, '--seed', 1, '--overwrite')


def pictures(page):
    return [
        Image.open(io.BytesIO(base64.b64decode(code)))
        for code in re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    ]


def test_a_page_shows_the_data(run, config, tmp_path):
    out = run(
        ANALYSIS / 'browse_dataset.py', config, '--out', tmp_path / 'page', '--windows', 3,
        '--red', 1, '--nir', 2, '--cfg-options', 'windows.metainfo.classes="Background,Meadow"',
    )  # fmt: skip
    assert out.rstrip().endswith('page/index.html')
    page = (tmp_path / 'page' / 'index.html').read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert 'my_config.py: train data' in page
    # Balance, dates, NDVI; and three windows with four quarters and the labels.
    assert len(pictures(page)) == 3 + 3 * 5
    for name in METAINFO['classes'][1:4]:
        # Two of six patches have the crop, in all windows but the first.
        assert f'<tr><td>{name}</td><td>10</td><td>27.8</td>' in page
    assert '36 in 6 series' in page
    assert '5 to 5, median 5' in page


def test_a_page_without_masks_and_bands(run, raster_config, tmp_path):
    labels = tmp_path / 'labels.csv'
    labels.write_text('sample_id,classes\n' + ''.join(f'area_{n},Wheat\n' for n in range(6)))
    text = raster_config.read_text().replace('mask=f"{name}_labels.tif"', 'mask=None')
    raster_config.write_text(
        text.replace('window_size=4', f'window_size=4, image_labels_file={str(labels)!r}')
    )
    page = tmp_path / 'page' / 'index.html'
    run(ANALYSIS / 'browse_dataset.py', raster_config, '--out', page.parent)
    assert 'say with --red and --nir' in page.read_text()
    assert len(pictures(page.read_text())) == 2 + 6 * 4
    run(ANALYSIS / 'browse_dataset.py', raster_config, '--out', page.parent, '--red', 1, '--nir', 2)
    assert len(pictures(page.read_text())) == 3 + 6 * 4
    error = run(ANALYSIS / 'browse_dataset.py', raster_config, '--out', page.parent, '--red', 3)
    assert re.search(r'argument --red: 3; the data have the bands 1 to 2', error)


@pytest.mark.parametrize(
    ('names', 'told'),
    [
        (('B04', 'B8A'), 'Of band 1, red, and band 2, near infrared.'),
        (('nir', 'red'), 'Of band 2, red, and band 1, near infrared.'),
        (('clouds', 'NDVI'), 'Band 2, as it is.'),
        (('VV', 'VH'), 'say with --red and --nir'),
    ],
)
def test_a_page_knows_bands_by_their_names(run, raster_config, tmp_path, names, told):
    for path in tmp_path.glob('rasters/*/*.tif'):
        with rasterio.open(path, 'r+') as raster:
            raster.descriptions = names
    search = f'window_size=4, search=dict(bands={names})'
    raster_config.write_text(raster_config.read_text().replace('window_size=4', search))
    run(ANALYSIS / 'browse_dataset.py', raster_config, '--out', tmp_path / 'page')
    page = (tmp_path / 'page/index.html').read_text()
    assert told in page
    assert f'<td>{", ".join(names)}</td>' in page
