"""Lets tests import the helpers that stand beside them, and registers the components."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

import mmexact  # noqa: F401

torch.set_num_threads(1)  # toy sizes: more threads only wait for one another
