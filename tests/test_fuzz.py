"""A few of the mutations of `make fuzz`."""

import pytest

from tests import fuzz


@pytest.mark.filterwarnings('ignore')
def test_damaged_files_are_read_or_refused_with_their_name():
    for name, outcomes in fuzz.run(mutations=250, seed=7).items():
        assert set(outcomes) <= {'read', 'refused'}, (name, outcomes)
        assert outcomes['refused'] or name == 'ids', name
