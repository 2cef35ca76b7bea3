"""Image-level labels of windows from points and polygons; needs geopandas."""

try:
    from mmexact.datasets.weak_labels.files import read_labels
    from mmexact.datasets.weak_labels.places import Area
    from mmexact.datasets.weak_labels.settings import LabelSettings
    from mmexact.datasets.weak_labels.windows import label_windows
except ImportError as error:
    raise ImportError(
        f'labels from points and polygons (labels.file) need a package that is not installed '
        f"({error}): pip install 'mmexact[vector]'"
    ) from error

__all__ = ['Area', 'LabelSettings', 'label_windows', 'read_labels']
