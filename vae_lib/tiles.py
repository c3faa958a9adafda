"""Pictures side by side in one, in grey or RGB."""

import math

import numpy as np
from torch import Tensor

from vae_lib.domains import require, switch, whole_numbers

HALF_A_LEVEL = 0.5 / 255  # of grey: nobody sees what lies outside of [0, 1] by less


def check_pictures(
    images: Tensor, shape: tuple[int, int, int], n: int | None = None
) -> None:
    """Raise ValueError unless these are n grey or RGB pictures of this shape.

    Their numbers lie in [0, 1].
    """
    sizes = whole_numbers("shape", shape)
    known = len(sizes) == 3 and sizes[0] in (1, 3) and min(sizes) > 0
    require(known, "shape (C, H, W) with 1 or 3 channels", shape)
    width = math.prod(sizes)
    expected = f"images ({n or 'n'}, {width}) of shape {sizes}"
    fits = isinstance(images, Tensor) and images.dim() == 2 and len(images) > 0
    fits = fits and images.shape[1] == width and len(images) == (n or len(images))
    require(fits and not images.is_meta and not images.is_complex(), expected, images)
    low, high = (float(value) for value in images.detach().float().aminmax())
    shown = low >= -HALF_A_LEVEL and high <= 1 + HALF_A_LEVEL  # NaN fails both
    require(shown, f"{expected} in [0, 1]", (low, high))


def greys(ink: bool) -> str:
    """The colour map in which 1 is black ink, or light."""
    return "gray_r" if switch("ink", ink) else "gray"


def tile(
    images: Tensor,
    shape: tuple[int, int, int],
    n_columns: int,
    *,
    padding: int,
    ink: bool,
) -> np.ndarray:
    """One picture of images (n, D) in rows of n_columns: grey (H, W) or RGB (H, W, 3).

    White lies between them.
    """
    from torchvision.utils import make_grid  # a second that curves do without

    check_pictures(images, shape)
    pictures = images.detach().cpu().float().reshape(-1, *shape)
    white = 0.0 if switch("ink", ink) and shape[0] == 1 else 1.0
    tiled = make_grid(pictures, nrow=n_columns, padding=padding, pad_value=white)
    return tiled[0].numpy() if shape[0] == 1 else tiled.permute(1, 2, 0).numpy()
