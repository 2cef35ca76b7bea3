"""Mistakes in a config or in data, found before, at the first or at the step that they spoil."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import mmcv
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS
from torch import Tensor, nn

from mmexact.datasets.sits_dataset import SITSDataset
from mmexact.engine.value_check import check_dataset

PACKAGES = {'mmpretrain': 'onedl-mmpretrain', 'mmdet': 'onedl-mmdetection'}
"""What to install for components with a package's name before theirs."""
NEEDED = {
    'TIMMBackbone': 'timm',
    'HuggingFaceClassifier': 'transformers',
    'MaskFormerHead': 'mmdet',
    'Mask2FormerHead': 'mmdet',
}
"""Packages that single components import when they are built."""
OPERATORS = {'CCHead', 'PSAHead', 'PointHead', 'SideAdapterCLIPHead', 'DCN', 'DCNv2', 'carafe'}
"""Components that need MMCV's compiled operators; so does all of mmdet."""
BUILD_OPERATORS = (
    'pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation '
    f'--no-binary onedl-mmcv onedl-mmcv=={mmcv.__version__}'
)
"""Builds the installed MMCV anew, with the operators, against the installed torch."""
PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')
"""Keys below which a ``type`` is a component of MMSegmentation."""


def find_types(settings: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the key and the value of every ``type`` that is a name."""
    if isinstance(settings, Mapping):
        if isinstance(settings.get('type'), str):
            yield f'{path}.type', settings['type']
        for key, value in settings.items():
            yield from find_types(value, f'{path}.{key}')
    elif isinstance(settings, Sequence) and not isinstance(settings, str):
        for index, value in enumerate(settings):
            yield from find_types(value, f'{path}[{index}]')


def needs_operators(component: str, packages: Sequence[str]) -> bool:
    """Tell whether a component needs MMCV's operators, by its name and the packages it needs."""
    # MMSeg's focal loss has a version of its own for CPUs.
    on_gpu = component == 'FocalLoss' and torch.cuda.is_available()
    return component in OPERATORS or 'mmdet' in packages or on_gpu


def check_components(model: Mapping[str, Any]) -> None:
    """Check that the packages of a model's components are installed and their names known.

    Args:
        model: ``cfg.model``, after ``custom_imports`` have run.

    Raises:
        ValueError: A package or MMCV's operators are missing, or a part's type is registered
            nowhere.
    """
    for key, name in find_types(model, 'model'):
        scope, _, component = name.rpartition('.')
        packages = [name for name in (scope.partition('.')[0], NEEDED.get(component)) if name]
        missing = [package for package in packages if find_spec(package) is None]
        install = [f'pip install {PACKAGES.get(package, package)}' for package in missing]
        if needs_operators(component, packages) and find_spec('mmcv._ext') is None:
            more = f' and the package {missing[0]}' if missing else ''
            raise ValueError(
                f"{key}={name!r} needs MMCV's compiled operators{more}, which are not installed. "
                f'With a C++ compiler: {" && ".join([BUILD_OPERATORS, *install])}. '
                f'docs/segmentors.md lists what works without'
            )
        if missing:
            raise ValueError(
                f'{key}={name!r} needs the package {missing[0]}, which is not installed: '
                f'{install[0]}'
            )
        part = key.split('.')[-2].partition('[')[0]
        if part in PARTS and MODELS.get(name) is None:
            raise ValueError(
                f"{key}={name!r} is not registered. Write 'mmpretrain.{component}' for a component "
                f'of MMPretrain; name the module of your own in custom_imports.imports'
            )


def heads_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the config key and the head for each decode head and auxiliary head of a segmentor."""
    for name in ('decode_head', 'auxiliary_head'):
        heads = getattr(model, name, None)
        if isinstance(heads, nn.ModuleList):
            yield from ((f'model.{name}[{index}]', head) for index, head in enumerate(heads))
        elif heads is not None:
            yield f'model.{name}', heads


def check_classes(model: nn.Module, classes: Sequence[str] | None) -> None:
    """Check that all heads of a segmentor have the classes of the masks.

    Raises:
        ValueError: A head has another number of classes.
    """
    for key, head in heads_of(model):
        number = getattr(head, 'num_classes', None)
        if classes and number is not None and number != len(classes):
            raise ValueError(
                f'{key}.num_classes={number}, but the masks of the dataset have {len(classes)} '
                f'classes ({classes[0]}, ..., {classes[-1]}): set {key}.num_classes={len(classes)}'
            )


def check_channels_once(backbone: nn.Module) -> None:
    """Let a backbone's first 2-D convolution check the channels that it gets, once."""
    conv = next((part for part in backbone.modules() if isinstance(part, nn.Conv2d)), None)
    if conv is None:
        return

    def check(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        handle.remove()
        given = inputs[0].shape[1]
        if given != conv.in_channels:
            raise ValueError(
                f'model.backbone.in_channels={conv.in_channels}, but {type(backbone).__name__} '
                f'gets {given} channels. A series has dates x (bands + 1) of them, the day of year '
                f'is one more: set model.backbone.in_channels={given} and a fixed number of dates '
                f'(data_preprocessor.num_dates), or wrap the backbone in a TemporalStem'
            )

    handle = conv.register_forward_pre_hook(check)


def tell_overlap(scored: SITSDataset, trained_on: SITSDataset, runner: Runner) -> None:
    """Log how many windows a validation scores, and warn of those that were trained on."""
    ids = set(scored.sample_ids())
    both = ids & set(trained_on.sample_ids()) if scored.data_root == trained_on.data_root else ()
    message = f'validation scores {len(ids)} windows'
    if both:
        runner.logger.warning(
            f'{message}, of which {len(both)} are trained on: its scores say little about others. '
            f'Hold some out (ann_file or folds of val_dataloader.dataset, area.split)'
        )
    else:
        runner.logger.info(message)


@HOOKS.register_module()
class SegmentorCheckHook(Hook):
    """Checks that a segmentor fits its data, with messages that name the config key.

    Before training, validation and test the classes of all heads are compared with those of the
    dataset; at the first batch, the channels of a 2-D backbone's first layer with the data's. A
    training, of a classifier too, ends at the first loss that is not finite. Values of some windows
    are compared with the statistics that they are normalised by. The first validation says how many
    windows it scores, and how many of them were trained on.

    Args:
        check_values: Look at these values.
    """

    def __init__(self, check_values: bool = True) -> None:
        self.check_values = check_values
        self.looked_at: set[int] = set()
        self.trained_on: Any = None

    def before_train(self, runner: Runner) -> None:
        """Check the model against the training data."""
        self._check(runner, runner.train_dataloader)
        self.trained_on = runner.train_dataloader.dataset

    def before_val(self, runner: Runner) -> None:
        """Check the model against the validation data."""
        self._check(runner, runner.val_dataloader)
        ours, theirs = runner.val_dataloader.dataset, self.trained_on
        if isinstance(ours, SITSDataset) and isinstance(theirs, SITSDataset):
            tell_overlap(ours, theirs, runner)
            self.trained_on = None

    def before_test(self, runner: Runner) -> None:
        """Check the model against the test data."""
        self._check(runner, runner.test_dataloader)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Stop where a loss is NaN or infinite; the last checkpoint is from before.

        Raises:
            ValueError: It is.
        """
        values = {name: torch.as_tensor(value).detach() for name, value in (outputs or {}).items()}
        lost = [name for name, value in values.items() if not value.isfinite().all()]
        if lost:
            samples = (data_batch or {}).get('data_samples', ())
            ids = [str(sample.get('sample_id')) for sample in samples]
            raise ValueError(
                f'iteration {runner.iter + 1}: {", ".join(lost)} not finite. The windows of this '
                f'batch: {", ".join(ids)}. Look for extreme values in them, or lower the learning '
                f'rate (optim_wrapper.optimizer.lr)'
            )

    def _check(self, runner: Runner, dataloader: Any) -> None:
        model = _bare(runner.model)
        check_classes(model, dataloader.dataset.metainfo.get('classes'))
        if hasattr(model, 'backbone'):
            check_channels_once(model.backbone)
        if self.check_values and id(dataloader.dataset) not in self.looked_at:
            check_dataset(dataloader.dataset, model)
            self.looked_at.add(id(dataloader.dataset))


def _bare(model: nn.Module) -> Any:
    return model.module if is_model_wrapper(model) else model
