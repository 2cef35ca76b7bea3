"""The notebook is run as it is, in a minute or two; what it says is what is in the repository."""

import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / 'docs' / 'from_rasters_to_map.ipynb'
REPO = NOTEBOOK.parents[1]


def outputs(notebook: nbformat.NotebookNode) -> str:
    """What the cells print."""
    every = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    return ''.join(output.text for output in every if output.output_type == 'stream')


def test_the_notebook_goes_from_rasters_to_a_map(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', str(REPO))
    monkeypatch.setattr(tempfile, 'tempdir', None)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=600, kernel_name='python3')
    client.execute(cwd=str(tmp_path))
    (folder,) = tmp_path.glob('*/my_area')
    assert (folder.parent / 'map.tif').exists()
    # As many classes as there are would agree with a fifth by chance.
    assert '60 refined masks, and a segmentor in iter_200.pth' in outputs(notebook)
    agreement = re.search(r'(\d+) % of the pixels', outputs(notebook))
    assert agreement is not None
    assert int(agreement[1]) > 50


def test_what_is_shown_is_small_and_of_no_machine() -> None:
    text = NOTEBOOK.read_text(encoding='utf-8')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert len(text) < 250_000
    assert '/tmp' not in outputs(notebook)
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get('outputs', ())
        if 'image/jpeg' in output.get('data', ())
    ]
    assert len(pictures) == 2


def test_links_lead_somewhere() -> None:
    text = ''.join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
    for target in re.findall(r'\]\(([^)#\s]+)', text):
        assert (NOTEBOOK.parent / target).exists(), target
