"""Pictures of series, masks and activation maps, and how MMSeg's test loop draws them."""

from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import numpy as np
from mmengine.dist import master_only
from mmengine.runner import Runner
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import HOOKS, VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmexact.sits import IGNORED, unfold_time

WHITE = (255, 255, 255)
RED_GREEN_BLUE = (2, 1, 0)
"""Bands B4, B3 and B2 in the order of PASTIS."""

Palette = Sequence[Sequence[int]]


def composite(
    series: np.ndarray, day_of_year: np.ndarray, bands: Sequence[int] = RED_GREEN_BLUE
) -> np.ndarray:
    """Show a series as one colour picture.

    Every pixel is the median over the dates, which clouds and their shadows hardly move as long as
    most dates are clear. The values of all three bands are stretched from their 2nd to their 98th
    percentile: together, which keeps the colours of a small window true.

    Args:
        series: (T, C, h, w) digital numbers; NaN counts as not observed.
        day_of_year: (T,); dates of day 0 are padding and left out.
        bands: Which bands are red, green and blue. A series of fewer than three bands becomes grey,
            from its first.

    Returns:
        uint8 (h, w, 3), RGB; black where nothing was observed.

    Raises:
        ValueError: The series has three bands or more, but not these.
    """
    available = series.shape[1]
    chosen = list(bands) if available >= 3 else [0, 0, 0]
    if max(chosen) >= available:
        raise ValueError(
            f'bands={tuple(bands)}: the series has the bands 0..{available - 1}; choose three of '
            f'them for red, green and blue'
        )
    dated = np.asarray(series[day_of_year > 0][:, chosen], np.float32)
    observed = np.logical_or.reduce(np.isfinite(dated), axis=0)
    median = np.zeros(dated.shape[1:], np.float32)
    median[observed] = np.nanmedian(dated[:, observed], axis=0)
    low, high = np.percentile(median[observed], (2, 98)) if observed.any() else (0.0, 0.0)
    scaled = 255 * np.clip((median - low) / max(high - low, 1e-6), 0, 1)
    return np.where(observed, scaled.round(), 0).astype(np.uint8).transpose(1, 2, 0)


def colorize(mask: np.ndarray, palette: Palette) -> np.ndarray:
    """Paint a mask (h, w) of class indices as uint8 (h, w, 3), RGB; 255 (ignored) is white.

    Raises:
        ValueError: A class has no colour.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    table[IGNORED] = WHITE
    unknown = mask[(mask >= len(palette)) & (mask != IGNORED)]
    if unknown.size:
        raise ValueError(
            f'class {unknown[0]} in a mask, but the palette has {len(palette)} colours'
        )
    return table[mask]


def cam_overlay(
    image: np.ndarray, cams: np.ndarray, palette: Palette, background: bool = True
) -> np.ndarray:
    """Lay the strongest class over a picture, the more opaque the stronger its activation.

    Args:
        image: uint8 (h, w, 3), RGB.
        cams: (K, h, w) in [0, 1], a map per crop.
        palette: Colours of the classes.
        background: Whether the first class is the background, which has no map.

    Returns:
        uint8 (h, w, 3): the picture in light grey where no class is active, the colour of the
        winning class where it is fully active.
    """
    grey = 127.5 + image.mean(-1, keepdims=True) / 2
    strength = np.clip(cams.max(0), 0, 1)[..., None]
    colours = colorize((cams.argmax(0) + background).astype(np.uint8), palette)
    return (grey * (1 - strength) + colours * strength).round().astype(np.uint8)


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Repeat every pixel of (h, w, ...) in rows and columns."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


@VISUALIZERS.register_module()
class SITSVisualizer(SegLocalVisualizer):
    """Draws colour composite, CAM (of classifiers), truth and prediction side by side.

    Takes the place of MMSeg's ``SegLocalVisualizer``, with its arguments: small windows are
    enlarged, each panel has its title and a legend names the classes that occur.
    """

    panel_size = 256

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        **kwargs: Any,
    ) -> None:
        """Draw one sample.

        Args:
            name: Name of the picture.
            image: The composite, uint8 (h, w, 3), RGB.
            data_sample: May hold ``gt_sem_seg``, ``pred_sem_seg``, and with ``pred_score`` the
                ``seg_logits`` of an :class:`~mmexact.models.ExactClassifier`.
            draw_gt: Draw the truth.
            draw_pred: Draw the prediction.
            show: Show it in a window instead of saving it.
            wait_time: How long to show it (s).
            out_file: Save it here rather than through the backends.
            step: Number that the backends file it under.
            **kwargs: Other settings of MMSeg's visualizer, without effect here.
        """
        palette = self.dataset_meta['palette']
        panels, masks = {'composite': image}, []
        sample = SegDataSample() if data_sample is None else data_sample
        if draw_pred and 'pred_score' in sample:
            cams = sample.seg_logits.data[1:].float().cpu().numpy()
            background = self.dataset_meta.get('background', True)
            panels['CAM'] = cam_overlay(image, cams, palette, background)
        for title, key, wanted in (
            ('truth', 'gt_sem_seg', draw_gt),
            ('prediction', 'pred_sem_seg', draw_pred),
        ):
            if wanted and key in sample:
                masks.append(sample.get(key).data.squeeze(0).cpu().numpy())
                panels[title] = colorize(masks[-1], palette)
        occurring = np.unique(np.concatenate([mask.ravel() for mask in masks] or [[]]))
        drawn = self._arrange(panels, [int(index) for index in occurring])
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        elif out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
        else:
            self.add_image(name, drawn, step)

    def _arrange(self, panels: dict[str, np.ndarray], occurring: list[int]) -> np.ndarray:
        """Put titled panels side by side, and below them a legend of the classes."""
        gap, line = 8, 22
        blocks = []
        for title, panel in panels.items():
            panel = enlarge(panel, max(1, self.panel_size // max(panel.shape[:2])))
            header = np.full((line, panel.shape[1], 3), 255, np.uint8)
            _write(header, title, (0, 16))
            blocks += [np.concatenate([header, panel]), np.full_like(header[:, :gap], 255)]
        height = max(block.shape[0] for block in blocks)
        blocks = [
            np.pad(block, ((0, height - len(block)), (0, 0), (0, 0)), constant_values=255)
            for block in blocks
        ]
        row = np.concatenate(blocks[:-1], axis=1)
        columns = max(1, row.shape[1] // 190)
        legend = np.full((line * -(-len(occurring) // columns), row.shape[1], 3), 255, np.uint8)
        for place, index in enumerate(occurring):
            top, left = place // columns * line, place % columns * 190
            name = 'ignored' if index == IGNORED else self.dataset_meta['classes'][index]
            colour = WHITE if index == IGNORED else self.dataset_meta['palette'][index]
            legend[top + 6 : top + 18, left : left + 12] = 0
            legend[top + 7 : top + 17, left + 1 : left + 11] = colour
            _write(legend, name, (left + 18, top + 16))
        return np.concatenate([row, legend])


def _write(image: np.ndarray, text: str, place: tuple[int, int]) -> None:
    """Write black text at (column, row) of its left bottom corner."""
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)


@HOOKS.register_module()
class SITSVisualizationHook(SegVisualizationHook):
    """Draws samples of validation and test, as ``tools/test.py --show-dir`` asks for.

    MMSeg's own hook opens the file of a sample as a photograph. This one makes a colour composite
    of the series in the batch, and names pictures '<sample_id>_test' and '<sample_id>_val', to
    which the backend appends the iteration of the training (0 in a test).

    Args:
        bands: Which bands are red, green and blue, see :func:`composite`.
        draw: Whether to draw at all.
        interval: Draw the first sample of every ``interval``-th batch in validation.
        show: Show in a window instead of saving.
        wait_time: How long to show each (s).
    """

    def __init__(
        self,
        bands: Sequence[int] = RED_GREEN_BLUE,
        draw: bool = False,
        interval: int = 50,
        show: bool = False,
        wait_time: float = 0.0,
    ) -> None:
        # With draw=False the parent warns that nothing will be drawn, which is no cause for alarm.
        super().__init__(draw=True, interval=interval, show=show, wait_time=wait_time)
        self.draw = draw
        self.bands = tuple(bands)

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Draw the first sample of some batches."""
        if self.draw and batch_idx % self.interval == 0:
            self._draw(data_batch, outputs[:1], 'val', runner.iter)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Draw all samples of a batch."""
        if self.draw:  # runner.iter would build the training loop, with its data
            self._draw(data_batch, outputs, 'test', 0)

    def _draw(
        self, data_batch: dict, samples: Sequence[SegDataSample], loop: str, step: int
    ) -> None:
        inputs = data_batch['inputs']
        if isinstance(inputs[0], list | tuple):  # test-time augmentation: the first is unchanged
            inputs = inputs[0]
        for series, sample in zip(inputs, samples, strict=False):
            num_bands = len(series) // len(sample.day_of_year) - 1
            dates, days = unfold_time(series.cpu().numpy(), num_bands)
            self._visualizer.add_datasample(
                f'{sample.sample_id}_{loop}',
                composite(dates, days, self.bands),
                sample,
                show=self.show,
                wait_time=self.wait_time,
                step=step,
            )
