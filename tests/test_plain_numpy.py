"""Stand-ins for numpy's constructors: numbers come back, and nothing else is made."""

import pickle

import numpy as np
import pytest

from mmexact.datasets.numpy_files import load_arrays, load_plain_pickle

NUMBERS = np.arange(24).reshape(2, 3, 4)


def write(path, content, protocol=None):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return str(path)


@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize('kind', ['?', 'u1', '<i2', '>i4', 'i8', 'f2', '<f4', '>f8'])
def test_numbers_come_back(tmp_path, kind, protocol):
    array = NUMBERS.astype(kind)
    turned = array.transpose(1, 0, 2)
    content = dict(a=array, f=np.asfortranarray(array), t=turned, s=array[1, 2, 3], e=array[:0])
    path = write(tmp_path / 'a.pickle', content, protocol)
    read = load_plain_pickle(path)
    for name, expected in pickle.loads((tmp_path / 'a.pickle').read_bytes()).items():
        np.testing.assert_array_equal(read[name], expected)
        np.testing.assert_array_equal(read[name], content[name])
        assert read[name].dtype == expected.dtype
        assert read[name].shape == expected.shape
    again = pickle.dumps(read['a'])
    assert type(pickle.loads(again)) is np.ndarray


class Call:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class Built(Call):
    """Calls numpy's function for an empty array, and gives it a state."""

    def __init__(self, state):
        super().__init__(*np.empty(0).__reduce__()[:2])
        self.call = (self.call[0], self.call[1][0], state)


@pytest.mark.parametrize(
    'content',
    [
        Built((1, (2**28,), np.dtype('f8'), False, b'short')),
        Built((1, (-1,), np.dtype('f8'), False, b'')),
        Built((1, (1,), np.dtype('O'), False, [print])),
        Built((1, (1,), 'f8', False, b'12345678')),
        Built('nothing'),
        Call(np.dtype, 'O'),
        Call(np.dtype, [('a', 'O')]),
        Call(np.dtype, 'U9'),
        np.array(['text']),
        np.zeros(2, [('a', 'i4')]),
        np.array(['2023-01-01'], 'datetime64[D]'),
    ],
    ids=range(11),
)
def test_what_is_no_array_of_numbers_ends_in_a_sentence(tmp_path, content):
    with pytest.raises(ValueError, match='not a pickle of plain numpy data'):
        load_plain_pickle(write(tmp_path / 'a.pickle', dict(img=content), protocol=2))


def test_an_array_cannot_be_forged_from_a_pointer(tmp_path):
    content = Call(np.ndarray, (1,), 'O', b'\x01' * 8)
    assert load_plain_pickle(write(tmp_path / 'a.pickle', content)).size == 0


@pytest.mark.parametrize('as_key', [True, False])
def test_a_tuple_that_doubles_is_refused(tmp_path, as_key):
    doubled = ()
    for _ in range(40):
        doubled = (doubled, doubled)
    # Hashing the key would take as long as there are values in it, so that it is not made here.
    content = pickle.dumps(doubled, protocol=2)
    if as_key:
        content = content[:2] + b'}' + content[2:-1] + b'Ns.'
    (tmp_path / 'a.pickle').write_bytes(content)
    with pytest.raises(ValueError, match='more than 1000000 values in one'):
        load_plain_pickle(str(tmp_path / 'a.pickle'))


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ((1, 2), 'img is a tuple; expected numbers'),
        ([1, [2]], 'img is a list of other things than numbers'),
        ({}, 'img is a dict; expected numbers'),
        (np.zeros(2, bool), 'img is of type bool; expected numbers'),
    ],
)
def test_values_that_are_no_arrays_are_named(tmp_path, value, message):
    path = write(tmp_path / 'a.pickle', dict(img=value))
    with pytest.raises(ValueError, match=message):
        load_arrays(path, ['img'], 'iuf')
