"""Write synthetic satellite image time series in the on-disk format of PASTIS."""

from mmexact.apis.synthetic import write_tree
from mmexact.datasets.synthetic.pastis_tree import DEFAULTS, write_pastis_tree


def main() -> None:
    """Write as the command line says."""
    write_tree(
        'Write a seeded synthetic data set of 128 x 128 pixels per patch in the layout of PASTIS: '
        'metadata.geojson, DATA_S2, ANNOTATIONS and NORM_S2_patch.json.',
        write_pastis_tree,
        DEFAULTS,
        choose_crops=True,
    )


if __name__ == '__main__':
    main()
