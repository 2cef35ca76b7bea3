import pytest
import torch
from torch.testing import assert_close

from mmexact.models import TSViT
from mmexact.models.backbones import transformer
from mmexact.models.backbones.transformer import Attention, Block, attend
from mmexact.sits import fold_time

CLASSES, DATES, BANDS, SIDE = 3, 4, 2, 8
DAYS = torch.tensor([[31, 120, 301, 366]])


def backbone(**settings) -> TSViT:
    torch.manual_seed(0)
    sizes = dict(
        in_channels=BANDS,
        num_classes=CLASSES,
        img_size=SIDE,
        patch_size=2,
        embed_dims=6,
        temporal_depth=2,
        spatial_depth=1,
        num_heads=2,
        head_dims=4,
        mlp_ratio=2,
    )
    return TSViT(**sizes | settings).eval()


def series(samples: int = 1, dates: int = DATES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(samples, dates, BANDS, SIDE, SIDE, generator=generator)


@pytest.mark.parametrize(
    ('variant', 'expected'),
    [
        # Uniform attention adds the mean of the normalised tokens, (-1/3, 1/3), and a bias of 1/2.
        ('input', [[1 + 1 / 6, 3 + 5 / 6], [1 + 1 / 6, 5 + 5 / 6], [5 + 1 / 6, 1 + 5 / 6]]),
        ('normed', [[-1 + 1 / 6, 1 + 5 / 6], [-1 + 1 / 6, 1 + 5 / 6], [1 + 1 / 6, -1 + 5 / 6]]),
        ('both', [[0 + 1 / 6, 4 + 5 / 6], [0 + 1 / 6, 6 + 5 / 6], [6 + 1 / 6, 0 + 5 / 6]]),
    ],
)
def test_residual_variants_by_hand(variant, expected):
    block = Block(2, num_heads=1, head_dims=2, mlp_ratio=1, drop_rate=0.0, attn_residual=variant)
    with torch.no_grad():
        for parameter in (*block.attn.parameters(), *block.mlp.parameters()):
            parameter.zero_()
        block.attn.qkv.weight[4:] = torch.eye(2)  # values; queries and keys are 0
        block.attn.proj.weight.copy_(torch.eye(2))
        block.attn.proj.bias.fill_(0.5)
        block.mlp[3].bias.copy_(torch.tensor([0.0, 10.0]))
    # Normalised: (-1, 1), (-1, 1), (1, -1).
    tokens = torch.tensor([[[1.0, 3.0], [1.0, 5.0], [5.0, 1.0]]])
    output, attention = block(tokens, None, class_rows=1)
    assert_close(output[0], torch.tensor(expected) + torch.tensor([0.0, 10.0]), atol=1e-4, rtol=0)
    assert_close(attention, torch.full((1, 1, 2), 1 / 3))


def test_attention_scales_and_hides_by_hand():
    attention = Attention(1, num_heads=1, head_dims=4, drop_rate=0.0)
    with torch.no_grad():
        attention.qkv.weight[:4] = 1.0  # queries x, keys 2 x, values x in the first width
        attention.qkv.weight[4:8] = 2.0
        attention.qkv.weight[8:] = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
        attention.proj.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        attention.proj.bias.zero_()
    tokens = torch.tensor([[[0.5], [1.0], [7.0]]])
    hidden = torch.tensor([0.0, 0.0, -torch.inf]).view(1, 1, 1, 3)
    output, weights = attention(tokens, hidden, class_rows=1)
    # Row 0: q . k / sqrt(4) = 4 * 2 * 0.5 * (0.5, 1) / 2 = (1, 2), the third is hidden.
    second = 1 / (1 + torch.exp(torch.tensor(-1.0)))
    assert_close(weights[0, 0], torch.stack([second, torch.tensor(0.0)]))
    assert_close(output[0, 0, 0], 0.5 * (1 - second) + 1.0 * second)


def test_shapes_and_the_optional_global_token():
    inputs = fold_time(series(2), DAYS.expand(2, -1).float())
    output = backbone(global_token=True)(inputs)
    assert output.spatial_tokens.shape == (2, CLASSES, 6, 4, 4)
    assert output.temporal_tokens.shape == (2, CLASSES, 6, 4, 4)
    assert output.date_tokens.shape == (2, DATES, 6, 4, 4)
    assert output.temporal_attention.shape == (2, CLASSES, DATES)
    assert output.global_tokens.shape == (2, CLASSES, 6)
    assert output.date_mask.all()
    plain = backbone(mask_padding=False)(inputs)
    assert plain.global_tokens is None
    assert plain.date_mask is None


@pytest.mark.parametrize('places', [(0, 1, 2, 3), (1, 2, 4, 5)])
def test_masked_padding_changes_nothing(places):
    """The series alone, and among padded dates behind it or between its dates."""
    dates = list(places)
    padded, days = torch.zeros(1, 6, BANDS, SIDE, SIDE), torch.zeros(1, 6)
    padded[:, dates], days[:, dates] = series(), DAYS.float()
    alone, among = fold_time(series(), DAYS.float()), fold_time(padded, days)
    model = backbone(global_token=True)
    with torch.no_grad():
        expected, output = model(alone), model(among)
    exact = dict(atol=1e-6, rtol=0)
    for name in ('spatial_tokens', 'temporal_tokens', 'global_tokens'):
        assert_close(getattr(output, name), getattr(expected, name), **exact)
    assert_close(output.date_tokens[:, dates], expected.date_tokens, **exact)
    assert_close(output.temporal_attention[..., dates], expected.temporal_attention, **exact)
    assert output.date_mask[0].tolist() == [date in dates for date in range(6)]
    assert output.temporal_attention.masked_select(~output.date_mask[:, None]).eq(0).all()

    seen = backbone(global_token=True, mask_padding=False)
    with torch.no_grad():
        difference = seen(among).temporal_tokens - seen(alone).temporal_tokens
    assert difference.abs().max() > 0.01


def test_a_short_series_in_a_batch_does_not_see_its_neighbour_s_dates():
    short, long = series(2).split(1)
    short[:, 2:] = 0
    days = torch.stack([DAYS[0] * torch.tensor([1, 1, 0, 0]), DAYS[0]]).float()
    model = backbone()
    with torch.no_grad():
        together = model(fold_time(torch.cat([short, long]), days)).spatial_tokens
        first = model(fold_time(short[:, :2], days[:1, :2])).spatial_tokens
        second = model(fold_time(long, days[1:])).spatial_tokens
    assert_close(together, torch.cat([first, second]), atol=1e-6, rtol=0)


def test_a_date_is_hidden_at_the_locations_where_clouds_hide_it():
    values = series()
    days = DAYS[:, :, None, None].repeat(1, 1, SIDE, SIDE)
    days[0, 2, 4:6, 2:4] = 0  # date 2, all pixels of the patch in row 2 and column 1
    days[0, 1, 0, 0] = 0  # date 1, one of the four pixels of the first patch
    others = values.clone()
    others[0, 2, :, 4:6, 2:4] += 1
    model = backbone(global_token=True)
    hidden, same = (model(fold_time(one, days)) for one in (values, others))
    assert_close(same.temporal_tokens, hidden.temporal_tokens)
    assert hidden.date_mask.all()
    difference = (hidden.temporal_tokens - model(fold_time(values, DAYS)).temporal_tokens).abs()
    changed = difference.amax((0, 1, 2)) > 1e-6
    assert changed.nonzero().tolist() == [[2, 1]]
    others = values.clone()
    others[0, 1, :, :2, :2] += 1
    assert not torch.equal(
        model(fold_time(others, days)).temporal_tokens, hidden.temporal_tokens
    )  # fmt: skip


def test_without_date_tokens_class_tokens_are_the_same():
    inputs = fold_time(series(2), DAYS.repeat(2, 1))
    whole = backbone()(inputs)
    alone = backbone(class_tokens_only=True)(inputs)
    assert_close(alone.spatial_tokens, whole.spatial_tokens)
    assert_close(alone.temporal_tokens, whole.temporal_tokens)
    assert alone.date_tokens is None
    assert alone.temporal_attention is None


def test_the_order_of_dates_does_not_matter_but_their_day_does():
    order = torch.tensor([2, 0, 3, 1])
    model = backbone()
    with torch.no_grad():
        expected = model(fold_time(series(), DAYS.float()))
        shuffled = model(fold_time(series()[:, order], DAYS[:, order].float()))
        other_days = model(fold_time(series(), DAYS[:, order].float()))
    assert_close(shuffled.temporal_tokens, expected.temporal_tokens, atol=1e-6, rtol=0)
    assert_close(shuffled.spatial_tokens, expected.spatial_tokens, atol=1e-6, rtol=0)
    assert_close(shuffled.date_tokens, expected.date_tokens[:, order], atol=1e-6, rtol=0)
    attention = expected.temporal_attention[..., order]
    assert_close(shuffled.temporal_attention, attention, atol=1e-6, rtol=0)
    assert (other_days.temporal_tokens - expected.temporal_tokens).abs().max() > 1e-4


def test_patches_are_flattened_by_row_column_and_band():
    position = torch.arange(DATES * BANDS * SIDE * SIDE).float()
    position = position.view(1, DATES, BANDS, SIDE, SIDE)
    seen = []
    model = backbone()
    model.patch_embed.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(fold_time(position, DAYS.float()))
    (patches,) = seen
    assert patches.shape == (1, 16, DATES, 2 * 2 * BANDS)
    # Location 7 is row 1, column 3: pixels of rows 2..3 and columns 6..7.
    pixels = [(2, 6), (2, 7), (3, 6), (3, 7)]
    expected = [position[0, 1, band, row, column] for row, column in pixels for band in (0, 1)]
    assert patches[0, 7, 1].tolist() == [float(value) for value in expected]


def test_a_pixel_changes_the_patch_it_lies_in():
    # Without spatial blocks nothing mixes the locations.
    model = backbone(spatial_depth=0)
    changed = series()
    changed[0, 2, 1, 3, 7] += 5
    with torch.no_grad():
        before = model(fold_time(series(), DAYS.float()))
        after = model(fold_time(changed, DAYS.float()))
    for name in ('spatial_tokens', 'temporal_tokens', 'date_tokens'):
        difference = (getattr(after, name) - getattr(before, name)).abs().sum((0, 1, 2))
        assert difference.nonzero().tolist() == [[1, 3]]


def test_a_spatial_position_belongs_to_its_location():
    model = backbone(spatial_depth=0)
    inputs = fold_time(series(), DAYS.float())
    with torch.no_grad():
        before = model(inputs).spatial_tokens
        model.position_embed[7] += torch.arange(6.0)
        difference = (model(inputs).spatial_tokens - before).abs().sum((0, 1, 2))
    assert difference.nonzero().tolist() == [[1, 3]]


def test_temporal_attention_is_computed_as_specified_and_without_gradient():
    model = backbone()
    inputs = fold_time(series(), DAYS.float())
    output = model(inputs)
    assert not output.temporal_attention.requires_grad
    assert output.temporal_tokens.requires_grad

    total = torch.zeros(CLASSES, DATES)
    for place in range(16):
        row, column = divmod(place, 4)
        block = series()[0, :, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        dates = model.patch_embed(block.permute(0, 2, 3, 1).flatten(1))
        dates = dates + model.day_embed.weight[DAYS[0]]
        tokens = torch.cat([model.class_tokens, dates])
        for layer in model.temporal_encoder.layers:
            query, key, _ = layer.attn.qkv(layer.norm1(tokens)).chunk(3, dim=-1)
            for head in (slice(0, 4), slice(4, 8)):
                scores = query[:, head] @ key[:, head].T / 2  # the root of head_dims 4
                total += scores.softmax(-1)[:CLASSES, CLASSES:]
            tokens = layer(tokens[None], None, 0)[0][0]
    assert_close(output.temporal_attention[0], total.detach() / (16 * 2 * 2), atol=1e-6, rtol=0)
    assert (output.temporal_attention.sum(-1) < 1).all()  # the class columns are left out


@pytest.mark.parametrize('class_rows', [0, 2])
def test_the_fused_kernel_agrees_with_the_plain_one(class_rows):
    query, key, value = torch.randn(3, 2, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    hidden = torch.tensor([0.0, 0, -torch.inf, 0, 0]).expand(2, 1, 1, -1)
    found = []
    for fused in (True, False):
        asking = query.clone().requires_grad_()
        attended, attention = attend(asking, key, value, hidden, class_rows, fused=fused)
        attended.sum().backward()
        found.append((attended.detach(), asking.grad, attention))
    assert_close(*found)
    assert found[0][2].shape == (2, 2, class_rows, 5 - class_rows)
    assert not found[0][2].requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_agrees_with_a_cpu():
    model = backbone()
    inputs = fold_time(series(), torch.tensor([[31.0, 120.0, 301.0, 0.0]]))
    with torch.no_grad():
        plain, fused = model(inputs), model.cuda()(inputs.cuda())
    for name in ('spatial_tokens', 'temporal_attention'):
        assert_close(getattr(fused, name).cpu(), getattr(plain, name), atol=1e-3, rtol=0)


@pytest.mark.parametrize('settings', [{}, dict(class_tokens_only=True), dict(mask_padding=False)])
def test_pieces_without_gradient_change_nothing(monkeypatch, settings):
    monkeypatch.setattr(transformer, 'PIECE_VALUES', 3 * 7 * 6)  # four of 16 locations at a time
    model = backbone(global_token=True, **settings)
    inputs = fold_time(series(2), torch.tensor([[31.0, 120.0, 301.0, 0.0]] * 2))
    sizes = []
    model.temporal_encoder.layers[0].register_forward_hook(
        lambda _, args, output: sizes.append(len(args[0]))
    )
    whole = model(inputs)
    with torch.no_grad():
        pieces = model(inputs)
    assert sizes == [32] + [4] * 8
    for one, other in zip(whole, pieces, strict=True):
        assert_close(one, other)


def test_wrong_inputs_are_named():
    model = backbone()
    with pytest.raises(ValueError, match=r'windows of 8 x 8 pixels \(img_size\), got 8 x 6'):
        model(torch.ones(1, 3, 8, 6))
    with pytest.raises(ValueError, match=r'2 bands and the day of year.*num_bands'):
        model(torch.ones(1, 4, 8, 8))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(img_size=9), 'img_size=9 is not a multiple of patch_size=2'),
        (dict(attn_residual='output'), "attn_residual='output'; expected 'input', 'normed'"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        backbone(**settings)
