"""A Sentinel-2 series with two bands per date (NDVI and cloud probability, both x 10000) and a
land-cover raster from which only image-level labels are taken.
"""

area = dict(
    data_root='data/raster_series',
    rasters='series/*.tif',
    search=dict(bands=[1, 2], date_range=('2017-01-01', '2017-12-31')),
    mask='landcover.tif',
    # Values of the land-cover raster; what is not listed is ignored.
    codes={1: 'Cultivated', 2: 'Forest', 3: 'Grassland', 4: 'Shrubland', 8: 'Background'},
    classes=('Background', 'Cultivated', 'Forest', 'Grassland', 'Shrubland'),
    palette=[[56, 56, 60], [240, 210, 80], [20, 90, 30], [120, 200, 90], [150, 120, 60]],
    mean=[5185, 3469],
    std=[1988, 4012],
    window_size=24,
    patch_size=2,
    iterations=300,
    work_dir='work_dirs/raster_series',
)
