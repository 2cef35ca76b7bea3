"""Names of the published TSViT, Exact and U-TAE weights, and ours.

The published TSViTs keep the day of year in a linear layer over one-hot days; ours is a table.
"""

import re
from collections.abc import Iterator, Mapping

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
UTAE = (
    (r'^in_conv\.conv\.conv\.', 'backbone.in_conv.'),
    (r'^(down|up)_blocks\.(\d+)\.(down|conv1|conv2)\.conv\.', r'backbone.\1_blocks.\2.\3.'),
    (r'^up_blocks\.', 'backbone.up_blocks.'),
    (r'^out_conv\.conv\.conv\.', 'decode_head.out_conv.'),
    (r'^temporal_encoder\.', 'backbone.temporal_encoder.'),
    (r'\.inconv\.', '.in_proj.'),
    (r'\.attention_heads\.Q$', '.query'),
    (r'\.attention_heads\.fc1_k\.', '.key.'),
)
"""Renaming of U-TAE's weights, one after the other."""
LAST_CONV = ('out_conv.conv.conv.3.', 'out_conv.conv.conv.4.')
"""U-TAE's last convolution and its normalisation, whose rows are the classes."""


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


def convert_utae(state: Mapping[str, Tensor], num_classes: int | None = None) -> dict[str, Tensor]:
    """Rename the weights of the authors' ``UTAE`` module to ``EncoderDecoder``'s with ours.

    Args:
        state: The published state dict.
        num_classes: Keep the first outputs only; the weights published for PASTIS have a 20th
            one, which stands for ignored pixels. None keeps all.

    Raises:
        ValueError: Keys are missing or unknown, or there are fewer outputs.
    """
    depth = len({key.split('.')[1] for key in state if key.startswith('down_blocks.')})
    names = list(_utae_names(depth))
    missing = [name for name in names if name not in state]
    unknown = [name for name in state if name not in names]
    if missing or unknown:
        raise ValueError(
            f"this is not the state dict of the authors' UTAE module: missing {missing}, unknown "
            f'{unknown}'
        )
    outputs = len(state[f'{LAST_CONV[0]}weight'])
    if num_classes is not None and not 0 < num_classes <= outputs:
        raise ValueError(f'--num-classes {num_classes}: the network has {outputs} outputs')
    converted = {}
    for name, value in state.items():
        rows = value[:num_classes] if name.startswith(LAST_CONV) and value.ndim else value
        # A convolution of width 1 over the dates is our linear layer.
        rows = rows.squeeze(-1) if name == 'temporal_encoder.inconv.weight' else rows
        for old, new in UTAE:
            name = re.sub(old, new, name)
        converted[name] = rows.clone()
    return converted


def _utae_names(depth: int) -> Iterator[str]:
    """List the weights of the authors' UTAE with ``depth`` down blocks."""
    affine: tuple[str, ...] = ('weight', 'bias')
    batch_norm = (*affine, 'running_mean', 'running_var', 'num_batches_tracked')
    stacks = [('in_conv.conv.conv', 0, affine), ('in_conv.conv.conv', 3, affine)]
    stacks += [('out_conv.conv.conv', index, batch_norm) for index in (0, 3)]
    for block in range(depth):
        for part in ('down', 'conv1', 'conv2'):
            stacks.append((f'down_blocks.{block}.{part}.conv', 0, affine))
        for part in ('skip_conv', 'up', 'conv1.conv', 'conv2.conv'):
            stacks.append((f'up_blocks.{block}.{part}', 0, batch_norm))
    stacks.append(('temporal_encoder.mlp', 0, batch_norm))
    for stack, index, norm in stacks:
        yield from (f'{stack}.{index}.{name}' for name in affine)
        yield from (f'{stack}.{index + 1}.{name}' for name in norm)
    yield 'temporal_encoder.attention_heads.Q'
    for part in ('attention_heads.fc1_k', 'in_norm', 'inconv', 'out_norm'):
        yield from (f'temporal_encoder.{part}.{name}' for name in affine)


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
