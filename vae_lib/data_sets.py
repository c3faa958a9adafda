"""The one door to data: a data set by its name, or the user's own images by a path.

A data set is a loader and the shape of its examples, and one line in DATA_SETS.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from vae_lib.animals import load_animals
from vae_lib.arguments import unknown
from vae_lib.configs import SequenceConfig, VAEConfig
from vae_lib.data import SHAPE, load_fashion_mnist, load_mnist
from vae_lib.domains import described, require
from vae_lib.image_arrays import in_words, read_npz
from vae_lib.image_folders import read_folder
from vae_lib.layered_configs import HierarchicalConfig
from vae_lib.molecules import LENGTH, PROPERTIES, load_molecules, standardized


class DataSet(NamedTuple):
    """Examples by their loader, and what one of them is."""

    load: Callable[[str], tuple]  # of "train" or "test": x (N, D), and what is known
    shape: tuple[int, ...]  # channels, height, width; or the places of a row of tokens
    ink: bool = False  # grey is ink on white paper, as a digit's, and not light
    config_classes: tuple[type, ...] = (VAEConfig, HierarchicalConfig)  # of its models
    preset: str = "mnist-2d"  # whose network and recipe it takes if none are asked for
    properties: tuple[str, ...] = ()  # numbers about x that a model may be told
    standardized: Callable[[Tensor], Tensor] | None = None  # (N, P), as it is told them

    def examples_for(self, config: Any, split: str) -> tuple[Tensor, Tensor | None]:
        """x (N, D) of a split, and what a model of this configuration is told of them.

        That is the first properties (N, P), standardized, as many as its head tells; or
        None where there is no head.
        """
        x, known = self.load(split)
        if self.standardized is None or config.n_properties == 0:
            return x, None
        return x, self.standardized(known)[:, : config.n_properties]


MNIST, MOST_LISTED = "mnist", 20
DATA_SETS = {
    MNIST: DataSet(load_mnist, SHAPE, ink=True),
    "animals": DataSet(load_animals, SHAPE, ink=True),
    "fashion-mnist": DataSet(load_fashion_mnist, SHAPE, ink=True),
    "molecules": DataSet(
        load_molecules,
        (LENGTH,),
        config_classes=(SequenceConfig,),
        preset="molecules",
        properties=PROPERTIES,
        standardized=standardized,
    ),
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


def usual_for(config: Any) -> str:
    """The name of the first data set whose examples such a model takes.

    Raises ValueError if there is none.
    """
    for name, data in DATA_SETS.items():
        if isinstance(config, data.config_classes):
            return name
    expected = "expected the configuration of a model of images or of strings"
    raise ValueError(f"{expected}, got {described(config)}")


def describe(data: DataSet, split: str) -> str:
    """How many examples a split has, and what they are."""
    x, known = data.load(split)
    if SequenceConfig in data.config_classes:
        most = f"strings of at most {data.shape[0] - 1} tokens"
        return f"{len(x):,} {most}; of each: {' '.join(data.properties)}"
    return f"{len(x):,} images, {in_words(data.shape)}; {kinds_in_words(known)}"


def kinds_in_words(labels: Tensor | None) -> str:
    """How many images have each label."""
    if labels is None:
        return "no labels"
    counts = labels.unique(return_counts=True)[1].tolist()
    if len(counts) > MOST_LISTED:
        return f"{len(counts):,} labels"
    return f"of each label: {' '.join(map(str, counts))}"
