"""What fixes the shape of a model with several codes for one x, one above the other."""

from dataclasses import dataclass

from vae_lib.configs import MOST_LAYERS, VAEConfig
from vae_lib.data import SHAPE
from vae_lib.domains import number, one_of, require, whole, whole_numbers
from vae_lib.networks import ACTIVATIONS

ORDERS = ("bottom-up", "ladder")  # in which q draws the codes
MOST_STEPS, EXTREME = 10_000, 20.0  # of a diffusion, and of its log_snr either way
PIXELS = ("likelihood", "n_pixels", "noise_std", "learn_noise", "shape")


@dataclass(frozen=True)
class HierarchicalConfig:
    """Everything that fixes the shape of a VAE with several layers of codes.

    Args:
        latent_dims: J of each layer, of z1 first, the code nearest to x.
        hidden_dims: width of the hidden layers between each code and what is below it.
        n_hidden: how many hidden layers there are between the two, up and down; with
            none all maps are linear. There are at most 100 layers of either kind.
        activation: "relu", "silu", "softplus" or "tanh".
        encoder: "bottom-up", where each code is drawn given the one below, or "ladder",
            where x is read first and each code is drawn given the one above.
        likelihood, n_pixels, noise_std, learn_noise, shape: see ``VAEConfig``.

    Raises ValueError if a value is out of range, a name unknown, or the layers of
    latent_dims and hidden_dims are not as many.
    """

    latent_dims: tuple[int, ...] = (40, 20)
    hidden_dims: tuple[int, ...] = (300, 150)
    n_hidden: int = 2
    activation: str = "relu"
    encoder: str = "bottom-up"
    likelihood: str = "bernoulli"
    n_pixels: int = 784
    noise_std: float = 1.0
    learn_noise: bool = False
    shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        dims = whole_numbers("latent_dims", self.latent_dims)
        widths = whole_numbers("hidden_dims", self.hidden_dims)
        alike = len(dims) == len(widths) > 0 and min(*dims, *widths) >= 1
        require(alike, "a width >= 1 for each layer's latents >= 1", (dims, widths))
        n_hidden = whole("n_hidden", self.n_hidden, 0)
        n_layers = len(dims) * max(n_hidden, 1)
        require(n_layers <= MOST_LAYERS, f"at most {MOST_LAYERS} layers", n_layers)
        pixels = {name: getattr(self, name) for name in PIXELS}
        plain = VAEConfig(**pixels, activation=self.activation)
        sound = {name: getattr(plain, name) for name in PIXELS}
        sound |= {"latent_dims": dims, "hidden_dims": widths, "n_hidden": n_hidden}
        sound["encoder"] = one_of("encoder", self.encoder, ORDERS)
        for name, value in sound.items():  # the class is frozen
            object.__setattr__(self, name, value)

    @property
    def latent_dim(self) -> int:
        """The dimensions of all codes together."""
        return sum(self.latent_dims)

    @property
    def picture(self) -> tuple[int, int, int] | None:
        """See ``VAEConfig.picture``."""
        return SHAPE if self.shape is None and self.n_pixels == 784 else self.shape


@dataclass(frozen=True)
class DiffusionConfig:
    """Everything that fixes the shape of a diffusion model of x (N, D).

    Args:
        n_pixels: D, the dimension of x, whose scale is to be about 1.
        n_steps: T, how many codes there are, 2 to 10,000. More tighten the bound.
        hidden_dims: widths of the hidden layers of the one network for all steps.
        activation: "relu", "silu", "softplus" or "tanh".
        log_snr_first: log of signal^2 / noise^2 in the code nearest to x: its noise is
            about exp(-log_snr_first / 2), the detail below which nothing is modelled.
        log_snr_last: the same in the last code, far below 0, where hardly anything of
            x is left. It falls evenly between the two, which lie within 20 of 0.

    Raises ValueError if a value is out of range or a name unknown.
    """

    n_pixels: int = 2
    n_steps: int = 50
    hidden_dims: tuple[int, ...] = (64, 64)
    activation: str = "silu"
    log_snr_first: float = 6.0
    log_snr_last: float = -6.0

    def __post_init__(self) -> None:
        sound = {
            "n_pixels": whole("n_pixels", self.n_pixels),
            "n_steps": whole("n_steps", self.n_steps, 2, MOST_STEPS + 1),
            "hidden_dims": whole_numbers("hidden_dims", self.hidden_dims),
            "activation": one_of("activation", self.activation, ACTIVATIONS),
            "log_snr_first": number("log_snr_first", self.log_snr_first),
            "log_snr_last": number("log_snr_last", self.log_snr_last),
        }
        for name, value in sound.items():  # the class is frozen
            object.__setattr__(self, name, value)
        require(min(self.hidden_dims, default=1) >= 1, "widths >= 1", self.hidden_dims)
        ends = (self.log_snr_first, self.log_snr_last)
        falls = EXTREME >= ends[0] > ends[1] >= -EXTREME
        expected = f"{EXTREME:g} >= log_snr_first > log_snr_last >= {-EXTREME:g}"
        require(falls, expected, ends)

    @property
    def latent_dim(self) -> int:
        """The dimensions of all codes together."""
        return self.n_steps * self.n_pixels
