import numpy as np
import pytest
import reference_data
import torch
from torch.testing import assert_close

from mmexact.pseudo_labels import (
    BACKGROUND_SCORES,
    cams_to_mask,
    confidence,
    confusion_by_score,
    confusion_scores,
    enlarge_cams,
    scale_cams,
    score_histogram,
)


@pytest.fixture(scope='module')
def arrays():
    return reference_data.load('cam2label.npz')


def maps(arrays, window):
    cams = torch.zeros(5, 12, 12)
    for plane in range(5):
        key = f'cam/{window}/{plane}'
        if key in arrays:
            cams[plane] = arrays[key]
    return enlarge_cams(cams[None], (24, 24))[0]


def test_enlarged_maps_agree_with_the_published_ones(arrays):
    assert_close(maps(arrays, 0), arrays['zoomed/0'][1:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('window', [0, 1, 2])
@pytest.mark.parametrize('score', [0.1, 0.3, 0.5])
def test_masks_agree_with_the_published_ones(arrays, window, score):
    mask = cams_to_mask(maps(arrays, window), score)
    assert mask.dtype == torch.uint8
    assert torch.equal(mask, arrays[f'pseudo/{window}/thr{score}'])


def test_scores_of_all_background_scores_agree_with_the_published_ones(arrays):
    total = 0
    for window in range(3):
        truth = arrays[f'gt/{window}'].long()
        truth[truth == int(arrays['void_label'])] = 255
        total = total + score_histogram(maps(arrays, window), truth)
    accuracy, miou = confusion_scores(confusion_by_score(total), absent_classes='zero')
    assert np.allclose(arrays['thresholds'], BACKGROUND_SCORES)
    assert_close(accuracy, arrays['OA'], atol=1e-5, rtol=0)
    assert_close(miou, arrays['mIoU'], atol=1e-5, rtol=0)


def test_the_one_pass_table_equals_masks_made_one_by_one():
    generator = torch.Generator().manual_seed(0)
    cams = torch.rand(2, 3, 7, 5, generator=generator)
    truth = torch.randint(0, 4, (2, 7, 5), generator=generator)
    truth[0, :2] = 255
    cams[1, :, 0] = 0.25  # ties between classes, and with a background score
    confusion = confusion_by_score(score_histogram(cams, truth))
    assert confusion.shape == (60, 4, 4)
    for index in (0, 25, 26, 59):
        mask = cams_to_mask(cams, BACKGROUND_SCORES[index]).long()
        expected = torch.zeros(4, 4, dtype=torch.long)
        for true, found in zip(truth.flatten(), mask.flatten(), strict=True):
            if true != 255:
                expected[true, found] += 1
        assert torch.equal(confusion[index], expected)


def test_scores_by_hand():
    # 3 of 4 pixels right; IoU 1/2 and 2/3; class 2 occurs nowhere.
    confusion = torch.tensor([[1, 1, 0], [0, 2, 0], [0, 0, 0]])
    accuracy, miou = confusion_scores(confusion)
    assert accuracy.item() == 75
    assert miou.item() == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    _, with_absent = confusion_scores(confusion, absent_classes='zero')
    assert with_absent.item() == pytest.approx(100 * (1 / 2 + 2 / 3) / 3)


def test_scaling_by_hand_and_of_a_flat_map():
    cams = torch.tensor([[[1.0, 3.0], [2.0, 5.0]], [[4.0, 4.0], [4.0, 4.0]]])
    assert_close(scale_cams(cams)[0], torch.tensor([[0.0, 0.5], [0.25, 1.0]]))
    assert not scale_cams(cams)[1].any()


def test_background_wins_ties_and_the_lower_class_does():
    cams = torch.tensor([[[0.3, 0.6]], [[0.3, 0.6]]])
    assert cams_to_mask(cams, 0.3).tolist() == [[0, 1]]


def test_a_label_that_the_model_does_not_know_is_named():
    with pytest.raises(ValueError, match=r'class 9, but the CAMs know only 0\.\.2'):
        score_histogram(torch.zeros(2, 1, 1), torch.tensor([[9]]))


def test_confidence_is_the_lead_of_the_winner():
    # Per pixel: 0.33 against 0.11; 0.8 against 0.4; a tie; one alone; nothing.
    planes = torch.tensor(
        [[[0.33, 0.4, 0.5, 0.0, 0.0]], [[0.11, 0.8, 0.5, 0.7, 0.0]], [[0.1, 0.2, 0.1, 0.0, 0.0]]]
    )
    assert_close(confidence(planes), torch.tensor([[2 / 3, 0.5, 0.0, 1.0, 0.0]]))
