"""What fixes the shape of a model: a frozen configuration, checked when it is made."""

import math
from dataclasses import dataclass, fields
from typing import Any

from vae_lib.data import SHAPE
from vae_lib.domains import number, one_of, require, switch, whole, whole_numbers
from vae_lib.likelihoods import LIKELIHOODS
from vae_lib.networks import ACTIVATIONS, NETWORKS
from vae_lib.posteriors import POSTERIORS
from vae_lib.priors import PRIORS
from vae_lib.writers import DECODERS

# By field of a VAEConfig: the table in which it names a part that has options.
PARTS: dict[str, dict[str, Any]] = {
    "likelihood": LIKELIHOODS,
    "network": NETWORKS,
    "prior": PRIORS,
    "posterior": POSTERIORS,
}
MOST_LAYERS = 100  # of a flow, or of codes


@dataclass(frozen=True)
class VAEConfig:
    """Everything that fixes the shape of a VAE.

    Args:
        latent_dim: J, the dimension of z.
        hidden_dims: widths of the encoder's hidden layers, or channels of its
            convolutions; the decoder mirrors them.
        activation: "relu", "silu", "softplus" or "tanh".
        likelihood: p(x|z): "bernoulli", "gaussian" or "continuous_bernoulli".
        n_pixels: D, the dimension of x.
        noise_std: standard deviation of the "gaussian" likelihood; others have none.
        learn_noise: train this standard deviation too, from noise_std on; start near
            the expected error: Adam moves its logarithm by hardly more than lr a step.
        network: "mlp", or "conv" for convolutions.
        shape: channels, height and width (C, H, W) of a picture. "conv" needs it, and
            whoever is to draw the picture, unless it is one of MNIST's.
        prior: p(z): "standard" for N(0, I); learned are a "mixture" of Gaussians, one
            of codes of learned images, "vamp", and a "flow", for 2 dimensions or more.
        n_components: of the "mixture" prior and of "vamp", M.
        posterior: q(z|x): "gaussian", or a flow behind it, "planar" or "iaf".
        n_flows: layers of a flow as posterior, at most 100.
        n_couplings: layers of the "flow" prior, at most 100.
        flow_dim: width of the hidden layer in each of such layers.

    Numbers of numpy and torch become Python's own. Raises ValueError if a value is out
    of range, a name unknown, or something is asked of a part that has none.
    """

    latent_dim: int = 2
    hidden_dims: tuple[int, ...] = (400,)
    activation: str = "relu"
    likelihood: str = "bernoulli"
    n_pixels: int = 784
    noise_std: float = 1.0
    learn_noise: bool = False
    network: str = "mlp"
    shape: tuple[int, int, int] | None = None
    prior: str = "standard"
    n_components: int = 1
    posterior: str = "gaussian"
    n_flows: int = 2
    n_couplings: int = 4
    flow_dim: int = 64

    def __post_init__(self) -> None:
        sound = {
            "latent_dim": whole("latent_dim", self.latent_dim, None),
            "hidden_dims": whole_numbers("hidden_dims", self.hidden_dims),
            "activation": one_of("activation", self.activation, ACTIVATIONS),
            "likelihood": one_of("likelihood", self.likelihood, LIKELIHOODS),
            "n_pixels": whole("n_pixels", self.n_pixels, None),
            "noise_std": number("noise_std", self.noise_std, above=0),
            "learn_noise": switch("learn_noise", self.learn_noise),
            "network": one_of("network", self.network, NETWORKS),
            "prior": one_of("prior", self.prior, PRIORS),
            "n_components": whole("n_components", self.n_components),
            "posterior": one_of("posterior", self.posterior, POSTERIORS),
            "n_flows": whole("n_flows", self.n_flows, below=MOST_LAYERS + 1),
            "n_couplings": whole(
                "n_couplings", self.n_couplings, below=MOST_LAYERS + 1
            ),
            "flow_dim": whole("flow_dim", self.flow_dim),
        }
        if self.shape is not None:
            sound["shape"] = whole_numbers("shape", self.shape)
        for name, value in sound.items():  # the class is frozen
            object.__setattr__(self, name, value)
        widths = (self.latent_dim, *self.hidden_dims, self.n_pixels)
        require(min(widths) >= 1, "every layer's width >= 1", widths)
        self._check_options()
        if self.shape is not None:
            fits = len(self.shape) == 3 and min(self.shape) >= 1
            fits = fits and math.prod(self.shape) == self.n_pixels
            expected = f"shape (C, H, W) of {self.n_pixels} pixels"
            require(fits, expected, self.shape)
        told = self.shape is not None or not NETWORKS[self.network].needs_shape
        require(told, f"a shape for {self.network!r}", self.shape)

    @property
    def picture(self) -> tuple[int, int, int] | None:
        """The shape, or MNIST's where 784 pixels have none; None if nobody knows."""
        return SHAPE if self.shape is None and self.n_pixels == 784 else self.shape

    def _check_options(self) -> None:
        """Raise ValueError if a field is set that the named parts do not read."""
        for field in fields(self):
            expected, named, read = [], [], False
            for part, table in PARTS.items():
                readers = [name for name in table if field.name in table[name].options]
                if readers:
                    expected.append(f"{part} {' or '.join(map(repr, readers))}")
                    named.append(getattr(self, part))
                    read = read or named[-1] in readers
            free = not named or getattr(self, field.name) == field.default
            got = named[0] if len(named) == 1 else named
            require(read or free, f"{' or '.join(expected)} for {field.name}", got)


@dataclass(frozen=True)
class SequenceConfig:
    """Everything that fixes the shape of a VAE of strings.

    Args:
        latent_dim: J, the dimension of z.
        hidden_dim: width of the layers, and of the state of a decoder that has one.
        embedding_dim: numbers by which a token is known to the networks.
        n_tokens: V, the tokens of the alphabet, the end token among them.
        length: L, places of a row; a string has at most one token less.
        decoder: "gru", which knows all tokens before the one it writes, "window", which
            knows the last few, or "parallel", which knows nothing but z.
        window: how many tokens the "window" decoder knows; others have no window.
        n_properties: P, numbers about x that p(y|z) tells from z; 0 for none.

    Raises ValueError if a number is out of range or a name unknown.
    """

    latent_dim: int = 32
    hidden_dim: int = 128
    embedding_dim: int = 32
    n_tokens: int = 19
    length: int = 23
    decoder: str = "gru"
    window: int = 3
    n_properties: int = 0

    def __post_init__(self) -> None:
        one_of("decoder", self.decoder, DECODERS)
        for name in {field.name for field in fields(self)} - {"decoder"}:
            value = whole(name, getattr(self, name), int(name != "n_properties"))
            object.__setattr__(self, name, value)  # the class is frozen
        asked = self.decoder == "window" or self.window == SequenceConfig.window
        require(asked, "decoder 'window' for window", self.decoder)
        known = "n_tokens > 1, one of them the end token"
        require(self.n_tokens > 1, known, self.n_tokens)

    @property
    def n_pixels(self) -> int:
        """L, the dimension of x, as every model has one."""
        return self.length
