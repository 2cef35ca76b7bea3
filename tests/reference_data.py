"""The reference arrays, and models that carry their weights."""

from pathlib import Path

import numpy as np
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmexact.engine.published import convert_exact, convert_tsvit
from mmexact.sits import fold_time

FOLDER = Path(__file__).parent / 'reference'


def load(name: str) -> dict[str, Tensor]:
    with np.load(FOLDER / name, allow_pickle=False) as arrays:
        return {key: torch.as_tensor(arrays[key]) for key in arrays.files}


def published_state(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[6:]: value for key, value in arrays.items() if key.startswith('state/')}


def inputs(arrays: dict[str, Tensor]) -> Tensor:
    """The reference windows in our layout; their last channel is the day, which we give apart."""
    bands = arrays['x'][..., :-1].permute(0, 1, 4, 2, 3)
    return fold_time(bands, arrays['doy_index_used'].float())


def backbone_config(arrays: dict[str, Tensor], **kwargs) -> dict:
    sizes = {key[7:]: int(value) for key, value in arrays.items() if key.startswith('config/')}
    return dict(
        type='TSViT',
        in_channels=sizes['num_channels'] - 1,
        num_classes=sizes['num_classes'],
        img_size=sizes['img_res'],
        patch_size=sizes['patch_size'],
        embed_dims=sizes['dim'],
        temporal_depth=sizes['temporal_depth'],
        spatial_depth=sizes['spatial_depth'],
        num_heads=sizes['heads'],
        head_dims=sizes['dim_head'],
        mlp_ratio=sizes['scale_dim'],
        mask_padding=False,
        **kwargs,
    )


def classifier(arrays: dict[str, Tensor], start_iter: int = 4000) -> torch.nn.Module:
    dims, classes = int(arrays['config/dim']), int(arrays['config/num_classes'])
    model = MODELS.build(
        dict(
            type='ExactClassifier',
            backbone=backbone_config(arrays, global_token=True, attn_residual='normed'),
            cls_head=dict(type='ClassTokenHead', embed_dims=dims),
            spatial_clue_head=dict(
                type='SpatialClueHead',
                num_classes=classes,
                embed_dims=dims,
                start_iter=start_iter,
            ),
            temporal_clue_head=dict(type='TemporalClueHead'),
        )
    )
    state = convert_exact(published_state(arrays))
    state['spatial_clue_head.step'] = torch.tensor(0)
    model.load_state_dict(state)
    return model


def segmentor(arrays: dict[str, Tensor], pixel_order: str = 'published') -> torch.nn.Module:
    model = MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=backbone_config(arrays, attn_residual='both'),
            decode_head=dict(
                type='TSViTHead',
                in_channels=int(arrays['config/dim']),
                num_classes=int(arrays['config/num_classes']),
                patch_size=int(arrays['config/patch_size']),
                pixel_order=pixel_order,
                ignore_index=19,
                loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
            ),
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
        )
    )
    model.load_state_dict(convert_tsvit(published_state(arrays)))
    return model
