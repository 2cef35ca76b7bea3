import subprocess
import sys
from pathlib import Path

import pytest
import reference_data
import torch

from mmexact.engine.checkpoint import load_weights

TOOLS = Path(__file__).parents[2] / 'tools' / 'model_converters'


def run(tool, *arguments):
    command = [sys.executable, TOOLS / tool, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ('tool', 'arrays', 'build'),
    [
        ('exact_to_mmexact.py', 'cls_small.npz', reference_data.classifier),
        ('tsvit_to_mmexact.py', 'seg_small.npz', reference_data.segmentor),
    ],
)
def test_a_published_checkpoint_becomes_ours(tmp_path, tool, arrays, build):
    arrays = reference_data.load(arrays)
    state = reference_data.published_state(arrays)
    # Saved from DataParallel, as the authors train.
    torch.save({f'module.{key}': value for key, value in state.items()}, tmp_path / 'src.pth')
    done = run(tool, tmp_path / 'src.pth', tmp_path / 'dst.pth')
    assert done.returncode == 0, done.stderr

    model = build(arrays).eval()
    inputs = reference_data.inputs(arrays)
    expected = model(inputs)
    for parameter in model.parameters():
        parameter.data.zero_()
    load_weights(model, tmp_path / 'dst.pth')
    assert torch.equal(model(inputs), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['dst.pth', 'src.pth']


def test_missing_and_unknown_keys_are_listed(tmp_path):
    state = reference_data.published_state(reference_data.load('cls_small.npz'))
    del state['fg_proto']
    state['surprise'] = torch.zeros(1)
    torch.save(state, tmp_path / 'src.pth')
    done = run('exact_to_mmexact.py', tmp_path / 'src.pth', tmp_path / 'dst.pth')
    assert done.returncode == 2
    assert "missing ['fg_proto'], unknown ['surprise']" in done.stderr
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'dst.pth').exists()


def test_the_segmentor_is_not_taken_for_a_classifier(tmp_path):
    state = reference_data.published_state(reference_data.load('seg_small.npz'))
    torch.save(state, tmp_path / 'src.pth')
    done = run('exact_to_mmexact.py', tmp_path / 'src.pth', tmp_path / 'dst.pth')
    assert done.returncode == 2
    assert 'not the state dict of the published Exact classifier' in done.stderr
