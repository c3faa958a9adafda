"""Silhouettes of ten animals, bundled with the library: other pictures than digits.

What the book finds on MNIST is tried on them too. They have MNIST's form, ten kinds in
28 x 28 grey levels, and more ink; the two gzipped IDX files lie in the folder animals
beside this module. Source: the package animal-mnist 0.4, see LICENSE-CONTENT.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch

from vae_lib.bundled import read_bundled
from vae_lib.data import ImageSet
from vae_lib.domains import one_of
from vae_lib.guards import pick_device

ANIMALS = (  # by label
    *("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep"),
    "zebra",
)
N_TEST = 200  # test pictures of each animal
FOLDER = Path(__file__).parent / "animals"
SHA256 = {  # of the extracted files
    "images-idx3": "78be9d27ff8d75a1eae55853f0b6e9dda457debab0d0d95c20610aaffa88e5d6",
    "labels-idx1": "ebe12bc8de9440ef5b785b7c21fb67087b377cc851b65e009f278d22d099cdb2",
}
AT_MOST = 8_000_000  # bytes; the longer file holds 7,840,016


def load_animals(split: str = "train", *, device: str = "cpu") -> ImageSet:
    """The 7,716 training or 2,000 test silhouettes, from the library itself.

    Returns an ImageSet on the device: images (N, 784) float32, grey level / 255, in
    [0, 1], light on black, and labels (N,) int64, places in ANIMALS. Raises ValueError
    if split is neither "train" nor "test" or there is no such device, and OSError if a
    file is missing or damaged.

    The files hold 10,000 pictures, 1,000 of each animal, and no split. 284 are exact
    copies of another one: each picture is kept once, so that no copy crosses the split
    and none counts twice, which leaves 9,716. In the order of the sha256 of their
    bytes, as good as chance and the same everywhere, the first 200 of each animal are
    the test pictures; the training pictures are less even, from 612 birds to 800
    elephants, giraffes and zebras. Either split is mixed: any stretch of it will do.
    """
    one_of("split", split, ("train", "test"))
    on = pick_device(device)
    # An IDX file is a header of 16 bytes for images and 8 for labels, then the bytes.
    pixels = _read("images-idx3")[16:].reshape(-1, 28 * 28)
    labels = _read("labels-idx1")[8:]
    rows = _rows_of_splits(pixels, labels)[split]
    images = torch.from_numpy(pixels[rows]).to(on).float().div_(255)
    return ImageSet(images, torch.from_numpy(labels[rows]).to(on).long())


def _rows_of_splits(pixels: np.ndarray, labels: np.ndarray) -> dict[str, list[int]]:
    """Which rows of the files each split takes, in its order; see ``load_animals``."""
    row_of = {hashlib.sha256(picture).digest(): n for n, picture in enumerate(pixels)}
    digests: dict[str, list[bytes]] = {"train": [], "test": []}
    n_met = [0] * len(ANIMALS)
    for digest in sorted(row_of):
        kind = labels[row_of[digest]]
        digests["test" if n_met[kind] < N_TEST else "train"].append(digest)
        n_met[kind] += 1
    # Those that come first were the test's, so their other end has to mix the splits.
    return {
        split: [row_of[digest] for digest in sorted(found, key=lambda d: d[::-1])]
        for split, found in digests.items()
    }


def _read(name: str) -> np.ndarray:
    """The extracted bytes of one of the two files."""
    path = FOLDER / f"animal-{name}-ubyte.gz"
    content = read_bundled(path, SHA256[name], at_most=AT_MOST)
    return np.frombuffer(content, dtype=np.uint8)
