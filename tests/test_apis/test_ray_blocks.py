"""Maps that Ray's processes have made are those of one process, whatever dies meanwhile.

Tests share a cluster of two machines. The last one loses the second; it runs where
MMEXACT_SLOW_TESTS is set.
"""

import os
import runpy
import signal
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from ray._private.state import actors as actor_states
from ray.cluster_utils import Cluster

from mmexact.apis.blocks import plan_blocks
from mmexact.apis.inference import build_scenes, load_segmentor, predict_scene
from mmexact.apis.ray_blocks import connect, predict_blocks, start_actors
from mmexact.apis.strips import SCORES
from tests.data import write_raster
from tests.scenes import write_scenes

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'predict.py'
SIZE = 24, 40


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """Config, checkpoint of a segmentor with weights that tell pixels apart, maps of a process."""
    folder = tmp_path_factory.mktemp('scene')
    cfg = Config.fromfile(write_scenes(folder))
    series = np.random.default_rng(1).integers(0, 1000, (5, 2, *SIZE)).astype(np.int16)
    for month, values in enumerate(series, 1):
        write_raster(folder / 'area' / f'2018{month:02}15.tif', values)
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save(model.state_dict(), folder / 'seg.pth')
    model = load_segmentor(cfg, str(folder / 'seg.pth'), 'cpu')
    dataset = build_scenes(cfg)
    make_maps(model, dataset, folder / 'alone')
    return folder, model, dataset


@pytest.fixture(scope='module')
def machines():
    """A cluster of two machines, which are processes here, with two cores each; the second one."""
    settings = dict(num_cpus=2, object_store_memory=80_000_000, include_dashboard=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('RAY_AUTH_MODE', 'disabled')  # a token would go to the home folder
        patch.setenv('RAY_health_check_failure_threshold', '2')  # a dead machine is known sooner
        cluster = Cluster(initialize_head=True, head_node_args=settings)
        second = cluster.add_node(**settings)
        connect(cluster.address)
        yield cluster, second
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope='module')
def actors(machines):
    return start_actors()


def make_maps(model, dataset, out, actors=None, after_block=None):
    """Map both scenes in blocks of one window, which overlaps by half."""
    predictions = None
    if actors is not None:
        predictions = predict_blocks(actors, model, dataset, [0, 1], None, 0.5, 1)
    for index, name in enumerate(('area', 'field')):
        predict_scene(
            model,
            dataset,
            index,
            out / f'{name}.tif',
            {kind: out / f'{name}_{kind}.tif' for kind in SCORES},
            block_windows=1,
            after_block=after_block,
            predictions=predictions,
        )


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == '.tif'}


def alive(actors):
    """State of those actors that have a process."""
    states = actor_states()
    mine = [states[actor._actor_id.hex()] for actor in actors]
    return [state for state in mine if state['State'] == 'ALIVE']


def test_half_of_each_machine_is_filled(machines, actors, scene, tmp_path):
    make_maps(*scene[1:], tmp_path, actors)  # when this is done, all are alive
    nodes = [state['Address']['NodeID'] for state in alive(actors)]
    assert len(nodes) == 4
    assert nodes.count(machines[1].node_id) == 2


def test_the_tool_makes_the_same_maps_on_ray(scene, actors, monkeypatch, tmp_path):
    monkeypatch.chdir(scene[0])
    monkeypatch.setenv('LOCAL_RANK', '0')
    # Starting others would take seconds.
    monkeypatch.setattr('mmexact.apis.ray_blocks.start_actors', lambda: actors)
    for name, ray_or_not in (('one', []), ('ray', ['--ray'])):
        out = ['--out', str(tmp_path / name), '--scores', '--block-windows', '2']
        monkeypatch.setattr('sys.argv', ['predict.py', 'scene.py', 'seg.pth', *out, *ray_or_not])
        runpy.run_path(str(TOOL), run_name='__main__')
    assert len(contents(tmp_path / 'one')) == 4
    assert contents(tmp_path / 'ray') == contents(tmp_path / 'one')
    manifests = [(tmp_path / name / 'manifest.json').read_text() for name in ('one', 'ray')]
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize('number', [1, 2, 4])
def test_maps_do_not_depend_on_the_number_of_processes(scene, actors, tmp_path, number):
    folder, model, dataset = scene
    calls = count()
    make_maps(model, dataset, tmp_path, actors[:number], lambda: next(calls))
    blocks = [len(plan_blocks(model, dataset.get_data_info(i), 0.5, 1)) for i in (0, 1)]
    assert blocks == [6 * 10, 1]
    assert next(calls) == sum(blocks)
    assert contents(tmp_path) == contents(folder / 'alone')


def test_no_more_blocks_are_under_way_than_two_per_process(scene, actors):
    _, model, dataset = scene
    taken = []
    info = dataset.get_data_info(0)

    class Watched:
        def get_data_info(self, index):
            taken.append(index)
            return info

    watched = Watched()
    watched.pipeline = dataset.pipeline
    stream = predict_blocks(actors[:2], model, watched, [0, 0], None, 0.5, 1)
    for _ in range(60 - 4):
        next(stream)
    assert taken == [0]
    for _ in range(4):
        next(stream)
    assert taken == [0, 0]


def test_a_killed_process_loses_nothing(scene, actors, tmp_path):
    folder, model, dataset = scene
    killed = []

    def kill():
        if not killed:
            killed.append(alive(actors[:2])[0])
            os.kill(killed[0]['Pid'], signal.SIGKILL)

    make_maps(model, dataset, tmp_path, actors[:2], kill)
    assert contents(tmp_path) == contents(folder / 'alone')
    (again,) = [one for one in alive(actors) if one['ActorID'] == killed[0]['ActorID']]
    assert again['NumRestarts'] == 1
    assert again['Pid'] != killed[0]['Pid']


def test_an_error_in_a_process_is_that_of_one(scene, actors, tmp_path):
    _, model, _ = scene
    dataset = build_scenes(Config.fromfile(write_scenes(tmp_path)))
    (tmp_path / 'area' / '20180115.tif').unlink()
    with pytest.raises(FileNotFoundError, match=r'20180115\.tif: no such raster$') as error:
        make_maps(model, dataset, tmp_path / 'maps', actors[:1])
    assert len(str(error.value).splitlines()) == 1
    assert contents(tmp_path / 'maps') == {}


@pytest.mark.skipif('MMEXACT_SLOW_TESTS' not in os.environ, reason='Ray waits for half a minute')
def test_a_dead_machine_loses_nothing(scene, machines, actors, tmp_path):
    folder, model, dataset = scene
    cluster, second = machines

    def remove():
        if second in cluster.list_all_nodes():
            cluster.remove_node(second, allow_graceful=False)

    make_maps(model, dataset, tmp_path, actors, remove)
    assert contents(tmp_path) == contents(folder / 'alone')
    assert {state['Address']['NodeID'] for state in alive(actors)} == {cluster.head_node.node_id}
