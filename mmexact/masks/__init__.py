"""Masks on disk: a folder with a manifest, PNG and GeoTIFF."""

from mmexact.masks.folder import (
    ResumableFolder,
    check_name,
    config_digest,
    read_manifest,
    weights_digest,
    whole_file,
    write_json,
)
from mmexact.masks.maps import map_files, open_map
from mmexact.masks.png import check_labels, read_mask, write_mask
from mmexact.masks.pseudo_masks import PseudoMaskWriter, open_masks

__all__ = [
    'PseudoMaskWriter',
    'ResumableFolder',
    'check_labels',
    'check_name',
    'config_digest',
    'map_files',
    'open_map',
    'open_masks',
    'read_manifest',
    'read_mask',
    'weights_digest',
    'whole_file',
    'write_json',
    'write_mask',
]
