"""Start of processes: which memory they keep, and how they meet on CPUs."""

import atexit
import ctypes
import gc
import os
import platform
from datetime import timedelta

from mmengine.config import Config
from mmengine.device import get_device
from torch import distributed

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


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


def limit_raster_cache() -> None:
    """Let GDAL keep 512 MB of what it has read, if it has read nothing yet.

    Its own limit, a twentieth of the machine's memory, holds for each of its processes: on many
    cores they would fill it. Leaves alone what the environment sets (``GDAL_CACHEMAX``).
    """
    os.environ.setdefault('GDAL_CACHEMAX', '512')


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
