"""Exact (Zhu et al., CVPR 2025): a classifier whose activation maps become pseudo masks."""

from typing import Any, Literal, get_args

import torch
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmexact.models.backbones.tsvit import TSViTOutput
from mmexact.pseudo_labels import (
    DEFAULT_BACKGROUND_SCORE,
    add_background,
    confidence,
    drop_background,
    enlarge_cams,
    scale_cams,
)

CamKind = Literal['clue', 'clue_unrefined', 'raw', 'raw_refined', 'temporal', 'spatial']
"""``clue`` is the paper's; the others are its parts, to compare with: the clue-based CAM before
propagation, the fused raw CAM before and after it, and the two maps that are fused."""
CAM_KINDS: tuple[str, ...] = get_args(CamKind)


@MODELS.register_module()
class ExactClassifier(BaseSegmentor):
    """Learns crops from image-level labels, and says where in the window each one grows.

    Args:
        backbone: Config of a backbone that returns
            :class:`~mmexact.models.backbones.tsvit.TSViTOutput` with global tokens.
        cls_head: Config of the image-level head.
        spatial_clue_head: Config of the head with raw CAMs and prototypes.
        temporal_clue_head: Config of the head that propagates maps along pivotal dates.
        data_preprocessor: Config of the data preprocessor.
        train_cfg: Not used; accepted for MMSeg's configs.
        test_cfg: ``cam`` (see :data:`CamKind`), ``background_score`` in [0, 1],
            and ``presence``, which classes get a map: those of the 'image_labels' where a sample
            has them, or always those of the 'predicted' scores of at least 0.5.
        init_cfg: MMEngine's initialisation config.

    Raises:
        ValueError: A setting in ``test_cfg`` is unknown or out of range, or the parts differ in
            their number of crops.
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        cls_head: dict[str, Any],
        spatial_clue_head: dict[str, Any],
        temporal_clue_head: dict[str, Any],
        data_preprocessor: dict[str, Any] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.cls_head = MODELS.build(cls_head)
        self.spatial_clue_head = MODELS.build(spatial_clue_head)
        self.temporal_clue_head = MODELS.build(temporal_clue_head)
        crops = self.backbone.num_classes
        if self.spatial_clue_head.num_classes != crops:
            # Otherwise training would fail only once the prototypes start.
            raise ValueError(
                f'backbone.num_classes={crops}, but spatial_clue_head.num_classes='
                f'{self.spatial_clue_head.num_classes}: set both to the number of crops'
            )
        self.num_classes = crops + 1
        self.out_channels = self.num_classes
        self.align_corners = True
        settings: dict[str, Any] = dict(
            cam='clue',
            background_score=DEFAULT_BACKGROUND_SCORE,
            presence='image_labels',
        )
        unknown = set(test_cfg or {}) - set(settings)
        if unknown:
            raise ValueError(f'test_cfg has no {sorted(unknown)}; it knows {sorted(settings)}')
        settings.update(test_cfg or {})
        for name, choices in (
            ('cam', CAM_KINDS),
            ('presence', ('image_labels', 'predicted')),
        ):
            if settings[name] not in choices:
                raise ValueError(f'test_cfg.{name}={settings[name]!r}; expected one of {choices}')
        score = settings['background_score']
        if not (isinstance(score, int | float) and 0 <= score <= 1):
            raise ValueError(f'test_cfg.background_score={score!r}; expected a number in 0..1')
        self.test_cfg = settings

    def extract_feat(self, inputs: Tensor) -> TSViTOutput:
        """Encode (N, T * (C + 1), H, W).

        Raises:
            ValueError: The backbone has no global tokens, which ``cls_head`` reads, or no date
                tokens, which ``temporal_clue_head`` reads.
        """
        features = self.backbone(inputs)
        if features.global_tokens is None:
            raise ValueError(
                'the backbone returns no global tokens, which cls_head reads: set '
                'backbone.global_token=True'
            )
        if features.date_tokens is None:
            raise ValueError(
                'the backbone returns no date tokens, which temporal_clue_head reads: set '
                'backbone.class_tokens_only=False'
            )
        return features

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Compute ``loss_cls``, ``loss_aux``, ``loss_clue`` and ``loss_affinity``, weighted.

        Args:
            inputs: (N, T * (C + 1), H, W).
            data_samples: N samples with ``gt_score``, multi-hot (K,).

        Raises:
            ValueError: A sample has no image-level label, or one of another number of classes.
        """
        known = torch.stack([self._image_labels(sample) for sample in data_samples])
        labels = known.to(inputs.device, non_blocking=True)
        features = self.extract_feat(inputs)
        maps = self.spatial_clue_head(features)
        losses = self.cls_head.loss(features.global_tokens, labels)
        losses |= self.spatial_clue_head.loss(*maps, features.temporal_tokens, labels)
        cams = self.spatial_clue_head.raw_cam(*maps)
        losses |= self.temporal_clue_head.loss(cams, features, known)
        return losses

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Score the classes of each window and map them.

        Args:
            inputs: (N, T * (C + 1), H, W).
            data_samples: N samples, to be completed; new ones when None.

        Returns:
            Samples with ``pred_score`` (K,) in [0, 1], ``seg_logits`` (K + 1, H, W), whose plane
            0 is the constant background score and whose other planes are the CAMs in [0, 1],
            ``pred_sem_seg`` (1, H, W): the winning plane, which is the class, and
            ``pred_confidence`` (1, H, W), how clearly it wins, in [0, 1]. Of a dataset without
            background (``background`` False in the sample's meta information) the classes are the
            crops, 0..K - 1, and pixels of plane 0 are 255.
        """
        features = self.extract_feat(inputs)
        scores = self.cls_head.predict(features.global_tokens)
        present = scores >= 0.5
        if data_samples is not None and self.test_cfg['presence'] == 'image_labels':
            for row, sample in enumerate(data_samples):
                if 'gt_score' in sample:
                    present[row] = self._image_labels(sample).to(present.device) > 0
        cams = self.activation_maps(features, present)
        cams = enlarge_cams(cams, (inputs.shape[-2], inputs.shape[-1]))
        logits = add_background(cams, self.test_cfg['background_score'])
        samples = self.postprocess_result(logits, data_samples)
        for sample, score in zip(samples, scores, strict=True):
            sample.pred_score = score
            sample.pred_confidence = PixelData(data=confidence(sample.seg_logits.data)[None])
            if not sample.get('background', True):
                sample.pred_sem_seg.data = drop_background(sample.pred_sem_seg.data)
        return samples

    def activation_maps(
        self, features: TSViTOutput, present: Tensor, cam: CamKind | None = None
    ) -> Tensor:
        """Compute the CAMs of present classes.

        Args:
            features: The backbone's output.
            present: Which classes get a map, bool (N, K).
            cam: Which CAM; ``test_cfg.cam`` when None.

        Returns:
            float32 (N, K, h, w), each present map stretched to [0, 1], absent ones zero.
        """
        kind: CamKind = cam or self.test_cfg['cam']
        with torch.autocast(present.device.type, enabled=False):
            maps = self._maps(features, kind)
            pairs = present.nonzero(as_tuple=True)
            chosen = maps[pairs]
            if kind in ('clue', 'raw_refined') and len(chosen):
                pivotal = self.temporal_clue_head(features)
                chosen = self.temporal_clue_head.refine(chosen, pivotal[pairs].float())
            cams = torch.zeros_like(maps)
            cams[pairs] = scale_cams(chosen)
        return cams

    def _maps(self, features: TSViTOutput, cam: CamKind) -> Tensor:
        if cam in ('clue', 'clue_unrefined'):
            return self.spatial_clue_head.clue_cam(features.temporal_tokens)
        features = features._replace(
            temporal_tokens=features.temporal_tokens.float(),
            spatial_tokens=features.spatial_tokens.float(),
        )
        temporal, spatial = self.spatial_clue_head(features)
        if cam == 'temporal':
            return temporal.relu()
        if cam == 'spatial':
            return spatial.relu()
        return self.spatial_clue_head.raw_cam(temporal, spatial)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict[str, Any]]) -> Tensor:
        """Map (N, T * (C + 1), H, W) to the planes of ``seg_logits``, (N, K + 1, H, W)."""
        samples = self.predict(inputs)
        return torch.stack([sample.seg_logits.data for sample in samples])

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        return self.cls_head(self.extract_feat(inputs).global_tokens)

    def _image_labels(self, sample: BaseDataElement) -> Tensor:
        labels = sample.get('gt_score')
        name = sample.metainfo.get('sample_id', 'a sample')
        if labels is None:
            raise ValueError(
                f'{name} has no image-level label (gt_score): give the dataset masks or '
                f'image-level labels, and pack with PackSITSInputs'
            )
        if tuple(labels.shape) != (self.num_classes - 1,):
            raise ValueError(
                f'{name} has an image-level label of shape {tuple(labels.shape)}, but the model '
                f'knows {self.num_classes - 1} crops (backbone.num_classes, without background)'
            )
        return labels
