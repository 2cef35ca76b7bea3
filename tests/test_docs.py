"""Every block of code in README and docs is run: as written, on tiny data and models of toy size.

What a page's commands train stays as small as what they are given: see :func:`shrink`. Blocks of
`text` need a download; of their commands the options are checked.
"""

import importlib
import re
import shlex
import sys
from pathlib import Path
from subprocess import CalledProcessError

import numpy as np
import pytest
from geopandas import GeoDataFrame
from mmengine.config import Config
from mmseg.registry import MODELS
from shapely import box

from mmexact.apis import command_line
from tests.data import CORNER, write_pastis, write_raster
from tests.in_process import run_in_process
from tests.pages import Block, read_blocks

REPO = Path(__file__).resolve().parents[1]
PAGES = [REPO / 'README.md', *sorted((REPO / 'docs').glob('*.md'))]
PATCHES = ['--patches', '5', '--min-dates', '5', '--max-dates', '6']
SMALLER = {
    'make_synthetic_pastis.py': PATCHES,
    'make_synthetic_mtlcc.py': PATCHES,
}
"""Arguments after those of a page: of two equal options the last one counts."""


def shrink(cfg: Config) -> Config:
    """Let a config train one step on four windows; tools that look at the data see all."""
    trains = Path(sys.argv[0]).name in (
        'train.py',
        'test.py',
        'gen_pseudo.py',
        'refine_pseudo.py',
        'predict.py',
        'run_stages.py',
    )
    loaders = [cfg[key] for key in cfg if key.endswith('_dataloader') and cfg[key]]
    for loader in loaders:
        loader.update(num_workers=0, persistent_workers=False)
        loader.batch_size = min(loader.get('batch_size', 2), 2)
        loader.dataset.indices = 4 if trains else None
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.segmentor_check.check_values = False  # pixels of PASTIS tell their place
    cfg.log_level = 'WARNING'
    backbone = cfg.model.backbone
    if backbone.type == 'TSViT':
        backbone.update(embed_dims=8, temporal_depth=1, spatial_depth=1, num_heads=1, head_dims=4)
        for head in ('cls_head', 'spatial_clue_head'):
            if head in cfg.model:
                cfg.model[head].embed_dims = 8
        if 'decode_head' in cfg.model:
            cfg.model.decode_head.in_channels = 8
    return cfg


class Shell:
    """Runs the commands of a page in a folder that looks like a checkout."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.variables: dict[str, str] = {}

    def run(self, line: str) -> None:
        for name, value in self.variables.items():
            line = line.replace(f'${name}', value)
        words = shlex.split(line, comments=True)
        assignments = {}
        while words and re.fullmatch(r'[A-Z_]+=.*', words[0]):
            name, _, value = words.pop(0).partition('=')
            assignments[name] = value
        match words:
            case []:
                self.variables |= assignments
            case ['export', *settings]:
                for setting in settings:
                    self.monkeypatch.setenv(*setting.split('=', 1))
            case ['make', *targets]:
                text = (REPO / 'Makefile').read_text()
                for target in targets:
                    assert re.search(rf'^{target}:.*##', text, re.MULTILINE), line
            case ['source', '.venv/bin/activate'] | ['cd', _]:
                pass
            case ['pip', 'install', '-e', place]:
                assert self.knows_extra(place), line
            case ['python', tool, *arguments]:
                self.tool(tool, arguments)
            case ['torchrun', '--nproc_per_node', _, tool, *arguments]:
                self.check_options(tool, arguments)
            case _:
                pytest.fail(f'no way to run: {line}')

    @staticmethod
    def knows_extra(place: str) -> bool:
        extras = re.fullmatch(r'\.(?:\[(.*)\])?', place)
        assert extras is not None, place
        known = (REPO / 'pyproject.toml').read_text()
        return all(f'\n{extra} = [' in known for extra in (extras[1] or '').split(',') if extra)

    def tool(self, tool: str, arguments: list[str]) -> None:
        if tool.startswith('tools/benchmarks/'):
            self.check_options(tool, arguments)
            return
        arguments = [self.existing(argument) for argument in arguments]
        run_in_process([str(self.folder / tool), *arguments, *SMALLER.get(Path(tool).name, [])])

    def check_options(self, tool: str, arguments: list[str]) -> None:
        """Check that the options are the tool's; what it measures takes minutes."""
        shared = ('command_line', 'data', 'conversion')
        files = [REPO / tool, *(REPO / f'mmexact/apis/{name}.py' for name in shared)]
        text = ''.join(file.read_text() for file in files)
        for argument in arguments:
            if argument.startswith('--'):
                assert f"'{argument}'" in text or argument[2:].replace('-', '_') in text, argument
            if argument.startswith('configs/'):
                assert (REPO / argument).is_file(), argument

    def existing(self, argument: str) -> str:
        """Take the checkpoint of the short training for that of the full one."""
        path = Path(argument)
        if not re.fullmatch(r'iter_\d+\.pth', path.name) or path.exists():
            return argument
        (found,) = path.parent.glob('iter_*.pth')
        return str(found)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    folder = tmp_path / 'mmexact'
    folder.mkdir()
    for name in ('tools', 'configs', 'mmexact', 'docs', 'tests'):
        (folder / name).symlink_to(REPO / name)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'path', [str(tmp_path / 'mine'), *sys.path])
    read = command_line.load_config
    for user in ('mmexact.apis.command_line', 'mmexact.apis.exact_stages'):
        monkeypatch.setattr(f'{user}.load_config', lambda args: shrink(read(args)))
    monkeypatch.setattr('mmexact.apis.stages.run_script', run_in_process)
    (folder / 'data').mkdir()
    return Shell(folder, monkeypatch)


def check_python(block: Block, folder: Path) -> None:
    """Run a block of Python; a config is read, and its model built."""
    first = block.text.partition('\n')[0]
    named = re.fullmatch(r'# (\S+\.py)', first)
    if named:
        path = folder.parent / named[1] if named[1].startswith('mine/') else folder / named[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        importlib.invalidate_caches()
    if '_base_' in block.text:
        path = path if named else folder / f'block_{block.line}.py'
        path.write_text(block.text)
        MODELS.build(Config.fromfile(path).model)
        return
    code = compile(block.text, f'{block.page}, line {block.line}', 'exec')
    if named:
        return  # a module, which a config imports
    scope: dict[str, object] = {}
    exec(code, scope)
    for name, value in scope.items():
        assert not (isinstance(value, tuple) and len(value) == 1), f'{name} is a tuple'


TREE = 'python tools/dataset_converters/make_synthetic_pastis.py --out data/synthetic_pastis'
BEFORE = {
    'README.md': [
        'python tools/dataset_converters/make_synthetic_mtlcc.py --out data/synthetic_mtlcc',
        'export MTLCC_ROOT=data/synthetic_mtlcc/240',
    ],
    'docs/segmentors.md': [
        TREE,
        'python tools/train.py configs/exact/cls_demo.py',
        'python tools/gen_pseudo.py configs/exact/cls_demo.py work_dirs/demo/cls/iter_400.pth',
        'python tools/refine_pseudo.py configs/exact/cls_demo.py work_dirs/demo/cls/pseudo_masks',
    ],
}
"""What a page takes for granted: that the demo has run, for instance."""


def write_data(folder: Path, page: Path) -> None:
    """Write what a page has its reader download, and a user's rasters."""
    if page == PAGES[0]:
        parcels = np.arange(16).reshape(4, 4).repeat(12, 0).repeat(12, 1) % 20
        masks = {patch: np.roll(parcels, 12 * patch, 1) for patch in range(1, 6)}
        write_pastis(folder / 'data/PASTIS', masks, {patch: patch for patch in masks}, bands=10)
    if page == PAGES[0] or page.stem == 'your_own_rasters':
        write_area(folder / 'data/area')


def write_area(folder: Path) -> None:
    """Write three dates of an area of 96 x 96 pixels, and fields of 16 x 16 on it."""
    for month, values in zip(
        (3, 6, 9), np.random.default_rng(0).integers(3000, size=(3, 2, 96, 96)), strict=True
    ):
        write_raster(folder / f'series/S2_2023{month:02d}15.tif', values.astype(np.int16))
    corners = [(row, column) for row in range(0, 96, 16) for column in range(0, 96, 16)]
    shapes = [box(*(CORNER @ (x, y + 16)), *(CORNER @ (x + 16, y))) for y, x in corners]
    crops = [('Wheat', 'Maize', 'Other')[number % 3] for number in range(len(shapes))]
    fields = GeoDataFrame({'crop': crops}, geometry=shapes, crs='EPSG:32633')
    fields.to_file(folder / 'fields.gpkg')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: '/'.join(page.parts[-2:]))
def test_a_page_does_what_it_says(page: Path, shell: Shell) -> None:
    write_data(shell.folder, page)
    for command in BEFORE.get(page.relative_to(REPO).as_posix(), []):
        shell.run(command)
    for block in read_blocks(page):
        match block.language:
            case 'python':
                check_python(block, shell.folder)
            case 'bash':
                for command in block.commands():
                    shell.run(command)
            case 'text':  # needs a download
                for command in block.commands():
                    if called := re.search(r'(?:^|\s)python (tools/\S+) (.*)', command):
                        shell.check_options(called[1], shlex.split(called[2]))


def test_a_config_in_a_page_is_no_tuple(tmp_path: Path) -> None:
    (tmp_path / 'page.md').write_text('```python\nsearch = (dict(bands=[1]),)\n```\n')
    (block,) = read_blocks(tmp_path / 'page.md')
    with pytest.raises(AssertionError, match='search is a tuple'):
        check_python(block, tmp_path)


@pytest.mark.parametrize(
    'line',
    [
        'python tools/train.py configs/exact/cls_pastis.py --fast',
        'python tools/benchmarks/benchmark.py steps --no-such-option',
        'make coffee',
        "pip install -e '.[coffee]'",
    ],
)
def test_a_wrong_command_is_found(line: str, shell: Shell) -> None:
    with pytest.raises((AssertionError, CalledProcessError)):
        shell.run(line)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: '/'.join(page.parts[-2:]))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r'\]\(([^)#\s]+)', page.read_text()):
        if '://' not in target:
            assert (page.parent / target).exists(), target
