"""A whole VAE as one JSON file, which a web page and this library both write and read.

The file holds one object::

    format       "vae_lib model 1"
    noise_std    standard deviation of the "gaussian" likelihood, as it is now; else 1
    learn_noise  whether it is learned: true or false
    encoder      an object "vae_lib network 2", which ``vae_lib.export`` describes
    decoder      another one, of the same latent_dim, n_pixels, shape, activation and
                 likelihood, its layers as wide as the encoder's from last to first

The prior is N(0, I), and q(z|x) is Gaussian. Other keys mean nothing. A file of ``.js``
is a script, as those of single networks are, and is for pages alone.
"""

import base64
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vae_lib import export
from vae_lib.checkpoints import CheckpointError
from vae_lib.configs import VAEConfig
from vae_lib.domains import described, one_of, require, whole
from vae_lib.files import one_line, parse_json, read_plain
from vae_lib.kinds import MOST_LAYERS
from vae_lib.models import LOGVAR_BOUND, VAE
from vae_lib.priors import StandardNormal

FORMAT = "vae_lib model 1"
MOST_BYTES = 100_000_000
PARTS = ("encoder", "decoder")
KEYS = ("noise_std", "learn_noise", *PARTS)
SHARED = ("latent_dim", "n_pixels", "activation", "likelihood", "shape")
NETWORK_KEYS = ("part", "dtype", *SHARED, "logvar_bound", "layers", "sha256")
LAYER_KEYS = ("n_in", "n_out", "weight", "bias")

Layers = list[tuple[Tensor, Tensor]]  # weight (n_out, n_in) and bias (n_out,)


def export_model(model: VAE, path: str | Path, *, dtype: str = "float32") -> None:
    """Write encoder, decoder and noise to a new file, in a new folder if need be.

    ``read_model`` makes the same VAE of it, up to the rounding of the weights to dtype,
    "float32" or "float16". Raises FileExistsError if there is a file already,
    ValueError unless it is a VAE itself, of linear layers, the prior "standard" and the
    posterior "gaussian", and if ``read_model`` would refuse the file, OSError if it
    cannot be written.
    """
    if type(model) is not VAE:
        raise ValueError(f"expected a VAE and no other class, got {described(model)}")
    standard = type(model.prior) is StandardNormal
    require(standard, "a VAE with the prior 'standard'", model.config.prior)
    gaussian = "a VAE with the posterior 'gaussian'"
    require(model.q_is_gaussian, gaussian, model.config.posterior)
    export.check_new(path, dtype)
    noise_std, learn_noise = model.config.noise_std, model.config.learn_noise
    if learn_noise:
        try:
            noise_std = model.likelihood.noise_std
        except OverflowError:
            noise_std = math.inf  # which is refused below
    content = {"format": FORMAT, "noise_std": noise_std, "learn_noise": learn_noise}
    for part in PARTS:
        content[part] = export.describe_network(model, part, dtype)
    text = json.dumps(content)
    require(len(text) <= MOST_BYTES, f"at most {MOST_BYTES:,} bytes", len(text))
    parse_model(text)
    export.write_new(path, text)


def read_model(path: str | Path) -> VAE:
    """The VAE of a JSON file, on the CPU in float32.

    Its ``input_mean`` is zero: whoever wrote the file took the mean image into the
    encoder's first bias. Learned noise has the value that it had. Raises
    CheckpointError, which is an OSError, if the file is missing, no plain file, longer
    than 100 MB, or not of this format in every part.
    """
    try:
        config, networks = parse_model(read_plain(path, MOST_BYTES))
    except (OSError, ValueError) as error:
        what = f"{path} is not a readable model: {one_line(error)}"
        raise CheckpointError(what) from None
    model = VAE(config).to("cpu", torch.float32)
    with torch.no_grad():
        for part, layers in networks.items():
            linear = [m for m in getattr(model, part) if isinstance(m, nn.Linear)]
            for layer, (weight, bias) in zip(linear, layers, strict=True):
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
    return model


def parse_model(text: str | bytes) -> tuple[VAEConfig, dict[str, Layers]]:
    """The configuration in such a JSON text, and the layers of each part.

    No memory is taken for a size that the text claims and has not. Raises ValueError if
    it is not of this format.
    """
    try:
        content = parse_json(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"expected JSON, got other text: {error}") from None
    check_object("a model", content, FORMAT, KEYS)
    networks = {part: read_network(content[part], part) for part in PARTS}
    encoder, decoder = (content[part] for part in PARTS)
    hidden = tuple(len(bias) for _, bias in networks["encoder"][:-1])
    shared = {key: encoder[key] for key in SHARED}
    noise = {key: content[key] for key in ("noise_std", "learn_noise")}
    config = VAEConfig(hidden_dims=hidden, **shared, **noise)
    for key, value in shared.items():
        same = repr(decoder[key]) == repr(value)  # 2.0 is no width
        require(same, f"{key} {value!r} in the decoder as in the encoder", decoder[key])
    n_pixels, latent_dim = config.n_pixels, config.latent_dim
    widths = {
        "encoder": (n_pixels, *hidden, 2 * latent_dim),
        "decoder": (latent_dim, *hidden[::-1], n_pixels),
    }
    for part, layers in networks.items():
        expected = list(itertools.pairwise(widths[part]))
        found = [tuple(weight.T.shape) for weight, _ in layers]
        what = f"layers (n_in, n_out) of the {part} to be {expected}"
        require(found == expected, what, found)
    plain = VAEConfig(n_pixels=n_pixels).picture == config.shape
    return (replace(config, shape=None) if plain else config), networks


def read_network(content: Any, part: str) -> Layers:
    """The layers of one part; raises ValueError if its object is not of the format."""
    check_object(f"the {part}", content, export.FORMAT, NETWORK_KEYS)
    require(content["part"] == part, f"part {part!r} of the {part}", content["part"])
    dtype = one_of(f"dtype of the {part}", content["dtype"], export.DTYPES)
    bound, sha256, layers = (content[k] for k in ("logvar_bound", "sha256", "layers"))
    require(bound == LOGVAR_BOUND, f"logvar_bound {LOGVAR_BOUND:g}", bound)
    text = sha256 is None or isinstance(sha256, str)
    require(text, f"sha256 of the {part} to be a string or null", sha256)
    fits = isinstance(layers, list) and 1 <= len(layers) <= MOST_LAYERS + 1
    got = len(layers) if isinstance(layers, list) else layers
    require(fits, f"a list of 1 to {MOST_LAYERS + 1} layers of the {part}", got)
    named = ((f"layer {n} of the {part}", one) for n, one in enumerate(layers))
    return [read_layer(one, what, dtype) for what, one in named]


def read_layer(content: Any, what: str, dtype: str) -> tuple[Tensor, Tensor]:
    """The weight (n_out, n_in) and the bias (n_out,) of a layer; or ValueError."""
    check_object(what, content, None, LAYER_KEYS)
    n_in, n_out = (whole(f"{key} of {what}", content[key]) for key in ("n_in", "n_out"))
    weight = from_base64(content["weight"], (n_out, n_in), dtype, f"weight of {what}")
    return weight, from_base64(content["bias"], (n_out,), dtype, f"bias of {what}")


def from_base64(text: Any, shape: tuple[int, ...], dtype: str, what: str) -> Tensor:
    """A float32 tensor of this shape from numbers of this type, row by row, in base64.

    Raises ValueError if it is no base64, not so many numbers, or one is not finite.
    """
    require(isinstance(text, str), f"{what} in base64", text)
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"expected {what} in base64, got other text") from None
    kind = np.dtype(dtype).newbyteorder("<")
    n_bytes = math.prod(shape) * kind.itemsize
    require(len(content) == n_bytes, f"{n_bytes:,} bytes in {what}", len(content))
    array = np.frombuffer(content, kind).reshape(shape).astype("float32")
    require(bool(np.isfinite(array).all()), f"finite numbers in {what}", "others")
    return torch.from_numpy(array)


def check_object(
    what: str, value: Any, form: str | None, keys: tuple[str, ...]
) -> None:
    """Raise ValueError unless it is an object of this format, if any, with these keys.

    It may have others, too.
    """
    require(isinstance(value, dict), f"{what} that is an object", value)
    if form is not None:
        got = value.get("format")
        require(got == form, f"{what} of the format {form!r}", got)
    missing = [key for key in keys if key not in value]
    require(not missing, f"{what} with {', '.join(missing)}", list(value))
