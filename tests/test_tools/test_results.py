"""The benchmark of masks and segmentors: tables worked out by hand, and a run at toy size."""

import runpy
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
import torch

from mmexact.datasets.synthetic.pastis_tree import write_pastis_tree
from tests.in_process import run_in_process

REPO = Path(__file__).resolve().parents[2]
TOOL = REPO / 'tools/benchmarks/results.py'
BASELINES = REPO / 'tools/benchmarks/mask_baselines.py'


def test_the_tables_have_means_deviations_and_ratios(tmp_path):
    tool = runpy.run_path(str(TOOL))
    seeds = [
        dict(
            masks={'refined from 0.33': dict(OA=accuracy, mIoU=miou)},
            seconds=dict(cls=100, refined_masks=10),
            segmentors=dict(
                seg_fcn_demo={
                    kind: dict(mIoU=value, curve={'200': 10.0, '400': value})
                    for kind, value in zip(('Exact', 'refined', 'true'), values, strict=True)
                }
            ),
        )
        for accuracy, miou, values in ((60, 40, (20, 40, 50)), (62, 44, (22, 44, 55)))
    ]
    written = tool['tables'](dict(demo=seeds))
    # Deviations of 60, 62 and 40, 44 are the roots of 2 and 8; 40 / 50 and 44 / 55 are 80 %.
    assert written['masks OA'].splitlines()[-1] == '| refined from 0.33 | 61.0 ± 1.4 |'
    assert written['masks mIoU'].splitlines()[-1] == '| refined from 0.33 | 42.0 ± 2.8 |'
    assert written['seconds'].splitlines()[-1] == '| demo | 100 | 10 |'
    last = written['segmentors'].splitlines()[-1]
    assert last == (
        '| demo | fcn | 21.0 ± 1.4 | 42.0 ± 2.8 | 52.5 ± 3.5 | 40.0 ± 0.0 | 80.0 ± 0.0 |'
    )
    assert written['curves'].splitlines()[-1] == '| demo | fcn | true | 10.0 | 52.5 |'
    assert tool['spread']([50.0]) == '50.0'
    assert tool['spread']([]) == ''
    page = tmp_path / 'page.md'
    page.write_text('a\n\n<!-- results: seconds -->\nold\n<!-- end -->\n\nb\n')
    tool['fill_page'](page, written)
    tool['fill_page'](page, written)
    marks = '<!-- results: seconds -->', '<!-- end -->'
    assert page.read_text() == f'a\n\n{marks[0]}\n{written["seconds"]}{marks[1]}\n\nb\n'


def test_baselines_that_can_be_worked_out_by_hand():
    tool = runpy.run_path(str(BASELINES))
    # Two clusters: any threshold between them tells them apart best, the first one is taken.
    values = torch.tensor([0.1] * 70 + [0.8] * 30)
    assert 0.1 <= tool['otsu'](values) < 0.8
    # The strongest crop is 0.25 to 1 in the window, so that the background goes from 1 to 0.
    cams = torch.tensor([[[[0.25, 0.5], [0.75, 1.0]]]])
    planes = tool['activate_background'](cams)
    assert torch.allclose(planes[0, 0], torch.tensor([[1, 2 / 3], [1 / 3, 0]]))


def test_all_stages_on_a_tree_of_ones_own_run_once(tmp_path, monkeypatch, capsys):
    tree = tmp_path / 'tree'
    write_pastis_tree(tree, num_patches=5, num_dates=(5, 6), num_crops=3)
    tool = runpy.run_path(str(TOOL))
    assert tool['named_folder'](f'own={tree}') == ('own', tree)
    with pytest.raises(ArgumentTypeError, match='expected NAME=DIR'):
        tool['named_folder'](str(tmp_path))
    configs = [
        tool['write_config'](REPO / f'configs/exact/{name}_demo.py', tree, tmp_path)
        for name in ('cls', 'seg_utae')
    ]
    loaders = [f'{loop}_dataloader' for loop in ('train', 'val', 'test')]
    options = [f'{loader}.dataset.indices=20' for loader in loaders]
    options += [f'{loader}.num_workers=0' for loader in loaders]
    options += [f'{loader}.persistent_workers=False' for loader in loaders]
    options += ['train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    options += ['train_dataloader.batch_size=2', 'default_hooks.checkpoint.interval=1']
    monkeypatch.chdir(tmp_path)
    for skipped in (0, 11):
        run = tool['Comparison'](*configs, tmp_path / 'work', options, execute=run_in_process)
        made = run.make_masks()
        assert len(made['baselines']['scores']) == 9
        scores = run.compare_masks(made)
        assert list(scores) == ['Exact', 'refined', 'true']
        assert all(0 <= kind['mIoU'] <= kind['OA'] <= 100 for kind in scores.values())
        assert list(scores['true']['curve']) == ['1']
        assert capsys.readouterr().out.count('skipped') == skipped
    run.lengthen(1000)
    assert run.configs['seg'].train_cfg == dict(
        run.configs['seg'].train_cfg, max_iters=1000, val_interval=200
    )
    assert run.configs['seg'].param_scheduler[1].end == 1000
    assert run.configs['cls'].train_cfg.max_iters == 1
