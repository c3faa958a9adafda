"""A data set of the user's own in one .npz file, and what any set of his must be.

Nothing is resized, converted or guessed: what does not fit is refused in one line.
"""

import math
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_lib.data import ImageSet
from vae_lib.domains import described, require
from vae_lib.files import one_line, open_plain

Shape = tuple[int, int, int]  # channels, height, width

ONE_IN = 10  # images kept for a test where the user has kept none
MOST_NUMBERS = 2**29  # of one split: 2 GiB in float32
MOST_BYTES = 2**31  # of one array
# The names of arrays: our own and MedMNIST's, Keras's, and those of a set without test.
ARRAYS = {
    "images": ("train_images", "x_train", "images"),
    "labels": ("train_labels", "y_train", "labels"),
    "test images": ("test_images", "x_test"),
    "test labels": ("test_labels", "y_test"),
}


def read_npz(path: Path) -> tuple[dict[str, ImageSet], Shape]:
    """The training and test images of an .npz file, and the shape of each picture.

    Images are uint8 or floats in [0, 1], (N, H, W) or (N, H, W, C) with 1 or 3
    channels, labels whole numbers (N,) or (N, 1). Names of the arrays: train_images,
    train_labels, test_images, test_labels; or x_train, y_train, x_test, y_test; or
    images and labels. Without test images every tenth is kept for the test.

    Raises ValueError if an array is missing or another, OSError if the file cannot be
    read.
    """
    arrays = read_arrays(path)
    found, shapes = [], []
    for prefix in ("", "test "):
        images, labels = arrays[f"{prefix}images"], arrays[f"{prefix}labels"]
        if images is None:
            expected = f"{prefix}images in {path}"
            require(labels is None, expected, f"{prefix}labels alone")
            continue
        what = f"{prefix}images of {path}"
        images, shape = checked_images(what, images)
        check_size(len(images), shape, path)
        shapes.append(shape)
        found.append(ImageSet(flat(images), checked_labels(what, labels, len(images))))
    require(len(found) > 0, f"an array {ARRAYS['images'][0]} in {path}", "none")
    require(arrays["images"] is not None, f"training images in {path}", "a test alone")
    first, last = in_words(shapes[0]), in_words(shapes[-1])
    require(first == last, f"test images like the others, {first}", last)
    both = len({part.labels is None for part in found}) == 1
    require(both, f"labels of both splits in {path}, or none", "labels of one")
    return as_splits(found, path), shapes[0]


def read_arrays(path: Path) -> dict[str, np.ndarray | None]:
    """The arrays of a file by what they are; None for each that it lacks."""
    found: dict[str, np.ndarray | None] = dict.fromkeys(ARRAYS)
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                name = member.removesuffix(".npy")
                for what, names in ARRAYS.items():
                    if name in names:
                        once = f"{path} to have one array of {names}"
                        require(found[what] is None, once, "two")
                        found[what] = read_array(archive, member)
    except Exception as error:  # of zip, of the compression, of numpy
        raise OSError(f"{path} cannot be read: {one_line(error)}") from error
    return found


def read_array(archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """One array, if it is as large as its header says, and of plain numbers."""
    size = archive.getinfo(member).file_size
    require(size <= MOST_BYTES, f"at most {MOST_BYTES:,} bytes in {member}", size)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        require(version in headers, f"an array in {member}", f"version {version}")
        shape, _, dtype = headers[version](file)
        require(not dtype.hasobject, f"numbers in {member}", "objects")
        claimed = math.prod(shape) * dtype.itemsize
        require(claimed <= size, f"{claimed:,} bytes in {member}", size)
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def checked_images(what: str, images: np.ndarray) -> tuple[np.ndarray, Shape]:
    """The images as (N, H, W) or (N, H, W, C), and the shape of each."""
    coloured = images.ndim == 4 and images.shape[-1] in (1, 3)
    fits = (images.ndim == 3 or coloured) and min(images.shape) > 0
    expected = f"{what} of shape (N, H, W), or (N, H, W, C) with 1 or 3 channels"
    require(fits, expected, images.shape)
    grey_levels = images.dtype in (np.uint8, np.float32, np.float64)
    expected = f"{what} in uint8, or in float32 or float64 in [0, 1]"
    require(grey_levels, expected, str(images.dtype))
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        require(low >= 0 and high <= 1, expected, f"{low:g} to {high:g}")  # NaN fails
    return images, (images.shape[3] if coloured else 1, *images.shape[1:3])


def checked_labels(what: str, labels: np.ndarray | None, n: int) -> Tensor | None:
    """The labels (N,) of so many images, int64; None if there are none."""
    if labels is None:
        return None
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    require(labels.ndim == 1, f"labels (N,) of {what}", described(labels))
    require(len(labels) == n, f"{n:,} labels, one for each of the {what}", len(labels))
    whole = labels.dtype.kind in "iu"
    require(whole, f"whole numbers for labels of {what}", str(labels.dtype))
    return torch.from_numpy(labels.astype(np.int64))


def flat(images: np.ndarray) -> Tensor:
    """Images (N, H, W) or (N, H, W, C) as (N, D) in float32, channel by channel."""
    if images.ndim == 4:
        images = np.moveaxis(images, 3, 1)
    scale = 255 if images.dtype == np.uint8 else 1
    found = np.ascontiguousarray(images.reshape(len(images), -1), dtype=np.float32)
    return torch.from_numpy(found).div_(scale)


def in_words(shape: tuple[int, ...]) -> str:
    """A shape as one says it: height x width, and the colours."""
    channels, height, width = shape
    return f"{height} x {width} in {'grey' if channels == 1 else 'RGB'}"


def check_size(n_images: int, shape: Shape, where: Path) -> None:
    """Raise ValueError if so many pictures would fill the memory."""
    numbers = n_images * math.prod(shape)
    expected = f"at most {MOST_NUMBERS:,} numbers in the pictures of {where}"
    require(numbers <= MOST_NUMBERS, expected, f"{numbers:,}")


def as_splits(found: list[ImageSet], where: Path) -> dict[str, ImageSet]:
    """Both splits by their names; of one set, every tenth image is the test."""
    if len(found) == 2:
        return {"train": found[0], "test": found[1]}
    images, labels = found[0]
    enough = len(images) >= ONE_IN
    require(enough, f"at least {ONE_IN} images in {where}", len(images))
    tested = torch.arange(len(images)) % ONE_IN == ONE_IN - 1
    return {
        name: ImageSet(images[kept], None if labels is None else labels[kept])
        for name, kept in (("train", ~tested), ("test", tested))
    }
