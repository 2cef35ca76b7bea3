"""The data set that CONTRIBUTING.md adds works as it stands there."""

import re
from pathlib import Path

import numpy as np
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from tests.data import DAYS, position_code

GUIDE = Path(__file__).resolve().parents[1] / 'CONTRIBUTING.md'


def test_the_example_of_a_data_set(tmp_path):
    (block,) = re.findall(r'^```python\n(.*?)^```', GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    exec(compile(block, str(GUIDE), 'exec'), {'__name__': 'guide'})
    series = position_code(len(DAYS), 3, 8, 12)
    mask = np.zeros((8, 12), np.uint8)
    mask[5:, 9:] = 2  # in the last of 2 x 3 windows
    np.savez(tmp_path / 'north.npz', series=series, days=np.array(DAYS, np.int16), mask=mask)

    init_default_scope('mmseg')
    steps = [dict(type='LoadSITS'), dict(type='LoadSITSAnnotations'), dict(type='PackSITSInputs')]
    dataset = DATASETS.build(
        dict(type='NpzDataset', data_root=str(tmp_path), window_size=4, pipeline=steps)
    )
    assert len(dataset) == 6
    sample = dataset[5]
    assert sample['data_samples'].sample_id == 'north_5'
    assert sample['data_samples'].gt_score.tolist() == [0, 1]
    assert sample['data_samples'].gt_sem_seg.data.tolist() == mask[None, 4:, 8:].tolist()
    bands = sample['inputs'].unflatten(0, (len(DAYS), 4))
    np.testing.assert_array_equal(bands[:, :3], series[:, :, 4:, 8:])
    np.testing.assert_array_equal(bands[:, 3, 0, 0], DAYS)
    (whole,) = dataset.for_prediction()
    assert whole['inputs'].shape[1:] == (8, 12)
