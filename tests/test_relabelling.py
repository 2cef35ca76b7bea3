import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmexact.relabelling import relabel


def sample(*probabilities: float, **fields) -> SegDataSample:
    """A window of one pixel with these probabilities."""
    planes = torch.tensor(probabilities)[:, None, None]
    meta = dict(sample_id='7_3', background=fields.pop('background', True))
    made = SegDataSample(
        metainfo=meta,
        seg_logits=PixelData(data=planes.log() + 5),
        pred_sem_seg=PixelData(data=planes.argmax(0, keepdim=True)),
    )
    made.set_data(fields)
    return made


def test_the_most_probable_present_class_is_taken():
    window = sample(0.1, 0.2, 0.3, 0.4, gt_score=torch.tensor([1.0, 1.0, 0.0]))
    assert window.pred_sem_seg.data.tolist() == [[[3]]]
    relabel(window)
    assert window.pred_sem_seg.data.tolist() == [[[2]]]
    # 1 - 0.2 / 0.3
    assert window.pred_confidence.data.item() == pytest.approx(1 / 3, abs=1e-6)


def test_background_is_always_there_unless_the_data_have_none():
    window = sample(0.1, 0.2, 0.7, gt_score=torch.zeros(2))
    relabel(window)
    assert window.pred_sem_seg.data.tolist() == [[[0]]]
    assert window.pred_confidence.data.item() == 1
    window = sample(0.1, 0.2, 0.7, gt_score=torch.tensor([0.0, 1.0, 0.0]), background=False)
    relabel(window)
    assert window.pred_sem_seg.data.tolist() == [[[1]]]


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r'7_3 has no image-level label, .*give the dataset'):
        relabel(sample(0.4, 0.6))
    with pytest.raises(ValueError, match=r'7_3: .* one output.*set decode_head\.out_channels'):
        relabel(sample(0.4, gt_score=torch.zeros(1)))
