import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmexact.engine.process import use_gloo_without_gpu

GLIBC = platform.libc_ver()[0] == 'glibc'

COUNT_FAULTS = """
import resource

def pages_taken():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        bytearray(b'x') * 50_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

from mmexact.engine.process import keep_freed_memory
before = pages_taken()
keep_freed_memory()
pages_taken()
print(before, pages_taken())
"""


@pytest.mark.skipif(not GLIBC, reason='only glibc returns memory at once')
@pytest.mark.parametrize('given', [{}, {'MALLOC_TRIM_THRESHOLD_': '0', 'GLIBC_TUNABLES': ''}])
def test_keep_freed_memory_reuses_pages_unless_the_user_set_a_threshold(given):
    done = subprocess.run(
        [sys.executable, '-c', COUNT_FAULTS],
        env=dict(os.environ, **given),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = map(int, done.stdout.splitlines()[-1].split())
    # An array has 12208 pages of 4 KiB, or 24 of 2 MiB.
    assert before >= 10 * 20
    if given:
        assert after >= 10 * 20
    else:
        assert after < 20


def config(**settings) -> Config:
    return Config(dict(launcher='pytorch', env_cfg=dict(dist_cfg=dict(backend='nccl')), **settings))


@pytest.mark.skipif(torch.cuda.is_available(), reason='with a GPU MMEngine joins the processes')
class TestUseGlooWithoutGpu:
    def test_joins_a_group_and_names_no_gpu(self, monkeypatch):
        for key, value in dict(
            RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT='0'
        ).items():
            monkeypatch.setenv(key, value)
        cfg = config(find_unused_parameters=True)
        use_gloo_without_gpu(cfg)
        try:
            assert torch.distributed.get_backend() == 'gloo'
        finally:
            torch.distributed.destroy_process_group()
        assert cfg.env_cfg.dist_cfg.backend == 'gloo'
        assert cfg.model_wrapper_cfg.device_ids is None
        assert cfg.model_wrapper_cfg.find_unused_parameters

    def test_single_process_stays_as_it_is(self):
        cfg = Config(dict(launcher='none'))
        use_gloo_without_gpu(cfg)
        assert not torch.distributed.is_initialized()
        assert cfg.to_dict() == dict(launcher='none')

    def test_refuses_a_process_that_no_launcher_started(self, monkeypatch):
        monkeypatch.delenv('RANK', raising=False)
        with pytest.raises(ValueError, match=r'RANK.* not in the environment: start through'):
            use_gloo_without_gpu(config())

    def test_refuses_slurm(self):
        with pytest.raises(ValueError, match='--launcher slurm needs a GPU'):
            use_gloo_without_gpu(Config(dict(launcher='slurm')))
