"""The overview of a data set, on values worked out by hand."""

import numpy as np
import pytest

from mmexact.datasets import PASTISDataset
from mmexact.datasets.transforms.loading import load_mask
from mmexact.visualization.browse import Overview, ndvi
from mmexact.visualization.pictures import composite
from tests.data import DAYS, SIZE, position_code, write_pastis

CLASSES = ('Background', 'Meadow', 'Soft winter wheat')


class TestNDVI:
    series = np.array([[[[100, 0, 300, np.nan]], [[300, 0, 100, 200]]]], np.float32)

    def test_is_computed_where_both_bands_are_known(self):
        assert_equal = np.testing.assert_array_equal
        assert_equal(ndvi(self.series, (0, 1)), [[[0.5, np.nan, -0.5, np.nan]]])
        assert_equal(ndvi(self.series, (1, 0)), [[[-0.5, np.nan, 0.5, np.nan]]])

    def test_a_band_of_it_is_used_as_it_is(self):
        np.testing.assert_array_equal(ndvi(self.series, (0,)), [[[100, 0, 300, np.nan]]])


@pytest.fixture
def overview(tmp_path):
    """Six windows of 4 x 4: a row of meadow in the first, wheat and void in the last."""
    mask = np.zeros(SIZE, np.uint8)
    mask[0, :4], mask[4:6, 8:12], mask[6, 8:12] = 1, 2, 19
    root = write_pastis(tmp_path / 'PASTIS', {7: mask})

    def build(samples=100, with_masks=True, **kwargs):
        dataset = PASTISDataset(
            str(root), [1], window_size=4, metainfo=dict(classes=CLASSES), **kwargs
        )
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        read_mask = load_mask if with_masks else None
        return Overview(infos, dataset.metainfo, read_mask, (0, 1), samples)

    return build


def test_balance_counts_windows_and_pixels(overview):
    table = {row[0]: row[1:] for row in overview().balance()}
    assert table['Background'] == ('', '', f'{100 * 80 / 96:.2f}')
    assert table['Meadow'] == ('1', '16.7', f'{100 * 4 / 96:.2f}')
    assert table['Soft winter wheat'] == ('1', '16.7', f'{100 * 8 / 96:.2f}')
    assert table['ignored'] == ('', '', f'{100 * 4 / 96:.2f}')


def test_facts(overview):
    facts = dict(overview().facts('PASTIS'))
    assert facts['windows'] == '6 in 1 series'
    assert facts['size in pixels'] == '4 x 4'
    assert facts['dates'] == '5 to 5, median 5'
    assert facts['crops per window'] == '0.3 on average'
    assert facts['windows without a crop'] == '4'


def test_dates_and_months_are_drawn_in_one_piece(overview):
    (axis,) = overview().plot_dates().axes
    (line,) = axis.lines
    assert [str(date) for date in line.get_xdata()] == [
        '2001-09-17', '2001-12-31', '2002-01-01', '2002-07-02', '2002-10-28',
    ]  # fmt: skip
    assert axis.get_yticklabels()[0].get_text() == '7 (5)'


def test_ndvi_is_the_median_over_the_pixels_of_a_class(overview):
    axes = overview().plot_ndvi().axes
    titles = [axis.get_title() for axis in axes if axis.axison]
    assert titles == list(CLASSES)
    # Meadow: the pixels 0..3 of the first row. At date t, band 0 has the values 390 t + 0..3 + 7
    # and band 1 130 more, so that the NDVI is 130 / (780 t + 2 pixel + 144).
    wanted = [
        np.median([130 / (780 * t + 2 * pixel + 144) for pixel in range(4)]) for t in range(5)
    ]
    dates, values = axes[1].lines[0].get_data()
    np.testing.assert_allclose(values, [wanted[0], np.mean(wanted[1:3]), *wanted[3:]], rtol=1e-5)
    # A point stands for ten days; 31 December and 1 January fall into the same.
    assert [str(date) for date in dates[:2]] == ['2001-09-22', '2001-12-31']


def test_without_masks_a_window_stands_for_its_crops(overview):
    shown = overview(with_masks=False)
    assert {int(labels[0]) for labels, *_ in shown.curves} == {1, 2}
    assert [row[3] for row in shown.balance()[1:]] == [''] * 4
    gallery = shown.gallery(2, (2, 1, 0))
    assert len(gallery.columns) == len(gallery.rows[0][1]) == 4


def test_gallery_shows_quarters_and_labels(overview):
    gallery = overview().gallery(2, (2, 1, 0))
    # The season has 407 days and begins on 17 September: quarters after 101, 203 and 305 days.
    assert gallery.columns == ['from 17 Sep', 'from 27 Dec', 'from 8 Apr', 'from 19 Jul', 'labels']
    labels = [label for label, _ in gallery.rows]
    assert labels == ['7_0: Meadow (5 dates)', '7_5: Soft winter wheat (5 dates)']
    *quarters, mask = gallery.rows[1][1]
    assert mask[2].tolist() == [[255] * 3] * 4
    # 31 December and 1 January.
    series = position_code(5, 3, *SIZE)[1:3, :, 4:8, 8:12] + 7
    np.testing.assert_array_equal(quarters[1], composite(series, np.array(DAYS[1:3])))


def test_samples_limit_what_is_read(overview):
    assert overview(samples=2).pixels.sum() == 2 * 16
