"""Pages and their plots, on values worked out by hand."""

import base64
import io
import re

import numpy as np
import pytest
from jinja2 import UndefinedError
from PIL import Image

from mmexact.visualization.figures import plot_bars, plot_classes, plot_curves
from mmexact.visualization.pages import Gallery, choose_windows, picture, write_page

CLASSES = ('Background', 'Meadow', 'Soft winter wheat')
PALETTE = [[56, 56, 60], [0, 200, 0], [250, 200, 0]]


def images(page: str) -> list[Image.Image]:
    """Decode all embedded pictures."""
    sources = re.findall(r'src="([^"]*)"', page)
    assert all(source.startswith('data:image/png;base64,') for source in sources)
    decoded = [Image.open(io.BytesIO(base64.b64decode(s.partition(',')[2]))) for s in sources]
    for image in decoded:
        image.load()
    return decoded


class TestReport:
    @pytest.fixture
    def content(self) -> dict:
        green = np.full((3, 4, 3), (0, 200, 0), np.uint8)
        return dict(
            title='Wheat & <barley>',
            windows=12345,
            crops=2,
            cards={'mIoU of the masks': '61.2 %'},
            stages=[('classifier', 'Classifier', 'A'), ('segmentor', 'Segmentor', 'B & C')],
            figures={'losses': plot_curves({'one': {'loss': [(1, 2.0), (2, 1.0)]}}, 'x', 'y')},
            galleries=[Gallery('Windows', ['image', 'truth'], [('7_3', [green, green])])],
            classes=CLASSES,
            palette=PALETTE,
            records=dict(cls=dict(seconds=71.4, command='python train.py <config>')),
            metrics=dict(classifier=dict(mAP=91.234), segmentor=dict(mIoU=12.345678901234567)),
        )

    @pytest.fixture
    def page(self, tmp_path, content) -> str:
        write_page(tmp_path / 'deep' / 'report.html', 'report.html', **content)
        assert [path.name for path in (tmp_path / 'deep').iterdir()] == ['report.html']
        return (tmp_path / 'deep' / 'report.html').read_text(encoding='utf-8')

    def test_loads_nothing_from_outside(self, page):
        assert not re.search(r'(?:src|href)="(?!data:)|url\(|@import|<script|<link', page)

    def test_pictures_are_whole(self, page):
        losses, *windows = images(page)
        assert losses.width == 9 * 160
        assert [window.size for window in windows] == [(4, 3), (4, 3)]
        assert windows[0].getpixel((3, 2)) == (0, 200, 0)

    def test_text_is_escaped_and_figures_are_verbatim(self, page):
        assert '<h1>Wheat &amp; &lt;barley&gt;</h1>' in page
        assert '<b>61.2 %</b><span>mIoU of the masks</span>' in page
        assert '12.345678901234567' in page
        assert 'learned from 12,345 windows' in page

    def test_tables(self, page):
        classifier = '<td></td><td></td><td>91.23</td><td></td><td></td><td></td></tr>'
        assert f'<tr><td>Classifier</td><td>A</td>{classifier}' in page
        assert '<tr><td>Segmentor</td><td>B &amp; C</td><td></td><td>12.35</td><td></td>' in page
        assert '<tr><td>cls</td><td>71 s</td><td>python train.py &lt;config&gt;</td></tr>' in page

    def test_legend_names_all_classes_and_the_ignored(self, page):
        assert '<i style="background: rgb(0, 200, 0)"></i>Meadow</span>' in page
        assert '<i style="background: rgb(255, 255, 255)"></i>ignored</span>' in page

    def test_a_failing_page_leaves_the_old_one(self, tmp_path, content):
        path = tmp_path / 'report.html'
        path.write_text('old')
        del content['records']
        with pytest.raises(UndefinedError, match='records'):
            write_page(path, 'report.html', **content)
        assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [
            ('report.html', 'old')
        ]


def test_a_picture_keeps_its_pixels():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(np.asarray(images(f'<img src="{picture(image)}">')[0]), image)


def test_windows_are_chosen_to_show_all_crops_in_different_patches():
    # Patch 7: meadow; both crops; nothing. Patch 8: both; wheat; nothing.
    labels = np.array([[1, 0], [1, 1], [0, 0], [1, 1], [0, 1], [0, 0]])
    patches = np.array(['7', '7', '7', '8', '8', '8'])
    # Both crops first, then the other patch, then what is left; of equals the first one.
    assert choose_windows(labels, patches, 4)[:2] == [1, 3]
    assert set(choose_windows(labels, patches, 4)[2:]) == {0, 4}
    assert sorted(choose_windows(labels, patches, 100)) == list(range(6))


def test_bars_stand_for_classes_in_their_colours():
    (axis,) = plot_bars({'Meadow': 4, 'Wheat': 2}, PALETTE[1:], 'windows').axes
    assert [bar.get_width() for bar in axis.patches] == [4, 2]
    assert axis.patches[1].get_facecolor() == pytest.approx((250 / 255, 200 / 255, 0, 1))
    assert [label.get_text() for label in axis.get_yticklabels()] == ['Meadow', 'Wheat']


def test_a_class_without_iou_is_marked():
    (axis,) = plot_classes({'masks': {'Meadow': 50.0, 'Wheat': None}, 'map': dict.fromkeys(
        ('Meadow', 'Wheat'), 75.0)}).axes  # fmt: skip
    assert [bar.get_height() for bar in axis.patches] == [50, 0, 75, 75]
    ((text),) = axis.texts
    assert (text.get_text(), text.get_position()[0]) == ('n/a', pytest.approx(0.8))


def test_curves_and_marks():
    figure = plot_curves(
        {'one': {'loss': [(1, 2.0), (2, 1.0)]}, 'two': {}}, 'iteration', 'loss', {'here': 1.5}
    )
    curve, mark = figure.axes[0].lines
    assert curve.get_xydata().tolist() == [[1, 2], [2, 1]]
    assert (list(mark.get_xdata()), mark.get_label()) == ([1.5, 1.5], 'here')
    assert figure.axes[0].get_ylim()[0] == 0
