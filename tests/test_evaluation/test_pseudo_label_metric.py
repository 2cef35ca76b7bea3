import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmexact.evaluation.pseudo_label_metric import PseudoLabelMetric, select_with_pixel_labels
from mmexact.pseudo_labels import BACKGROUND_SCORES


def sample(cams: list, truth: list | None, background_score: float = 0.33) -> dict:
    """What a test loop hands to metrics: a window of one row, crops by columns."""
    maps = torch.tensor(cams)[:, None]
    logits = torch.cat([torch.full_like(maps[:1], background_score), maps])
    sample = SegDataSample(metainfo=dict(sample_id='7_3'), seg_logits=PixelData(data=logits))
    if truth is not None:
        sample.gt_sem_seg = PixelData(data=torch.tensor([[truth]]))
    return sample.to_dict()


def evaluate(*samples: dict, **settings) -> tuple[dict, PseudoLabelMetric]:
    metric = PseudoLabelMetric(**settings)
    metric.dataset_meta = dict(classes=('Background', 'Meadow', 'Corn'))
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples)), metric


# Two crops, five pixels in two windows; the last pixel is void.
WINDOWS = (
    sample([[0.90, 0.20, 0.40], [0.00, 0.10, 0.50]], [1, 0, 2]),
    sample([[0.15, 0.00], [0.05, 0.00]], [1, 255]),
)


def test_scores_by_hand_and_in_hindsight():
    scores, metric = evaluate(*WINDOWS)
    # At 0.33: mask 1, 0, 2 and 0. The fourth pixel is wrong: background is hit once of a union of
    # 2, Meadow once of 2, Corn once of 1.
    assert scores['pseudo/background_score'] == 0.33
    assert scores['pseudo/OA'] == pytest.approx(75)
    assert scores['pseudo/mIoU'] == pytest.approx(100 * (0.5 + 0.5 + 1) / 3)
    # Below 0.15 the fourth is right but the second (0.2, background) is not; from 0.20 to 0.49 the
    # other way round. The lowest of the best scores counts: at 0 as at 0.2 three of four are right.
    assert scores['pseudo/hindsight_OA'] == pytest.approx(75)
    assert scores['pseudo/hindsight_score'] == 0.0
    # Mask 1, 1, 2 and 1: background is never hit, Meadow twice of 3, Corn once of 1.
    assert scores['pseudo/hindsight_mIoU'] == pytest.approx(100 * (0 + 2 / 3 + 1) / 3)

    assert metric.by_class == {'Background': 50.0, 'Meadow': 50.0, 'Corn': 100.0}

    curve = metric.by_score
    assert [entry['background_score'] for entry in curve] == list(BACKGROUND_SCORES)
    accuracy = {entry['background_score']: entry['OA'] for entry in curve}
    assert accuracy[0.14] == pytest.approx(75)
    assert accuracy[0.16] == pytest.approx(50)
    assert accuracy[0.21] == pytest.approx(75)
    assert accuracy[0.51] == pytest.approx(50)


def test_the_model_s_own_background_score_counts():
    one = sample([[0.9, 0.704], [0.1, 0.1]], [1, 0], background_score=0.705)
    scores, metric = evaluate(one)
    assert scores['pseudo/background_score'] == 0.705
    assert scores['pseudo/OA'] == 100
    # The best of the 60 scores, which 0.705 is none of.
    assert scores['pseudo/hindsight_OA'] == 50
    assert scores['pseudo/hindsight_score'] == 0.0
    assert len(metric.by_score) == 61


def test_absent_classes_can_count_zero():
    one = sample([[0.9, 0.1], [0.1, 0.1]], [1, 0])
    scores, metric = evaluate(one)
    assert scores['pseudo/mIoU'] == 100
    assert metric.by_class == {'Background': 100.0, 'Meadow': 100.0, 'Corn': None}
    assert evaluate(one, absent_classes='zero')[0]['pseudo/mIoU'] == pytest.approx(200 / 3)


def test_one_metric_scores_one_test_after_another():
    metric = PseudoLabelMetric(prefix='train')
    results = []
    for _ in range(2):
        metric.process({}, [WINDOWS[0]])
        results.append(metric.evaluate(1))
    assert results[0] == results[1]
    assert results[0]['train/OA'] == 100


def test_a_sample_without_mask_is_named():
    with pytest.raises(ValueError, match=r'7_3 has no pixel labels.*LoadSITSAnnotations'):
        PseudoLabelMetric().process({}, [sample([[0.5]], None)])


def test_planes_of_several_models_are_refused():
    with pytest.raises(ValueError, match=r'background scores 0\.2 and 0\.4 in plane 0'):
        evaluate(sample([[0.5]], [1], 0.4), sample([[0.5]], [1], 0.2))


def test_the_paper_s_choice_of_checkpoint_and_score():
    scores = [
        {'pseudo/hindsight_OA': 70.0, 'pseudo/hindsight_score': 0.2, 'pseudo/OA': 69.0},
        {'pseudo/hindsight_OA': 80.0, 'pseudo/hindsight_score': 0.4, 'pseudo/OA': 60.0},
        {'pseudo/hindsight_OA': 80.0, 'pseudo/hindsight_score': 0.5, 'pseudo/OA': 61.0},
    ]
    assert select_with_pixel_labels(scores) == (1, 0.4)
