"""What several ranks must agree on: two CPU processes over gloo."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import distributed, multiprocessing
from torch.nn import functional
from torch.testing import assert_close

from mmexact.engine import PseudoLabelHook
from mmexact.masks import PseudoMaskWriter, read_mask
from mmexact.models import SpatialClueHead
from tests.toy_classifier import WINDOWS, toy_config, write_tree

CROPS, DIMS = 3, 5


def step(samples: slice) -> dict[str, torch.Tensor]:
    """Two training steps of a head on some of four samples; pixels take turns in prototypes."""
    torch.manual_seed(0)
    head = SpatialClueHead(CROPS, DIMS, start_iter=0, momentum=0.5)
    head.sample_assignment = lambda plan: functional.one_hot(
        torch.arange(plan.shape[1]) % 2, 2
    ).expand_as(plan)
    # The last two samples lack crop 0, so that only one rank has foreground of it.
    labels = torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])
    for _ in range(2):
        maps, tokens = torch.randn(4, CROPS, 4, 4), torch.randn(4, CROPS, DIMS, 4, 4)
        head.loss(maps[samples], maps[samples], tokens[samples], labels[samples])
    return head.state_dict()


LABELS = torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
"""The last two of four samples name no crop."""


def gradients(run: Runner, samples: list[int]) -> dict[str, torch.Tensor]:
    """Losses, and gradients of all weights, of a step on some of four samples."""
    generator = torch.Generator().manual_seed(1)
    series = torch.randn(4, 6, 4, 4, 4, generator=generator)
    series[:, :, 3] = torch.arange(1, 7)[:, None, None] * 30  # days
    torch.manual_seed(0)
    model = MODELS.build(run.cfg.model)
    model.init_weights()
    torch.manual_seed(0)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    head = model.spatial_clue_head
    head._steps = 10  # the prototypes have started
    for prototypes in (head.fg_prototypes, head.bg_prototypes):
        torch.nn.init.normal_(prototypes)
    head.sample_assignment = lambda plan: functional.one_hot(
        torch.arange(plan.shape[1]) % 2, 2
    ).expand_as(plan)
    data = [SegDataSample() for _ in samples]
    for sample, number in zip(data, samples, strict=True):
        sample.gt_score = LABELS[number]
    losses = model.loss(series[samples].flatten(1, 2), data)
    sum(losses.values()).backward()
    found = {name: value.detach() for name, value in losses.items()}
    grads = {name: w.grad for name, w in model.named_parameters() if w.grad is not None}
    return found | grads | dict(fg=head.fg_prototypes, bg=head.bg_prototypes)


SPLITS = ([[0, 1], [2, 3]], [[0, 2], [1, 3]], [[3, 1], [0, 2]])
"""Which samples either rank has."""


def work(rank: int, folder: Path) -> None:
    """What each rank does."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    torch.save(step(slice(2 * rank, 2 * rank + 2)), folder / f'rank{rank}.pth')
    run = Runner.from_cfg(toy_config(folder / 'PASTIS', folder / f'run{rank}'))
    for number, split in enumerate(SPLITS):
        torch.save(gradients(run, split[rank]), folder / f'split{number}_{rank}.pth')
    hook = PseudoLabelHook(str(folder / 'masks'), overwrite=True)
    hook.map_windows(run, run.cfg.test_dataloader, run.build_evaluator(run.cfg.test_evaluator))
    hook.overwrite = False
    # Of a single missing window the sampler hands a copy to either rank.
    if rank == 0:
        (folder / 'masks' / '7_2.png').unlink()
    distributed.barrier()
    hook.map_windows(run, run.cfg.test_dataloader)
    distributed.destroy_process_group()


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Where both ranks left their results, beside a mask of an earlier run."""
    folder = tmp_path_factory.mktemp('ranks')
    write_tree(folder / 'PASTIS')
    window = dict(sample_id='earlier', patch='earlier', georeference=None)
    meta = dict(classes=['Corn'], palette=[[250, 200, 0]])
    earlier = PseudoMaskWriter(folder / 'masks', dict(checkpoint='another'), [window], meta)
    earlier.write('earlier', np.zeros((4, 4), np.uint8), np.ones((4, 4)))
    multiprocessing.spawn(work, args=(folder,), nprocs=2)
    return folder


def test_ranks_hold_the_prototypes_of_all_their_samples(folder):
    first, second = (torch.load(folder / f'rank{rank}.pth', weights_only=True) for rank in (0, 1))
    together, alone = step(slice(None)), step(slice(0, 2))
    for kind in ('fg_prototypes', 'bg_prototypes'):
        assert torch.equal(first[kind], second[kind])
        assert_close(first[kind], together[kind], atol=1e-6, rtol=0)
        assert (first[kind] - alone[kind]).abs().max() > 1e-3
    assert first['step'] == second['step'] == 2


@pytest.mark.parametrize('number', range(len(SPLITS)))
def test_losses_and_gradients_do_not_depend_on_who_has_which_sample(folder, number):
    run = Runner.from_cfg(toy_config(folder / 'PASTIS', folder / f'alone{number}'))
    together = gradients(run, [0, 1, 2, 3])
    ranks = [torch.load(folder / f'split{number}_{rank}.pth', weights_only=True) for rank in (0, 1)]
    assert together['loss_affinity'] > 1e-5
    assert together['loss_clue'] > 1e-4
    for name, value in together.items():
        shared = [rank.get(name, torch.zeros_like(value)) for rank in ranks]
        assert_close(sum(shared) / 2, value, atol=1e-6, rtol=1e-5, msg=name)


def test_ranks_share_the_work_of_pseudo_masks(folder):
    pictures = {f'{name}.png' for name in WINDOWS}
    names = {path.name for path in (folder / 'masks').iterdir()}
    assert names == pictures | {'manifest.json', 'confidence'}
    assert {path.name for path in (folder / 'masks/confidence').iterdir()} == pictures
    manifest = json.loads((folder / 'masks' / 'manifest.json').read_text())
    assert manifest['complete'] is True
    assert sum(manifest['pixels'].values()) == 12 * 16
    assert 0 <= manifest['scores']['pseudo/OA'] <= 100
    run = Runner.from_cfg(toy_config(folder / 'PASTIS', folder / 'single'))
    hook = PseudoLabelHook(str(folder / 'single_masks'))
    scores = hook.map_windows(
        run, run.cfg.test_dataloader, run.build_evaluator(run.cfg.test_evaluator)
    )
    assert manifest['scores']['pseudo/OA'] == pytest.approx(scores['pseudo/OA'])
    for name in WINDOWS:
        mask = (folder / 'masks' / f'{name}.png').read_bytes()
        assert mask == (folder / 'single_masks' / f'{name}.png').read_bytes()
        # In batches of other windows CAMs differ in their last bits, and may be rounded apart.
        confidences = [
            read_mask(folder / place / f'confidence/{name}.png', (4, 4), 256).astype(int)
            for place in ('masks', 'single_masks')
        ]
        assert abs(confidences[0] - confidences[1]).max() <= 1
