import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.structures import PixelData
from mmseg.registry import OPTIM_WRAPPERS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from mmexact.engine import process as engine
from mmexact.engine.process import SavePredictionsHook, use_gloo_without_gpu


def wrapper_of(model: nn.Module, **settings):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return OPTIM_WRAPPERS.build(dict(type='BFloat16OptimWrapper', optimizer=optimizer, **settings))


def linear(weight: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


@pytest.fixture
def bfloat16(monkeypatch):
    """Let this processor count as one with bfloat16 instructions, or as one without."""

    def choose(there: bool) -> None:
        monkeypatch.setattr(engine, 'computes_bfloat16', lambda device_type: there)
        engine.mixed_precision.cache_clear()

    choose(True)
    yield choose
    engine.mixed_precision.cache_clear()


@pytest.mark.usefixtures('bfloat16')
class TestBFloat16OptimWrapper:
    def test_forward_in_bfloat16_and_update_in_float32(self):
        # 301 is no bfloat16 number: it becomes 300. The gradient of 300 * w is 300.
        model = linear(1.0)
        wrapper = wrapper_of(model)
        with wrapper.optim_context(model):
            output = model(torch.tensor([[301.0]]))
        assert output.dtype == torch.bfloat16
        assert output.item() == 300
        wrapper.update_params(output.float().sum())
        assert model.weight.dtype == torch.float32
        assert model.weight.item() == 1 - 300

    def test_accumulates_and_clips_gradients(self):
        # The mean gradient of inputs 2 and 6 is 4; clipped to 0.5.
        model = linear(0.0)
        wrapper = wrapper_of(model, accumulative_counts=2, clip_grad=dict(max_norm=0.5))
        for value in (2.0, 6.0):
            assert model.weight.item() == 0
            with wrapper.optim_context(model):
                loss = model(torch.tensor([[value]])).float().sum()
            wrapper.update_params(loss)
        assert model.weight.item() == pytest.approx(-0.5, abs=1e-6)


def test_without_bfloat16_instructions_float32_is_used_and_said_once(bfloat16, caplog):
    bfloat16(False)
    model = linear(1.0)
    wrapper = wrapper_of(model)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)  # MMEngine's does not hand on what it gets
    try:
        for _ in range(2):
            with wrapper.optim_context(model):
                output = model(torch.tensor([[301.0]]))
            assert output.dtype == torch.float32
            assert output.item() == 301
    finally:
        logger.removeHandler(caplog.handler)
    (record,) = caplog.records
    assert 'no instructions for bfloat16' in record.getMessage()
    assert '--amp' in record.getMessage()


def test_this_processor_s_instructions_are_asked_for(monkeypatch):
    monkeypatch.setattr(platform, 'machine', lambda: 'x86_64')
    flags = {'_is_avx512_bf16_supported': False, '_is_amx_tile_supported': False}
    for name in flags:
        monkeypatch.setattr(torch.cpu, name, lambda name=name: flags[name])
    assert not engine.computes_bfloat16('cpu')
    assert engine.computes_bfloat16('cuda')
    for name in flags:
        flags[name] = True
        assert engine.computes_bfloat16('cpu')
        flags[name] = False


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
    before, after = map(int, done.stdout.split())
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


def test_saved_predictions_are_named_after_the_sample_or_its_file(tmp_path):
    hook = SavePredictionsHook(out_dir=str(tmp_path / 'new' / 'masks'))
    mask = torch.tensor([[0, 1, 2], [18, 255, 3]])
    window = SegDataSample(metainfo=dict(sample_id='7_3', img_path='S2_7.npy'))
    image = SegDataSample(metainfo=dict(img_path='photos/field.tif'))
    for sample in (window, image):
        sample.pred_sem_seg = PixelData(data=mask[None])
    hook.before_test(None)
    hook.after_test_iter(None, 0, None, [window, image])
    written = sorted((tmp_path / 'new' / 'masks').iterdir())
    assert [path.name for path in written] == ['7_3.png', 'field.png']
    for path in written:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), mask)
