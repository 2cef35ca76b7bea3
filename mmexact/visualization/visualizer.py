"""How MMSeg's validation and test loops draw samples."""

from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from matplotlib.font_manager import findfont
from mmengine.dist import master_only
from mmengine.runner import Runner
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import HOOKS, VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from PIL import Image, ImageDraw, ImageFont

from mmexact.sits import IGNORED, unfold_time
from mmexact.visualization.pictures import RED_GREEN_BLUE, cam_overlay, colorize, composite
from mmexact.visualization.style import MUTED, TEXT, WHITE


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
        """Draw one sample, with the arguments of MMSeg's visualizer.

        ``image`` is the composite, uint8 (h, w, 3), RGB. ``data_sample`` may hold ``gt_sem_seg``,
        ``pred_sem_seg``, and with ``pred_score`` the ``seg_logits`` of an
        :class:`~mmexact.models.ExactClassifier`.
        """
        drawn = self.draw_sample(image, data_sample, draw_gt, draw_pred)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        elif out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
        else:
            self.add_image(name, drawn, step)

    def draw_sample(
        self,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
    ) -> np.ndarray:
        """Return what :meth:`add_datasample` draws, uint8 (h, w, 3), RGB."""
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
        occurring = {int(index) for mask in masks for index in np.unique(mask)}
        return self._arrange(panels, sorted(occurring))

    def _arrange(self, panels: dict[str, np.ndarray], occurring: list[int]) -> np.ndarray:
        """Put titled panels side by side, and below them a legend of the classes."""
        gap, line, box = 8, 22, 12
        font = ImageFont.truetype(findfont('DejaVu Sans'), 13)
        pictures = []
        for panel in panels.values():
            height, width = panel.shape[:2]
            factor = max(1, self.panel_size // max(height, width))
            pictures.append(Image.fromarray(panel).resize((width * factor, height * factor), 0))
        total = sum(picture.width + gap for picture in pictures) - gap
        entries, left, top = [], 0, line + max(picture.height for picture in pictures) + 4
        for index in occurring:
            ignored = index == IGNORED
            name = 'ignored' if ignored else self.dataset_meta['classes'][index]
            colour = WHITE if ignored else tuple(self.dataset_meta['palette'][index])
            width = box + 6 + round(font.getlength(name))
            if left and left + width > total:
                left, top = 0, top + line
            entries.append((left, top, name, colour))
            left += width + 18
        drawn = Image.new('RGB', (total, top + line * bool(entries)), WHITE)
        draw, left = ImageDraw.Draw(drawn), 0
        for title, picture in zip(panels, pictures, strict=True):
            draw.text((left, 3), title, TEXT, font)
            drawn.paste(picture, (left, line))
            left += picture.width + gap
        for left, top, name, colour in entries:
            draw.rectangle((left, top + 5, left + box - 1, top + 4 + box), colour, MUTED)
            draw.text((left + box + 6, top + 3), name, TEXT, font)
        return np.asarray(drawn)


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
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any],
        outputs: Sequence[SegDataSample],
    ) -> None:
        """Draw the first sample of some batches."""
        if self.draw and batch_idx % self.interval == 0:
            self._draw(data_batch, outputs[:1], 'val', runner.iter)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any],
        outputs: Sequence[SegDataSample],
    ) -> None:
        """Draw all samples of a batch."""
        if self.draw:  # runner.iter would build the training loop, with its data
            self._draw(data_batch, outputs, 'test', 0)

    def _draw(
        self, data_batch: dict[str, Any], samples: Sequence[SegDataSample], loop: str, step: int
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
