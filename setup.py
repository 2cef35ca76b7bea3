"""Puts configs, tools and the model index into the wheel; pyproject.toml has the metadata."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithMim(build_py):
    """Copies them to mmexact/.mim, where OpenMMLab's packages have theirs.

    An editable install uses those of the checkout.
    """

    def run(self) -> None:
        """Build the package anew: build/ may hold modules that have moved since."""
        if self.editable_mode:
            super().run()
            return
        package = Path(self.build_lib, 'mmexact')
        shutil.rmtree(package, ignore_errors=True)
        super().run()
        for folder in ('configs', 'tools'):
            shutil.copytree(
                folder, package / '.mim' / folder, ignore=shutil.ignore_patterns('__pycache__')
            )
        shutil.copy('model-index.yml', package / '.mim')


setup(cmdclass={'build_py': BuildWithMim})
