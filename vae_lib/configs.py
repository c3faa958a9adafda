"""What fixes the shape of a VAE, and the names that it may take."""

from dataclasses import dataclass

from torch import nn

from vae_lib.domains import number, one_of, require, switch, whole, whole_numbers

ACTIVATIONS = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
LIKELIHOODS = ("bernoulli", "gaussian", "continuous_bernoulli")


@dataclass(frozen=True)
class VAEConfig:
    """Everything that fixes the shape of a VAE.

    Args:
        latent_dim: J, the dimension of z.
        hidden_dims: widths of the encoder's hidden layers; the decoder mirrors them.
        activation: "relu", "silu", "softplus" or "tanh".
        likelihood: p(x|z): "bernoulli", "gaussian" or "continuous_bernoulli".
        n_pixels: D, the dimension of x.
        noise_std: standard deviation of the "gaussian" likelihood; others have none.
        learn_noise: train this standard deviation too, from noise_std on; start near
            the expected error: Adam moves its logarithm by hardly more than lr a step.

    Numbers of numpy and torch become Python's own. Raises ValueError if a value is out
    of range, a name unknown, or noise is asked of a likelihood that has none.
    """

    latent_dim: int = 2
    hidden_dims: tuple[int, ...] = (400,)
    activation: str = "relu"
    likelihood: str = "bernoulli"
    n_pixels: int = 784
    noise_std: float = 1.0
    learn_noise: bool = False

    def __post_init__(self) -> None:
        sound = {
            "latent_dim": whole("latent_dim", self.latent_dim, None),
            "hidden_dims": whole_numbers("hidden_dims", self.hidden_dims),
            "activation": one_of("activation", self.activation, ACTIVATIONS),
            "likelihood": one_of("likelihood", self.likelihood, LIKELIHOODS),
            "n_pixels": whole("n_pixels", self.n_pixels, None),
            "noise_std": number("noise_std", self.noise_std, above=0),
            "learn_noise": switch("learn_noise", self.learn_noise),
        }
        widths = (sound["latent_dim"], *sound["hidden_dims"], sound["n_pixels"])
        if min(widths) < 1:
            raise ValueError(f"expected every layer's width >= 1, got {widths}")
        silent = sound["noise_std"] == 1 and not sound["learn_noise"]
        expected = "likelihood 'gaussian' for noise_std or learn_noise"
        noisy = sound["likelihood"] == "gaussian"
        require(noisy or silent, expected, sound["likelihood"])
        for name, value in sound.items():  # the class is frozen
            object.__setattr__(self, name, value)
