"""The plain code that benchmark.py compares with computes the same, and the tool runs.

Prototypes do not move here: ours and the plain code draw other random assignments.
"""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.testing import assert_close

from mmexact.apis.configs import shipped
from mmexact.pseudo_labels import confusion_by_score, confusion_scores, score_histogram

sys.path.insert(0, str(shipped('tools/benchmarks')))

import benchmark
import benchmark_cases
from plain_exact import PlainExact, PlainSegmentor, sweep

BANDS, CROPS, DATES, SIZE = 2, 3, 4, 8


def backbone(**settings):
    return dict(
        type='TSViT', in_channels=BANDS, num_classes=CROPS, img_size=SIZE, patch_size=2,
        embed_dims=12, temporal_depth=2, spatial_depth=1, num_heads=2, head_dims=8, mlp_ratio=2,
        mask_padding=False,
    ) | settings  # fmt: skip


def windows():
    torch.manual_seed(1)
    series = torch.randn(2, DATES, BANDS + 1, SIZE, SIZE)
    series[:, :, BANDS] = torch.tensor([10.0, 100.0, 200.0, 301.0])[:, None, None]
    return series.flatten(1, 2)


@pytest.mark.parametrize('residual', ['input', 'normed', 'both'])
@pytest.mark.parametrize('prototypes', [False, True])
def test_the_plain_classifier_computes_the_same(residual, prototypes):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    config = dict(
        type='ExactClassifier',
        backbone=backbone(global_token=True, attn_residual=residual),
        cls_head=dict(type='ClassTokenHead', embed_dims=12),
        spatial_clue_head=dict(
            type='SpatialClueHead', num_classes=CROPS, embed_dims=12, num_prototypes=2,
            fg_threshold=0.4, bg_threshold=0.2, momentum=1.0, loss_weight=0.5,
            start_iter=0 if prototypes else 9,
        ),
        temporal_clue_head=dict(
            type='TemporalClueHead', dilation=2, num_steps=3, loss_weight=0.5
        ),
    )  # fmt: skip
    ours = MODELS.build(config)
    plain = PlainExact(config)
    plain.load_state_dict(ours.state_dict())
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    samples = [
        SegDataSample(
            gt_score=row, metainfo=dict(img_shape=(SIZE, SIZE), ori_shape=(SIZE, SIZE))
        )
        for row in labels
    ]  # fmt: skip
    losses = ours.loss(windows(), samples)
    assert (losses['loss_clue'] > 0) == prototypes
    total = plain.loss(windows(), labels)
    assert_close(total, sum(losses.values()))
    total.backward()
    sum(losses.values()).backward()
    for (name, mine), other in zip(
        ours.named_parameters(), plain.parameters(), strict=True
    ):  # fmt: skip
        assert_close(other.grad, mine.grad, atol=1e-5, rtol=1e-3, msg=name)
    plain.load_state_dict(ours.state_dict())
    with torch.no_grad():
        cams = ours.activation_maps(ours.extract_feat(windows()), labels > 0)
        assert_close(plain.cam(windows(), labels), cams, atol=1e-4, rtol=0)


def test_the_plain_segmentor_computes_the_same():
    init_default_scope('mmseg')
    torch.manual_seed(0)
    config = dict(
        type='EncoderDecoder',
        backbone=backbone(attn_residual='both', class_tokens_only=True),
        decode_head=dict(
            type='TSViTHead', in_channels=12, num_classes=CROPS, patch_size=2,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        ),
        test_cfg=dict(mode='whole'),
    )  # fmt: skip
    ours = MODELS.build(config)
    plain = PlainSegmentor(config)
    plain.load_state_dict(ours.state_dict())
    masks = torch.randint(CROPS, (2, SIZE, SIZE))
    masks[0, :3] = 255
    logits = ours.encode_decode(windows(), [dict(img_shape=(SIZE, SIZE))] * 2)
    expected = torch.nn.functional.cross_entropy(logits, masks, ignore_index=255)
    assert_close(plain.loss(windows(), masks), expected)


def test_the_plain_sweep_finds_the_same_accuracies(tmp_path):
    generator = np.random.default_rng(0)
    files, tables = [], []
    for number in range(3):
        cams = generator.random((2, 5, 5), dtype=np.float32)
        truth = generator.integers(3, size=(5, 5), dtype=np.uint8)
        truth[0] = 255
        for kind, array in (('cams', cams), ('truth', truth)):
            np.save(tmp_path / f'{kind}{number}.npy', array)
        files.append((str(tmp_path / f'cams{number}.npy'), str(tmp_path / f'truth{number}.npy')))
        tables.append(score_histogram(torch.from_numpy(cams), torch.from_numpy(truth)))
    scores = tuple(number / 100 for number in range(60))
    expected = confusion_scores(confusion_by_score(sum(tables)))[0]
    assert sweep(files, scores, 3) == pytest.approx(expected.tolist())
    assert len(set(expected.tolist())) >= 4


SMALL = dict(size='medium', batch=1, dates=3, classes=2, window=4)


@pytest.mark.parametrize('code', ['plain', 'ours'])
@pytest.mark.parametrize('task', ['train', 'cam', 'segmentor'])
def test_every_kind_of_work_can_be_repeated(task, code):
    precision = 'float32' if code == 'plain' else 'bfloat16'
    work = benchmark_cases.prepare(
        benchmark_cases.Case(task=task, code=code, precision=precision, **SMALL)
    )
    work()
    work()


def test_series_are_padded_as_the_case_says():
    case = benchmark_cases.Case(lengths=(2, 4, 3, 3), **SMALL | dict(batch=2, dates=6))
    padded = next(benchmark_cases._batches(case))
    assert padded.shape == (2, 6 * 11, 4, 4)
    days = padded.unflatten(1, (6, 11))[:, :, 10, 0, 0]
    assert days.tolist() == [[5, 360, 0, 0, 0, 0], [5, 123, 242, 360, 0, 0]]
    batches = benchmark_cases._batches(replace(case, masked=True))
    assert [batch.shape[1] for batch in batches] == [4 * 11, 3 * 11]


def test_variants_take_turns_in_processes_of_their_own(monkeypatch, capsys):
    small = {
        title: tuple(replace(case, batch=3, window=4) for case in cases)
        for title, cases in benchmark.STEPS.items()
        if 'sweep' in title
    }
    monkeypatch.setattr(benchmark, 'STEPS', small)
    arguments = ['benchmark.py', 'steps', '--only', 'sweep', '--rounds', '1']
    monkeypatch.setattr(sys, 'argv', arguments)
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split('|')[1].strip() for line in lines if '| ' in line[:2]]
    assert rows == ['variant', 'plain, float32', 'ours, float32']
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'steps', '--only', 'nothing'])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert 'no such table' in capsys.readouterr().err


def test_tables_and_pictures_of_figures_worked_out_by_hand(tmp_path, capsys):
    plain, ours = (
        benchmark.Measured(benchmark_cases.Case(code=code), seconds, memory)
        for code, seconds, memory in (('plain', [3.0, 2.0, 4.0], 2.0), ('ours', [1.5], 0.5))
    )
    benchmark.print_table([plain, ours])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        '| plain, float32 | 3 (2) | 1 | 2.00 | 100 % |',
        '| ours, float32 | 1.5 (1.5) | 2 | 0.50 | 25 % |',
    ]
    points = {field: [[plain, ours]] * 3 for field in benchmark.CURVES}
    benchmark.draw_sizes(points, tmp_path / 'sizes.png')
    assert (tmp_path / 'sizes.png').stat().st_size > 10_000
