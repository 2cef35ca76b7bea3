"""Stages that are skipped, go on, start anew or are refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmexact.apis.stages import Stage, StageError, StageRunner, run_script
from mmexact.masks import read_manifest


class Tool:
    """A tool that lists its runs, and leaves a result unless it is broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken = False
        self.leaves = '7'

    def __call__(self, command: list[str]) -> None:
        self.folder.mkdir(exist_ok=True)
        with open(self.folder / 'runs', 'a') as log:
            log.write(' '.join(command[1:]) + '\n')
        if self.broken:
            raise subprocess.CalledProcessError(3, command)
        (self.folder / 'result').write_text(self.leaves)

    def runs(self) -> list[str]:
        return (self.folder / 'runs').read_text().splitlines()


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path / 'work')


@pytest.fixture
def run(tool):
    """Run one stage with a new runner; returns its result and the runner."""

    def call(value: str = 'a', overwrite: bool = False) -> StageRunner:
        runner = StageRunner(tool.folder.parent, 1, overwrite, tool)
        stage = Stage(
            name='count',
            title='Count',
            script='train.py',
            arguments=['cfg.py', '--lr', '1 e'],
            folder=tool.folder,
            inputs=dict(settings=value),
            read=lambda: dict(value=int((tool.folder / 'result').read_text())),
        )
        assert runner.run(stage) == dict(value=7)
        return runner

    return call


def test_a_stage_announces_its_command_and_leaves_a_record(run, tool, capsys):
    runner = run()
    first, second = capsys.readouterr().out.strip().splitlines()
    assert first == '[1/1] Count'
    assert second.startswith('$ python ')
    assert second.endswith("tools/train.py cfg.py --lr '1 e'")
    assert runner.ran == ['count']
    record = read_manifest(tool.folder.parent / 'stages/count', "the stage 'count'")
    assert record == runner.records['count']
    assert record['complete'] is True
    assert record['result'] == dict(value=7)
    assert record['command'] in second
    assert 0 <= record['seconds'] < 60
    assert 10 < record['peak_memory_mb'] < 100_000


def test_a_finished_stage_is_skipped(run, tool, capsys):
    run()
    assert run().ran == []
    assert len(tool.runs()) == 1
    assert '[1/1] Count: finished before, skipped' in capsys.readouterr().out


@pytest.mark.parametrize('damage', ['removed', 'changed'])
def test_a_stage_whose_result_is_not_whole_starts_anew(run, tool, damage):
    run()
    if damage == 'removed':
        (tool.folder / 'result').unlink()
    else:
        (tool.folder / 'result').write_text('no number')
    (tool.folder / 'left over').touch()
    run()
    assert len(tool.runs()) == 1
    assert not (tool.folder / 'left over').exists()


def test_other_inputs_are_refused_unless_told(run, tool):
    run()
    with pytest.raises(StageError, match=r"count holds the stage 'count' of other inputs.*--over"):
        run('b')
    run('b', overwrite=True)
    assert len(tool.runs()) == 1  # in a new folder
    assert run('b', overwrite=True).ran == []


def test_a_failed_stage_says_so_and_goes_on_later(run, tool):
    tool.broken = True
    with pytest.raises(StageError, match=r'Count: the command above ended with status 3;.*again'):
        run()
    tool.broken = False
    run()
    assert len(tool.runs()) == 2  # in the same folder


def test_a_command_without_a_whole_result_is_an_error(run, tool):
    tool.leaves = 'no number'
    with pytest.raises(StageError, match=r"Count: the result is not whole: .*'no number'"):
        run()


def test_files_of_the_user_are_not_touched(run, tool):
    tool.folder.mkdir()
    (tool.folder / 'thesis').touch()
    for overwrite in (False, True):
        with pytest.raises(StageError, match='work is there, but no run of this tool has made it'):
            run(overwrite=overwrite)
    assert (tool.folder / 'thesis').exists()


def test_scripts_run_in_this_interpreter(tmp_path):
    script = tmp_path / 'script.py'
    script.write_text(
        'import sys, pathlib\npathlib.Path(sys.argv[1]).write_text(sys.executable)\n'
        'sys.exit(len(sys.argv) - 2)'
    )
    run_script([str(script), str(tmp_path / 'out')])
    assert (tmp_path / 'out').read_text() == sys.executable
    with pytest.raises(subprocess.CalledProcessError, match='exit status 1'):
        run_script([str(script), str(tmp_path / 'out'), 'more'])
