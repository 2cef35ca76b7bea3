"""MTLCC, the Germany benchmark."""

from mmexact.datasets.mtlcc.mtlcc import MTLCCDataset

__all__ = ['MTLCCDataset']
