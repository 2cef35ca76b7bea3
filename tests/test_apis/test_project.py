"""A new project from rasters and labels: what is found, chosen and refused."""

import itertools
import runpy
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from mmexact.apis.configs import read_config, shipped
from mmexact.apis.data import open_data
from mmexact.apis.exact_stages import ExactStages
from mmexact.apis.project import choose_classes, start_project
from mmexact.apis.project_files import SHARES, to_source
from mmexact.apis.survey import category_names, find_bands
from tests.areas import MODEL
from tests.data import CORNER, position_code, write_raster
from tests.in_process import run_in_process

SIZE = (48, 64)
"""Rows and columns: 48 windows of 8 x 8."""
CROPS = ('Wheat', 'Maize', 'Grass')


def write_series(root: Path, bands: int = 2) -> str:
    """Write three dates of 10 m; returns the pattern."""
    for month, values in zip((3, 6, 9), position_code(3, bands, *SIZE), strict=True):
        write_raster(root / 'series' / f'S2_2017{month:02d}15.tif', values)
    return str(root / 'series/*.tif')


def write_codes(path: Path, **settings) -> Path:
    """Write a raster of codes in blocks of 8 x 8: 1, 2, 3 and 9 from window to window."""
    rows, columns = (np.arange(side)[:, None] // 8 for side in SIZE)
    codes = np.array([1, 2, 3, 9], np.uint8)[(rows + columns.T) % 4]
    return write_raster(path, codes[None], **settings)


def write_fields(path: Path) -> Path:
    """Write a field in each of the windows, by turns of one crop."""
    boxes, names = [], []
    for row in range(SIZE[0] // 8):
        for column in range(SIZE[1] // 8):
            corner = CORNER @ (8 * column + 2, 8 * row + 2)
            boxes.append(shapely.box(*corner, corner[0] + 40, corner[1] - 40))
            names.append(CROPS[(row + column) % 3])
    frame = geopandas.GeoDataFrame(dict(crop=names), geometry=boxes, crs='EPSG:32633')
    frame.to_crs(4326).to_file(path)
    return path


@pytest.fixture
def root(tmp_path):
    write_series(tmp_path)
    return tmp_path


def start(root: Path, labels: Path, **settings) -> dict[str, str]:
    """Start a project in ``root/mine``; returns what was told."""
    found = start_project(root / 'mine', str(root / 'series/*.tif'), str(labels), **settings)
    return dict(found)


def read(root: Path) -> dict:
    return runpy.run_path(str(root / 'mine/area.py'))['area']


class TestStart:
    def test_polygons(self, root):
        told = start(root, write_fields(root / 'fields.gpkg'), label_options=dict(column='crop'))
        area = read(root)
        assert area['data_root'] == str(root)
        assert area['rasters'] == 'series/*.tif'
        assert area['search'] == dict(bands=[1, 2])
        assert area['labels'] == dict(column='crop', file='fields.gpkg')
        assert area['classes'] == ('Background', *CROPS)
        assert len(area['palette']) == 4
        assert (area['window_size'], area['patch_size']) == (8, 1)  # gives most windows
        assert area['num_dates'] == 3
        assert area['iterations'] == 300
        # The values are numbered from 0 on: date * 2 * 3072 + band * 3072 + pixel.
        assert area['mean'][1] - area['mean'][0] == pytest.approx(3072, abs=4)
        assert told['dates'] == '3 from 2017-03-15 to 2017-09-15'
        assert told['bands'] == '1, 2'
        assert told['grid'] == '64 x 48 pixels of 10 m, EPSG:32633'
        assert told['labels'] == 'Wheat 16, Maize 16, Grass 16'
        assert told['windows'] == '48 of 8 x 8 pixels have labels'

    def test_codes_by_their_beginnings_in_a_column_with_a_colon(self, root):
        fields = geopandas.read_file(write_fields(root / 'fields.gpkg'))
        hcat = dict(Wheat=3301010101, Maize=3301010600, Grass=3302000000)
        fields = fields.assign(**{'crop:code': fields.pop('crop').map(hcat)})
        fields.to_parquet(root / 'fields.parquet')
        codes = {'330101*': 'Cereal', '3301010600': 'Maize'}
        options = dict(column='crop:code')
        told = start(root, root / 'fields.parquet', label_options=options, codes=codes)
        assert told['labels'] == 'Cereal 16, Maize 16, 3302000000 16'
        area = read(root)
        assert area['labels']['codes'] == {'3301010101': 'Cereal', '3301010600': 'Maize'}
        assert len(open_data(read_config(root / 'mine/cls.py'), 'test')) > 3
        with pytest.raises(ValueError, match=r"no label '99\*' \(--codes\)"):
            start(
                root,
                root / 'fields.parquet',
                label_options=options,
                codes={'99*': 'x'},
                overwrite=True,
            )

    def test_a_computed_band_among_integers(self, root):
        search = dict(bands=[1, 'share=b1/(b1+b2)'])
        fields = write_fields(root / 'fields.gpkg')
        told = start(root, fields, label_options=dict(column='crop'), search=search)
        assert told['bands'] == '1, share=b1/(b1+b2)'
        mean, std = read(root)['mean'], read(root)['std']
        # Band 2 is 3072 more than band 1, whose values go up to 15359.
        assert 0 < std[1] < 0.2 < mean[1] < 0.5
        data = open_data(read_config(root / 'mine/cls.py'), 'test')
        packed = data[0]['inputs'].reshape(3, 3, 8, 8)
        share = packed[:, 0] / (2 * packed[:, 0] + 3072)
        np.testing.assert_allclose(packed[:, 1], share, rtol=1e-6)

    def test_the_split_deals_every_window_once(self, root):
        told = start(root, write_fields(root / 'fields.gpkg'), label_options=dict(column='crop'))
        parts = [
            (root / f'mine/splits/{part}.txt').read_text().split()
            for part in ('train', 'val', 'test')
        ]
        assert sorted(itertools.chain(*parts)) == sorted(f'area_{number}' for number in range(48))
        assert len(parts[0]) > len(parts[1]) > 3
        assert told['windows in'] == ', '.join(
            f'{part} {len(ids)}' for part, ids in zip(('train', 'val', 'test'), parts, strict=True)
        )

    @pytest.mark.parametrize('stage', ['cls', 'seg'])
    def test_the_configs_read_these_windows(self, root, stage):
        start(root, write_codes(root / 'codes.tif'), codes={'9': 'Other'})
        cfg = read_config(root / f'mine/{stage}.py')
        data = open_data(cfg, 'test')
        ids = [data.get_data_info(index)['sample_id'] for index in range(len(data))]
        part = dict(cls='train', seg='test')[stage]
        assert ids == (root / f'mine/splits/{part}.txt').read_text().split()
        assert cfg.work_dir == f'{root}/mine/results/{stage}'

    def test_a_raster_of_codes(self, root):
        """Codes without names get some; the background is recognised by its name."""
        told = start(root, write_codes(root / 'codes.tif'), codes={'1': 'Wheat', '9': 'other'})
        area = read(root)
        assert area['mask'] == 'codes.tif'
        assert area['codes'] == {1: 'Wheat', 2: 'Class 2', 3: 'Class 3', 9: 'other'}
        assert area['classes'] == ('other', 'Wheat', 'Class 2', 'Class 3')
        assert told['labels'] == 'Wheat 768, Class 2 768, Class 3 768, other 768'

    def test_labels_on_another_grid_count_inside_the_rasters_only(self, root):
        """They begin 8 pixels further to the right and down; code 7 lies outside."""
        path = write_codes(root / 'codes.tif', transform=CORNER @ CORNER.translation(8, 8))
        with rasterio.open(path, 'r+') as raster:
            raster.write(np.full((1, 4, 64), 7, np.uint8), window=((44, 48), (0, 64)))
        start(root, path)
        assert set(read(root)['codes']) == {1, 2, 3, 9}

    def test_chosen_classes_leave_the_others_to_the_background(self, root):
        fields = write_fields(root / 'fields.gpkg')
        start(root, fields, label_options=dict(column='crop'), classes=['Maize'])
        area = read(root)
        assert area['classes'] == ('Background', 'Maize')
        assert area['labels']['codes'] == dict(Wheat='Background', Grass='Background')

    def test_what_a_user_sets_holds(self, root):
        search = dict(bands=[2], date_range=('2017-05', '2017-12'), nodata=0)
        start(root, write_codes(root / 'codes.tif'), search=search, window_size=16)
        area = read(root)
        assert area['search'] == search
        assert (area['window_size'], area['patch_size']) == (16, 2)
        assert area['num_dates'] == 2
        assert len(area['mean']) == 1

    def test_labels_elsewhere_are_named_by_their_whole_path(self, root, tmp_path_factory):
        labels = write_codes(tmp_path_factory.mktemp('labels') / 'codes.tif')
        start(root, labels)
        assert read(root)['mask'] == str(labels)
        assert read(root)['data_root'] == str(root / 'series')

    def test_a_crop_that_the_training_lacks_is_told(self, root):
        """Code 5 fills the last window, and the split is the same every time."""
        path = write_codes(root / 'codes.tif')
        with rasterio.open(path, 'r+') as raster:
            raster.write(np.full((1, 8, 8), 5, np.uint8), window=((40, 48), (56, 64)))
        told = start(root, path)
        held = ['area_47' in (root / f'mine/splits/{part}.txt').read_text() for part in SHARES]
        counts = ', '.join(f'{part} {number:d}' for part, number in zip(SHARES, held, strict=True))
        assert told['Class 5'] == counts + ('' if held[0] else ': cannot be learned')


class TestRefusal:
    def refuse(self, root, message, error=ValueError, labels=None, **settings):
        with pytest.raises(error, match=message):
            start(root, labels or write_codes(root / 'codes.tif'), **settings)

    def test_a_folder_that_is_there(self, root):
        (root / 'mine').mkdir()
        (root / 'mine/thesis').touch()
        self.refuse(root, r'mine is there and not empty: .* --overwrite', FileExistsError)
        start(root, root / 'codes.tif', overwrite=True)
        start(root, root / 'codes.tif', overwrite=True)
        assert (root / 'mine/thesis').exists()

    def test_no_rasters_and_no_labels(self, root):
        self.refuse(root, r'nothing.gpkg: no such file', FileNotFoundError, root / 'nothing.gpkg')
        for path in (root / 'series').iterdir():
            path.unlink()
        self.refuse(root, r'series/\*.tif: no such file', FileNotFoundError)

    def test_a_column_that_is_not_there(self, root):
        fields = write_fields(root / 'fields.gpkg')
        message = r"no column 'kind'; it has \['crop'\]"
        self.refuse(root, message, labels=fields, label_options=dict(column='kind'))

    def test_labels_that_touch_no_raster(self, root):
        fields = geopandas.read_file(write_fields(root / 'fields.gpkg')).translate(2, 2)
        far = geopandas.GeoDataFrame(dict(crop='Wheat'), index=fields.index, geometry=fields)
        far.to_file(root / 'far.gpkg')
        options = dict(column='crop')
        message = r'far.gpkg: none of its 48 labels lies where the rasters do'
        self.refuse(root, message, labels=root / 'far.gpkg', label_options=options)
        far_away = CORNER @ CORNER.translation(5000, 0)
        self.refuse(root, 'codes.tif', labels=write_codes(root / 'codes.tif', transform=far_away))

    def test_a_window_larger_than_the_area(self, root):
        self.refuse(root, 'window_size=64 does not fit; choose .* between 1 and 48', window_size=64)

    def test_too_few_windows_for_a_split(self, root):
        self.refuse(root, '1 labelled windows of 48 x 48 pixels are too few', window_size=48)

    def test_names_that_do_not_occur(self, root):
        self.refuse(root, r"no label 'Rye' \(--classes\); there are \['Class 1'", classes=['Rye'])
        self.refuse(root, r"no label '4' \(--codes\); there are \[1, 2, 3, 9\]", codes={'4': 'Rye'})


class TestFindBands:
    def find(self, root, **given):
        return find_bands(str(root), sorted(map(str, root.glob('*.tif'))), given)

    def write(self, root, *names, bands=1, descriptions=()):
        for name in names:
            path = write_raster(root / f'{name}.tif', np.zeros((bands, 4, 4), np.uint8))
            with rasterio.open(path, 'r+') as raster:
                raster.descriptions = tuple(descriptions) or (None,) * bands

    def test_bands_by_their_descriptions(self, tmp_path):
        self.write(tmp_path, '20170101', '20170201', bands=2, descriptions=['red', 'nir'])
        assert self.find(tmp_path) == dict(bands=['red', 'nir'])

    def test_one_file_per_date_and_band(self, tmp_path):
        """A band that one date lacks is left out; the scene classification tells clouds."""
        for date in ('20170101', '20170201'):
            self.write(tmp_path, *(f'T33_{date}_{band}_10m' for band in ('B08', 'B04', 'SCL')))
        self.write(tmp_path, 'T33_20170201_B02_10m')
        found = self.find(tmp_path)
        assert found['bands'] == ['B04', 'B08']
        assert found['clouds'] == dict(band='SCL')
        assert '(?P<band>' in found['band_pattern']
        assert self.find(tmp_path, clouds=None)['clouds'] is None

    def test_bands_as_the_last_word(self, tmp_path):
        self.write(tmp_path, '20170101_vv', '20170101_vh', '20170201_vv', '20170201_vh')
        assert self.find(tmp_path)['bands'] == ['vh', 'vv']

    def test_a_stack(self, tmp_path):
        texts = ['20170101_B02', '20170101_B04', '20170201_B02', '20170201_B04']
        self.write(tmp_path, 'stack', bands=4, descriptions=texts)
        found = self.find(tmp_path)
        assert found['stack'] == 'description'
        assert found['bands'] == ['B02', 'B04']

    def test_no_band_in_common_names_two_dates(self, tmp_path):
        self.write(tmp_path, '20170101_B02', '20170101_B03', '20170201_B08', '20170201_B11')
        message = (
            r"no band is there at all dates: 2017-01-01 00:00:00 has \['B02', 'B03'\], "
            r"2017-02-01 00:00:00 has \['B08', 'B11'\]; choose other --rasters"
        )
        with pytest.raises(ValueError, match=message):
            self.find(tmp_path)
        season = self.find(tmp_path, date_range=('2017-02', '2017-02'))
        assert season['bands'] == ['B08', 'B11']

    def test_rasters_without_dates(self, tmp_path):
        self.write(tmp_path, 'a', 'b')
        with pytest.raises(ValueError, match=r"no date in its name 'a.tif'"):
            self.find(tmp_path)


CATEGORIES = '<CategoryNames><Category/><Category>Wheat</Category></CategoryNames>'
TABLE = """<GDALRasterAttributeTable>
<FieldDefn index="0"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
<FieldDefn index="1"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
<Row index="0"><F>Wheat</F><F>1</F></Row><Row index="1"><F>Town</F><F>8</F></Row>
</GDALRasterAttributeTable>"""


@pytest.mark.parametrize(
    ('xml', 'names'),
    [(CATEGORIES, {0: '', 1: 'Wheat'}), (TABLE, {1: 'Wheat', 8: 'Town'}), ('', {})],
)
def test_names_of_codes_in_the_raster(tmp_path, xml, names):
    path = write_codes(tmp_path / 'codes.tif')
    text = f'<PAMDataset><PAMRasterBand band="1">{xml}</PAMRasterBand></PAMDataset>'
    Path(f'{path}.aux.xml').write_text(text)
    assert category_names(str(path)) == names


def test_choose_classes():
    assert choose_classes(['Rye', 'Other', 'ignored'], (), 'f') == ('Other', 'Rye')
    with pytest.raises(ValueError, match=r'41 crops, such as .*: choose some with --classes'):
        choose_classes([str(number) for number in range(41)], (), 'f')
    with pytest.raises(ValueError, match='f: 0 crops'):
        choose_classes(['Background'], (), 'f')


def test_settings_become_python_that_reads_the_same():
    long = ['Soft winter wheat, with a comma', "farmer's choice"] * 8
    for value in (dict(a=1, b=(1, 'x')), {1: 'a', 'b c': None}, long, ('one',), [[1, 2]] * 40):
        text = to_source(value, 8)
        assert eval(text) == value
        assert max(map(len, text.splitlines())) < 100


def test_from_polygons_to_a_map(root, capsys):
    """What a newcomer does: two commands, of which the second runs here with a tiny model."""
    command = [
        str(shipped('tools/start_project.py')), '--rasters', str(root / 'series/*.tif'),
        '--labels', str(write_fields(root / 'fields.gpkg')), '--column', 'crop', str(root / 'mine'),
    ]  # fmt: skip
    run_in_process(command)
    printed = capsys.readouterr().out
    assert f'tools/run_stages.py {root / "mine"}' in printed.splitlines()[-1]
    configs = (str(root / 'mine' / name) for name in ('cls.py', 'seg.py'))
    for name, heads in MODEL.items():
        with open(root / f'mine/{name}.py', 'a') as file:
            file.write(heads)
    stages = ExactStages(*configs, options=['area.iterations=2'], execute=run_in_process)
    report = stages.run()
    assert report == root / 'mine/results/report.html'
    with rasterio.open(root / 'mine/results/seg/maps/area.tif') as raster:
        assert raster.shape == SIZE
        assert raster.transform == CORNER
        assert raster.read(1).max() <= 3


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--codes', '1:Wheat'], 'argument --codes: 1:Wheat: expected CODE=NAME,...'),
        (['--search', 'nodata'], "argument --search: expected KEY=VALUE, got 'nodata'"),
        ([], 'nowhere.tif: no such file'),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(arguments, message, monkeypatch, capsys):
    command = ['start_project.py', 'mine', '--rasters', 'nowhere.tif', '--labels', 'nowhere.gpkg']
    monkeypatch.setattr('sys.argv', command + arguments)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(shipped('tools/start_project.py')), run_name='__main__')
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1
