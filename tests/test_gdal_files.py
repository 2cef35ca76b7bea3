"""Files of others lead nowhere: contents that are not what the name says, and VRTs."""

import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from mmexact.datasets.rasters.files import open_raster
from mmexact.gdal_files import TRUSTED, check_vector, open_gdal
from mmexact.masks.maps import read_map
from tests.data import write_raster

HEAD = (
    '<VRTDataset rasterXSize="2" rasterYSize="1"><SRS>EPSG:32633</SRS>'
    '<GeoTransform>5e5,10,0,6e6,0,-10</GeoTransform>'
)
RAW = (
    '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
    '<SourceFilename relativetoVRT="{relative}">{name}</SourceFilename></VRTRasterBand>'
)
SIMPLE = (
    '<VRTRasterBand dataType="Byte" band="1"><SimpleSource><SourceFilename relativeToVRT="1">'
    '{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>'
)


@pytest.fixture
def folder(tmp_path):
    """A folder with a raster, and a secret beside the folder."""
    (tmp_path / 'secret').write_bytes(b'*+')
    write_raster(tmp_path / 'elsewhere.tif', np.array([[[42, 43]]], np.uint8))
    write_raster(tmp_path / 'in/inside.tif', np.array([[[1, 2]]], np.uint8))
    return tmp_path / 'in'


def vrt(path, band):
    path.write_text(f'{HEAD}{band}</VRTDataset>')
    return str(path)


def test_a_tif_that_is_a_vrt_is_refused(folder, monkeypatch):
    path = vrt(folder / 'a.tif', RAW.format(relative=1, name='../secret'))
    for read in (open_gdal, open_raster, read_map):
        with pytest.raises((RasterioIOError, ValueError), match=rf'a\.tif.*{TRUSTED}=1'):
            read(path)
    path = vrt(folder / 'b.tif', SIMPLE.format(name='../elsewhere.tif'))
    monkeypatch.setenv(TRUSTED, '1')
    assert open_gdal(path).read(1).tolist() == [[42, 43]]


def test_a_header_beside_it_does_not_make_a_vrt_pixels(folder):
    path = vrt(folder / 'a.tif', SIMPLE.format(name='../elsewhere.tif'))
    header = 'ENVI\nsamples = 2\nlines = 1\nbands = 1\ndata type = 1\ninterleave = bsq\n'
    (folder / 'a.hdr').write_text(header)
    with pytest.raises(RasterioIOError, match=r'a\.tif is a VRT under another name'):
        open_gdal(path)


def test_a_vrt_may_refer_to_its_folder(folder):
    path = vrt(folder / 'a.vrt', SIMPLE.format(name='inside.tif'))
    assert open_gdal(path).read(1).tolist() == [[1, 2]]
    path = vrt(folder / 'b.vrt', SIMPLE.format(name='a.vrt'))
    assert open_raster(path).file.read(1).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    'band',
    [
        SIMPLE.format(name='../elsewhere.tif'),
        SIMPLE.format(name='/vsicurl/http://localhost/a.tif'),
        SIMPLE.format(name='http://localhost/a.tif'),
        SIMPLE.format(name='link.tif'),
        SIMPLE.format(name='hidden.tif'),
        SIMPLE.format(name='outer.vrt'),
        SIMPLE.format(name='loop.vrt'),
        SIMPLE.format(name='inside.tif').replace('"1">', '"0">'),
        SIMPLE.format(name='../elsewhere.tif').replace('SourceFilename', 'sourcefilename'),
        SIMPLE.format(name='../elsewhere.tif').replace('<VRTR', '<VRTR', 1)
        .replace('<SourceFilename', '<SourceFilename xmlns="here"'),
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource SourceFilename="/etc/passwd"/>'
        '</VRTRasterBand>',
        '<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">/etc/passwd</MDI></Metadata>',
        RAW.format(relative=1, name='../secret'),
        RAW.format(relative=0, name='/etc/passwd'),
        '<VRTRasterBand',
    ],
)  # fmt: skip
def test_a_vrt_may_refer_to_nothing_else(folder, band):
    (folder / 'link.tif').symlink_to(folder.parent / 'elsewhere.tif')
    vrt(folder / 'hidden.tif', SIMPLE.format(name='../elsewhere.tif'))
    vrt(folder / 'outer.vrt', SIMPLE.format(name='../elsewhere.tif'))
    vrt(folder / 'loop.vrt', SIMPLE.format(name='loop.vrt'))
    expected = 'put sources beside it|under another name|read as a VRT'
    with pytest.raises(ValueError, match=expected):
        open_raster(vrt(folder / 'a.vrt', band))


@pytest.mark.parametrize('ending', ['msk', 'ovr', 'aux.xml'])
def test_companions_of_a_raster_lead_nowhere(folder, ending):
    path = folder / 'inside.tif'
    content = '<PAMDataset><MDI key="OVERVIEW_FILE">/etc/passwd</MDI></PAMDataset>'
    if ending != 'aux.xml':
        content = f'{HEAD}{SIMPLE.format(name="../elsewhere.tif")}</VRTDataset>'
    (folder / f'inside.tif.{ending}').write_text(content)
    with pytest.raises(ValueError, match=rf'inside\.tif\.{ending} refers to other files'):
        open_raster(str(path))


def test_other_vector_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / 'fields.geojson'
    for content in (
        '<OGRVRTDataSource><OGRVRTLayer name="secret"/></OGRVRTDataSource>',
        '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline"}',
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match='it is not what its name says'):
            check_vector(str(path))
    monkeypatch.setenv(TRUSTED, '1')
    check_vector(str(path))
    monkeypatch.delenv(TRUSTED)
    path.write_text('\ufeff\n{"type": "FeatureCollection", "features": []}', encoding='utf-8')
    check_vector(str(path))
    (tmp_path / 'fields.kml').write_text('<?xml version="1.0"?>\n<OGRVRTDataSource/>')
    with pytest.raises(ValueError, match='refers to other files'):
        check_vector(str(tmp_path / 'fields.kml'))


def test_gdal_itself_would_have_followed(folder):
    path = vrt(folder / 'a.tif', SIMPLE.format(name='../elsewhere.tif'))
    with rasterio.open(path) as raster:
        assert raster.read(1).tolist() == [[42, 43]]
