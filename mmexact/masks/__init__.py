"""Masks on disk: a folder with a manifest, PNG and GeoTIFF."""

from mmexact.masks.folder import ResumableFolder, read_manifest, whole_file, write_json
from mmexact.masks.reading import check_labels, open_masks, read_mask

__all__ = [
    'ResumableFolder',
    'check_labels',
    'open_masks',
    'read_manifest',
    'read_mask',
    'whole_file',
    'write_json',
]
