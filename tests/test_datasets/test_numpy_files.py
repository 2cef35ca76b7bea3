import os

import numpy as np
import pytest

from mmexact.datasets.numpy_files import load_plain_pickle, map_array, save_array


@pytest.mark.parametrize('ahead', [False, True])
@pytest.mark.parametrize('version', [(1, 0), (2, 0)])
@pytest.mark.parametrize('values', [
    np.arange(24, dtype='u1').reshape(4, 6),
    np.arange(24, dtype='f8').reshape(2, 3, 4),
    np.asfortranarray(np.arange(24, dtype='i4').reshape(4, 6)),
])  # fmt: skip
def test_types_and_versions_of_the_format(tmp_path, values, version, ahead):
    with open(tmp_path / 'a.npy', 'wb') as file:
        np.lib.format.write_array(file, values, version)
    found = map_array(str(tmp_path / 'a.npy'), ahead)
    np.testing.assert_array_equal(found, values, strict=True)
    assert not found.flags.writeable
    assert type(found[[0, 1]]) is np.ndarray


@pytest.mark.skipif(not hasattr(os, 'posix_fadvise'), reason='no way to empty the page cache')
@pytest.mark.parametrize('ahead', [False, True])
def test_files_that_are_not_in_memory_are_read(tmp_path, ahead):
    values = np.arange(2**20, dtype=np.int32).reshape(-1, 64, 512)
    save_array(tmp_path / 'large.npy', values)
    with open(tmp_path / 'large.npy', 'rb') as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found = map_array(str(tmp_path / 'large.npy'), ahead)[:, 10:40, 20:60]
    np.testing.assert_array_equal(found, values[:, 10:40, 20:60])


def test_files_that_are_replaced_are_read_anew(tmp_path):
    path = str(tmp_path / 'a.npy')
    for values in (np.zeros((4, 6)), np.ones((2, 3), np.float32)):
        save_array(path, values)
        np.testing.assert_array_equal(map_array(path), values, strict=True)


@pytest.mark.parametrize('ahead', [False, True])
def test_wrong_files_are_named(tmp_path, ahead):
    other = str(tmp_path / 'other.npy')
    np.save(other, np.array([None]))
    with pytest.raises(ValueError, match=r'other.npy: .*Python objects in dtype'):
        map_array(other, ahead)
    (tmp_path / 'other.npy').write_bytes(b'')
    with pytest.raises(ValueError, match=r'other.npy: .*\(0 bytes, .*download it again'):
        map_array(other, ahead)
    with pytest.raises(FileNotFoundError, match=r'gone.npy: no such file; is the download'):
        map_array(str(tmp_path / 'gone.npy'), ahead)


@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='no list of open files')
def test_no_file_stays_open(tmp_path):
    save_array(tmp_path / 'good.npy', np.zeros(3))
    (tmp_path / 'bad.npy').write_bytes(b'no numpy')
    before = len(os.listdir('/proc/self/fd'))
    for _ in range(5):
        map_array(str(tmp_path / 'good.npy'), ahead=True)[[0, 1]]
        with pytest.raises(ValueError, match=r'bad.npy: not a complete'):
            map_array(str(tmp_path / 'bad.npy'), ahead=True)
    assert before == len(os.listdir('/proc/self/fd'))


@pytest.mark.parametrize(
    'stream',
    [
        b'\x80\x04B\xff\xff\xff\x7f.',  # bytes of 2 GB that are not there
        b'\x80\x04\x8a\x08' + b'\xff' * 8 + b'\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.',
        b'I' + b'9' * 6000 + b'\n.',
    ],
)
def test_streams_that_promise_too_much_end_in_a_sentence(tmp_path, stream):
    path = tmp_path / 'bad.pickle'
    path.write_bytes(stream)
    with pytest.raises(ValueError, match=r'bad\.pickle: '):
        load_plain_pickle(str(path))
