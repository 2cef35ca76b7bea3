"""The benchmark of GPUs at toy size on the CPU, and what it does when something fails."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from mmexact.apis.configs import shipped

sys.path.insert(0, str(shipped('tools/benchmarks')))

import benchmark
import benchmark_gpu
from benchmark_cases import Case, encoder_flops

LOADER = 'test_dataloader'
SMALL = dict(size='medium', batch=2, dates=3, classes=2, window=4, device='cpu')


def toy_steps():
    """All work that is measured on a GPU: one table whole, of the others plain and bfloat16."""
    steps = {}
    for title, cases in benchmark_gpu.gpu_steps((3, 2)).items():
        some = [case for case in cases if not case.compiled]
        steps[title] = tuple(
            replace(case, **SMALL, lengths=(3, 2) if case.lengths else ())
            for case in (some[:1] + some[-1:] if steps else some)
        )
    return steps


def test_everything_is_measured_and_written_down(tmp_path):
    steps = toy_steps()
    # U-TAE halves its maps twice.
    utae = 'U-TAE segmentor, training step'
    steps[utae] = (replace(steps[utae][0], window=16),)
    benchmark_gpu.run(
        steps, tmp_path, minutes=9, rounds=1, size=64, patches=5, workers=0,
        names=('cls_demo', 'seg_fcn_demo'), options={f'{LOADER}.dataset.indices': 3},
    )  # fmt: skip
    found = json.loads((tmp_path / 'benchmark.json').read_text())
    text = (tmp_path / 'benchmark.md').read_text()
    assert 'Failed' not in text
    assert 'Self CPU' in text
    rows = [row for rows in found['tables'].values() for row in rows]
    assert len(rows) >= 18
    assert [row['failure'] for row in rows] == [''] * len(rows)
    assert all(len(row['seconds']) == 2 and min(row['seconds']) > 0 for row in rows)
    assert set(found['facts']['matrix_tflops']) == {'float32', 'TF32', 'bfloat16'}
    rates = found['facts']['windows_per_second']
    assert list(rates) == ['loading alone', 'gen_pseudo', 'slide inference, start included']
    assert min(rates.values()) > 0


def test_what_does_not_fit_is_halved_and_what_fails_is_named(monkeypatch):
    def prepare(case):
        if case.code == 'plain' and case.batch > 12:
            raise torch.OutOfMemoryError
        if case.compiled:
            raise RuntimeError('no compiler\nand more')
        return lambda: None

    monkeypatch.setattr(benchmark_gpu, 'prepare', prepare)
    case = Case(batch=48)
    cases = replace(case, code='plain'), case, replace(case, compiled=True)
    plain, ours, compiled = benchmark_gpu.take_turns(cases, 1)
    assert (plain.case.batch, plain.failure, len(plain.seconds)) == (12, '', 2)
    assert (ours.case.batch, ours.failure) == (48, '')
    assert (compiled.failure, compiled.seconds) == ('RuntimeError: no compiler', [])
    monkeypatch.setattr(benchmark_gpu, 'prepare', lambda case: 1 / 0 if case.batch < 2 else fail())
    assert 'ZeroDivisionError' in benchmark_gpu.make_fit(Case(batch=2))[0].failure


def fail():
    raise torch.OutOfMemoryError


def test_no_measurement_begins_without_time(tmp_path, capsys):
    report = benchmark_gpu.Report(tmp_path, minutes=-1)
    report.attempt('late', fail)
    assert 'no time was left' in (tmp_path / 'benchmark.md').read_text()
    report = benchmark_gpu.Report(tmp_path, minutes=1)
    report.attempt('broken', fail)
    assert 'Failed: OutOfMemoryError' in capsys.readouterr().out


def test_operations_of_the_temporal_encoder_by_hand():
    # One location of 8 tokens, 6 dates and 2 classes; D 64, 4 heads of 16, MLP 4 x 64, 4 blocks.
    case = Case(**SMALL | dict(window=2, batch=1, dates=6))
    settings = case.config.backbone
    assert (settings.temporal_depth, settings.mlp_ratio) == (4, 4)
    per_token = 3 * 64 * 64 + 64 * 64 + 2 * 64 * 256 + 2 * 8 * 64
    assert encoder_flops(case) == 3 * 2 * 8 * 4 * per_token


def test_a_missing_gpu_is_said(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', 'steps', '--device', 'cuda'])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert 'finds no GPU' in capsys.readouterr().err
