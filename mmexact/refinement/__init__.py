"""Refinement of pseudo masks by a second view: what single pixels did over the season."""

from mmexact.refinement.refine import ROUNDS, MaskRefiner

__all__ = ['ROUNDS', 'MaskRefiner']
