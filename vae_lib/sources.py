"""Which examples a run was trained on, as its file remembers them."""

import hashlib
import math
from collections.abc import Callable

from torch import Tensor

from vae_lib.data_sets import MNIST, DataSet
from vae_lib.domains import require
from vae_lib.kinds import class_for
from vae_lib.latent import LatentVariableModel


def describe(images: Tensor) -> dict:
    """What a run remembers of its x (N, D): how many, and which is the first."""
    return {"n_images": len(images), "first_image": sha256_of(images[0])}


def sha256_of(x: Tensor) -> str:
    """The sha256 of an image, a row of tokens, or labels, (...) in float32."""
    return hashlib.sha256(x.detach().float().cpu().numpy().tobytes()).hexdigest()


def source_of(data: object) -> str:
    """The data set that a run's data name; MNIST if they name none."""
    source = data.get("source", MNIST) if isinstance(data, dict) else MNIST
    require(isinstance(source, str), "a source that is a name", source)
    return source


def check_trained_on(model: LatentVariableModel, data: DataSet, name: str) -> None:
    """Raise ValueError if a run saved this model whose images were others."""
    other = f"this run was not trained on {'MNIST' if name == MNIST else name}"
    hint = "name its images by --data, or evaluate it with evaluate_elbo"
    kinds = " or ".join(class_for(kind()).__name__ for kind in data.config_classes)
    fits, own = isinstance(model.config, data.config_classes), type(model).__name__
    require(fits, f"a model of {name}: {kinds}", own)
    n_pixels, width = math.prod(data.shape), model.config.n_pixels
    if width != n_pixels:
        raise ValueError(f"{other} (it has {width} pixels, not {n_pixels}): {hint}")
    if not is_known_among(model.record.get("data"), lambda: data.load("train")[0]):
        raise ValueError(f"{other}: {hint}")


def is_known_among(data: object, images: Callable[[], Tensor]) -> bool:
    """Whether the first image that this data describe is one of these (N, D).

    So it is for all that an earlier version described, which did not know it.
    """
    first = data.get("first_image") if isinstance(data, dict) else None
    return first is None or first in map(sha256_of, images())
