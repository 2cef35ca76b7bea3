"""Points or polygons that say what grows where, for the rasters of raster_series_windows.py.

The values describe a CSV file of points with the columns longitude, latitude and label. For your
own labels change this part; docs/your_own_rasters.md says how.
"""

weak_labels = dict(file='labels.csv', column='label')
