"""Areas of interest out of files and boxes."""

import pytest
from geopandas import GeoDataFrame
from rasterio.transform import Affine
from shapely import Point, box

from mmexact.apis.area_of_interest import SceneArea, area_digest, box_in_degrees, read_area
from mmexact.sits import Georeference

UTM = Georeference('EPSG:32633', (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_100_000.0))
"""A grid of 10 m, whose left edge lies at 15 degrees east."""


def test_an_area_needs_a_place(tmp_path):
    area = box_in_degrees((14, 46, 15, 47))
    with pytest.raises(ValueError, match=r'a\.tif: has no coordinate reference system'):
        SceneArea(area, None, 10, 'a.tif')
    with pytest.raises(ValueError, match=r'15\.0 46\.0 14\.0 47\.0 is no box in degrees'):
        box_in_degrees((15.0, 46.0, 14.0, 47.0))
    points = tmp_path / 'points.geojson'
    GeoDataFrame(geometry=[Point(14, 46)], crs=4326).to_file(points)
    with pytest.raises(ValueError, match=r'points\.geojson: holds no polygons'):
        read_area(str(points))
    polygons = tmp_path / 'polygons.gpkg'
    area.to_file(polygons)
    assert area_digest(read_area(str(polygons))) == area_digest(area)


def test_pixels_whose_centre_lies_inside():
    # Columns 2 and 3 by their centres, rows 5 to 7.
    shape = box(500_024, 5_099_921, 500_036, 5_099_949)
    area = SceneArea(GeoDataFrame(geometry=[shape], crs=32633), UTM, 6, 'a.tif')
    found = area.inside(4, 4)
    assert found.sum(0).tolist() == [0, 0, 3, 3, 0, 0]
    assert found.sum(1).tolist() == [0, 2, 2, 2]
    assert area.touches(7, 0, 2, 3)
    assert not area.touches(8, 0, 2, 6)
    far = SceneArea(box_in_degrees((14, 40, 14.5, 41)), UTM, 6, 'a.tif')
    assert not far.inside(0, 4).any()
    here = SceneArea(box_in_degrees((14.9, 40, 15.1, 60)), UTM, 6, 'a.tif')
    assert here.inside(0, 4).all()
    assert Affine(*UTM.transform) == here.transform
