"""Copy PASTIS so that the series of each window lies in one piece, for slow disks.

The copy has the size of the download and takes its place: set data_root to it, all configs work as
they are and see the same samples. An interrupted copy goes on where it stopped.
"""

from argparse import RawDescriptionHelpFormatter
from pathlib import Path

from mmengine.utils import track_iter_progress

from mmexact.apis.command_line import OneLineErrorParser
from mmexact.datasets.pastis.window_copy import copy_windows


def main() -> None:
    """Copy as the command line says."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='SRC', type=Path, help='the unpacked download')
    parser.add_argument('target', metavar='DST', type=Path, help='folder of the copy')
    parser.add_argument(
        '--window-size', type=int, default=24, help='side of a window in pixels (default: 24)'
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a copy that is there')
    args = parser.parse_args()
    try:
        written = copy_windows(
            args.source, args.target, args.window_size, track_iter_progress, args.overwrite
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f'\n{args.target}: complete, {written} patches written by this run')


if __name__ == '__main__':
    main()
