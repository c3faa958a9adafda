"""Which class of model a file holds, and whether its shapes are that class's.

The name stands in the configuration; a file without one holds a VAE. Shapes are held
against a model without memory before any of that size is made.
"""

from typing import Any

import torch
from torch import Tensor

from vae_lib.autoencoder import AutoEncoder
from vae_lib.containers import Header
from vae_lib.diffusion import Diffusion
from vae_lib.files import parse_json
from vae_lib.guards import require
from vae_lib.hierarchical import HierarchicalVAE
from vae_lib.latent import LatentVariableModel
from vae_lib.models import VAE
from vae_lib.sequences import SequenceVAE

Model = type[LatentVariableModel]
KINDS: dict[str, Model] = {
    "VAE": VAE,
    "AutoEncoder": AutoEncoder,
    "SequenceVAE": SequenceVAE,
    "HierarchicalVAE": HierarchicalVAE,
    "Diffusion": Diffusion,
}
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
MOST_LAYERS = 1000  # torch takes minutes to fill more of them
EXTRA = "extra/"  # before the names of tensors that are no weights
MOVED = {"noise_logvar": "likelihood.noise_logvar"}  # in files of earlier versions


def kind_of(model: LatentVariableModel) -> dict[str, str]:
    """What a file adds to the configuration; raises ValueError if it would mislead."""
    cls, name = type(model), type(model).__name__
    require(KINDS.get(name, cls) is cls, f"another name than {name} for a class", cls)
    return {} if cls is VAE else {"kind": name}


def class_for(config: Any) -> Model:
    """The class of a new model of this configuration: the first kind that takes it."""
    kinds = [cls for cls in KINDS.values() if isinstance(config, cls.config_class)]
    names = " or ".join(
        dict.fromkeys(cls.config_class.__name__ for cls in KINDS.values())
    )
    require(bool(kinds), f"a {names}", config)
    return kinds[0]


def described(header: Header, cls: Model | None) -> tuple[Model, Any]:
    """The class and the configuration that a header names, if the shapes are theirs.

    Nothing of that size is made. Raises ValueError if they are not, or if the class is
    not cls, or is unknown.
    """
    fields = parse_json(header.config)
    try:
        name = fields.pop("kind", VAE.__name__)
        known = KINDS if cls is None else {cls.__name__: cls}
        require(name in known, f"a model of class {' or '.join(known)}", name)
        config = known[name].config_class(**fields)
    except (AttributeError, TypeError, ArithmeticError) as error:
        raise ValueError(f"of another version of vae_lib: {error}") from error
    weights = {n: s for n, s in header.shapes.items() if not n.startswith(EXTRA)}
    check_shapes(known[name], config, with_names_of_today(weights))
    return known[name], config


def check_shapes(cls: Model, config: Any, shapes: dict[str, tuple]) -> None:
    """Raise ValueError unless a model of this class and configuration has these."""
    n_layers = len(getattr(config, "hidden_dims", ()))
    require(n_layers <= MOST_LAYERS, f"at most {MOST_LAYERS} hidden layers", n_layers)
    try:
        with torch.device("meta"):  # shapes without memory
            expected = shapes_of(cls(config).state_dict())
    except (TypeError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"expected widths that layers can have: {error}") from error
    for name in expected | shapes:
        want, got = expected.get(name), shapes.get(name)
        require(want == got, f"{name!r} of shape {want} by its configuration", got)


def with_names_of_today(weights: dict) -> dict:
    """The same by the names that they have now."""
    return {MOVED.get(name, name): value for name, value in weights.items()}


def shapes_of(weights: dict[str, Tensor]) -> dict[str, tuple]:
    """The shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def check_weights(weights: dict[str, Tensor]) -> None:
    """Raise ValueError unless all are finite, and floats of one type."""
    dtype = weights["input_mean"].dtype
    require(dtype in DTYPES, f"weights of a type among {DTYPES}", dtype)
    for name, weight in weights.items():
        of_type = weight.dtype == dtype or not weight.is_floating_point()
        require(of_type, f"{name} of {dtype} as the others", weight.dtype)
        require(bool(weight.isfinite().all()), f"finite numbers in {name}", "others")
