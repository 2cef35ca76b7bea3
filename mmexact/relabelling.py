"""Pseudo masks of a second round: a segmentor's prediction, held against the image-level labels."""

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmexact.pseudo_labels import confidence, keep_present


def relabel(sample: SegDataSample) -> None:
    """Turn a segmentor's prediction of a window into its pseudo mask.

    Classes that the image-level labels do not name lose their probability; of the others the most
    probable one is taken.

    Args:
        sample: With ``seg_logits`` (C, H, W) and ``gt_score`` (K,); ``pred_sem_seg`` (1, H, W) is
            exchanged, and ``pred_confidence`` (1, H, W) in [0, 1] is added.

    Raises:
        ValueError: The sample has no image-level labels, or the segmentor has a single output.
    """
    name = sample.get('sample_id', 'a sample')
    if 'gt_score' not in sample:
        raise ValueError(
            f'{name} has no image-level label, by which a segmentor is filtered for pseudo masks: '
            f'give the dataset masks or image-level labels'
        )
    logits = sample.seg_logits.data
    if len(logits) == 1:
        raise ValueError(
            f'{name}: the segmentor has one output, a probability of class 1; pseudo masks need '
            f'one output per class: set decode_head.out_channels to the number of classes'
        )
    probabilities = keep_present(
        logits.float().softmax(0), sample.gt_score, sample.get('background', True)
    )
    sample.pred_sem_seg.data = probabilities.argmax(0, keepdim=True)
    sample.pred_confidence = PixelData(data=confidence(probabilities)[None])
