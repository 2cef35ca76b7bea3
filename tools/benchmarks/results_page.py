"""The page that segmentor_results.py writes: tables in Markdown, and a picture beside it."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt

NAMES = dict(
    tsvit='TSViT',
    utae='U-TAE',
    uconvlstm='U-ConvLSTM',
    unet3d='UNet3D',
    upernet_convnext='UPerNet, ConvNeXt',
    segformer='SegFormer',
    deeplabv3plus='DeepLabV3+',
    fcn='FCN',
)
PICTURE = 'images/results.png'
HEAD = """# Results

What each shipped segmentor makes of the pseudo masks of the demo's classifier, beside what it makes
of true masks. **The data are synthetic** ({patches}):
the figures compare segmentors and recipes with one another, and show that all of them train. They
do not say how well PASTIS, or your region, is mapped; the paper's figures on PASTIS stand
[below](#pastis).

{command}

wrote this page. {seeds} seeds, each from its own classifier on; mean ± standard deviation, in
percent. Pixel labels of the training windows serve the columns "true masks" and the scores of the
masks only: not the pseudo masks, not the background score (0.33), not the choice of a checkpoint
(the last one is taken). Segmentors are scored on the held-out fold 5. They are the small ones of
`configs/exact/seg_*_demo.py`, {iterations} iterations of 16 windows: short trainings, after which
networks that learn slowly are far from their best, and ratios above 100 are chance.
"""
TARGETS = """## PASTIS

The paper's figures (Zhu et al. 2025; fold 5, in percent), to aim at with `cls_pastis.py` and
`seg_tsvit_pastis.py`:

| | OA | mIoU |
|---|---|---|
| pseudo masks, plain CAM | 81.2 | 69.5 |
| pseudo masks, Exact (checkpoint and score chosen against pixel labels) | 84.1 | 75.6 |
| TSViT on the masks of plain CAM | 77.2 | 57.8 |
| TSViT on the masks of Exact | 80.2 | 62.0 |
| TSViT, fully supervised | 83.4 | 65.1 |

So TSViT keeps 95 % of its fully supervised mIoU there. Fully supervised on PASTIS, other networks
reach (mIoU): BiConvGRU 56.2, UNet3D 60.4, U-TAE 62.4. We have not trained on PASTIS ourselves.
"""


def write_page(page: Path, results: dict[str, Any]) -> None:
    """Write the page and its picture.

    Args:
        page: The Markdown file; the picture goes to ``images`` beside it.
        results: What segmentor_results.py measured.
    """
    parts = [
        HEAD.format(**results['setting']),
        f'![mIoU of each segmentor from pseudo masks and from true masks]({PICTURE})\n',
        f'## Segmentors\n\n{segmentor_table(results["segmentors"])}',
        cost_table(results['costs']),
        f'## Pseudo masks\n\n{mask_table(results)}',
    ]
    if any(len(recipes) > 2 for recipes in results['segmentors'].values()):
        parts.append(f'## Learning from noisy masks\n\n{remedy_table(results)}')
    parts.append(TARGETS)
    (page.parent / PICTURE).parent.mkdir(parents=True, exist_ok=True)
    draw_bars(page.parent / PICTURE, results['segmentors'])
    unfinished = page.with_name(f'{page.name}.part')
    unfinished.write_text('\n'.join(parts))
    os.replace(unfinished, page)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Write the mean and, of several values, the standard deviation."""
    text = f'{mean(values):.{digits}f}'
    return text if len(values) == 1 else f'{text} ± {stdev(values):.{digits}f}'


def values(runs: Sequence[dict], key: str) -> list[float]:
    """Collect one score of several seeds."""
    return [run[key] for run in runs]


def ratios(learned: Sequence[dict], full: Sequence[dict]) -> list[float]:
    """Divide the mIoU of each seed by that of its fully supervised twin, in percent."""
    return [100 * a['mIoU'] / b['mIoU'] for a, b in zip(learned, full, strict=True)]


def table(header: str, rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    titles = header.split('|')
    lines = [f'| {" | ".join(cells)} |' for cells in ([t.strip() for t in titles], *rows)]
    return '\n'.join([lines[0], '|' + '---|' * len(titles), *lines[1:], ''])


def segmentor_table(segmentors: dict[str, dict[str, list[dict]]]) -> str:
    """Compare pseudo with true masks, per segmentor."""
    return table(
        'segmentor | OA, pseudo masks | mIoU, pseudo masks | OA, true masks | mIoU, true masks | '
        'ratio of mIoU',
        (
            (
                NAMES[name],
                spread(values(runs['pseudo'], 'aAcc')),
                spread(values(runs['pseudo'], 'mIoU')),
                spread(values(runs['full'], 'aAcc')),
                spread(values(runs['full'], 'mIoU')),
                spread(ratios(runs['pseudo'], runs['full'])),
            )
            for name, runs in segmentors.items()
        ),
    )


def cost_table(costs: dict[str, dict[str, float]]) -> str:
    """List what the segmentors cost."""
    head = (
        'Their cost: windows of 24 x 24 pixels with 12 dates, in batches of 16, float32, two CPU '
        'cores;\nGFLOPs are multiplications of one forward pass.\n\n'
    )
    return head + table(
        'segmentor | parameters, thousands | GFLOPs per window | windows/s, training | '
        'windows/s, inference',
        (
            (
                NAMES[name],
                f'{cost["parameters"] / 1e3:.0f}',
                f'{cost["gflops"]:.3f}',
                f'{cost["training"]:.0f}',
                f'{cost["inference"]:.0f}',
            )
            for name, cost in costs.items()
        ),
    )


def mask_table(results: dict[str, Any]) -> str:
    """Say what the masks are worth that the segmentors learn from."""
    worth = [seed['classifier'] for seed in results['classifier'].values()]
    rows = [
        (
            'classifier, background score 0.33',
            spread(values(worth, 'pseudo/OA')),
            spread(values(worth, 'pseudo/mIoU')),
        ),
        (
            'classifier, best score in hindsight',
            spread(values(worth, 'pseudo/hindsight_OA')),
            spread(values(worth, 'pseudo/hindsight_mIoU')),
        ),
        *(
            (
                f'second round, from {title}',
                spread(values(runs, 'aAcc')),
                spread(values(runs, 'mIoU')),
            )
            for title, runs in results['relabelled'].items()
        ),
    ]
    return table('masks of the training windows | OA | mIoU', rows)


def remedy_table(results: dict[str, Any]) -> str:
    """Compare remedies against the masks' errors."""
    tables = []
    for name, recipes in results['segmentors'].items():
        if len(recipes) == 2:
            continue
        seeds = min(len(runs) for runs in recipes.values())
        plain, full = (recipes[name][:seeds] for name in ('pseudo', 'full'))
        rows = [
            (
                results['titles'][recipe],
                spread(values(runs[:seeds], 'aAcc')),
                spread(values(runs[:seeds], 'mIoU')),
                spread([a['mIoU'] - b['mIoU'] for a, b in zip(runs, plain, strict=False)]),
                spread(ratios(runs[:seeds], full)),
            )
            for recipe, runs in recipes.items()
            if recipe != 'full'
        ]
        tables.append(
            f'With {NAMES[name]}, {seeds} seeds; differences below the deviation say nothing.\n\n'
            + table('recipe | OA | mIoU | gain in mIoU | ratio to true masks', rows)
        )
    return '\n'.join(tables)


def draw_bars(path: Path, segmentors: dict[str, dict[str, list[dict]]]) -> None:
    """Draw the mIoU of each segmentor, from pseudo and from true masks, with all seeds as dots."""
    figure, axes = plt.subplots(figsize=(9, 4), layout='constrained')
    for side, (recipe, color, label) in enumerate(
        (('pseudo', '#3b7d4f', 'pseudo masks'), ('full', '#b9c7bd', 'true masks'))
    ):
        for place, runs in enumerate(segmentors.values()):
            scores = values(runs[recipe], 'mIoU')
            x = place + 0.38 * (side - 0.5)
            axes.bar(x, mean(scores), 0.36, color=color, label=None if place else label)
            axes.plot([x] * len(scores), scores, 'k.', markersize=4)
    axes.set_xticks(
        range(len(segmentors)), [NAMES[name].replace(', ', ',\n') for name in segmentors]
    )
    axes.set_ylabel('mIoU on the held-out fold, %')
    axes.set_title('Synthetic data: segmentors from pseudo masks and from true masks')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, loc='upper right', ncols=2)
    figure.savefig(path, dpi=120)
    plt.close(figure)
