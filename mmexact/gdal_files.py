"""Rasters and vector files of others: GDAL opens them as what they are, and nothing beyond them.

Some of GDAL's formats are texts that refer to other files or addresses, and GDAL looks at contents,
not at names: a ``.tif`` may hold such a text. So rasters are opened with drivers of formats that
hold their own pixels, VRTs only where the name says so and their sources lie beside them.
"""

import os
import warnings
from pathlib import Path
from xml.etree import ElementTree as XML

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

TRUSTED = 'MMEXACT_TRUST_RASTERS'
"""Environment variable that lets GDAL open files with all of its drivers, wherever they lead."""

SELF_CONTAINED = [
    'GTiff', 'JP2OpenJPEG', 'JP2ECW', 'JP2KAK', 'JP2MrSID', 'PNG', 'JPEG', 'WEBP', 'HFA', 'ENVI',
    'EHdr', 'AAIGrid', 'GPKG', 'SAGA', 'RST', 'PCRaster', 'BMP',
]  # fmt: skip
"""Formats that refer to no other places."""

BEGINNINGS = {
    '.gpkg': b'SQLite format 3\0',
    '.shp': b'\x00\x00\x27\x0a',
    '.fgb': b'fgb',
    '.geojson': b'{',
    '.json': b'{',
}
"""How vector files begin."""

REFERRING = b'<ogr', b'gdal_streamed_alg'
"""What stands near the beginning of vector files that refer to others."""


HARMLESS = {'sourceband', 'sourcesrs', 'sourceproperties'}
"""Elements of VRTs that begin like those with a file, but hold none."""


def open_gdal(path: str | os.PathLike[str]) -> DatasetReader:
    """Open a raster to read, as rasterio does.

    Raises:
        RasterioIOError: It is of no format that holds its own pixels, or refers to other places.
    """
    path = os.fspath(path)
    if os.environ.get(TRUSTED) == '1':
        return rasterio.open(path)
    _check_companions(path)
    if not path.lower().endswith('.vrt'):
        # A header beside it could pass such a text off as raw pixels, until GDAL opens it again.
        if os.path.isfile(path):
            with open(path, 'rb') as file:
                head = file.read(4096).lower()
            if b'<vrtdataset' in head:
                raise RasterioIOError(
                    f'{path} is a VRT under another name; name it .vrt, or set {TRUSTED}=1 in the '
                    f'environment if you trust it'
                )
        try:
            return _open_with(SELF_CONTAINED, path)
        except RasterioIOError as error:
            raise RasterioIOError(
                f'{error}; other formats than {", ".join(SELF_CONTAINED)} are opened with '
                f'{TRUSTED}=1 in the environment, if you trust the file'
            ) from error
    _check_sources(Path(path), ())
    return _open_with(['VRT'], path)


def _open_with(drivers: list[str], path: str) -> DatasetReader:
    with rasterio.Env():  # rasterio.open takes one driver, not several
        return DatasetReader(path, driver=drivers)


def _check_companions(path: str) -> None:
    """Refuse masks and overviews beside a raster that are no TIFF, and references in its notes."""
    for name in (path + ending for ending in ('.msk', '.ovr', '.MSK', '.OVR', '.aux.xml')):
        if os.path.isfile(name):
            content = Path(name).read_bytes().lower() if name.endswith('.xml') else b''
            with open(name, 'rb') as file:
                is_tiff = file.read(2) in (b'II', b'MM')
            if b'overview_file' in content or b'_dataset' in content or not (content or is_tiff):
                raise RasterioIOError(
                    f'{name} refers to other files, or is no TIFF; remove it, or set {TRUSTED}=1 '
                    f'in the environment if you trust it'
                )


def _check_sources(path: Path, above: tuple[Path, ...]) -> None:
    """Refuse a VRT unless its sources are files in its folder, or below, that pass themselves."""
    try:
        document = XML.parse(path).getroot()
    except (OSError, XML.ParseError) as error:
        raise RasterioIOError(f'{path}: cannot be read as a VRT: {error}') from None
    folder = (above[0] if above else path).parent.resolve()
    reason = 'is nested too deeply, or refers to itself' if len(above) > 8 else ''
    if document.get('subClass') == 'VRTProcessedDataset':
        reason = 'is a kind of VRT that mmexact does not look through'
    for element in document.iter():
        # GDAL tells neither capitals from small letters nor attributes from elements.
        tag = element.tag.rpartition('}')[2].lower()
        attributes = {key.rpartition('}')[2].lower(): text for key, text in element.items()}
        outside = {text.upper() for text in attributes.values()} & {'X_DATASET', 'Y_DATASET'}
        if tag == 'dempath' or outside or any(key.startswith('source') for key in attributes):
            reason = 'refers to files in another way than by SourceFilename'
        name = ''.join(element.itertext()).strip()
        if reason or not name or not tag.startswith('source') or tag in HARMLESS:
            continue
        source = Path(path.parent if attributes.get('relativetovrt') == '1' else '', name)
        if len(element) or not source.is_file() or not source.resolve().is_relative_to(folder):
            reason = f'refers to {name[:200]!r}, which is no file in its folder'
        elif source.suffix.lower() == '.vrt':
            _check_sources(source, (*above, path))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', NotGeoreferencedWarning)
                open_gdal(str(source)).close()
    if reason:
        raise RasterioIOError(
            f'{path} {reason}; put sources beside it, or set {TRUSTED}=1 in the environment if you '
            f'trust it'
        )


def check_vector(path: str) -> None:
    """Refuse a vector file that refers to other places, or is not what its name says.

    Raises:
        ValueError: It is one.
    """
    if os.environ.get(TRUSTED) == '1' or not os.path.isfile(path):
        return
    with open(path, 'rb') as file:
        head = file.read(2**16)
    begins = BEGINNINGS.get(os.path.splitext(path)[1].lower(), b'')
    plain = head.removeprefix(b'\xef\xbb\xbf')
    plain = plain.lstrip() if begins == b'{' else plain
    if not plain.startswith(begins) or any(text in head.lower() for text in REFERRING):
        raise ValueError(
            f'{path}: cannot be read as a vector file: it is not what its name says, or refers to '
            f'other files; export it as GeoPackage, or set {TRUSTED}=1 in the environment if you '
            f'trust it'
        )
