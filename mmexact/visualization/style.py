"""Colours of pictures, plots and pages, and a palette for classes that have none."""

import cv2
import numpy as np

WHITE = (255, 255, 255)
"""Ignored pixels."""
BACKGROUND = (56, 56, 60)

TEXT = '#1d2125'
MUTED = '#5b636b'
LINE = '#dfe2e0'
PAPER = '#f6f7f5'

CROPS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Colours that Okabe and Ito chose for colour-blind readers."""

SERIES = tuple('#{:02x}{:02x}{:02x}'.format(*CROPS[index]) for index in (4, 0, 2, 5, 6, 1))
"""Colours of curves and bars; yellow is too faint for them."""
ACCENT = SERIES[0]

VISIONS = np.array(
    [
        np.eye(3),
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    ]
)
"""How full, protanope and deuteranope vision see linear RGB (Machado et al. 2009)."""


def class_palette(number: int, background: bool = True) -> list[tuple[int, int, int]]:
    """Choose colours that readers tell apart, also colour-blind ones as far as the number allows.

    Seven crops get the colours of Okabe and Ito; each further one is the colour that differs most
    from all before it, in the vision in which it differs least. A class more leaves the colours of
    the others as they are.

    Args:
        number: How many classes.
        background: Whether class 0 is the background, which is dark grey.

    Returns:
        (red, green, blue) of each class, 0..255.
    """
    chosen = [WHITE, BACKGROUND, *CROPS]
    levels = np.arange(56, 225, 24)
    candidates = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    seen = see(candidates)
    while len(chosen) < number + 2:
        distances = np.linalg.norm(seen[:, :, None] - see(np.array(chosen))[:, None], axis=-1)
        # Full vision is asked for more, or hardly any red and green would be among the colours.
        worst = (distances.min(-1) * [[0.6], [1], [1]]).min(0)
        red, green, blue = candidates[worst.argmax()].tolist()
        chosen.append((red, green, blue))
    first = 1 if background else 2
    return chosen[first : first + number]


def see(colours: np.ndarray) -> np.ndarray:
    """Tell how colours look: (3, N, 3) in CIELAB for each of :data:`VISIONS`, from (N, 3) RGB."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.einsum('vij,nj->vni', VISIONS, linear), 0, 1)
    return cv2.cvtColor(seen.astype(np.float32), cv2.COLOR_LRGB2LAB)
