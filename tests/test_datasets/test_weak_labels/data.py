"""Labels on a grid of 2 x 3 windows of 4 x 4 pixels of 10 m, in places given in metres.

Window n has its upper left corner at column 4 * (n % 3), row 4 * (n // 3) of
:data:`tests.data.CORNER`. A window has 1600 square metres.
"""

import geopandas
import shapely

from mmexact.datasets import RasterSeriesDataset

CLASSES = ('Other', 'Crop', 'Grass')
NAMES = ('S2_20170301.tif', 'S2_20170601.tif', 'S2_20170901.tif')
WEST, NORTH = 500000, 5100000
UTM = dict(file='points.csv', coordinates=('x', 'y'), crs='EPSG:32633')


def build(root, **kwargs):
    settings = dict(
        data_root=str(root),
        series=dict(area=dict(rasters='series/*.tif')),
        window_size=4,
        metainfo=dict(classes=CLASSES),
        serialize_data=False,
    )
    return RasterSeriesDataset(**settings | kwargs)


def scores(dataset):
    """Image-level labels by sample id."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return {info['sample_id']: info['gt_score'].tolist() for info in infos}


def write_points(root, *rows, header='x,y,label'):
    """Write points.csv in UTM; rows are (metres east, metres south of the corner, label, ...)."""
    lines = [','.join(map(str, (WEST + east, NORTH - south, *rest))) for east, south, *rest in rows]
    (root / 'points.csv').write_text('\n'.join([header, *lines, '']))


def square(east, south, width, height=None):
    """A rectangle in UTM, by metres from the corner of the rasters."""
    return shapely.box(
        WEST + east, NORTH - south - (height or width), WEST + east + width, NORTH - south
    )


def write_vector(path, geometries, crs='EPSG:32633', to_crs=None, **columns):
    """Write a vector file in the format of its suffix."""
    frame = geopandas.GeoDataFrame(columns, geometry=list(geometries), crs=crs)
    if to_crs is not None:
        frame = frame.to_crs(to_crs)
    if path.suffix == '.parquet':
        frame.to_parquet(path)
    elif path.suffix == '.zip':
        frame.to_file(path.with_suffix('.shz'))
        path.with_suffix('.shz').rename(path)
    else:
        frame.to_file(path)
