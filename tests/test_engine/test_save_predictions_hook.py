import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmexact.engine import SavePredictionsHook


def test_saved_predictions_are_named_after_the_sample_or_its_file(tmp_path):
    hook = SavePredictionsHook(out_dir=str(tmp_path / 'new' / 'masks'))
    mask = torch.tensor([[0, 1, 2], [18, 255, 3]])
    window = SegDataSample(metainfo=dict(sample_id='7_3', img_path='S2_7.npy'))
    image = SegDataSample(metainfo=dict(img_path='photos/field.tif'))
    for sample in (window, image):
        sample.pred_sem_seg = PixelData(data=mask[None])
    hook.after_test_iter(None, 0, None, [window, image])
    written = sorted((tmp_path / 'new' / 'masks').iterdir())
    assert [path.name for path in written] == ['7_3.png', 'field.png']
    for path in written:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), mask)
