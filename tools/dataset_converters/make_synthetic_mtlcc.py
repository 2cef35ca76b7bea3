"""Write synthetic satellite image time series in the on-disk formats of MTLCC (Germany)."""

from mmexact.apis.synthetic import write_tree
from mmexact.datasets.synthetic.mtlcc_tree import DEFAULTS, write_mtlcc_tree


def main() -> None:
    """Write as the command line says."""
    write_tree(
        'Write a seeded synthetic data set like MTLCC: 240 with gzipped TFRecords and lists of '
        'tiles, and 240pkl with the pickles that TSViT makes from them. Of each five patches of 25 '
        'tiles three are for training, one for validation, one for the test.',
        write_mtlcc_tree,
        DEFAULTS,
    )


if __name__ == '__main__':
    main()
