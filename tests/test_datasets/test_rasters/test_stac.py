"""Series of STAC items: collections, catalogs and GeoParquet, all of them without a network."""

import builtins
import json
import socket

import numpy as np
import pyarrow
import pytest
import torch
from mmengine.dataset import pseudo_collate
from pyarrow import parquet
from rasterio import warp
from rasterio.transform import Affine
from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet
from torch.utils.data import DataLoader

from mmexact.datasets import LoadSITS, PackSITSInputs
from mmexact.datasets.rasters.stac_items import locate
from tests.data import CORNER, write_raster
from tests.test_datasets.test_rasters.areas import build, read
from tests.test_datasets.test_rasters.stac_data import tile, write_asset, write_items

SHAPE = (8, 12)
CODE = np.arange(1, 97, dtype=np.uint16).reshape(SHAPE)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    connect = socket.socket.connect

    def refuse(one, address):
        assert one.family == socket.AF_UNIX, f'a test opened a connection to {address}'
        return connect(one, address)  # to a worker process

    monkeypatch.setattr(socket.socket, 'connect', refuse)


def bands(start: int) -> dict[str, np.ndarray]:
    return dict(B04=CODE + np.uint16(start), B08=CODE + np.uint16(start + 500))


def two_dates(root):
    """One tile at two dates, in disorder."""
    later = tile(root, 'later', '2017-03-01T10:00:00Z', bands(100))
    return [later, tile(root, 'early', '2017-01-05T10:00:00Z', bands(0))]


def test_bands_by_their_names_and_dates_from_the_items(tmp_path):
    name = write_items(tmp_path, two_dates(tmp_path))
    dataset = build(tmp_path, name, dict(bands=['nir', 'B04']))
    info = dataset.get_data_info(4)
    assert info['day_of_year'].tolist() == [5, 60]
    assert info['georeference'].transform == (10, 0, 500040, 0, -10, 5099960)
    window = read(dataset, 4)
    assert window.dtype == np.uint16
    part = CODE[4:8, 4:8]
    np.testing.assert_array_equal(window[0], [part + 500, part])
    np.testing.assert_array_equal(window[1], [part + 600, part + 100])
    np.testing.assert_array_equal(read(build(tmp_path, name))[:, :1], read(dataset)[:, 1:])
    index = build(tmp_path, name, dict(bands=['ratio=nir/red'], date_range=('2017-03', '2017-03')))
    np.testing.assert_array_equal(
        read(index)[0, 0], (CODE[:4, :4] + 600) / (CODE[:4, :4] + 100).astype(np.float32)
    )


def test_common_names(tmp_path):
    """Of assets and, in STAC 1.1, of their bands; a picture is no band."""
    item = two_dates(tmp_path)[1]
    picture = write_raster(tmp_path / 'files/visual.tif', np.full((3, *SHAPE), 9, np.uint8))
    old, new = item['assets'].pop('B04'), item['assets'].pop('B08')
    old['eo:bands'] = [dict(name='one', common_name='red')]
    del new['eo:bands']
    new['bands'] = [{'eo:common_name': 'nir'}]
    colours = [dict(name=name, common_name=name) for name in ('red', 'green', 'blue')]
    visual = old | {'eo:bands': colours, 'href': f'files/{picture.name}', 'roles': ['visual']}
    item['assets'] = dict(visual=visual, first=old, second=new)
    name = write_items(tmp_path, [item])
    for wanted in (['red', 'nir'], ['B4', 'B08'], ['first', 'second'], ['one', 'nir']):
        window = read(build(tmp_path, name, dict(bands=wanted)))
        np.testing.assert_array_equal(window[0], [CODE[:4, :4], CODE[:4, :4] + 500])
    assert list(build(tmp_path, name).band_names) == ['first', 'second']
    assert read(build(tmp_path, name, dict(bands=['green'])))[0, 0, 0, 0] == 9


def test_tiles_of_a_day_are_one_date(tmp_path):
    """They overlap in two columns, where the earlier one counts unless it has no data."""
    left, right = np.full((8, 8), 5, np.uint16), np.full((8, 8), 7, np.uint16)
    left[0, 7] = 0
    items = [
        tile(tmp_path, 'right', '2017-01-05T10:00:09Z', dict(B04=right), column=6),
        tile(tmp_path, 'left', '2017-01-05T10:00:00Z', dict(B04=left)),
    ]
    window = read(build(tmp_path, write_items(tmp_path, items), gaps='pad', window_size=None))
    assert window.shape == (1, 1, 8, 14)
    assert window[0, 0, 0].tolist() == [5] * 7 + [7] * 7
    assert window[0, 0, 1].tolist() == [5] * 8 + [7] * 6


@pytest.mark.parametrize('step', [10, 1 / 9000])
def test_a_grid_that_begins_anywhere(tmp_path, step):
    """In degrees as well; the third tile lies above the first."""
    start = Affine(step, 0, 3.00013, 0, -step, 46.98765)
    crs = 'EPSG:32633' if step == 10 else 'EPSG:4326'
    items = []
    for name, column, row in (('a', 0, 0), ('b', 12, 0), ('c', 6, -8)):
        place = dict(transform=start @ Affine.translation(column, row), crs=crs)
        when = f'2017-01-05T10:00:0{len(items)}Z'
        items.append(tile(tmp_path, name, when, dict(B04=CODE), **place))
    window = read(build(tmp_path, write_items(tmp_path, items), gaps='pad', window_size=None))
    assert window.shape == (1, 1, 16, 24)
    np.testing.assert_array_equal(window.data[0, 0, 8:], np.tile(CODE, 2))
    np.testing.assert_array_equal(window.data[0, 0, :8, 6:18], CODE)
    assert np.ma.getmaskarray(window)[0, 0, :8].sum() == 8 * 12


def test_parts_without_a_tile_are_gaps(tmp_path):
    whole = tile(tmp_path, 'whole', '2017-01-05T10:00:00Z', dict(B04=CODE))
    half = tile(tmp_path, 'half', '2017-02-05T10:00:00Z', dict(B04=CODE[:, :6]), column=6)
    window = read(
        build(tmp_path, write_items(tmp_path, [whole, half]), gaps='pad', window_size=None)
    )
    assert np.ma.getmaskarray(window)[1, 0, 0].tolist() == [True] * 6 + [False] * 6
    assert window.data[1, 0, 0, 6:].tolist() == CODE[0, :6].tolist()


def test_tiles_of_several_crs_and_resolutions(tmp_path):
    """The second lies in the zone to the west, a third has 20 m; the grid is that of most."""
    first = dict(B04=np.full((40, 40), 50, np.uint16))
    (x,), (y,) = warp.transform('EPSG:32633', 'EPSG:32632', [CORNER.c], [CORNER.f])
    west = Affine(10, 0, round(x) - 1500, 0, -10, round(y) + 1500)
    second = dict(B04=np.full((300, 300), 70, np.uint16))
    items = [
        tile(tmp_path, 'a', '2017-01-05T10:00:00Z', first),
        tile(tmp_path, 'b', '2017-01-05T10:00:01Z', first, column=40),
        tile(tmp_path, 'c', '2017-01-05T10:00:02Z', second, transform=west, crs='EPSG:32632'),
    ]
    coarse = write_asset(
        tmp_path / 'files/coarse.tif', np.full((20, 20), 4, np.uint8), 'SCL',
        transform=CORNER @ CORNER.scale(2), nodata=0,
    )  # fmt: skip
    for item in items:
        item['assets']['SCL'] = coarse
    name = write_items(tmp_path, items)
    dataset = build(tmp_path, name, dict(bands=['B04']), gaps='pad', window_size=24)
    (reader,) = dataset.readers.values()
    assert reader.grid.crs.to_epsg() == 32633
    assert reader.grid.transform[0] == 10
    height, width = reader.size
    assert 300 < height < 400
    assert 300 < width < 400
    column, row = (~reader.grid.transform) @ (CORNER.c, CORNER.f)
    assert (column, row) == (round(column), round(row))
    window = (int(row) - 4, int(column) - 4, 8, 88)
    values, valid = reader.read_observed(np.array([0]), window)
    assert valid.all()  # the tile of the other zone reaches around
    expected = np.full((8, 88), 70)
    expected[4:, 4:84] = 50
    np.testing.assert_array_equal(values[0, 0], expected)
    # A pixel has the same value whatever the window.
    whole = reader.read_observed(np.array([0]), (0, 0, height, width))[0]
    row, column, *_ = window
    np.testing.assert_array_equal(whole[0, 0, row : row + 8, column : column + 88], values[0, 0])
    hidden = build(tmp_path, name, dict(bands=['B04'], clouds=dict(band='scl', codes=[4])))
    (reader,) = hidden.readers.values()
    assert not reader.read_observed(np.array([0]), (window[0] + 4, window[1] + 4, 4, 40))[1].any()


def test_clouds_and_labels(tmp_path):
    scenes = np.full(SHAPE, 4, np.uint8)
    scenes[0, 0] = 9
    items = two_dates(tmp_path)
    for item, values in zip(items, (scenes, np.full(SHAPE, 4, np.uint8)), strict=True):
        path = tmp_path / f'files/{item["id"]}_scl.tif'
        item['assets']['scl'] = write_asset(path, values, 'scl', nodata=0)
    write_raster(tmp_path / 'labels.tif', np.ones((1, *SHAPE), np.uint8))
    series = dict(area=dict(rasters=write_items(tmp_path, items), mask='labels.tif'))
    dataset = build(tmp_path, '', dict(clouds=dict(band='SCL')), series=series, gaps='pad')
    window = read(dataset)
    assert window.shape[1] == 2  # the mask is no band
    assert np.argwhere(window.mask[:, 0]).tolist() == [[1, 0, 0]]
    assert dataset.get_data_info(0)['gt_score'].tolist() == [1, 0]


def test_no_data_that_only_the_item_tells(tmp_path):
    item = tile(tmp_path, 'a', '2017-01-05T10:00:00Z', dict(B04=CODE), nodata=None)
    item['assets']['B04']['raster:bands'] = [dict(nodata=1, data_type='uint16')]
    window = read(build(tmp_path, write_items(tmp_path, [item]), gaps='pad'))
    assert np.argwhere(window.mask[0, 0]).tolist() == [[0, 0]]


def test_items_without_projection_metadata(tmp_path):
    """The files say where they lie."""
    item = two_dates(tmp_path)[1]
    for asset in item['assets'].values():
        for key in ('proj:shape', 'proj:transform', 'proj:code'):
            del asset[key]
    dataset = build(tmp_path, write_items(tmp_path, [item]), dict(bands=['B04']))
    np.testing.assert_array_equal(read(dataset)[0, 0], CODE[:4, :4])
    write_raster(tmp_path / 'files/no_crs.tif', CODE[None], crs=None)
    item['assets']['B04']['href'] = 'files/no_crs.tif'
    write_items(tmp_path, [item])
    with pytest.raises(ValueError, match=r"items.json: asset 'B04' of item 'early' has no coord"):
        build(tmp_path, 'items.json', dict(bands=['B04'])).get_data_info(0)
    known = build(tmp_path, 'items.json', dict(bands=['B04'], crs='EPSG:32633'))
    np.testing.assert_array_equal(read(known)[0, 0], CODE[:4, :4])


def write_catalog(root, items, child='./items/{id}.json'):
    (root / 'items').mkdir()
    links = [dict(rel='root', href='./catalog.json')]
    for item in items:
        links.append(dict(rel='item', href=child.format(id=item['id'])))
        for asset in item['assets'].values():
            asset['href'] = f'.{asset["href"]}'
        (root / f'items/{item["id"]}.json').write_text(json.dumps(item))
    content = dict(type='Catalog', id='all', stac_version='1.0.0', description='All', links=links)
    (root / 'catalog.json').write_text(json.dumps(content))


def test_a_catalog_and_geoparquet(tmp_path):
    items = two_dates(tmp_path)
    expected = read(build(tmp_path, write_items(tmp_path, items)))
    to_parquet(parse_stac_items_to_arrow(items), tmp_path / 'items.parquet')
    np.testing.assert_array_equal(read(build(tmp_path, 'items.parquet')), expected)
    write_catalog(tmp_path, items)
    np.testing.assert_array_equal(read(build(tmp_path, 'catalog.json')), expected)


def test_workers_and_what_is_opened(tmp_path):
    items = two_dates(tmp_path)
    far = tile(tmp_path, 'far', '2017-01-05T10:00:09Z', bands(0), column=12)
    name = write_items(tmp_path, [*items, far])
    dataset = build(tmp_path, name, pipeline=[LoadSITS(), PackSITSInputs()])
    for path in tmp_path.glob('files/far*'):
        path.unlink()
    expected = [dataset[index]['inputs'] for index in (0, 1, 2)]
    loader = DataLoader(dataset, batch_size=3, num_workers=1, collate_fn=pseudo_collate)
    batch = next(iter(loader))
    assert all(torch.equal(*pair) for pair in zip(batch['inputs'], expected, strict=True))
    with pytest.raises(FileNotFoundError, match=r'far_B0[48].tif'):
        dataset[4]


def lacking(items):
    del items[0]['assets']['B08']


def remote(items):
    items[0]['assets']['B04']['href'] = 'https://bucket.invalid/B04.tif'


def outside(items):
    items[0]['assets']['B04']['href'] = '../B04.tif'


def by_gdal(items):
    items[0]['assets']['B04']['href'] = '/vsicurl/https://bucket.invalid/B04.tif'


def gone(items):
    items[0]['assets']['B04']['href'] = 'files/gone.tif'


def undated(items):
    items[0]['properties']['datetime'] = None


def unnumbered(items):
    items[1]['assets']['B04']['eo:bands'] = [dict(name='x'), dict(name='B04')]


def other_size(items):
    items[0]['assets']['B04']['proj:shape'] = [8, 11]
    items[0]['assets']['B08']['proj:shape'] = [8, 11]


def unnamed(items):
    items[0]['assets']['B04']['eo:bands'] = [3]


def no_place(items):
    items[0]['assets']['B04']['proj:transform'] = None


@pytest.mark.parametrize(
    ('change', 'search', 'message'),
    [
        (lacking, {}, r"item 'later' of 2017-03-01 10:00:00.* has no band 'B08', only \['B04'\]"),
        (None, dict(bands=['B11']), r"item 'early' of .* has no band 'B11', only \['B04', 'B08'\]"),
        (None, dict(clouds=dict(band='SCL')), r"has no band 'SCL', only"),
        (None, dict(date_range=('2018-01', '2018-02')), 'no raster; they were taken from 2017-01'),
        (None, dict(clouds=dict(rasters='x')), 'clouds: rasters is set; expected a band'),
        (remote, {}, r"asset 'B04' of item 'later' leads to https://bucket.invalid/B04.tif; items "
         'lead to other machines only with MMEXACT_TRUST_RASTERS=1'),
        (by_gdal, {}, 'MMEXACT_TRUST_RASTERS=1'),
        (outside, {}, "asset 'B04' of item 'later' leads to .*, out of the folder of the items"),
        (gone, {}, r"gone.tif: no such file; asset 'B04' of item 'later' of .*items.json names it"),
        (undated, {}, "item 'later' cannot be understood|cannot be read as STAC"),
        (unnumbered, dict(bands=['B04']), r'early_B04.tif: 1 bands; expected band 2'),
        (other_size, {}, r'later_B04.tif: band 1 has \(8, 12\) pixels .*; expected \(8, 11\)'),
        (unnamed, {}, "item 'later' cannot be understood|cannot be read as STAC"),
        (no_place, {}, "item 'later' cannot be understood|band 'B04'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_items(tmp_path, monkeypatch, change, search, message):
    monkeypatch.delenv('MMEXACT_TRUST_RASTERS', raising=False)
    items = two_dates(tmp_path)
    if change:
        change(items)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read(build(tmp_path, write_items(tmp_path, items), search))


def test_other_types(tmp_path):
    items = two_dates(tmp_path)
    write_raster(tmp_path / 'files/later_B04.tif', CODE[None].astype(np.float32), nodata=0)
    with pytest.raises(
        ValueError, match=r'later_B04.tif: .* of type float32; expected .*uint16 as'
    ):
        read(build(tmp_path, write_items(tmp_path, items)))
    write_items(tmp_path, items[:1])
    with pytest.raises(ValueError, match='types float32 of B04, uint16 of B08; expected the same'):
        build(tmp_path, 'items.json').get_data_info(0)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'expected STAC: an item collection'),
        ('[]', 'cannot be read as STAC'),
        ('{"type": "FeatureCollection", "features": []}', 'has no items; expected STAC'),
        (
            '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}}]}',
            'cannot be read as STAC',
        ),
        ('{"type": "Topology"}', 'cannot be read as STAC'),
    ],
)
def test_what_is_no_stac(tmp_path, content, message):
    (tmp_path / 'items.json').write_text(content)
    with pytest.raises(ValueError, match=f'items.json.*{message}'):
        build(tmp_path, 'items.json').get_data_info(0)


def test_no_geoparquet_and_several_files(tmp_path):
    parquet.write_table(pyarrow.table(dict(a=[1])), tmp_path / 'a.parquet')
    with pytest.raises(ValueError, match=r'a.parquet: cannot be read as STAC'):
        build(tmp_path, 'a.parquet').get_data_info(0)
    (tmp_path / 'b.parquet').write_bytes(b'PAR1')
    with pytest.raises(ValueError, match=r'2 files of STAC items; expected one'):
        build(tmp_path, '*.parquet').get_data_info(0)


def test_a_catalog_that_leads_elsewhere(tmp_path, monkeypatch):
    monkeypatch.delenv('MMEXACT_TRUST_RASTERS', raising=False)
    write_catalog(tmp_path, two_dates(tmp_path), child='https://stac.invalid/{id}.json')
    with pytest.raises(ValueError, match=r'catalog.json: a link leads to https://stac.invalid/la'):
        build(tmp_path, 'catalog.json').get_data_info(0)


def test_a_raster_that_is_a_document(tmp_path, monkeypatch):
    monkeypatch.delenv('MMEXACT_TRUST_RASTERS', raising=False)
    name = write_items(tmp_path, two_dates(tmp_path))
    (tmp_path / 'files/early_B04.tif').write_text('<VRTDataset></VRTDataset>')
    with pytest.raises(ValueError, match='is a VRT under another name'):
        build(tmp_path, name).get_data_info(0)


def test_items_that_are_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv('MMEXACT_TRUST_RASTERS', '1')
    items = str(tmp_path / 'items.json')
    addresses = {
        'https://a.invalid/b.tif?sig=1': '/vsicurl/https://a.invalid/b.tif?sig=1',
        's3://bucket/b.tif': '/vsis3/bucket/b.tif',
        '/vsizip/a.zip/b.tif': '/vsizip/a.zip/b.tif',
    }
    assert {href: locate(href, items, 'asset') for href in addresses} == addresses
    (tmp_path / 'a.tif').touch()
    inner = str(tmp_path / 'inner/items.json')
    assert locate((tmp_path / 'a.tif').as_uri(), inner, 'asset') == str(tmp_path / 'a.tif')


def test_without_the_packages(tmp_path, monkeypatch):
    name = write_items(tmp_path, two_dates(tmp_path))
    load = builtins.__import__

    def without(package, *args, **kwargs):
        if package.startswith('mmexact.datasets.rasters.stac'):
            raise ImportError('No module named pystac')
        return load(package, *args, **kwargs)

    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(ValueError, match=r"pip install 'mmexact\[stac\]'"):
        build(tmp_path, name).get_data_info(0)
