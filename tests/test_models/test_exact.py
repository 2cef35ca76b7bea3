import re

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from mmexact.engine.checkpoint import load_weights
from mmexact.models.segmentors.exact_classifier import CAM_KINDS
from mmexact.pseudo_labels import enlarge_cams, scale_cams
from mmexact.sits import fold_time
from tests.toy_classifier import toy_config, write_tree

CROPS, SIDE = 3, 8


@pytest.fixture(autouse=True)
def _mmseg():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def config() -> dict:
    return dict(
        type='ExactClassifier',
        data_preprocessor=dict(type='SITSDataPreprocessor', mean=[0.0] * 2, std=[1.0] * 2),
        backbone=dict(
            type='TSViT',
            in_channels=2,
            num_classes=CROPS,
            img_size=SIDE,
            embed_dims=6,
            temporal_depth=1,
            spatial_depth=1,
            num_heads=1,
            head_dims=4,
            global_token=True,
        ),
        cls_head=dict(type='ClassTokenHead', embed_dims=6),
        spatial_clue_head=dict(
            type='SpatialClueHead', num_classes=CROPS, embed_dims=6, start_iter=0
        ),
        temporal_clue_head=dict(type='TemporalClueHead'),
    )


def classifier(**test_cfg) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build(dict(config(), test_cfg=test_cfg)).eval()


def batch(*labels: list[int] | None, **meta) -> dict:
    """Windows of two dates, with these image-level labels."""
    values = torch.randn(len(labels), 2, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    days = torch.tensor([100.0, 200.0]).expand(len(labels), -1)
    samples = []
    for number, label in enumerate(labels):
        shape = dict(ori_shape=(SIDE, SIDE), img_shape=(SIDE, SIDE), sample_id=f'7_{number}')
        sample = SegDataSample(metainfo=shape | meta)
        if label is not None:
            sample.gt_score = torch.tensor(label).float()
        samples.append(sample)
    return dict(inputs=list(fold_time(values, days)), data_samples=samples)


def predict(model, data: dict) -> list[SegDataSample]:
    with torch.no_grad():
        return model.test_step(data)


@pytest.mark.parametrize('cam', CAM_KINDS)
def test_a_prediction_holds_what_the_contract_says(cam):
    model = classifier(cam=cam, background_score=0.4)
    samples = predict(model, batch([1, 0, 1], [0, 0, 0]))
    for sample in samples:
        assert sample.pred_score.shape == (CROPS,)
        assert ((sample.pred_score > 0) & (sample.pred_score < 1)).all()
        logits = sample.seg_logits.data
        assert logits.shape == (CROPS + 1, SIDE, SIDE)
        assert logits[0].eq(torch.tensor(0.4)).all()
        assert (logits >= 0).all()
        assert (logits <= 1).all()
        assert torch.equal(sample.pred_sem_seg.data[0], logits.argmax(0))
        first, second = logits.topk(2, 0).values
        assert_close(sample.pred_confidence.data[0], 1 - second / first)
    # Crop 2 is absent.
    assert not samples[0].seg_logits.data[2].any()
    assert samples[0].seg_logits.data[[1, 3]].any()
    assert not samples[1].seg_logits.data[1:].any()
    assert not samples[1].pred_sem_seg.data.any()


def test_kinds_of_cams_are_built_from_each_other():
    model = classifier()
    inputs = torch.stack(batch(None)['inputs'])
    present = torch.ones(1, CROPS, dtype=torch.bool)
    with torch.no_grad():
        features = model.extract_feat(inputs)
        maps = {kind: model.activation_maps(features, present, kind) for kind in CAM_KINDS}
        temporal, spatial = model.spatial_clue_head(features)
        raw = (temporal.relu() + spatial.relu()) / 2
        clue = model.spatial_clue_head.clue_cam(features.temporal_tokens)
        pivotal = model.temporal_clue_head(features)[0]
        refined, refined_clue = (
            model.temporal_clue_head.refine(cams[0], pivotal)[None] for cams in (raw, clue)
        )
    expected = dict(
        clue=refined_clue,
        clue_unrefined=clue,
        raw=raw,
        raw_refined=refined,
        temporal=temporal.relu(),
        spatial=spatial.relu(),
    )
    assert expected.keys() == maps.keys()
    for kind, cams in expected.items():
        assert_close(maps[kind], scale_cams(cams), atol=1e-6, rtol=0)


def test_planes_are_the_enlarged_maps_of_their_class():
    model = classifier()
    data = batch([1, 1, 1])
    with torch.no_grad():
        features = model.extract_feat(torch.stack(data['inputs']))
        cams = model.activation_maps(features, torch.ones(1, CROPS, dtype=torch.bool))
    (sample,) = predict(model, data)
    assert_close(sample.seg_logits.data[1:], enlarge_cams(cams, (SIDE, SIDE))[0])


@pytest.mark.parametrize(
    ('presence', 'label', 'mapped'),
    [
        ('image_labels', [0, 0, 1], [False, False, True]),
        ('image_labels', None, [True, False, False]),
        ('predicted', [0, 0, 1], [True, False, False]),
    ],
)
def test_which_classes_get_a_map(presence, label, mapped):
    model = classifier(presence=presence, cam='temporal')
    with torch.no_grad():
        # The first crop's score is above 0.5, the others' below, whatever they see.
        model.cls_head.norm.weight.zero_()
        model.cls_head.fc.weight.copy_(torch.tensor([[1.0, 0, 0, 0, 0, 0]]))
        model.cls_head.fc.bias.fill_(-0.5)
        model.cls_head.norm.bias.copy_(torch.eye(6)[0] * 0.4)
    shift = torch.tensor([0.2, 0.0, -0.1])
    model.cls_head.register_forward_hook(lambda _, args, logits: logits + shift)
    with torch.no_grad():
        model.spatial_clue_head.conv_cam.bias.fill_(100.0)  # active everywhere
    (sample,) = predict(model, batch(label))
    assert (sample.pred_score >= 0.5).tolist() == [True, False, False]
    assert sample.seg_logits.data[1:].amax((1, 2)).bool().tolist() == mapped


@pytest.mark.parametrize(('direction', 'axis'), [('horizontal', -1), ('vertical', -2)])
def test_a_flip_of_the_test_pipeline_is_undone(direction, axis):
    model = classifier()
    data = batch([1, 1, 0])
    data['inputs'] = [series.flip(axis) for series in data['inputs']]
    (seen,) = predict(model, data)
    flipped = batch([1, 1, 0], flip=True, flip_direction=direction)
    (undone,) = predict(model, dict(flipped, inputs=data['inputs']))
    assert torch.equal(undone.seg_logits.data, seen.seg_logits.data.flip(axis))
    assert torch.equal(undone.pred_sem_seg.data, seen.pred_sem_seg.data.flip(axis))


def test_predicts_without_samples_and_in_mmseg_s_inference():
    model = classifier(presence='predicted')
    data = batch([1, 1, 1])
    with torch.no_grad():
        (sample,) = model(torch.stack(data['inputs']), mode='predict')
        planes = model.encode_decode(torch.stack(data['inputs']), [{}])
        logits = model(torch.stack(data['inputs']), mode='tensor')
    assert torch.equal(planes[0], sample.seg_logits.data)
    assert_close(logits[0].sigmoid(), sample.pred_score)


@pytest.mark.parametrize('bfloat16', [False, True])
def test_a_training_step_reaches_every_weight(bfloat16):
    model = classifier().train()
    data = model.data_preprocessor(batch([1, 0, 1], [0, 0, 0]), True)
    for _ in range(2):
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=bfloat16):
            losses = model(**data, mode='loss')
        assert list(losses) == ['loss_cls', 'loss_aux', 'loss_clue', 'loss_affinity']
        assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert without == []
    assert model.spatial_clue_head.step == 2


class Waits(TorchDispatchMode):
    """Notes the operators whose result a program can only use once a GPU has computed it."""

    NAMES = ('_local_scalar_dense', 'nonzero', 'masked_select', 'is_nonzero', 'unique', 'equal')

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(name in function.overloadpacket.__name__ for name in self.NAMES):
            self.seen.append((function.overloadpacket.__name__, tuple(args[0].shape)))
        return function(*args, **kwargs or {})


def test_a_training_step_waits_for_no_value_of_the_device():
    model = classifier().train()
    data = model.data_preprocessor(batch([1, 0, 1], [0, 1, 0]), True)
    with Waits() as waits:
        sum(model.loss(**data).values()).backward()
    # Image-level labels stay on the CPU, so that looking for present classes is no wait.
    assert waits.seen == [('nonzero', (2, CROPS))]
    with Waits() as waits:
        float(data['inputs'].max())
    assert waits.seen == [('_local_scalar_dense', ())]


def test_a_resumed_training_goes_on_with_its_prototypes(tmp_path):
    tree = write_tree(tmp_path / 'PASTIS')
    first = Runner.from_cfg(toy_config(tree, tmp_path / 'run'))
    first.train()
    head = first.model.spatial_clue_head
    settings = {'resume': True, 'train_cfg.max_iters': 3, 'experiment_name': 'resumed'}
    again = Runner.from_cfg(toy_config(tree, tmp_path / 'run', **settings))
    resumed = again.model.spatial_clue_head
    assert not torch.equal(resumed.fg_prototypes, head.fg_prototypes)
    again.load_or_resume()
    assert torch.equal(resumed.fg_prototypes, head.fg_prototypes)
    assert resumed.step == head.step == 2
    again.train()
    assert resumed.step == 3
    assert not torch.equal(resumed.bg_prototypes, head.bg_prototypes)


@pytest.mark.parametrize(
    ('label', 'message'),
    [
        (None, r'7_1 has no image-level label \(gt_score\)'),
        ([1, 0], r'7_1 has an image-level label of shape \(2,\), but the model knows 3 crops'),
    ],
)
def test_a_sample_without_its_label_is_named(label, message):
    data = batch([1, 0, 1], label)
    with pytest.raises(ValueError, match=message):
        classifier()(torch.stack(data['inputs']), data['data_samples'], mode='loss')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(cams='raw'), r"test_cfg has no \['cams'\]; it knows"),
        (dict(cam='grad'), r"test_cfg\.cam='grad'; expected one of"),
        (dict(presence='all'), r"test_cfg\.presence='all'; expected one of"),
        (dict(background_score=1.5), r'test_cfg\.background_score=1\.5; expected a number in 0'),
        (dict(background_score='0.3'), r"test_cfg\.background_score='0\.3'; expected a number"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        classifier(**settings)


def test_parts_that_do_not_fit_are_named():
    settings = config()
    settings['spatial_clue_head']['num_classes'] = 18
    with pytest.raises(ValueError, match=r'backbone\.num_classes=3, but spatial_clue_head.*=18'):
        MODELS.build(settings)
    settings = config()
    settings['backbone']['global_token'] = False
    model = MODELS.build(settings)
    with pytest.raises(ValueError, match=r'set backbone\.global_token=True'):
        predict(model, batch(None))


def test_the_checkpoint_of_a_segmentor_is_refused(tmp_path):
    model = classifier()
    backbone = {f'backbone.{key}': value for key, value in model.backbone.state_dict().items()}
    torch.save(dict(state_dict=backbone | {'decode_head.norm.bias': torch.ones(6)}), tmp_path / 's')
    message = re.escape(f'{tmp_path}/s is a checkpoint of another model than ExactClassifier')
    with pytest.raises(ValueError, match=message) as refusal:
        load_weights(model, tmp_path / 's')
    assert 'cls_head.fc.bias' in str(refusal.value)
    assert '1 are unknown to the model (decode_head.norm.bias)' in str(refusal.value)
