"""Files that are cut off are told from whole ones, and are not taken for finished."""

import subprocess
import sys

import numpy as np
import pytest

from mmexact.masks import ResumableFolder, whole_file, write_json, write_mask
from mmexact.masks.maps import open_map
from mmexact.masks.whole import flaw

LEGEND = [('Background', (0, 0, 0)), ('Corn', (255, 255, 0))]


def write_all(folder):
    """Write one file of each kind, of incompressible contents."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2, (600, 600), np.uint8)
    write_mask(folder / 'mask.png', pixels)
    with open_map(folder / 'map.tif', (600, 600), legend=LEGEND) as raster:
        raster.write(pixels, 1)
    np.save(folder / 'array.npy', pixels)
    write_json(folder / 'some.json', pixels[0].tolist())
    (folder / 'text.txt').write_text('text')
    return sorted(folder.glob('*.*'))


def test_what_is_cut_off_is_noticed(tmp_path):
    files = write_all(tmp_path)
    assert [path.name for path in files if flaw(path)] == []
    for path in files:
        content = path.read_bytes()
        if path.suffix != '.txt':
            for kept in (0, 1, len(content) // 2, len(content) - 200):
                path.write_bytes(content[:kept])
                assert 'cannot be read back' in flaw(path), (path, kept)


def test_a_damaged_map_is_noticed(tmp_path):
    write_all(tmp_path)
    path = tmp_path / 'map.tif'
    content = bytearray(path.read_bytes())
    content[50_000:55_000] = bytes(5_000)  # of some 80,000
    path.write_bytes(content)
    assert 'cannot be read back' in flaw(path)


def test_a_file_that_reads_otherwise_gets_no_name(tmp_path):
    with (
        pytest.raises(OSError, match=r'a\.png: what was written cannot be read back .*disk full'),
        whole_file(tmp_path / 'a.png') as unfinished,
    ):
        unfinished.write_bytes(b'\x89PNG cut off')
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_are_made_anew(tmp_path):
    names = ['a.png', 'b.png']
    folder = ResumableFolder(tmp_path, 'masks', dict(x=1), names)
    for name in names:
        write_mask(tmp_path / name, np.zeros((4, 4), np.uint8))
    (tmp_path / 'a.png').write_bytes((tmp_path / 'a.png').read_bytes()[:40])
    assert not folder.has('a.png')
    assert folder.has('b.png')
    with pytest.raises(FileNotFoundError, match=r'1 of 2 files are missing, first a\.png'):
        folder.finish()
    write_mask(tmp_path / 'a.png', np.ones((4, 4), np.uint8))
    assert ResumableFolder(tmp_path, 'masks', dict(x=1), names).finish()['complete']


def test_a_file_in_place_of_a_folder(tmp_path):
    (tmp_path / 'out').write_text('')
    with (
        pytest.raises(NotADirectoryError, match='out is a file, expected a folder'),
        whole_file(tmp_path / 'out' / 'a.png'),
    ):
        pass


FULL = """
import resource, signal, sys
import numpy as np
from mmexact.masks import write_mask
from mmexact.masks.maps import open_map
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
pixels = np.random.default_rng(0).integers(0, 256, (600, 600), np.uint8)
for write in (
    lambda: write_mask(sys.argv[1] + '/mask.png', pixels),
    lambda: map_of(pixels),
):
    try:
        write()
    except OSError as error:
        print(type(error).__name__, error)

"""


@pytest.mark.skipif(sys.platform == 'win32', reason='limits of POSIX')
def test_a_full_disk_leaves_nothing_and_is_named(tmp_path):
    code = FULL.replace(
        'for write in',
        "def map_of(pixels):\n    with open_map(sys.argv[1] + '/map.tif', (600, 600)) as raster:\n"
        '        raster.write(pixels, 1)\nfor write in',
    )
    command = [sys.executable, '-c', code, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in ended.stdout.splitlines() if 'OneDL' not in line]
    assert 'mask.png' in lines[0]
    assert 'map' in lines[1]
    assert len(lines) == 2
    assert list(tmp_path.iterdir()) == []
