"""The one door to images: a data set by its name, or the user's own by its path.

A data set is a loader and the shape of its pictures, and one line in DATA_SETS.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from vae_lib.animals import load_animals
from vae_lib.arguments import unknown
from vae_lib.data import SHAPE, ImageSet, load_fashion_mnist, load_mnist
from vae_lib.domains import require
from vae_lib.image_arrays import Shape, read_npz
from vae_lib.image_folders import read_folder


class DataSet(NamedTuple):
    """Images by their loader, and what a picture of them is."""

    load: Callable[[str], ImageSet]  # of "train" or "test"
    shape: Shape  # channels, height, width
    ink: bool = False  # grey is ink on white paper, as a digit's, and not light


MNIST, MOST_LISTED = "mnist", 20
DATA_SETS = {
    MNIST: DataSet(load_mnist, SHAPE, ink=True),
    "animals": DataSet(load_animals, SHAPE, ink=True),
    "fashion-mnist": DataSet(load_fashion_mnist, SHAPE, ink=True),
}


def find_data_set(name: str) -> DataSet:
    """The set of this name in DATA_SETS, or else of this .npz file or folder.

    For their content see ``image_arrays.read_npz`` and ``image_folders.read_folder``.
    Raises ValueError if there is none, or if it is no set of images; OSError if a file
    cannot be read.
    """
    require(isinstance(name, str), "the name of a data set", name)
    if name in DATA_SETS:
        return DATA_SETS[name]
    path = Path(name)
    if name.strip() and path.is_dir():
        splits, shape = read_folder(path)
    elif name.endswith(".npz") and path.exists():
        splits, shape = read_npz(path)
    else:
        raise ValueError(unknown(name, ("a folder", "an .npz file", *DATA_SETS)))
    return DataSet(splits.__getitem__, shape)


def kinds_in_words(labels: Tensor | None) -> str:
    """How many images have each label."""
    if labels is None:
        return "no labels"
    counts = labels.unique(return_counts=True)[1].tolist()
    if len(counts) > MOST_LISTED:
        return f"{len(counts):,} labels"
    return f"of each label: {' '.join(map(str, counts))}"
