"""What a run needs around MMEngine's Runner: bfloat16, gloo, the allocator, saved predictions."""

import atexit
import ctypes
import gc
import logging
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS, OPTIM_WRAPPERS
from PIL import Image
from torch import distributed, nn

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def computes_bfloat16(device_type: str) -> bool:
    """Tell whether mixed precision pays on a kind of device ('cuda', 'cpu', ...).

    Without instructions for bfloat16 a CPU emulates it, at a tenth of the speed of float32.
    """
    if device_type != 'cpu':
        return True
    if platform.machine().lower() in ('x86_64', 'amd64'):
        # oneDNN also says yes to AVX-512 without bfloat16, where it converts to and fro.
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    mkldnn = torch.backends.mkldnn.is_available()
    return mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@cache
def mixed_precision(device_type: str) -> bool:
    """Tell whether to compute in bfloat16 where it is asked for, and warn once if not."""
    possible = computes_bfloat16(device_type)
    if not possible:
        print_log(
            'mixed precision (--amp) was asked for, but this processor has no instructions for '
            'bfloat16 and would take about ten times as long: float32 is used instead',
            'current',
            logging.WARNING,
        )
    return possible


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16, on a GPU or a CPU.

    The forward pass runs under autocast; weights, gradients and the optimizer stay float32.
    bfloat16 has float32's range, so no loss scaling is needed, and gradient accumulation and
    clipping are those of ``OptimWrapper``. MMEngine's ``AmpOptimWrapper`` refuses to run on a CPU.
    On a CPU without bfloat16 instructions everything stays float32, with a warning.
    """

    @torch.compiler.disable  # which would not see the cache of mixed_precision
    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast to bfloat16 where the model's weights are."""
        device_type = next(model.parameters()).device.type
        precision = torch.autocast(
            device_type, dtype=torch.bfloat16, enabled=mixed_precision(device_type)
        )
        with super().optim_context(model), precision:
            yield


def use_bfloat16(cfg: Config) -> None:
    """Exchange a config's ``OptimWrapper`` for the one in mixed precision, in place.

    Raises:
        ValueError: The config has another kind of wrapper.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    name = kind if isinstance(kind, str) else kind.__name__
    if name == 'OptimWrapper':
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    elif name not in ('BFloat16OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(
            f'--amp takes the place of an OptimWrapper, the config has a {name}: leave --amp out'
        )


@HOOKS.register_module()
class SavePredictionsHook(Hook):
    """Save what a test loop predicts, one mask per sample.

    MMSeg's ``IoUMetric(output_dir=...)`` names masks after the image file, which all windows of a
    patch share.

    Args:
        out_dir: Folder of the masks, made if it does not exist: ``<sample_id>.png``, or named
            after the image file for datasets without sample ids; uint8, the index of the class.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)

    def before_test(self, runner: Runner) -> None:
        """Make the folder."""
        self.out_dir.mkdir(parents=True, exist_ok=True)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Write the masks of one batch."""
        for sample in outputs or ():
            name = sample.get('sample_id') or Path(sample.img_path).stem
            mask = sample.pred_sem_seg.data.squeeze(0).to('cpu', torch.uint8).numpy()
            unfinished = self.out_dir / f'{name}.png.part'
            Image.fromarray(mask).save(unfinished, format='png')
            unfinished.replace(self.out_dir / f'{name}.png')


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, for its next allocation.

    By default glibc returns large freed tensors to the system, which then hands the next training
    step fresh pages to be zeroed: a tenth to a quarter of the CPU time of a TSViT's step. Works at
    any time after the start of the process; does nothing outside glibc, and leaves a threshold
    alone that the environment sets (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_`` or
    ``GLIBC_TUNABLES``).
    """
    if platform.libc_ver()[0] != 'glibc':
        return
    mallopt = ctypes.CDLL(None).mallopt
    tunables = os.environ.get('GLIBC_TUNABLES', '')
    if not ('MALLOC_TRIM_THRESHOLD_' in os.environ or 'malloc.trim_threshold' in tunables):
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    if not ('MALLOC_MMAP_THRESHOLD_' in os.environ or 'malloc.mmap_threshold' in tunables):
        # glibc before 2.35 refuses more than 32 MiB and answers 0.
        mallopt(M_MMAP_THRESHOLD, 2**30) or mallopt(M_MMAP_THRESHOLD, 2**25)


def use_gloo_without_gpu(cfg: Config) -> None:
    """Join the other processes over gloo when there is no GPU, and set ``cfg`` up for that.

    MMEngine's launchers select a GPU first and so fail without one; a Runner takes over a process
    group that exists. Does nothing with a GPU or when ``cfg.launcher`` is 'none'.

    Args:
        cfg: A config for ``Runner.from_cfg``, changed in place.

    Raises:
        ValueError: The launcher is not 'pytorch', or torchrun did not start this process.
    """
    if cfg.get('launcher', 'none') == 'none' or get_device() != 'cpu':
        return
    if cfg.launcher != 'pytorch':
        raise ValueError(
            f'--launcher {cfg.launcher} needs a GPU on every process and found none; on CPUs use '
            f"torchrun and '--launcher pytorch', as tools/dist_train.sh does"
        )
    missing = [key for key in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR') if key not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher pytorch, but {", ".join(missing)} is not in the environment: '
            f'start through torchrun or tools/dist_train.sh'
        )
    dist_cfg = cfg.setdefault('env_cfg', {}).setdefault('dist_cfg', {})
    dist_cfg['backend'] = 'gloo'
    distributed.init_process_group('gloo', timeout=timedelta(seconds=dist_cfg.get('timeout', 1800)))
    # A process that ends with gloo's threads running is sometimes aborted by the C++ runtime.
    atexit.register(_leave_process_group)
    # MMEngine's default wrapper names a GPU.
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = dict(wrapper, device_ids=None)


def _leave_process_group() -> None:
    """Wait for the last messages and stop the threads of the process group, if it still exists."""
    if distributed.is_initialized():
        # A model wrapped for several processes holds on to the group, in a Runner that only the
        # collector frees; the group's threads would go on, and abort in the dying interpreter.
        gc.collect()
        distributed.destroy_process_group()
