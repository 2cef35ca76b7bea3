import pytest
import torch
from mmseg.structures import SegDataSample
from torch.testing import assert_close

from mmexact.models import SITSDataPreprocessor, TSViT
from mmexact.sits import fold_time, unfold_time

MEAN, STD = [100.0, 1000.0], [10.0, 500.0]


def series(days: list[int], kind: torch.dtype = torch.int16, side: int = 2) -> torch.Tensor:
    """Date t holds 100 + 10 t in band 0 and 1000 - 500 t in band 1."""
    dates = torch.arange(len(days))
    values = torch.stack([100 + 10 * dates, 1000 - 500 * dates], dim=1)
    values = values[:, :, None, None].expand(-1, -1, side, side).to(kind)
    return fold_time(values, torch.tensor(days).to(kind))


@pytest.mark.parametrize('kind', [torch.int16, torch.int32, torch.float32, torch.float64])
def test_digital_numbers_become_deviations_and_days_stay(kind):
    given = series([1, 301, 366], kind)
    before = given.clone()
    batch = SITSDataPreprocessor(MEAN, STD)(dict(inputs=[given]))
    assert batch['inputs'].dtype == torch.float32
    bands, days = unfold_time(batch['inputs'], 2)
    assert days.tolist() == [[1, 301, 366]]
    expected = torch.tensor([[0.0, 0.0], [1.0, -1.0], [2.0, -2.0]])
    assert_close(bands[0, ..., 1, 0], expected)
    assert batch['data_samples'] is None
    assert torch.equal(given, before)


def test_short_series_are_padded_to_the_longest_with_zeros():
    samples = [SegDataSample(metainfo=dict(sample_id=name)) for name in 'ab']
    batch = SITSDataPreprocessor(MEAN, STD)(
        dict(inputs=[series([50]), series([50, 60, 70])], data_samples=samples)
    )
    bands, days = unfold_time(batch['inputs'], 2)
    assert days.tolist() == [[50, 0, 0], [50, 60, 70]]
    assert not bands[0, 1:].any()
    assert bands[1, 1:].all()
    assert [sample.sample_id for sample in batch['data_samples']] == ['a', 'b']


def test_all_series_are_padded_to_num_dates():
    batch = SITSDataPreprocessor(MEAN, STD, num_dates=4)(dict(inputs=[series([50]), series([60])]))
    assert batch['inputs'].shape == (2, 4 * 3, 2, 2)
    assert unfold_time(batch['inputs'], 2)[1].tolist() == [[50, 0, 0, 0], [60, 0, 0, 0]]


def test_pixels_that_a_crop_filled_count_as_padding():
    given = series([50, 60])
    given[:, 0] = 0
    bands, days = unfold_time(SITSDataPreprocessor(MEAN, STD)(dict(inputs=[given]))['inputs'], 2)
    assert days.tolist() == [[50, 60]]
    assert not bands[..., 0, :].any()


def test_day_301_is_looked_up_under_bfloat16():
    """In bfloat16 301 is 300."""
    model = TSViT(
        2, 1, img_size=2, embed_dims=4, temporal_depth=1, spatial_depth=1, num_heads=1, head_dims=4
    )
    seen = []
    model.day_embed.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    inputs = SITSDataPreprocessor(MEAN, STD)(dict(inputs=[series([301, 299, 366])]))['inputs']
    with torch.autocast('cpu', dtype=torch.bfloat16):
        model(inputs)
    assert seen[0].tolist() == [[301, 299, 366]]


def test_wrong_inputs_are_named():
    prepare = SITSDataPreprocessor(MEAN, STD, num_dates=1)
    with pytest.raises(ValueError, match=r'2 dates exceeds data_preprocessor\.num_dates=1'):
        prepare(dict(inputs=[series([50, 60])]))
    with pytest.raises(ValueError, match=r'differ in size: \[\(2, 2\), \(4, 4\)\].*window_size'):
        prepare(dict(inputs=[series([50]), series([50], side=4)]))
    with pytest.raises(ValueError, match=r'4 channels is no multiple of 3 \(2 bands and the day'):
        prepare(dict(inputs=[torch.ones(4, 2, 2)]))


@pytest.mark.parametrize('std', [[1.0], [1.0, 0.0]])
def test_wrong_statistics_are_named(std):
    with pytest.raises(ValueError, match=r'one mean and one positive std for each band, got'):
        SITSDataPreprocessor([0.0, 0.0], std)
