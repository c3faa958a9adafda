"""MNIST, bundled with the library, as tensors; binarization; other sets by torchvision.

The four gzipped IDX files lie beside this module, so nothing here needs a network. Each
is checked against the sha256 of its extracted bytes every time it is read.
"""

import gzip
import hashlib
import io
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_lib.domains import check_generator, check_switches, one_of, require, whole
from vae_lib.files import read_plain
from vae_lib.guards import pick_device

SHAPE = (1, 28, 28)  # of a picture: channels, height, width
MNIST_FOLDER = Path(__file__).parent / "mnist"
MNIST_PREFIX = {"train": "train", "test": "t10k"}
MNIST_SHA256 = {  # of the extracted files
    "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MNIST_AT_MOST = 50_000_000  # bytes; the longest holds 47,040,016


class ImageSet(NamedTuple):
    """Images (N, D) float32 in [0, 1], for MNIST (N, 784), and labels (N,) int64.

    Of a user's own images the labels may be None.
    """

    images: Tensor
    labels: Tensor


def load_mnist(split: str = "train", *, device: str = "cpu") -> ImageSet:
    """The 60,000 training or 10,000 test digits of MNIST, from the library itself.

    Returns an ImageSet on the device: images (N, 784) float32, grey level / 255, and
    labels (N,) int64. Raises ValueError if split is neither "train" nor "test" or there
    is no such device, and OSError if a file is missing or damaged.
    """
    one_of("split", split, MNIST_PREFIX)
    on = pick_device(device)
    prefix = MNIST_PREFIX[split]
    # An IDX file is a header of 16 bytes for images and 8 for labels, then the bytes.
    pixels = _read_verified(f"{prefix}-images", "idx3-ubyte.gz")[16:]
    labels = _read_verified(f"{prefix}-labels", "idx1-ubyte.gz")[8:]
    images = torch.from_numpy(pixels.reshape(-1, 28 * 28)).to(on).float().div_(255)
    return ImageSet(images, torch.from_numpy(labels).to(on).long())


def load_fashion_mnist(
    split: str = "train", *, root: str | Path = "data", device: str = "cpu"
) -> ImageSet:
    """Fashion-MNIST in the same form, downloaded once into root by torchvision.

    Files laid there by hand belong into the folder FashionMNIST/raw of root and have
    the names of MNIST's, such as train-images-idx3-ubyte.gz. Raises ValueError like
    ``load_mnist``, and OSError if the files are neither in root nor to be had, or if
    they hold something else.
    """
    one_of("split", split, MNIST_PREFIX)
    require(isinstance(root, str | Path), "root to be a folder", root)
    on = pick_device(device)
    from torchvision.datasets import FashionMNIST  # a second that MNIST does without

    raw = Path(root) / "FashionMNIST" / "raw"
    names = f"{MNIST_PREFIX[split]}-images-idx3-ubyte.gz and -labels-idx1-ubyte.gz"
    expected = f"expected Fashion-MNIST, {names}, in {str(raw)!r} or a network"
    try:
        dataset = FashionMNIST(root, train=split == "train", download=True)
    except Exception as error:  # torchvision asserts, and reads files of any content
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise OSError(f"{expected}, got neither ({why})") from error
    shapes = tuple(dataset.data.shape), tuple(dataset.targets.shape)
    n_images = len(dataset.targets)
    if shapes != ((n_images, 28, 28), (n_images,)) or n_images == 0:
        raise OSError(f"{expected}, got files of shapes {shapes[0]} and {shapes[1]}")
    images = dataset.data.to(on).reshape(-1, 28 * 28).float().div_(255)
    return ImageSet(images, dataset.targets.to(on).long())


def binarize(
    images: Tensor, how: str = "threshold", *, generator: torch.Generator | None = None
) -> Tensor:
    """Black-and-white pictures, in zeros and ones, from grey levels in [0, 1].

    "threshold" lights a pixel above 1/2; "sample" lights it with probability equal to
    its grey level: static binarization if this is done once, dynamic if anew for each
    batch. generator is the source of randomness of "sample", on the images' device. Any
    shape goes. Raises ValueError if how is unknown or the images are no grey levels.
    """
    one_of("how", how, ("threshold", "sample"))
    floats = isinstance(images, Tensor) and images.is_floating_point()
    require(floats and images.numel() > 0, "float images", images)
    check_unit_interval(images)
    if how == "threshold":
        require(generator is None, "no generator for 'threshold'", generator)
        return (images > 0.5).to(images.dtype)
    check_generator(generator, images.device)
    return torch.bernoulli(images, generator=generator)


def check_images(images: Tensor, n_pixels: int, *, unit_interval: bool = True) -> None:
    """Raise ValueError unless images is a finite float tensor (N, n_pixels), N >= 1.

    With unit_interval every value must also lie in [0, 1].
    """
    n_pixels = whole("n_pixels", n_pixels)
    check_switches(unit_interval=unit_interval)
    expected = f"expected finite float images of shape (N, {n_pixels}), N >= 1"
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind, dtype = type(images).__name__, getattr(images, "dtype", None)
        raise ValueError(f"{expected}, got {kind} of {dtype}")
    if images.dim() != 2 or images.shape[1] != n_pixels or len(images) == 0:
        raise ValueError(f"{expected}, got shape {tuple(images.shape)}")
    if images.layout != torch.strided or images.is_meta:
        got = f"{images.layout} on {images.device}"
        raise ValueError(f"{expected}, dense and with values, got {got}")
    low, high = (value.item() for value in images.detach().aminmax())
    if not (low > -float("inf") and high < float("inf")):  # NaN fails both
        row = int((~images.isfinite()).any(1).nonzero()[0])
        raise ValueError(f"{expected}, got NaN or infinity in row {row}")
    if unit_interval:
        check_unit_interval(images)


def check_unit_interval(images: Tensor) -> None:
    """Raise ValueError, with what may have happened, unless all lie in [0, 1]."""
    low, high = (value.item() for value in images.detach().aminmax())
    if low >= 0 and high <= 1:  # NaN fails both
        return
    hint = "normalised? leave Normalize out, or take likelihood='gaussian'"
    hint = "divide by 255?" if low >= 0 and 32 < high <= 255 else hint
    hint = f" ({hint})" if high <= 255 else ""
    raise ValueError(f"expected pixels in [0, 1], got {low:g} to {high:g}{hint}")


def _read_verified(name: str, suffix: str) -> np.ndarray:
    """The extracted bytes of one bundled file, or OSError naming it."""
    path = MNIST_FOLDER / f"{name}-{suffix}"
    try:
        packed = io.BytesIO(read_plain(path, MNIST_AT_MOST))
        with gzip.GzipFile(fileobj=packed) as file:
            content = file.read(MNIST_AT_MOST)  # no more, however much is packed in it
        found = hashlib.sha256(content).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        content, found = b"", str(error)
    if found != MNIST_SHA256[name]:
        raise OSError(
            f"{path} is missing or damaged: expected content of sha256"
            f" {MNIST_SHA256[name]}, got {found}; to get it back, install vae_lib again"
            " or, in a clone, run git checkout on it"
        )
    return np.frombuffer(bytearray(content), dtype=np.uint8)  # writable, for torch
