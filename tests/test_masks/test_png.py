import numpy as np
import pytest
from PIL import Image

from mmexact.masks import read_mask, write_mask


def test_a_mask_is_read_as_it_was_written(tmp_path):
    values = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
    write_mask(tmp_path / 'new' / 'a_0.png', values)
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a_0.png']
    mask = read_mask(tmp_path / 'new' / 'a_0.png', (2, 3), 3)
    assert mask.dtype == np.uint8
    assert mask.tolist() == values.tolist()
    mask[0] = 7  # belongs to the caller


def test_masks_of_another_size_type_or_label_are_refused(tmp_path):
    path = tmp_path / 'a_0.png'
    write_mask(path, np.array([[3, 3], [0, 255]], np.uint8))
    with pytest.raises(ValueError, match=r'a_0\.png: label 3 .* in 2 pixels; expected 0\.\.2, or'):
        read_mask(path, (2, 2), 3)
    with pytest.raises(ValueError, match=r'expected a mask of \(2, 3\) pixels .*got \(2, 2\)'):
        read_mask(path, (2, 3), 4)
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(path)
    with pytest.raises(ValueError, match='of type uint16'):
        read_mask(path, (2, 2), 3)


@pytest.mark.parametrize('kept', [0, 40])
def test_a_damaged_mask_is_named(tmp_path, kept):
    path = tmp_path / 'a_0.png'
    write_mask(path, np.zeros((50, 50), np.uint8))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r'a_0\.png: cannot be read as a PNG'):
        read_mask(path, (50, 50), 3)
    with pytest.raises(FileNotFoundError, match=r'a_7\.png'):
        read_mask(tmp_path / 'a_7.png', (50, 50), 3)
