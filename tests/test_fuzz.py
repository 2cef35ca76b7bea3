"""A few of the mutations of `make fuzz`."""

import pytest

pytest.importorskip('resource')  # nothing limits a process on Windows

from tests import fuzz


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', fuzz.names())
def test_damaged_files_are_read_or_refused_with_their_name(name):
    ((_, outcomes),) = fuzz.run([name], mutations=15, seed=7)
    assert set(outcomes) <= fuzz.EXPECTED, outcomes
    assert outcomes['refused'] or name in ('ids.txt', 'Shapefile shp', 'Shapefile prj'), outcomes
