import pytest

from mmexact.datasets.bands import find_band


@pytest.mark.parametrize(
    ('names', 'wanted', 'index'),
    [
        (['B2', 'B3', 'B4', 'B8'], 'red', 2),
        (['B02', 'B03', 'B04', 'B08'], 'red', 2),
        (['b2', 'b4', 'b8a'], 'B8A', 2),
        (['blue', 'green', 'red', 'nir'], 'B04', 2),
        (['Band 4', 'Band 8'], 'nir', 1),
        (['B04_10m', 'B11_20m'], 'swir1', 1),
        (['red', 'swir16', 'swir22'], 'B12', 2),
        (['Near-Infrared', 'Red'], 'b8', 0),
        (['NDVI', 'VV'], 'ndvi', 0),
        (['NDVI', 'VV'], 'vv', 1),
        # The narrow near infrared stands in for the wide one, which is preferred; not the reverse.
        (['B8A', 'B8'], 'nir', 1),
        (['red', 'nir08'], 'nir', 1),
        (['B4', 'B8'], 'B8A', None),
        # Landsat's numbers depend on the satellite.
        (['SR_B3', 'SR_B4'], 'red', None),
        (['B10', 'B1'], 'B1', 1),
        (['a', 'b'], 'red', None),
        (None, 'red', None),
    ],
)
def test_a_band_is_found_by_any_common_name(names, wanted, index):
    assert find_band(names, wanted) == index
