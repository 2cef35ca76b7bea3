"""What validation and test loops draw."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmexact.datasets.pastis.pastis import METAINFO
from mmexact.visualization import SITSVisualizer
from tests.data import write_pastis
from tests.toy_classifier import toy_config, write_tree

REPO = Path(__file__).resolve().parents[2]
PALETTE = [[56, 56, 60], [0, 200, 0], [250, 200, 0]]
DAYS = np.array([10, 100, 200])


def make_visualizer(**kwargs) -> SITSVisualizer:
    visualizer = SITSVisualizer(**kwargs)
    visualizer.dataset_meta = dict(classes=('Background', 'Meadow', 'Corn'), palette=PALETTE)
    return visualizer


def make_sample(**kwargs) -> SegDataSample:
    sample = SegDataSample(metainfo=dict(sample_id='7_3', day_of_year=DAYS))
    sample.pred_sem_seg = PixelData(data=torch.ones(1, 4, 4, dtype=torch.long))
    for key, value in kwargs.items():
        setattr(sample, key, value)
    return sample


def panels(picture: np.ndarray) -> int:
    """Count the panels of 256 pixels beside each other."""
    count, rest = divmod(picture.shape[1] + 8, 256 + 8)
    assert rest == 0
    return count


class TestVisualizer:
    image = np.full((4, 4, 3), 100, np.uint8)

    def draw(self, tmp_path, sample, **kwargs) -> np.ndarray:
        path = tmp_path / 'picture.png'
        make_visualizer().add_datasample('x', self.image, sample, out_file=str(path), **kwargs)
        return cv2.imread(str(path))[..., ::-1]

    def test_composite_truth_and_prediction_side_by_side(self, tmp_path):
        truth = PixelData(data=torch.full((1, 4, 4), 2))
        picture = self.draw(tmp_path, make_sample(gt_sem_seg=truth))
        assert panels(picture) == 3
        middle = 22 + 128
        colours = [picture[middle, 128 + 264 * panel].tolist() for panel in range(3)]
        assert colours == [[100] * 3, PALETTE[2], PALETTE[1]]
        # The legend: a box of 12 pixels with its frame, 5 pixels below the top of its line.
        legend = picture[22 + 256 + 4 :]
        assert legend[6, 1].tolist() == PALETTE[1]
        assert legend[5, 1].tolist() == legend[6, 0].tolist() == [0x5B, 0x63, 0x6B]
        assert (legend == PALETTE[2]).all(-1).sum() == 100
        assert not (legend == PALETTE[0]).all(-1).any()

    def test_cam_of_a_classifier(self, tmp_path):
        logits = torch.zeros(3, 4, 4)
        logits[0], logits[2] = 0.33, 1.0
        sample = make_sample(pred_score=torch.ones(2), seg_logits=PixelData(data=logits))
        picture = self.draw(tmp_path, sample)
        assert panels(picture) == 3
        assert picture[150, 264 + 128].tolist() == PALETTE[2]

    def test_logits_of_a_segmentor_are_no_cam(self, tmp_path):
        sample = make_sample(seg_logits=PixelData(data=torch.randn(3, 4, 4)))
        assert panels(self.draw(tmp_path, sample)) == 2

    def test_prediction_can_be_left_out(self, tmp_path):
        assert panels(self.draw(tmp_path, make_sample(), draw_pred=False)) == 1


CONFIG = """
_base_ = [{runtime!r}]
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SITSDataPreprocessor', mean=[300.0] * 3, std=[300.0] * 3),
    backbone=dict(
        type='TSViT', in_channels=3, num_classes=19, img_size=4, patch_size=2, embed_dims=8,
        temporal_depth=1, spatial_depth=1, num_heads=1, head_dims=8,
    ),
    decode_head=dict(
        type='TSViTHead', in_channels=8, num_classes=19, patch_size=2,
        loss_decode=dict(type='CrossEntropyLoss'),
    ),
    test_cfg=dict(mode='whole'),
)
test_pipeline = [
    dict(type='LoadSITS'), dict(type='LoadSITSAnnotations'), dict(type='PackSITSInputs')
]
test_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PASTISDataset', data_root={root!r}, folds=(1,), window_size=4, pipeline=test_pipeline
    ),
)
test_evaluator = dict(type='IoUMetric')
test_cfg = dict(type='TestLoop')
val_dataloader, val_evaluator, val_cfg = test_dataloader, test_evaluator, dict(type='ValLoop')
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
# A test must not touch the training data, which need not be there.
train_dataloader = dict(dataset=dict(type='PASTISDataset', data_root='nowhere'))
flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
tta_pipeline = [
    test_pipeline[0],
    dict(type='TestTimeAug', transforms=[flips, [test_pipeline[1]], [test_pipeline[2]]]),
]
work_dir = {work!r}
"""


@pytest.fixture
def cfg(tmp_path) -> Config:
    """A segmentor of six windows of one patch, as tools/test.py --show-dir sets it up."""
    write_pastis(tmp_path / 'PASTIS', {7: np.arange(130).reshape(10, 13) % 19})
    text = CONFIG.format(
        runtime=str(REPO / 'configs/_base_/default_runtime.py'),
        root=str(tmp_path / 'PASTIS'),
        work=str(tmp_path / 'work'),
    )
    (tmp_path / 'tiny.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'tiny.py')
    cfg.experiment_name = cfg.visualizer.name = tmp_path.name  # MMEngine keeps both by name
    cfg.visualizer.save_dir = str(tmp_path / 'shown')
    cfg.default_hooks.visualization.draw = True
    return cfg


def shown(cfg: Config) -> list[str]:
    return sorted(path.name for path in Path(cfg.visualizer.save_dir).rglob('*.png'))


class TestHook:
    def test_test_loop_draws_every_window(self, cfg):
        Runner.from_cfg(cfg).test()
        assert shown(cfg) == [f'7_{window}_test_0.png' for window in range(6)]
        path = next(Path(cfg.visualizer.save_dir).rglob('7_5_test_0.png'))
        picture = cv2.imread(str(path))[..., ::-1]
        assert panels(picture) == 3
        # Window 5 spans the rows 4..7 and columns 8..11 of a mask that counts 0..18 along rows.
        corner = METAINFO['palette'][(4 * 13 + 8) % 19]
        assert picture[22 + 5, 264 + 5].tolist() == corner

    def test_test_time_augmentation(self, cfg):
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(**cfg.tta_model, module=cfg.model)
        Runner.from_cfg(cfg).test()
        assert shown(cfg) == [f'7_{window}_test_0.png' for window in range(6)]

    def test_validation_draws_the_first_of_some_batches(self, cfg):
        cfg.val_dataloader.batch_size = 2
        cfg.default_hooks.visualization.interval = 2
        cfg.train_cfg = cfg.train_dataloader = cfg.optim_wrapper = None
        Runner.from_cfg(cfg).val()
        assert shown(cfg) == ['7_0_val_0.png', '7_4_val_0.png']

    def test_a_training_draws_the_same_window_with_its_cam_after_every_validation(self, tmp_path):
        cfg = toy_config(write_tree(tmp_path / 'PASTIS'), tmp_path / 'run')
        cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, cfg.test_evaluator
        cfg.val_cfg = dict(type='ValLoop')
        cfg.train_cfg.val_interval = 1
        cfg.visualizer = dict(
            type='SITSVisualizer', vis_backends=[dict(type='LocalVisBackend')],
            name=f'toy_{tmp_path.name}', save_dir=str(tmp_path / 'shown'),
        )  # fmt: skip
        cfg.default_hooks.visualization = dict(type='SITSVisualizationHook', draw=True)
        Runner.from_cfg(cfg).train()
        paths = sorted((tmp_path / 'shown').rglob('*.png'))
        assert [path.name for path in paths] == ['7_0_val_1.png', '7_0_val_2.png']
        assert panels(cv2.imread(str(paths[0]))) == 4  # composite, CAM, truth, prediction

    def test_off_by_default_without_a_warning(self, cfg):
        cfg.default_hooks.visualization.draw = False
        with warnings.catch_warnings():
            warnings.filterwarnings('error', 'The draw is False')
            runner = Runner.from_cfg(cfg)
        runner.test()
        assert shown(cfg) == []

    def test_bands_that_the_series_lacks(self, cfg):
        cfg.default_hooks.visualization.bands = (7, 3, 2)
        with pytest.raises(ValueError, match=r'the series has the bands 0\.\.2'):
            Runner.from_cfg(cfg).test()
