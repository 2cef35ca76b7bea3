"""The dataset of a config: how tools choose and open it."""

from argparse import RawDescriptionHelpFormatter
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmexact.apis.command_line import OneLineErrorParser, config_parser
from mmexact.apis.configs import settings_at_fault
from mmexact.datasets.sits_dataset import SITSDataset


def data_parser(description: str) -> OneLineErrorParser:
    """Make the parser of a tool on the data of a config, which ``--loader`` chooses."""
    parser = config_parser(description, checkpoint=False)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument(
        '--loader', choices=('train', 'val', 'test'), default='train',
        help='whose data (default: train)',
    )  # fmt: skip
    return parser


def open_data(cfg: Config, loader: str = 'train', **settings: Any) -> SITSDataset:
    """Build the dataset of one of a config's data loaders.

    Args:
        cfg: The config; not modified.
        loader: 'train', 'val' or 'test'.
        **settings: Arguments of the dataset that replace the config's.

    Raises:
        FileNotFoundError: The data are missing.
        ValueError: The config has no such loader or no dataset of series, or the data do not fit.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    section = cfg.get(f'{loader}_dataloader')
    if not section:
        raise ValueError(f'{cfg.filename}: the config has no {loader}_dataloader')
    with settings_at_fault(f'{cfg.filename}, {loader}_dataloader.dataset'):
        kind = DATASETS.get(section.dataset.type)
        if not (isinstance(kind, type) and issubclass(kind, SITSDataset)):
            raise ValueError(
                f'{cfg.filename}: {loader}_dataloader.dataset.type={section.dataset.type!r}; '
                f'expected a dataset of series, such as RasterSeriesDataset, not wrapped in another'
            )
        dataset: SITSDataset = DATASETS.build({**section.dataset, **settings})
    return dataset
