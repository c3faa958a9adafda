"""The networks of encoders and decoders: x is (B, D) at every door, z (..., J).

A kind of network is two functions and one line in NETWORKS; none is asked by name.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

ACTIVATIONS = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
# Derivatives of the same, by name: of input a and output h, each of one shape.
SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda a, h: h.sign(),
    "silu": lambda a, h: torch.sigmoid(a) * (1 + a - h),
    "softplus": lambda a, h: torch.sigmoid(a),
    "tanh": lambda a, h: 1 - h.square(),
}


class Network(NamedTuple):
    """How a kind of network is made of a VAEConfig.

    The encoder yields 2 J numbers for each x, mu first; the last layer of the decoder
    has a bias (D,). Of its options in a VAEConfig other networks know nothing; one that
    needs_shape has to be told the picture's.
    """

    encoder: Callable[[Any], nn.Sequential]
    decoder: Callable[[Any], nn.Sequential]
    options: frozenset[str] = frozenset()
    needs_shape: bool = False


def mlp(widths: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of these widths with the activation between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


def mlp_encoder(config: Any) -> nn.Sequential:
    """From D over the hidden layers to 2 J."""
    widths = (config.n_pixels, *config.hidden_dims, 2 * config.latent_dim)
    return mlp(widths, config.activation)


def mlp_decoder(config: Any) -> nn.Sequential:
    """From J over the hidden layers, in reverse, to D."""
    widths = (config.latent_dim, *config.hidden_dims[::-1], config.n_pixels)
    return mlp(widths, config.activation)


class Shift(nn.Module):
    """Add one learned number to each pixel: what all images have in common."""

    def __init__(self, n_pixels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_pixels))

    def forward(self, x: Tensor) -> Tensor:
        """x + bias, of the shape of x (..., D)."""
        return x + self.bias


class OneBatchAxis(nn.Sequential):
    """Layers that know one axis before a picture's own: x may have any (..., n)."""

    def forward(self, x: Tensor) -> Tensor:
        """The last layer's output, (..., m)."""
        return super().forward(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def halved(shape: tuple[int, int, int], n_times: int) -> list[tuple[int, int]]:
    """Height and width (H, W) of a picture, and of each of so many halvings."""
    _, height, width = shape
    sizes = [(height, width)]
    for _ in range(n_times):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def conv_encoder(config: Any) -> nn.Sequential:
    """3 x 3 convolutions that halve the picture, hidden_dims their channels, to 2 J."""
    n_in, activation = config.shape[0], ACTIVATIONS[config.activation]
    layers: list[nn.Module] = [nn.Unflatten(-1, config.shape)]
    for n_out in config.hidden_dims:
        layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1), activation()]
        n_in = n_out
    height, width = halved(config.shape, len(config.hidden_dims))[-1]
    last = nn.Linear(n_in * height * width, 2 * config.latent_dim)
    return OneBatchAxis(*layers, nn.Flatten(), last)


def conv_decoder(config: Any) -> nn.Sequential:
    """The encoder's way back: transposed convolutions that double the picture."""
    channels = (*config.hidden_dims[::-1], config.shape[0])
    sizes = halved(config.shape, len(config.hidden_dims))[::-1]
    small = (channels[0], *sizes[0])
    activation = ACTIVATIONS[config.activation]
    first = nn.Linear(config.latent_dim, math.prod(small))
    layers: list[nn.Module] = [first, nn.Unflatten(-1, small)]
    widths = itertools.pairwise(channels)
    for (n_in, n_out), size in zip(widths, sizes[1:], strict=True):
        more = (1 - size[0] % 2, 1 - size[1] % 2)  # of an even side the last line
        up = nn.ConvTranspose2d(n_in, n_out, 3, 2, padding=1, output_padding=more)
        layers += [activation(), up]
    return OneBatchAxis(*layers, nn.Flatten(), Shift(config.n_pixels))


NETWORKS = {
    "mlp": Network(mlp_encoder, mlp_decoder),
    "conv": Network(conv_encoder, conv_decoder, needs_shape=True),
}
