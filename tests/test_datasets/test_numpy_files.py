import os

import numpy as np
import pytest

from mmexact.datasets.numpy_files import STRIPS, npy_shape, read_planes
from tests.data import position_code


@pytest.fixture
def stack(tmp_path):
    """A file of 4 x 10 planes of 12 x 20 pixels, all values different."""
    values = position_code(4, 10, 12, 20)
    np.save(tmp_path / 'stack.npy', values)
    return str(tmp_path / 'stack.npy'), values.reshape(40, 12, 20)


@pytest.mark.parametrize('planes', [[0], [39], range(40), [3, 4, 5, 9, 20, 21], [7, 2, 3]])
@pytest.mark.parametrize(
    'window', [None, (0, 0, 12, 20), (0, 0, 5, 6), (7, 14, 5, 6), (2, 3, 1, 1), (4, 0, 3, 20)]
)
def test_planes_and_windows_are_read_from_where_they_lie(stack, planes, window):
    path, values = stack
    found = read_planes(path, planes, window)
    row, column, height, width = window or (0, 0, 12, 20)
    expected = values[list(planes), row : row + height, column : column + width]
    np.testing.assert_array_equal(found, expected, strict=True)
    assert found.flags.c_contiguous
    assert found.flags.owndata or found.base.flags.owndata


@pytest.mark.skipif(not hasattr(os, 'posix_fadvise'), reason='no way to empty the page cache')
def test_files_that_are_not_in_memory_are_read(tmp_path):
    values = np.arange(2 * STRIPS * 64 * 512, dtype=np.int32).reshape(-1, 64, 512)
    np.save(tmp_path / 'large.npy', values)
    with open(tmp_path / 'large.npy', 'rb') as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found = read_planes(str(tmp_path / 'large.npy'), range(len(values)), (10, 20, 30, 40))
    np.testing.assert_array_equal(found, values[:, 10:40, 20:60])


@pytest.mark.parametrize('version', [(1, 0), (2, 0)])
@pytest.mark.parametrize('dtype', ['u1', 'i4', 'f4', 'f8'])
def test_types_and_versions_of_the_format(tmp_path, version, dtype):
    values = np.arange(24).reshape(4, 6).astype(dtype)
    with open(tmp_path / 'a.npy', 'wb') as file:
        np.lib.format.write_array(file, values, version)
    assert npy_shape(str(tmp_path / 'a.npy')) == (4, 6)
    found = read_planes(str(tmp_path / 'a.npy'), [0], (1, 2, 2, 3))
    np.testing.assert_array_equal(found, values[None, 1:3, 2:5], strict=True)


def test_files_that_are_replaced_are_read_anew(stack):
    path, values = stack
    before = read_planes(path, [1])
    np.save(path, values[:, ::2].astype(np.float32))
    assert before.shape == (1, 12, 20)
    assert read_planes(path, [1]).shape == (1, 6, 20)


def test_wrong_files_are_named(tmp_path, stack):
    path, _ = stack
    with pytest.raises(ValueError, match=r'stack.npy: .*\(4, 10, 12, 20\); expected .*41 planes'):
        read_planes(path, [40])
    message = r'12 x 20 pixels, but the window begins at row 8, column 0 and has 5 x 5'
    with pytest.raises(ValueError, match=message):
        read_planes(path, [0], (8, 0, 5, 5))
    other = str(tmp_path / 'other.npy')
    np.save(other, np.zeros((3, 4, 5)).transpose(2, 1, 0))
    with pytest.raises(ValueError, match=r'other.npy: .*Fortran order, expected C order'):
        npy_shape(other)
    np.save(other, np.array([None]))
    with pytest.raises(ValueError, match=r'other.npy: .*type object, expected numbers'):
        npy_shape(other)
    np.save(other, np.zeros(3))
    with pytest.raises(ValueError, match=r'an array of shape \(3,\); expected'):
        read_planes(other, [0])
    (tmp_path / 'other.npy').write_bytes(b'')
    with pytest.raises(ValueError, match=r'0 bytes, no readable header.*download it again'):
        npy_shape(other)


def test_no_file_stays_open(stack, tmp_path):
    path, _ = stack
    before = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0
    (tmp_path / 'bad.npy').write_bytes(b'no numpy')
    for _ in range(5):
        read_planes(path, [0], (0, 0, 2, 2))
        for bad in (str(tmp_path / 'bad.npy'), str(tmp_path / 'none.npy')):
            with pytest.raises((ValueError, FileNotFoundError)):
                read_planes(bad, [0])
    assert before == (len(os.listdir('/proc/self/fd')) if before else 0)
