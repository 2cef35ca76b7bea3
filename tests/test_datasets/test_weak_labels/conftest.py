"""Rasters to label, and what the labels amount to."""

import logging

import pytest
from mmengine.logging import MMLogger

from tests.data import SIZE, position_code, write_raster
from tests.test_datasets.test_weak_labels.data import NAMES


@pytest.fixture
def root(tmp_path):
    """Three dates on a grid of 2 x 3 windows."""
    for name, values in zip(NAMES, position_code(3, 2, *SIZE), strict=True):
        write_raster(tmp_path / 'series' / name, values)
    return tmp_path


@pytest.fixture
def messages():
    """What is logged, with its level, newest last."""
    logged = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append((record.levelno, record.getMessage()))
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield logged
    logger.removeHandler(handler)
