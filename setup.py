"""Package metadata; pyproject.toml holds the settings of the build and of the tools."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# Read, not imported: importing the package needs its dependencies.
VERSION = re.search(r"__version__ = '(.+)'", (ROOT / 'mmexact/version.py').read_text()).group(1)

setup(
    name='mmexact',
    version=VERSION,
    description='Crop maps from satellite image time series and image-level labels, for MMSeg',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmexact', 'mmexact.*']),
    package_data={'mmexact.visualization': ['templates/*.html']},
    python_requires='>=3.10',  # match statements, X | Y types; the floor of the OneDL packages
    # opencv, pillow and prettytable come with mmcv and mmsegmentation, affine with rasterio.
    install_requires=[
        'torch>=2.6,<3',  # torch.serialization.add_safe_globals with names, to read checkpoints
        'torchvision>=0.21',  # the partner of torch 2.6; mmpretrain imports it without asking
        'numpy>=2.0.1',  # the OneDL mmsegmentation asks for more than 2
        'onedl-mmengine>=0.10.12,<1',  # first fork release seen working with torch 2.14
        'onedl-mmcv>=2.3.6,<3',  # installs without compiled operators, which we do not use
        'onedl-mmsegmentation>=1.4.2,<2',  # in step with that mmcv; has no upper bound on it
        'onedl-mmpretrain>=1.3.6,<2',  # AveragePrecision, in step with that mmcv
        'packaging>=22',  # strict version specifiers, for the check at import
        'rasterio>=1.4',  # wheels with GDAL for numpy 2
        'einops>=0.7',  # works inside torch.compile without a warm-up call
        'scipy>=1.13',  # numpy 2
        'matplotlib>=3.9',  # numpy 2
        'jinja2>=3.1',  # comes with torch; the series seen working
    ],
    extras_require={
        # Data cubes: Zarr (3 from xarray 2024.10 on), and NetCDF, which h5netcdf reads with h5py.
        'cubes': ['xarray>=2024.10', 'zarr>=2.18', 'h5netcdf>=1.3', 'h5py>=3.11'],
        # Tiles of MTLCC in TFRecords, read without TensorFlow; seen with protobuf 7.
        'mtlcc': ['tfrecord>=1.14.6'],
        # Labels from GeoPackage, GeoJSON, Shapefile; wheels with GDAL and GEOS.
        'vector': ['pyogrio>=0.9', 'shapely>=2.1'],  # make_valid that keeps polygons only
    },
)
