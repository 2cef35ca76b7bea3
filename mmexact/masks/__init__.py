"""Masks on disk: a folder with a manifest, PNG and GeoTIFF."""
