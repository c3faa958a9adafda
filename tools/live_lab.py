"""What the lab learns from: small digits, and the noise by which it is judged.

    python -m tools.live_lab

Into book/_static/live goes lab-digits.js, with an object::

    side       height and width of a picture, each pixel the mean of 2 x 2 of MNIST's
    levels     a pixel is a whole number up to this, and shown divided by it
    train      3,000 training digits:
    held_out   1,000 others of the training digits, from the validation split
        labels     a character each
        lit        which pixels are above 0, image by image, a bit each, the lowest bit
                   of a byte first, in base64
        ink        the numbers of these pixels, two in a byte, the first in its lower
                   half, in base64
    noise      8,000 normal numbers, little-endian float32 in base64: the draws that
               evaluate_elbo makes for 1,000 images and 2, 4 or 8 latent dimensions
"""

import base64
import json
import sys
from pathlib import Path

import numpy as np
import torch

from tools.book import STATIC
from vae_lib.data import ImageSet, load_mnist
from vae_lib.export import as_script, to_base64
from vae_lib.files import write_atomically

FOLDER = STATIC / "live"
NAME = "lab-digits"
SIDE, LEVELS = 14, 15
PARTS = {"train": slice(3000), "held_out": slice(50_000, 51_000)}
LATENT_DIMS = (2, 4, 8)  # of which evaluate_elbo's draws begin alike


def digits(part: str) -> ImageSet:
    """The images (N, 196) of this part as the lab has them, and their labels."""
    images, labels = (values[PARTS[part]] for values in load_mnist("train"))
    squares = images.view(-1, SIDE, 2, SIDE, 2).mean((2, 4))
    return ImageSet((LEVELS * squares).round().flatten(1) / LEVELS, labels)


def noise() -> np.ndarray:
    """As many draws of the evaluation's seed as the most latent dimensions need."""
    shape = (len(digits("held_out").labels), max(LATENT_DIMS))
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).numpy()


def packed(part: str) -> dict[str, str]:
    """This part's digits as the script has them."""
    images, labels = digits(part)
    levels = (LEVELS * images).round().to(torch.uint8).numpy().ravel()
    ink = levels[levels > 0]
    pairs = np.append(ink, np.zeros(len(ink) % 2, ink.dtype)).reshape(-1, 2)
    return {
        "labels": "".join(map(str, labels.tolist())),
        "lit": encoded(np.packbits(levels > 0, bitorder="little")),
        "ink": encoded(pairs[:, 0] | pairs[:, 1] << 4),
    }


def encoded(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def make(folder: Path) -> None:
    """Write the script into folder."""
    content = {"side": SIDE, "levels": LEVELS, "noise": to_base64(noise(), "float32")}
    path = folder / f"{NAME}.js"
    text = as_script(path, json.dumps(content | {part: packed(part) for part in PARTS}))
    write_atomically(path, text.encode())


if __name__ == "__main__":
    sys.exit(make(FOLDER))
