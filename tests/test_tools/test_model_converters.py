import runpy
from pathlib import Path

import pytest
import reference_data
import torch

from mmexact.engine.checkpoint import load_weights

TOOLS = Path(__file__).parents[2] / 'tools' / 'model_converters'


@pytest.fixture
def run(monkeypatch):
    """Run a converter in this process."""

    def call(tool, *arguments):
        monkeypatch.setattr('sys.argv', [tool, *map(str, arguments)])
        runpy.run_path(str(TOOLS / tool), run_name='__main__')

    return call


@pytest.fixture
def refused(run, capsys):
    """Run a converter that must refuse, and return its single line."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            run(*arguments)
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return call


@pytest.mark.parametrize(
    ('tool', 'arrays', 'build'),
    [
        ('exact_to_mmexact.py', 'cls_small.npz', reference_data.classifier),
        ('tsvit_to_mmexact.py', 'seg_small.npz', reference_data.segmentor),
    ],
)
def test_a_published_checkpoint_becomes_ours(run, tmp_path, tool, arrays, build):
    arrays = reference_data.load(arrays)
    state = reference_data.published_state(arrays)
    # Saved from DataParallel, as the authors train.
    torch.save({f'module.{key}': value for key, value in state.items()}, tmp_path / 'src.pth')
    run(tool, tmp_path / 'src.pth', tmp_path / 'dst.pth')
    model = build(arrays).eval()
    inputs = reference_data.inputs(arrays)
    expected = model(inputs)
    for parameter in model.parameters():
        parameter.data.zero_()
    load_weights(model, tmp_path / 'dst.pth')
    assert torch.equal(model(inputs), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['dst.pth', 'src.pth']


def test_missing_and_unknown_keys_are_listed(refused, tmp_path):
    state = reference_data.published_state(reference_data.load('cls_small.npz'))
    del state['fg_proto']
    state['surprise'] = torch.zeros(1)
    torch.save(state, tmp_path / 'src.pth')
    line = refused('exact_to_mmexact.py', tmp_path / 'src.pth', tmp_path / 'dst.pth')
    assert "missing ['fg_proto'], unknown ['surprise']" in line
    assert not (tmp_path / 'dst.pth').exists()


def test_the_segmentor_is_not_taken_for_a_classifier(refused, tmp_path):
    state = reference_data.published_state(reference_data.load('seg_small.npz'))
    torch.save(state, tmp_path / 'src.pth')
    line = refused('exact_to_mmexact.py', tmp_path / 'src.pth', tmp_path / 'dst.pth')
    assert 'not the state dict of the published Exact classifier' in line
