"""Pipelines of steps that skip, resume and start anew."""

import io
import json
from pathlib import Path

import pytest

from mmexact.apis.steps import Pipeline, Step, StepError, duration, forward

SCRIPT = """
import sys
from pathlib import Path

folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
with open(folder / 'runs', 'a') as log:
    log.write('resumed\\n' if '--resume' in sys.argv else 'started\\n')
print('working', flush=True)
if (folder.parent / 'broken').exists():
    sys.exit(3)
(folder / 'result').write_text('7')
"""


@pytest.fixture
def step(tmp_path) -> Step:
    """A step that counts its runs, and fails while there is a file named 'broken'."""
    (tmp_path / 'script.py').write_text(SCRIPT)
    folder = tmp_path / 'work'
    return Step(
        'first',
        'Count',
        [str(tmp_path / 'script.py'), str(folder)],
        folder,
        read=lambda: dict(value=int((folder / 'result').read_text())),
        inputs=['a'],
        can_resume=lambda: (folder / 'runs').exists(),
    )


def run(step: Step, overwrite: bool = False) -> dict:
    return Pipeline(step.folder.parent, total=1, overwrite=overwrite).run(step)


def runs(step: Step) -> list[str]:
    return (step.folder / 'runs').read_text().split()


def record(step: Step) -> Path:
    return step.folder.parent / 'steps/first.json'


def test_a_step_announces_itself_and_streams(step, capfd):
    assert run(step) == dict(value=7)
    printed = capfd.readouterr().out
    assert '[1/1] Count (after 0 s)' in printed
    assert f'$ python {step.command[0]} {step.folder}\n' in printed
    assert 'working\n' in printed
    assert '[1/1] done in 0 s' in printed
    kept = json.loads(record(step).read_text())
    assert kept['finished'] is True
    assert kept['command'] == step.command
    assert 0 <= kept['seconds'] < 60
    assert 10 < kept['peak_memory_mb'] < 100_000


def test_a_finished_step_is_skipped(step, capsys):
    run(step)
    assert run(step) == dict(value=7)
    assert runs(step) == ['started']
    assert '[1/1] Count: finished before, skipped' in capsys.readouterr().out


@pytest.mark.parametrize('damage', ['inputs', 'command', 'result', 'missing', 'overwrite'])
def test_what_is_not_whole_or_not_the_same_starts_anew(step, damage):
    run(step)
    (step.folder / 'left over').touch()
    if damage == 'inputs':
        step.inputs = ['b']
    elif damage == 'command':
        step.action = [*step.command, '--more']
    elif damage == 'result':
        (step.folder / 'result').write_text('no number')
    elif damage == 'missing':
        (step.folder / 'result').unlink()
    assert run(step, overwrite=damage == 'overwrite') == dict(value=7)
    assert runs(step) == ['started']
    assert not (step.folder / 'left over').exists()


@pytest.mark.parametrize('text', ['', '{"inputs"', '[]', '{"finished": true}'])
def test_an_unreadable_record_starts_anew(step, text):
    run(step)
    record(step).write_text(text)
    (step.folder / 'left over').touch()
    run(step)
    assert not (step.folder / 'left over').exists()


def test_a_failed_step_says_so_and_goes_on_later(step, tmp_path):
    (tmp_path / 'broken').touch()
    with pytest.raises(StepError, match=r'Count: the command above ended with status 3;.*again'):
        run(step)
    before = json.loads(record(step).read_text())
    assert before['finished'] is False
    (tmp_path / 'broken').unlink()
    run(step)
    assert runs(step) == ['started', 'resumed']
    assert json.loads(record(step).read_text())['seconds'] >= before['seconds']


def test_an_unfinished_step_of_other_inputs_is_not_resumed(step, tmp_path):
    (tmp_path / 'broken').touch()
    with pytest.raises(StepError):
        run(step)
    (tmp_path / 'broken').unlink()
    step.inputs = ['b']
    run(step)
    assert runs(step) == ['started']


def test_what_another_step_wrote_is_kept(step):
    run(step)
    (step.folder / 'theirs').mkdir()
    step.keep = [step.folder / 'theirs']
    run(step, overwrite=True)
    assert (step.folder / 'theirs').is_dir()


def test_files_of_the_user_are_not_touched_unless_told(step):
    step.folder.mkdir()
    (step.folder / 'thesis').touch()
    with pytest.raises(StepError, match=r'work holds thesis, which this pipeline did not write'):
        run(step)
    assert (step.folder / 'thesis').exists()
    run(step, overwrite=True)
    assert not (step.folder / 'thesis').exists()


def test_a_command_without_a_result_is_an_error(step):
    step.read = lambda: dict(value=(step.folder / 'other').read_text())
    with pytest.raises(StepError, match='ended well, but left no whole result'):
        run(step)


def test_an_action_may_be_a_function(step):
    done = []
    step.action, step.read = lambda: done.append(1), lambda: dict(done=len(done))
    assert run(step) == dict(done=1)


def copied(*chunks: bytes) -> str:
    """Forward chunks as they would arrive through a pipe."""

    class Pipe:
        left = list(chunks)

        def read1(self, size: int) -> bytes:
            return self.left.pop(0) if self.left else b''

    target = io.StringIO()
    forward(Pipe(), target)
    return target.getvalue()


class TestForward:
    stamp = '11/22 18:03:48 - mmengine - INFO - '

    def test_leaves_out_environment_config_and_hooks(self):
        kept = [f'{self.stamp}Iter(train) [1/6]  loss: 1.2', '| Meadow | 70.1 |', 'plain']
        banners = [
            [self.stamp, '-----', 'System environment:', '    Python: 3.11'],
            [f'{self.stamp}Config:', 'model = dict(', ')', ''],
            [f'{self.stamp}Hooks will be executed in the following order:', 'before_run:', '', ''],
        ]
        lines = [*banners[0], *banners[1], kept[0], *banners[2], f'{self.stamp}x', *kept[1:]]
        text = '\n'.join(lines) + '\n'
        assert copied(text.encode()).splitlines() == [kept[0], f'{self.stamp}x', *kept[1:]]

    def test_chunks_may_end_anywhere(self):
        text = f'{self.stamp}Config:\na = 1\n{self.stamp}läuft\nEnde'
        pieces = [bytes([byte]) for byte in text.encode()]
        assert copied(*pieces) == f'{self.stamp}läuft\nEnde'

    def test_progress_bars_pass_at_once_even_behind_a_banner(self):
        banner = f'{self.stamp}Hooks will be executed in the following order:\nbefore_run:\n'
        bar = ['[  ] 0/2, ETA:', '\r[> ] 1/2', '\r[>>] 2/2\n']
        assert copied(banner.encode(), *(part.encode() for part in bar)) == ''.join(bar)


def test_duration():
    assert [duration(seconds) for seconds in (0.4, 59.7, 125)] == ['0 s', '1 min 0 s', '2 min 5 s']
