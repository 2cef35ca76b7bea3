"""The heads on their own; test_reference_*.py compares them with the published ones."""

import math

import pytest
import torch
from mmengine.analysis import FlopAnalyzer, get_model_complexity_info
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.testing import assert_close

from mmexact.models import ClassTokenHead, TemporalClueHead, TSViTHead, TSViTOutput
from mmexact.models.heads.temporal_clue_head import neighbours
from mmexact.sits import fold_time

LN2 = math.log(2)
LOSS = dict(type='CrossEntropyLoss', avg_non_ignore=True)


@pytest.fixture(autouse=True)
def _mmseg():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def features(**fields: torch.Tensor | None) -> TSViTOutput:
    return TSViTOutput(**dict.fromkeys(TSViTOutput._fields) | dict(patch_size=2) | fields)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestTSViTHead:
    def head(self, **settings) -> TSViTHead:
        torch.manual_seed(0)
        config = dict(type='TSViTHead', in_channels=6, num_classes=3, loss_decode=LOSS)
        return MODELS.build(config | settings).eval()

    def test_logits_stand_on_the_pixels_of_their_patch(self):
        head, tokens = self.head(), random(1, 3, 6, 4, 5)
        logits = head(features(spatial_tokens=tokens))
        assert logits.shape == (1, 3, 8, 10)
        for crop in range(3):
            for row in range(8):
                for column in range(10):
                    token = tokens[0, crop, :, row // 2, column // 2]
                    expected = head.to_pixels(head.norm(token))[2 * (row % 2) + column % 2]
                    assert_close(logits[0, crop, row, column], expected)

    def test_published_order_fills_the_window_location_by_location(self):
        head, tokens = self.head(pixel_order='published'), random(1, 3, 6, 4, 5)
        logits = head(features(spatial_tokens=tokens))
        # Location 7 (row 1, column 2) fills the pixels 28..31: row 2 of 10 columns, the last two.
        expected = head.to_pixels(head.norm(tokens[0, 2, :, 1, 2]))
        assert_close(logits[0, 2].flatten()[28:32], expected)

    def test_number_of_classes_must_be_the_backbone_s(self):
        with pytest.raises(ValueError, match=r'decode_head\.num_classes=3, but .* has 4 class'):
            self.head()(features(spatial_tokens=random(1, 4, 6, 2, 2)))

    def test_patches_must_be_the_backbone_s(self):
        message = r'decode_head\.patch_size=2, but backbone\.patch_size=4: set both alike'
        with pytest.raises(ValueError, match=message):
            self.head()(features(spatial_tokens=random(1, 3, 6, 2, 2), patch_size=4))

    def test_wrong_order_is_named(self):
        with pytest.raises(ValueError, match=r"pixel_order='rows'; expected 'patch' or"):
            self.head(pixel_order='rows')


def segmentor(img_size: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build(segmentor_config(img_size)).eval()


def segmentor_config(img_size: int) -> ConfigDict:
    return ConfigDict(
        type='EncoderDecoder',
        backbone=dict(
            type='TSViT',
            in_channels=2,
            num_classes=3,
            img_size=img_size,
            embed_dims=6,
            temporal_depth=1,
            spatial_depth=1,
            num_heads=1,
            head_dims=4,
        ),
        decode_head=dict(type='TSViTHead', in_channels=6, num_classes=3, loss_decode=LOSS),
        data_preprocessor=dict(type='SITSDataPreprocessor', mean=[0.0, 0.0], std=[1.0, 1.0]),
        test_cfg=dict(mode='slide', crop_size=(img_size, img_size), stride=(img_size, img_size)),
    )


def patch(**meta) -> tuple[torch.Tensor, SegDataSample]:
    """A patch of 40 x 52 pixels, two dates of two bands."""
    series = fold_time(random(2, 2, 40, 52), torch.tensor([100.0, 200.0]))
    shape = dict(ori_shape=(40, 52), img_shape=(40, 52), img_path='patch.npy')
    return series, SegDataSample(metainfo=shape | meta)


class TestSegmentor:
    def test_slides_over_a_patch_that_is_no_multiple_of_the_window(self):
        model = segmentor(24)
        series, sample = patch()
        with torch.no_grad():
            (predicted,) = model.test_step(dict(inputs=[series], data_samples=[sample]))
            windows = {
                place: model(series[None, :, place[0] : place[0] + 24, place[1] : place[1] + 24])[0]
                for place in ((0, 0), (16, 0), (16, 28))
            }
        logits = predicted.seg_logits.data
        assert logits.shape == (3, 40, 52)
        assert_close(logits[:, :16, :24], windows[0, 0][:, :16])
        # The last windows end at the border and overlap their neighbours: rows 16..39, columns
        # 28..51.
        assert_close(logits[:, 24:, 48:], windows[16, 28][:, 8:, 20:])
        overlap = (windows[0, 0][:, 16:] + windows[16, 0][:, :8]) / 2
        assert_close(logits[:, 16:24, :24], overlap)
        assert torch.equal(predicted.pred_sem_seg.data[0], logits.argmax(0))

    @pytest.mark.filterwarnings('ignore:The shape of value will convert')
    def test_flips_of_test_time_augmentation_are_undone(self):
        series, _ = patch()
        model = MODELS.build(dict(type='SegTTAModel', module=segmentor_config(24))).eval()
        views = {None: series, 'horizontal': series.flip(-1), 'vertical': series.flip(-2)}
        batch = dict(
            inputs=[[view] for view in views.values()],
            data_samples=[[patch(flip=way is not None, flip_direction=way)[1]] for way in views],
        )
        with torch.no_grad():
            (merged,) = model.test_step(batch)
            total = torch.zeros(3, 40, 52)
            for way, view in views.items():
                inputs = dict(inputs=[view], data_samples=[patch()[1]])
                logits = model.module.test_step(inputs)[0].seg_logits.data.softmax(0)
                back = {None: (), 'horizontal': (-1,), 'vertical': (-2,)}[way]
                total += logits.flip(back)
        assert torch.equal(merged.pred_sem_seg.data[0], total.argmax(0))

    def test_flops_counter_runs(self):
        model = segmentor(8)
        torch.manual_seed(0)  # its random input is also the day of year
        info = get_model_complexity_info(model, input_shape=(2 * 3, 8, 8))
        assert info['params'] == sum(parameter.numel() for parameter in model.parameters())
        counter = FlopAnalyzer(model, (torch.ones(1, 2 * 3, 8, 8),))
        counter.unsupported_ops_warnings(False)
        by_module = counter.by_module()
        # 3 classes, 16 locations, 6 wide to 4 pixels; 16 locations, 2 dates, 8 values to 6.
        assert by_module['decode_head.to_pixels'] == 3 * 16 * 6 * 4
        assert by_module['backbone.patch_embed'] == 16 * 2 * 8 * 6
        assert info['flops'] == counter.total() > 1e4


class TestClassTokenHead:
    def test_loss_and_probabilities_by_hand(self):
        head = ClassTokenHead(2, loss_weight=0.5)
        with torch.no_grad():
            head.fc.weight.copy_(torch.tensor([[LN2, 0.0]]))
            head.fc.bias.zero_()
        # Normalised: (1, -1) and (-1, 1), so the logits are ln 2 and -ln 2.
        tokens = torch.tensor([[[30.0, 10.0], [10.0, 30.0]]])
        assert_close(head.predict(tokens), torch.tensor([[2 / 3, 1 / 3]]))
        loss = head.loss(tokens, torch.tensor([[1.0, 1.0]]))['loss_cls']
        expected = -0.5 * (math.log(2 / 3) + math.log(1 / 3)) / 2
        assert loss.item() == pytest.approx(expected, abs=1e-6)


class TestTemporalClueHead:
    def test_neighbours_row_by_row_with_the_border_repeated(self):
        maps = torch.arange(20.0).view(1, 1, 4, 5)
        around = neighbours(maps, dilation=2)[0, :, 0]
        assert around[:, 2, 2].tolist() == [0, 2, 4, 10, 14, 15, 17, 19]
        assert around[:, 0, 0].tolist() == [0, 0, 2, 0, 2, 10, 10, 12]

    def test_pivotal_dates_leave_masked_dates_out(self):
        head = TemporalClueHead()
        attention = torch.tensor([[[0.0, LN2, 5.0]]])
        seen = head.pivotal_dates(features(temporal_attention=attention))
        assert_close(seen, attention.softmax(-1))
        mask = torch.tensor([[True, True, False]])
        masked = head.pivotal_dates(features(temporal_attention=attention, date_mask=mask))
        assert_close(masked, torch.tensor([[[1 / 3, 2 / 3, 0.0]]]))
        assert masked[..., 2].eq(0).all()

    def test_class_features_are_the_weighted_dates(self):
        dates = random(1, 2, 3, 4, 5)
        attention = torch.tensor([[[0.0, LN2], [LN2, 0.0]]])
        found = TemporalClueHead()(features(temporal_attention=attention, date_tokens=dates))
        assert_close(found[0, 0], dates[0, 0] / 3 + dates[0, 1] * 2 / 3)
        assert_close(found[0, 1], dates[0, 0] * 2 / 3 + dates[0, 1] / 3)

    def test_affinity_prefers_the_alike_and_sums_to_one(self):
        head = TemporalClueHead(dilation=1)
        affinity = head.affinity(random(2, 3, 4, 5))
        assert affinity.shape == (2, 8, 4, 5)
        assert (affinity >= 0).all()
        assert_close(affinity.sum(1), torch.ones(2, 4, 5))
        halves = torch.zeros(1, 2, 3, 4)
        halves[0, 0, :, :2] = halves[0, 1, :, 2:] = 1.0
        # Of pixel (1, 1) the neighbours in columns 0 and 1 (0, 1, 3, 5 and 6) are alike.
        weights = head.affinity(halves)[0, :, 1, 1]
        alike = torch.tensor([1, 1, 0, 1, 0, 1, 1, 0]).bool()
        # Three of eight differ: unbiased deviation sqrt(15 / 56) in both widths.
        ratio = math.exp(1 / (math.sqrt(15 / 56) + 1e-8) / 0.3)
        assert_close(weights[alike], torch.full((5,), ratio / (5 * ratio + 3)))
        assert_close(weights[~alike], torch.full((3,), 1 / (5 * ratio + 3)))

    def test_loss_by_hand_and_of_present_classes_only(self):
        # Features alike everywhere share a value of 8 evenly among the 8 neighbours: the centre
        # changes by 8 / 2 and each neighbour by 1 / 2, over 25 locations of the one present map.
        head = TemporalClueHead(dilation=1, num_steps=1, loss_weight=0.5)
        cams = random(2, 2, 5, 5).relu()
        cams[1, 0] = 0
        cams[1, 0, 2, 2] = 8
        alike = features(
            temporal_attention=torch.zeros(2, 2, 3), date_tokens=torch.ones(2, 3, 4, 5, 5)
        )
        loss = head.loss(cams, alike, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))['loss_affinity']
        assert loss.item() == pytest.approx(0.5 * (4 + 8 * 0.5) / 25)

    def test_no_present_class_costs_nothing_and_still_trains(self):
        cams = random(2, 2, 5, 5).requires_grad_()
        fields = features(
            temporal_attention=torch.zeros(2, 2, 3), date_tokens=random(2, 3, 4, 5, 5)
        )
        loss = TemporalClueHead().loss(cams, fields, torch.zeros(2, 2))['loss_affinity']
        assert loss == 0
        loss.backward()
        assert not cams.grad.any()

    @pytest.mark.parametrize('value', [0.0, 1.0])
    def test_constant_features_give_finite_gradients(self, value):
        dates = torch.full((1, 3, 4, 5, 5), value, requires_grad=True)
        cams = random(1, 2, 5, 5).requires_grad_()
        fields = features(temporal_attention=torch.zeros(1, 2, 3), date_tokens=dates)
        loss = TemporalClueHead().loss(cams, fields, torch.ones(1, 2))['loss_affinity']
        loss.backward()
        assert loss > 0
        assert dates.grad.isfinite().all()
        assert cams.grad.isfinite().all()
        assert cams.grad.any()
