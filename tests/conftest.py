"""Lets tests import the helpers that stand beside them, and registers the components."""

import os
import sys
from pathlib import Path

# Toy sizes: more threads only wait for one another, those of the tools that tests start included.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch

sys.path.insert(0, str(Path(__file__).parent))

import mmexact  # noqa: F401

torch.set_num_threads(1)
