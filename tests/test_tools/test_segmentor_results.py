"""The comparison of segmentors: its table on figures worked out by hand, and a run at toy size."""

import runpy
from pathlib import Path

from mmexact.datasets.synthetic.pastis_tree import write_pastis_tree
from tests.in_process import run_in_process

REPO = Path(__file__).resolve().parents[2]
TOOL = REPO / 'tools/benchmarks/segmentor_results.py'


def test_the_tables_have_means_deviations_and_ratios():
    tool = runpy.run_path(str(TOOL))
    masks = {'refined masks': dict(OA=60, mIoU=40)}, {'refined masks': dict(OA=62, mIoU=44)}
    seeds = [
        dict(
            masks=made,
            fcn={
                "Exact's masks": dict(OA=0, mIoU=exact),
                'refined masks': dict(OA=0, mIoU=refined),
                'true masks': dict(OA=0, mIoU=full),
            },
        )
        for made, exact, refined, full in zip(masks, (20, 22), (40, 44), (50, 55), strict=True)
    ]
    lines = tool['tables'](tool['by_segmentor'](seeds)).splitlines()
    # Deviations of 60, 62 and 40, 44 are the roots of 2 and 8; 40 / 50 and 44 / 55 are 80 %.
    assert lines[2] == '| refined masks | 61.0 ± 1.4 | 42.0 ± 2.8 |'
    assert lines[-1] == ('| fcn | 21.0 ± 1.4 | 42.0 ± 2.8 | 52.5 ± 3.5 | 40.0 ± 0.0 | 80.0 ± 0.0 |')
    assert tool['spread']([50.0]) == '50.0'


def test_a_segmentor_learns_from_all_kinds_of_masks_once(tmp_path, monkeypatch, capsys):
    write_pastis_tree(tmp_path / 'data/synthetic_pastis', num_patches=5, num_dates=(5, 6))
    loaders = [f'{loop}_dataloader' for loop in ('train', 'val', 'test')]
    options = [f'{loader}.dataset.indices=12' for loader in loaders]
    options += [f'{loader}.num_workers=0' for loader in loaders]
    options += [f'{loader}.persistent_workers=False' for loader in loaders]
    options += [
        'train_cfg.max_iters=1',
        'train_cfg.val_interval=1',
        'train_dataloader.batch_size=2',
    ]
    options += ['default_hooks.checkpoint.interval=1']
    monkeypatch.chdir(tmp_path)
    comparison = runpy.run_path(str(TOOL))['Comparison']
    configs = [str(REPO / f'configs/exact/{name}_demo.py') for name in ('cls', 'seg_utae')]
    for skipped in (0, 9):
        run = comparison(*configs, tmp_path / 'work', options, execute=run_in_process)
        scores = run.compare_masks(run.make_masks())
        assert list(scores) == ["Exact's masks", 'refined masks', 'true masks']
        assert all(0 <= kind['mIoU'] <= kind['OA'] <= 100 for kind in scores.values())
        assert capsys.readouterr().out.count('skipped') == skipped
    run.lengthen(1000)
    assert run.configs['seg'].train_cfg == dict(
        run.configs['seg'].train_cfg, max_iters=1000, val_interval=200
    )
    assert run.configs['seg'].param_scheduler[1].end == 1000
    assert run.configs['cls'].train_cfg.max_iters == 1
