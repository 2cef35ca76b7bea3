"""The command line of tools/run_stages.py; tests/test_apis/test_exact_stages.py runs the stages."""

import runpy

import pytest

from mmexact.apis.configs import shipped
from tests.areas import POINTS, write_project


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool; returns its exit status and what it printed as errors."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr('sys.argv', ['run_stages.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(shipped('tools/run_stages.py')), run_name='__main__')
        return end.value.code, capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nowhere'], 'nowhere/cls.py: no such file'),
        (['a.py', 'b.py', 'c.py'], 'expected a folder, or two configs; got 3'),
        (['.', '--quick'], 'unrecognized arguments: --quick'),
    ],
)
def test_wrong_arguments_are_one_line(run, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, error = run(*arguments)
    assert status == 2
    assert error.count('\n') == 1
    assert message in error


def test_what_stops_the_stages_is_one_line(run, tmp_path):
    folder = write_project(tmp_path, labels=POINTS)
    status, error = run(folder, '--compare')
    assert status == 1
    assert error.startswith('run_stages.py: error: ')
    assert '--compare needs pixel labels' in error
    (folder / 'results/cls').mkdir(parents=True)
    (folder / 'results/cls/thesis').touch()
    status, error = run(folder)
    assert status == 1
    assert 'results/cls is there, but no run of this tool has made it' in error
