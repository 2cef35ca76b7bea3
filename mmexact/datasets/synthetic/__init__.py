"""Seeded writers of synthetic data in the on-disk formats of PASTIS and MTLCC."""
