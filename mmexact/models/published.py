"""Names of the published TSViT and Exact weights, and ours.

The published models keep the day of year in a linear layer over one-hot days; ours is a table.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mmexact.sits import DAYS

ENCODERS = {
    'temporal_transformer': 'backbone.temporal_encoder',
    'space_transformer': 'backbone.spatial_encoder',
}
BLOCK = {
    '0.norm.weight': 'norm1.weight',
    '0.norm.bias': 'norm1.bias',
    '0.fn.to_qkv.weight': 'attn.qkv.weight',
    '0.fn.to_out.0.weight': 'attn.proj.weight',
    '0.fn.to_out.0.bias': 'attn.proj.bias',
    '1.norm.weight': 'norm2.weight',
    '1.norm.bias': 'norm2.bias',
    '1.fn.net.0.weight': 'mlp.0.weight',
    '1.fn.net.0.bias': 'mlp.0.bias',
    '1.fn.net.3.weight': 'mlp.3.weight',
    '1.fn.net.3.bias': 'mlp.3.bias',
}
BACKBONE = {
    'temporal_token': ('backbone.class_tokens', 1),
    'space_pos_embedding': ('backbone.position_embed', 1),
    'to_patch_embedding.1.weight': ('backbone.patch_embed.weight', 0),
    'to_patch_embedding.1.bias': ('backbone.patch_embed.bias', 0),
}
CLASSIFIER = {
    'space_token': ('backbone.global_token', 2),
    'mlp_head.0.weight': ('cls_head.norm.weight', 0),
    'mlp_head.0.bias': ('cls_head.norm.bias', 0),
    'mlp_head.1.weight': ('cls_head.fc.weight', 0),
    'mlp_head.1.bias': ('cls_head.fc.bias', 0),
    'patch_head.weight': ('spatial_clue_head.conv_cam.weight', 0),
    'patch_head.bias': ('spatial_clue_head.conv_cam.bias', 0),
    'fg_proto': ('spatial_clue_head.fg_prototypes', 0),
    'bg_proto': ('spatial_clue_head.bg_prototypes', 0),
}
SEGMENTOR = {
    'mlp_head.0.weight': ('decode_head.norm.weight', 0),
    'mlp_head.0.bias': ('decode_head.norm.bias', 0),
    'mlp_head.1.weight': ('decode_head.to_pixels.weight', 0),
    'mlp_head.1.bias': ('decode_head.to_pixels.bias', 0),
}
DAY_KEYS = ('to_temporal_embedding_input.weight', 'to_temporal_embedding_input.bias')
DERIVED = {'taap_module.kernel'}


def convert_exact(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published Exact classifier's weights to ``ExactClassifier``'s.

    Its prototypes count as started: training that goes on from here uses them at once.

    Raises:
        ValueError: Keys are missing or unknown.
    """
    converted = _convert(state, BACKBONE | CLASSIFIER, 'the published Exact classifier')
    converted['spatial_clue_head.step'] = torch.tensor(torch.iinfo(torch.int32).max)
    return converted


def convert_tsvit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published TSViT segmentor's weights to ``EncoderDecoder``'s with ours.

    Raises:
        ValueError: Keys are missing or unknown.
    """
    return _convert(state, BACKBONE | SEGMENTOR, 'the published TSViT segmentor')


def _convert(
    state: Mapping[str, Tensor], names: Mapping[str, tuple[str, int]], model: str
) -> dict[str, Tensor]:
    left = {key.removeprefix('module.'): value for key, value in state.items()}
    names = dict(names)
    for source, target in ENCODERS.items():
        depth = len({key.split('.')[2] for key in left if key.startswith(f'{source}.layers.')})
        for layer in range(depth):
            for old, new in BLOCK.items():
                names[f'{source}.layers.{layer}.{old}'] = (f'{target}.layers.{layer}.{new}', 0)
        for kind in ('weight', 'bias'):
            names[f'{source}.norm.{kind}'] = (f'{target}.norm.{kind}', 0)
    missing = [key for key in (*names, *DAY_KEYS) if key not in left]
    unknown = [key for key in left if key not in names and key not in {*DAY_KEYS, *DERIVED}]
    if missing or unknown:
        raise ValueError(
            f'this is not the state dict of {model}: missing {missing}, unknown {unknown}'
        )
    converted = {
        new: left[old][(0,) * singletons].clone() for old, (new, singletons) in names.items()
    }
    weight, bias = (left[key] for key in DAY_KEYS)
    table = weight.T + bias
    # Published tables end with day 364 or 365; the days after that are its neighbours.
    last = table[-1:].expand(DAYS - len(table), -1)
    converted['backbone.day_embed.weight'] = torch.cat([table, last])
    return converted
