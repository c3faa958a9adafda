"""A decoder as one JSON file, which a web page can read without Python.

The file holds one object::

    format       "vae_lib decoder 1"
    latent_dim   J, how many numbers the first layer takes
    n_pixels     D, how many the last layer yields
    activation   between the layers, elementwise: "relu" max(0, a), "tanh",
                 "silu" a / (1 + exp(-a)), or "softplus" log(1 + exp(a))
    likelihood   what makes pixels of the last layer's numbers a: "bernoulli"
                 1 / (1 + exp(-a)), "gaussian" a cut to [0, 1], or
                 "continuous_bernoulli" 1 / (1 - exp(-a)) - 1 / a, which is 1/2 at a = 0
    layers       from z to x, each with n_in, n_out, weight (n_out, n_in) row by row and
                 bias (n_out,); weight and bias are little-endian float32 in base64
    sha256       of the checkpoint that the model was loaded from, or null
"""

import base64
import json
from pathlib import Path

from torch import Tensor, nn

from vae_lib.checkpoints import write_atomically
from vae_lib.models import VAE

FORMAT = "vae_lib decoder 1"


def export_decoder(model: VAE, path: str | Path) -> None:
    """Write the model's decoder to a new file at path; its folder is made if missing.

    With it a reader computes ``model.mean_image`` of any z. Raises FileExistsError if
    there is a file already, OSError if it cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"expected a new file, got {str(path)!r}, which exists")
    config = model.config
    content = {
        "format": FORMAT,
        "latent_dim": config.latent_dim,
        "n_pixels": config.n_pixels,
        "activation": config.activation,
        "likelihood": config.likelihood,
        "layers": [
            {
                "n_in": layer.in_features,
                "n_out": layer.out_features,
                "weight": to_base64(layer.weight),
                "bias": to_base64(layer.bias),
            }
            for layer in model.decoder
            if isinstance(layer, nn.Linear)
        ],
        "sha256": getattr(model, "record", {}).get("sha256"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content).encode())


def to_base64(tensor: Tensor) -> str:
    """The tensor row by row as little-endian float32, in base64."""
    rows = tensor.detach().cpu().numpy().astype("<f4")
    return base64.b64encode(rows.tobytes()).decode()
