"""Tools run in this process: starting one takes five seconds."""

import runpy
import subprocess
import sys
from itertools import count
from unittest import mock

NUMBERS = count()
RUNNERS = ('train.py', 'test.py', 'gen_pseudo.py')
"""Tools that build MMEngine's runner, which keeps loggers and visualizers by name for ever."""


def run_in_process(command: list[str]) -> None:
    """Run a script with its arguments; raises CalledProcessError when it exits with an error."""
    if command[0].endswith(RUNNERS):
        name = f'in_process_{next(NUMBERS)}'
        names = [f'visualizer.name={name}', f'experiment_name={name}']
        command = [*command, '--cfg-options', *names]
    with mock.patch.object(sys, 'argv', command):
        try:
            runpy.run_path(command[0], run_name='__main__')
        except SystemExit as end:
            if end.code:
                raise subprocess.CalledProcessError(int(end.code), command) from None
        except Exception as error:
            raise subprocess.CalledProcessError(1, command) from error
