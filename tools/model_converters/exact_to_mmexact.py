"""Turn a published Exact classifier (.pth) into a checkpoint of ExactClassifier."""

from mmexact.apis.conversion import convert_checkpoint
from mmexact.engine.published import convert_exact

if __name__ == '__main__':
    convert_checkpoint(__doc__, convert_exact)
