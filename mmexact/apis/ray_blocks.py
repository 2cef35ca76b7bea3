"""Blocks of scenes predicted by Ray, on the cores or GPUs of one machine or of many."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any

from geopandas import GeoDataFrame
from mmengine.device import get_device
from mmseg.models.segmentors import EncoderDecoder

from mmexact.apis.blocks import Block
from mmexact.apis.strips import BlockPrediction, BlockReader, plan_scene, predict_block
from mmexact.datasets import SITSDataset
from mmexact.engine.process import keep_freed_memory, limit_raster_cache

SECONDS_TO_ANSWER = 5
"""How long a cluster may take to answer at its address."""

RESTARTS = 20
"""How often an actor may die: more, and it is a block that kills it, for want of memory mostly."""


class BlockActor:
    """A process that predicts blocks of any scene. It keeps the model that the first one needs."""

    def __init__(self) -> None:
        self.model: EncoderDecoder | None = None
        keep_freed_memory()
        limit_raster_cache()

    def predict(
        self, model: list[Any], folder: str, read: BlockReader, block: Block
    ) -> BlockPrediction:
        """Read a block and predict it.

        Args:
            model: One reference to it: where a process is started anew, it is fetched again.
            folder: Where relative paths start.
            read: Reads the scene.
            block: Of the scene.
        """
        if self.model is None:
            import ray

            os.chdir(folder)
            self.model = ray.get(model[0]).to(get_device())
        total, observed = predict_block(self.model, read.info, block, read([block]))
        return BlockPrediction(None if total is None else total.cpu(), observed)


def connect(address: str) -> None:
    """Connect this process to Ray, if it is not.

    Args:
        address: Of a running cluster, '<host>:<port>' of its head; 'auto' takes the one that this
            machine belongs to, or the environment variable RAY_ADDRESS; 'local' starts Ray on
            this machine alone.

    Raises:
        ValueError: Ray is not installed, or no cluster answers at the address.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("--ray needs Ray: pip install 'mmexact[ray]'") from None
    if ray.is_initialized():
        return
    if address == 'auto':
        address = os.environ.get('RAY_ADDRESS', address)
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # nothing is sent to Ray's makers
    try:
        host, _, port = address.rpartition(':')
        if port.isdecimal() and '://' not in host:  # Ray would try for minutes
            socket.create_connection((host.strip('[]'), int(port)), SECONDS_TO_ANSWER).close()
        ray.init(address, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise ValueError(
            f'--ray {address}: no Ray cluster answers: {str(error).splitlines()[0]}; expected the '
            f"address that 'ray start --head' prints, 'auto' on one of its machines, or no address "
            f'for this machine alone'
        ) from error


def start_actors(number: int | None = None) -> list[Any]:
    """Start processes that predict: two for each GPU of the cluster, or one for each core.

    Two share a GPU so that one reads while the other predicts. On cores, actors ask for half of
    one: Ray then fills half of every machine, and those of a machine that dies have room on the
    others. One whose process dies is started anew, and its block is predicted again.

    Args:
        number: How many; by default as many as above.
    """
    import ray

    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus, cores = int(found.get('GPU', 0)), int(found.get('CPU', 1))
    start = ray.remote(
        num_cpus=0 if gpus else 0.5,
        num_gpus=0.5 if gpus else 0,
        max_restarts=RESTARTS,
        max_task_retries=-1,  # a dead machine takes half a minute to be known, and many tries
    )(BlockActor).remote
    return [start() for _ in range(number or 2 * gpus or cores)]


def predict_blocks(
    actors: Sequence[Any],
    model: EncoderDecoder,
    dataset: SITSDataset,
    scenes: Sequence[int],
    area: GeoDataFrame | None,
    overlap: float,
    block_windows: int,
) -> Iterator[BlockPrediction]:
    """Predict the blocks of scenes on actors, and yield what they are in their order.

    That order is the one in which :func:`~mmexact.apis.inference.predict_scene` adds them up, so
    that maps are those of a single process, bit for bit on machines of one kind. At most two
    blocks per actor are under way, those that wait for an earlier one included; they go on with
    the next scene while the map of one is written.

    Args:
        actors: From :func:`start_actors`.
        model: From :func:`~mmexact.apis.inference.load_segmentor`, on the CPU.
        dataset: From :func:`~mmexact.apis.inference.build_scenes`.
        scenes: Indices of the scenes; all machines have to see their files at the same path.
        area: As for :func:`~mmexact.apis.inference.predict_scene`, and so are the others.
        overlap: Of windows.
        block_windows: Windows per side of a block.

    Raises:
        FileNotFoundError: A file is missing on a machine.
        ValueError: A scene does not suit the model, a file of it is damaged, or actors cannot be
            started or die again and again.
    """
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    pool: Any = ray.util.ActorPool([*actors, *actors])  # each has its next block waiting
    run = [ray.put(model)], os.getcwd()
    try:
        for scene in scenes:
            info = dataset.get_data_info(scene)
            blocks, wanted, _ = plan_scene(model, info, area, overlap, block_windows)
            reader = ray.put(BlockReader(dataset, info))
            for block in compress(blocks, wanted):
                if not pool.has_free():
                    yield pool.get_next()
                pool.submit(lambda actor, item: actor.predict.remote(*run, *item), (reader, block))
        while pool.has_next():
            yield pool.get_next()
    except RayTaskError as error:
        raise error.cause from None
    except RayActorError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ValueError(
            f'a process of Ray cannot start, or has died more than {RESTARTS} times: {reason}; '
            f'every machine needs mmexact and 2.5 GB for each of its processes (--block-windows 4 '
            f'takes less); what is finished stays, run again to go on'
        ) from error
