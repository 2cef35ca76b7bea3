"""The command line that the converters of published checkpoints share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmexact.apis.command_line import OneLineErrorParser, existing_file
from mmexact.engine.checkpoint import read_checkpoint
from mmexact.masks import whole_file


def convert_checkpoint(
    description: str, convert: Callable[..., dict[str, Tensor]], **options: dict[str, Any]
) -> None:
    """Read SRC, rename its weights, and write DST whole or not at all.

    Args:
        description: For ``--help``.
        convert: Maps the published state dict to ours; raises ValueError if it cannot.
        **options: Further arguments of the command line, which ``convert`` takes by these names;
            each holds what argparse's ``add_argument`` takes.
    """
    parser = OneLineErrorParser(description=description)
    parser.add_argument('src', type=existing_file, help='published checkpoint')
    parser.add_argument('dst', type=Path, help='checkpoint to write')
    for name, settings in options.items():
        parser.add_argument(f'--{name.replace("_", "-")}', **settings)
    args = parser.parse_args()
    chosen = {name: getattr(args, name) for name in options}
    try:
        state = convert(read_checkpoint(args.src)['state_dict'], **chosen)
    except ValueError as error:
        parser.error(str(error) if str(args.src) in str(error) else f'{args.src}: {error}')
    with whole_file(args.dst) as unfinished:
        torch.save(dict(state_dict=state, meta=dict(source=Path(args.src).name)), unfinished)
    print(f'{len(state)} weights written to {args.dst}')
