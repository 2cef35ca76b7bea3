"""Run all stages of a project: from image-level labels to a map of the area and a report.

Trains the classifier, makes pseudo masks and refines them, trains the segmentor, maps the area,
tests where there are pixel labels, and writes report.html. Every stage is a tool of this folder
whose command is printed, so that each can be repeated by hand. A second call goes on where the
first one stopped.
"""

import sys
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path

from mmexact.apis.command_line import OneLineErrorParser, existing_file
from mmexact.apis.exact_stages import ExactStages
from mmexact.apis.stages import StageError


def main() -> int:
    """Run the stages as the command line says; the exit status is 0 when the report is there."""
    parser = OneLineErrorParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        'project', nargs='+',
        help='folder of tools/start_project.py, with cls.py and seg.py; or a config of a '
        'classifier and one of a segmentor',
    )  # fmt: skip
    parser.add_argument(
        '--compare', action='store_true',
        help='where there are pixel labels, also score plain raw CAMs and train the fully '
        'supervised baseline',
    )  # fmt: skip
    parser.add_argument(
        '--no-refine', action='store_true',
        help='train the segmentor on the pseudo masks as they are, as in the paper',
    )  # fmt: skip
    parser.add_argument(
        '--work-dir', type=Path, metavar='DIR',
        help="folder of the results (default: the one above the segmentor's work folder)",
    )  # fmt: skip
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
        help='settings that replace those of both configs, such as area.iterations=1000',
    )  # fmt: skip
    parser.add_argument(
        '--overwrite', action='store_true',
        help='make anew what was made from other settings or labels',
    )  # fmt: skip
    args = parser.parse_args()
    configs = args.project
    if len(configs) == 1:
        configs = [str(Path(configs[0]) / name) for name in ('cls.py', 'seg.py')]
    if len(configs) != 2:
        parser.error(f'argument project: expected a folder, or two configs; got {len(configs)}')
    try:
        cls, seg = map(existing_file, configs)
    except ArgumentTypeError as error:
        parser.error(f'argument project: {error}')
    try:
        stages = ExactStages(
            cls,
            seg,
            args.work_dir,
            args.cfg_options,
            compare=args.compare,
            refine=not args.no_refine,
            overwrite=args.overwrite,
        )
        report = stages.run()
    except (StageError, ValueError) as error:
        print(f'{parser.prog}: error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'\n{parser.prog}: interrupted; run again to go on from here', file=sys.stderr)
        return 130
    print(f'\nFigures and pictures: {report}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
