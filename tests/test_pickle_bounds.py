"""Sizes in pickles are followed without building anything."""

import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from mmexact.pickle_bounds import check_size


@pytest.mark.parametrize('protocol', range(6))
def test_common_contents_pass(protocol):
    content = dict(
        a=(1, -2, [(3, 4.5)] * 5, ()),
        b=np.zeros((300, 400), np.float32),
        c=OrderedDict(x=2**70),
        d={1, 2},
        e=[b'bytes', 'text', None, True, frozenset([3])],
    )
    whole = io.BytesIO(pickle.dumps(content, protocol) + b'rest')
    check_size(whole)
    assert whole.read() == b'rest'  # it stops where the pickle does


@pytest.mark.parametrize('protocol', [0, 2, 5])
@pytest.mark.parametrize('make', [tuple, list, lambda values: dict(enumerate(values))])
def test_whatever_doubles_is_refused(make, protocol):
    value = make(())
    for _ in range(16):  # some 2**17 values, and keys
        value = make((value, value))
    check_size(io.BytesIO(pickle.dumps(value, protocol)))
    for _ in range(4):
        value = make((value, value))
    with pytest.raises(pickle.UnpicklingError, match='more than 1000000 values'):
        check_size(io.BytesIO(pickle.dumps(value, protocol)))


def test_a_list_that_is_filled_after_it_was_remembered_counts():
    value = [0] * 1000
    grown = [value] * 999
    check_size(io.BytesIO(pickle.dumps(grown, 2)))
    value.extend([0] * 10)
    with pytest.raises(pickle.UnpicklingError):
        check_size(io.BytesIO(pickle.dumps(grown, 2)))
