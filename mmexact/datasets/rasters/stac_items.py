"""STAC items in files: item collections, catalogs and STAC-GeoParquet, and where their assets are.

Items of others name files and addresses at will. So what lies in the folder of the items, or below
it, is opened, and nothing else, unless the user says that the items are to be trusted.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pystac
from pystac.stac_io import DefaultStacIO

from mmexact.documents import read_json
from mmexact.gdal_files import TRUSTED

EXPECTED = 'STAC: an item collection, a catalog, a collection or an item'

REMOTE = {
    'http': '/vsicurl/http://',
    'https': '/vsicurl/https://',
    's3': '/vsis3/',
    'gs': '/vsigs/',
    'az': '/vsiaz/',
}
"""How GDAL calls what an address with such a beginning leads to."""


def read_items(path: str) -> list[pystac.Item]:
    """Read the items of a file, or of a catalog with all that is below it.

    Raises:
        ValueError: It holds no items, is damaged, or leads elsewhere.
    """
    try:
        items = list(_items_of(path))
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        reason: BaseException | None = error
        while reason is not None:  # pystac wraps what reading a link raises
            if isinstance(reason, ValueError | FileNotFoundError) and path in str(reason):
                raise reason from None
            reason = reason.__cause__ or reason.__context__
        raise ValueError(
            f'{path}: cannot be read as {EXPECTED} (.json), or STAC-GeoParquet (.parquet): '
            f'{type(error).__name__}: {str(error)[:300]}'
        ) from error
    if not items:
        raise ValueError(f'{path}: has no items; expected {EXPECTED}')
    return items


def _items_of(path: str) -> Iterator[pystac.Item]:
    contents: Iterable[dict[str, Any]]
    if path.lower().endswith('parquet'):
        contents = _rows(path)
    else:
        content = read_json(path, EXPECTED)
        if content['type'] in ('Catalog', 'Collection'):
            catalog = pystac.read_file(path, stac_io=_LocalIO(path))
            assert isinstance(catalog, pystac.Catalog)
            yield from catalog.get_items(recursive=True)
            return
        contents = [content] if content['type'] == 'Feature' else content['features']
    for content in contents:
        # Relative paths start at the file that is here, not at where it was published.
        item = pystac.Item.from_dict(dict(content, links=[]))
        item.set_self_href(os.path.abspath(path))
        yield item


def _rows(path: str) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet
    from stac_geoparquet.arrow import stac_table_to_items

    yield from stac_table_to_items(parquet.read_table(path))


class _LocalIO(DefaultStacIO):
    """Reads the documents of a catalog that lie in its folder, or below it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def read_text_from_href(self, href: str) -> str:
        """Read a document that :func:`locate` lets through."""
        locate(href, self.path, 'a link')
        return super().read_text_from_href(href)


def locate(href: str, path: str, what: str) -> str:
    """Return what GDAL opens for an address in items.

    Args:
        href: The address or path, absolute.
        path: The file of the items.
        what: Has the address; for the message.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It leads out of the folder of the items, and they are not trusted.
    """
    scheme = urlparse(href).scheme
    trusted = os.environ.get(TRUSTED) == '1'
    if scheme == 'file':
        href = url2pathname(urlparse(href).path)
    elif '://' in href or href.startswith('/vsi'):
        if trusted:
            beginning = REMOTE.get(scheme)
            return href if beginning is None else beginning + href.partition('://')[2]
        raise ValueError(
            f'{path}: {what} leads to {href[:200]}; items lead to other machines only with '
            f'{TRUSTED}=1 in the environment, if you trust them; or download the files'
        )
    if not trusted and not Path(href).resolve().is_relative_to(Path(path).resolve().parent):
        raise ValueError(
            f'{path}: {what} leads to {href[:200]}, out of the folder of the items; put the files '
            f'below it, or set {TRUSTED}=1 in the environment if you trust the items'
        )
    if not os.path.isfile(href):
        raise FileNotFoundError(f'{href}: no such file; {what} of {path} names it')
    return href
