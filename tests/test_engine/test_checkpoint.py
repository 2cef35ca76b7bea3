import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from mmengine.runner.checkpoint import get_mmcls_models
from torch import nn

from mmexact import engine
from mmexact.engine.checkpoint import TRUSTED, load_weights, read_checkpoint
from tests.toy_classifier import toy_config, write_tree


class Elsewhere:
    """Touches a file when unpickled, as a hostile checkpoint may."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def save(path, **content):
    torch.save(content, path)
    return path


def test_reads_what_mmengine_saves_beside_the_weights(tmp_path):
    history = HistoryBuffer([0.5, 0.25], [1, 1])
    path = save(
        tmp_path / 'iter_2.pth',
        state_dict={'module.weight': torch.ones(1, 2), 'module.bias': torch.zeros(1)},
        message_hub=dict(log_scalars={'train/loss': history}, runtime_info={'loss': np.float64(1)}),
    )
    model = nn.Linear(2, 1)
    checkpoint = load_weights(model, path)
    assert model.weight.tolist() == [[1, 1]]
    assert checkpoint['message_hub']['log_scalars']['train/loss'].mean() == 0.375


def test_reads_a_bare_state_dict(tmp_path):
    torch.save(nn.Linear(2, 1).state_dict(), tmp_path / 'bare.pth')
    assert set(read_checkpoint(tmp_path / 'bare.pth')['state_dict']) == {'weight', 'bias'}


def test_runs_nothing_that_a_file_brings(tmp_path):
    path = save(tmp_path / 'hostile.pth', state_dict={}, extra=Elsewhere(tmp_path / 'touched'))
    with pytest.raises(
        ValueError, match=r'hostile\.pth: cannot be read .*global: GLOBAL io\.open\)'
    ):
        read_checkpoint(path)
    assert not (tmp_path / 'touched').exists()


def test_getattr_reaches_the_log_history_only(tmp_path):
    class Reach:
        def __reduce__(self):
            return getattr, (np.ndarray, 'tofile')

    path = save(tmp_path / 'reach.pth', state_dict={}, extra=Reach())
    with pytest.raises(ValueError, match=r'reach\.pth: cannot be read'):
        read_checkpoint(path)


@pytest.mark.parametrize('text', ['hello', 'a checkpoint', '<html>'])
def test_other_file_is_named(tmp_path, text):
    (tmp_path / 'text.pth').write_text(text * 50)
    with pytest.raises(ValueError, match=r'text\.pth: cannot be read as a checkpoint'):
        read_checkpoint(tmp_path / 'text.pth')


@pytest.mark.parametrize('kept', [0, 1, 700])
def test_truncated_file_is_named(tmp_path, kept):
    path = save(tmp_path / 'cut.pth', state_dict=nn.Linear(50, 50).state_dict())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r'cut\.pth: cannot be read .* is it complete'):
        read_checkpoint(path)


def test_a_single_flipped_bit_is_noticed(tmp_path):
    path = save(tmp_path / 'flipped.pth', state_dict=nn.Linear(50, 50).state_dict())
    content = path.read_bytes()
    start = content.index(read_checkpoint(path)['state_dict']['weight'].numpy().tobytes())
    for place in (start, start + 5000, start + 9999):
        damaged = bytearray(content)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r'flipped\.pth: is damaged: .*data/0 is not what'):
            read_checkpoint(path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = nn.Linear(2, 2)
    state = dict(model.state_dict(), bias=torch.tensor([0.0, float('nan')]))
    path = save(tmp_path / 'lost.pth', state_dict=state)
    with pytest.raises(ValueError, match=r'lost\.pth: 1 weights hold NaN or infinity \(bias\)'):
        load_weights(model, path)


def test_missing_file_and_other_content(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.pth: no such checkpoint file'):
        read_checkpoint(tmp_path / 'none.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match=r'list\.pth: holds a list, expected a state dict'):
        read_checkpoint(tmp_path / 'list.pth')


def test_another_model_is_refused_and_the_model_kept(tmp_path):
    path = save(
        tmp_path / 'other.pth', state_dict={'weight': torch.ones(3, 2), 'extra': torch.ones(1)}
    )
    model = nn.Linear(2, 1)
    before = model.weight.tolist()
    with pytest.raises(ValueError, match=r'other\.pth is a checkpoint of another model') as refusal:
        load_weights(model, path)
    message = str(refusal.value)
    assert '1 weights are missing (bias)' in message
    assert '1 are unknown to the model (extra)' in message
    assert 'weight: (3, 2) in the file, (1, 2) in the model' in message
    assert model.weight.tolist() == before


class Forged:
    """Makes an array of objects from the bytes of a pointer, if numpy's constructor is reached."""

    def __reduce__(self):
        return np.ndarray, ((1,), 'O', b'\x01' * 8)


def test_an_array_cannot_be_forged(tmp_path):
    checkpoint = read_checkpoint(save(tmp_path / 'f.pth', state_dict={}, extra=Forged()))
    assert checkpoint['extra'].dtype == float
    assert checkpoint['extra'].size == 0


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Config of a training of two iterations, and its checkpoint."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = toy_config(write_tree(folder / 'PASTIS'), folder / 'run', **{'train_cfg.max_iters': 2})
    Runner.from_cfg(cfg).train()
    (path,) = (folder / 'run').glob('iter_2.pth')
    return cfg, path


def test_a_training_goes_on_without_running_the_config_in_its_checkpoint(trained, tmp_path):
    cfg, path = trained
    content = torch.load(path, weights_only=False)
    assert content['meta']['cfg']
    content['meta']['config'] = f"open({str(tmp_path / 'touched')!r}, 'w')"
    torch.save(content, path)
    cfg.update(resume=True, load_from=str(path))
    cfg.train_cfg.max_iters = 3
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 3
    assert not (tmp_path / 'touched').exists()
    # What it logged before is still there.
    history = runner.message_hub.get_scalar('train/loss').data[0]
    assert len(history) == 3
    assert type(np.asarray(history)) is np.ndarray
    assert read_checkpoint(path.with_name('iter_3.pth'))['state_dict']


@pytest.mark.parametrize('resume', [True, False])
def test_mmengine_runs_nothing_that_a_checkpoint_brings(trained, tmp_path, resume):
    cfg, path = trained
    content = torch.load(path, weights_only=False)
    content['extra'] = Elsewhere(tmp_path / 'touched')
    torch.save(content, tmp_path / 'hostile.pth')
    cfg.update(resume=resume, load_from=str(tmp_path / 'hostile.pth'))
    with pytest.raises(ValueError, match=rf'hostile\.pth: cannot be read .*{TRUSTED}=1'):
        Runner.from_cfg(cfg).train()
    with pytest.raises(ValueError, match='cannot be read'):
        load_checkpoint(nn.Linear(2, 1), str(tmp_path / 'hostile.pth'))
    assert not (tmp_path / 'touched').exists()


def test_the_plugin_reads_for_mmengine():
    for scheme in ('', 'http://', 'https://'):
        assert CheckpointLoader._schemes[scheme] is engine.load_for_mmengine


def test_values_that_double_are_refused_before_they_are_hashed(tmp_path):
    pair = ()
    for _ in range(40):
        pair = (pair, pair)
    for new in (True, False):
        path = tmp_path / 'pairs.pth'
        torch.save({'key': pair}, path, _use_new_zipfile_serialization=new)
        with pytest.raises(ValueError, match=r'pairs\.pth: .* more than 1000000 values'):
            read_checkpoint(path)
        torch.save(nn.Linear(2, 1).state_dict(), path, _use_new_zipfile_serialization=new)
        assert read_checkpoint(path)['state_dict']['bias'].shape == (1,)


@pytest.mark.parametrize(
    'content', [dict(state_dict=[1]), dict(weight=[1.0]), dict(state_dict={}, meta=[1])]
)
def test_other_things_than_weights_are_named(tmp_path, content):
    with pytest.raises(ValueError, match=r'odd\.pth: (expected weights by name|its .meta.)'):
        read_checkpoint(save(tmp_path / 'odd.pth', **content))


def test_stores_of_others_are_not_unpickled():
    for name in ('pavi://a', 's3://a/b.pth', 'cluster:s3://a/b.pth', 'petrel://a'):
        with pytest.raises(ValueError, match='download it first'):
            load_checkpoint(nn.Linear(2, 1), name)


def test_a_classifier_of_mmcls_gives_its_backbone(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    name = get_mmcls_models()['mobilenet_v2'].rpartition('/')[2]
    weights = {f'backbone.{key}': one for key, one in nn.Linear(2, 1).state_dict().items()}
    save(tmp_path / 'checkpoints' / name, state_dict=weights | {'head.weight': torch.ones(1)})
    found = CheckpointLoader.load_checkpoint('mmcls://mobilenet_v2', 'cpu')
    assert sorted(found['state_dict']) == ['bias', 'weight']


def test_names_of_catalogues_lead_to_the_same_reader(tmp_path, monkeypatch):
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    (tmp_path / 'open_mmlab.json').write_text('{"mine": "mine.pth", "bad": "hostile.pth"}')
    torch.save(dict(state_dict=nn.Linear(2, 1).state_dict()), tmp_path / 'mine.pth')
    torch.save(dict(extra=Elsewhere(tmp_path / 'touched')), tmp_path / 'hostile.pth')
    load_checkpoint(nn.Linear(2, 1), 'open-mmlab://mine')
    with pytest.raises(ValueError, match=r'hostile\.pth: cannot be read'):
        load_checkpoint(nn.Linear(2, 1), 'openmmlab://bad')
    assert not (tmp_path / 'touched').exists()
    with pytest.raises(ValueError, match='torchvision://nothing: unknown; give the address'):
        load_checkpoint(nn.Linear(2, 1), 'torchvision://nothing')


def test_a_trusted_file_is_read_with_a_warning(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmexact.engine.checkpoint.print_log', lambda text, *_: said.append(text))
    path = save(tmp_path / 'old.pth', state_dict={}, extra=Elsewhere(tmp_path / 'touched'))
    monkeypatch.setenv(TRUSTED, '1')
    read_checkpoint(path)
    assert (tmp_path / 'touched').exists()
    assert 'it can run anything on this machine' in said[0]
    with pytest.raises(FileNotFoundError, match='no such checkpoint file'):
        load_checkpoint(nn.Linear(2, 1), str(tmp_path / 'none.pth'))
