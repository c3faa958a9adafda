"""One network of a VAE as a file that a web page can read without Python.

The file holds one JSON object. If its name ends in ``.js`` it is a script for a page
that is opened from disk, where pages may not read files: it hands the object over by
calling ``live.provide("NAME", object);`` with the file's own name. The object::

    format        "vae_lib network 2"
    part          "decoder", from z to x, or "encoder", from x to q(z|x)
    dtype         of weight and bias, "float32" or "float16": little-endian, in base64
    latent_dim    J, how many numbers the decoder takes
    n_pixels      D, how many numbers the encoder takes, each in [0, 1]
    shape         channels, height and width of the picture that they are, or null
    activation    between the layers, elementwise: "relu" max(0, a), "tanh",
                  "silu" a / (1 + exp(-a)), or "softplus" log(1 + exp(a))
    likelihood    what makes pixels of the decoder's last numbers a: "bernoulli"
                  1 / (1 + exp(-a)), "gaussian" a cut to [0, 1], or
                  "continuous_bernoulli" 1 / (1 - exp(-a)) - 1 / a, which is 1/2 at 0
    logvar_bound  c = 20: the encoder's last 2 J numbers are mu and then r, of which
                  log sigma^2 = c tanh(r / c)
    layers        in their order, each with n_in, n_out, weight (n_out, n_in) row by row
                  and bias (n_out,)
    sha256        of the checkpoint that the model was loaded from, or null

The mean image that the model subtracts from x is part of the encoder's first bias.
"""

import base64
import json
import os
from pathlib import Path

import numpy as np
from torch import nn

from vae_lib.files import write_atomically
from vae_lib.guards import require
from vae_lib.latent import LatentVariableModel
from vae_lib.models import ACTIVATIONS, LOGVAR_BOUND, VAE
from vae_lib.priors import StandardNormal

FORMAT = "vae_lib network 2"
PARTS, DTYPES = ("decoder", "encoder"), ("float32", "float16")


def export_network(
    model: LatentVariableModel,
    path: str | Path,
    *,
    part: str = "decoder",
    dtype: str = "float32",
) -> None:
    """Write the model's decoder or encoder to a new file, in a new folder if need be.

    With it a reader computes ``model.mean_image`` of any z or ``model.encode`` of any
    x, up to the rounding of the weights. Raises FileExistsError if there is a file
    already, ValueError if part or dtype is unknown or a weight is too large for the
    dtype, and of what would be read amiss: a decoder whose prior is not N(0, I), from
    which a page draws, or an encoder before a flow; OSError if it cannot be written.
    """
    if not isinstance(model, VAE):
        got = type(model).__name__
        raise ValueError(f"expected a VAE of images, which a page can read, got {got}")
    require(part in PARTS, f"part in {PARTS}", part)
    standard = part == "encoder" or type(model.prior) is StandardNormal
    require(standard, "the prior 'standard' of a decoder", model.config.prior)
    gaussian = part == "decoder" or model.q_is_gaussian
    require(gaussian, "the posterior 'gaussian' of an encoder", model.config.posterior)
    check_new(path, dtype)
    write_new(path, json.dumps(describe_network(model, part, dtype)))


def check_new(path: str | Path, dtype: str) -> None:
    """Raise unless weights of this type may be written to this path.

    FileExistsError if there is something already, ValueError if dtype is unknown.
    """
    require(dtype in DTYPES, f"dtype in {DTYPES}", dtype)
    if os.path.lexists(path):  # also a link that leads nowhere
        raise FileExistsError(f"expected a new file, got {str(path)!r}, which exists")


def write_new(path: str | Path, text: str) -> None:
    """Write this JSON, as a script if the name ends in ``.js``."""
    path = Path(path)
    if path.suffix == ".js":
        text = as_script(path, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def describe_network(model: VAE, part: str, dtype: str) -> dict:
    """The object of one network, as the format has it."""
    config = model.config
    return {
        "format": FORMAT,
        "part": part,
        "dtype": dtype,
        "latent_dim": config.latent_dim,
        "n_pixels": config.n_pixels,
        "shape": config.picture,
        "activation": config.activation,
        "likelihood": config.likelihood,
        "logvar_bound": LOGVAR_BOUND,
        "layers": describe_layers(model, part, dtype),
        "sha256": model.record.get("sha256"),
    }


def as_script(path: Path, text: str) -> str:
    """A classic script that hands this JSON to the page under the file's own name."""
    return f"live.provide({json.dumps(path.stem)}, {text});\n"


def describe_layers(model: VAE, part: str, dtype: str) -> list[dict]:
    """The linear layers of one network, as the format has them."""
    network = getattr(model, part)
    shift = model.input_mean if part == "encoder" else None  # centres x
    between = tuple(ACTIVATIONS.values())
    linear = [layer for layer in network if not isinstance(layer, between)]
    others = [type(x).__name__ for x in linear if not isinstance(x, nn.Linear)]
    require(not others, f"a {part} of linear layers", ", ".join(others))
    layers = []
    for layer in linear:
        parameters = (layer.weight, layer.bias)
        weight, bias = (p.detach().cpu().double().numpy() for p in parameters)
        if shift is not None:  # of the rounded weights, so that zero stays zero
            rounded = weight.astype(dtype).astype("float64")
            bias = bias - rounded @ shift.cpu().double().numpy()
            shift = None
        shape = {"n_in": layer.in_features, "n_out": layer.out_features}
        numbers = {"weight": to_base64(weight, dtype), "bias": to_base64(bias, dtype)}
        layers.append(shape | numbers)
    return layers


def to_base64(array: np.ndarray, dtype: str) -> str:
    """The array row by row, rounded to little-endian numbers of this type, in base64.

    Raises ValueError if one of them is infinite or NaN there.
    """
    with np.errstate(over="ignore"):  # refused below, in one line
        rounded = array.astype(np.dtype(dtype).newbyteorder("<"))
    largest = np.abs(array).max()
    require(np.isfinite(rounded).all(), f"weights that are finite in {dtype}", largest)
    return base64.b64encode(rounded.tobytes()).decode()
