"""The variational auto-encoder: two multilayer perceptrons and the terms of its loss.

Letters: B batch, D pixels, J latent dimensions, K samples (the sample axis first).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_lib import distributions
from vae_lib.configs import ACTIVATIONS, LIKELIHOODS, VAEConfig
from vae_lib.data import check_images
from vae_lib.domains import check_floats, check_generator, require, whole

__all__ = [
    "ACTIVATIONS",
    "LIKELIHOODS",
    "LOGVAR_BOUND",
    "VAE",
    "VAEConfig",
    "VAEOutput",
]

LOGVAR_BOUND = 20.0  # exp(20) is far from overflow, exp(-20) from any useful variance


class VAEOutput(NamedTuple):
    """What one pass through a VAE yields; shapes for one sample and for K samples."""

    mu: Tensor  # (B, J)
    logvar: Tensor  # (B, J)
    z: Tensor  # (B, J) or (K, B, J)
    x_params: Tensor  # (B, D) or (K, B, D)
    log_p_x_given_z: Tensor  # (B,) or (K, B), nats
    kl: Tensor  # (B,), nats

    @property
    def log_w(self) -> Tensor:
        """Log importance weights log p(x|z) + log p(z) - log q(z|x), (B,) or (K, B).

        Book: eq-importance-weights.
        """
        zero = torch.zeros_like(self.mu)
        log_p_z = distributions.gaussian_log_prob(self.z, zero, zero)
        log_q_z = distributions.gaussian_log_prob(self.z, self.mu, self.logvar)
        return self.log_p_x_given_z + log_p_z - log_q_z


class VAE(nn.Module):
    """A VAE with a diagonal Gaussian q(z|x) and the prior p(z) = N(0, I).

    Its methods raise ValueError unless what comes is a tensor of floats of their shape,
    on the model's device and not of a longer type than the model's.

    Book: eq-vae-model. Source: Kingma & Welling (2014), section 3.
    """

    draws_z = True  # from q(z|x); if not, there is no KL and no bound on log p(x)

    def __init__(self, config: VAEConfig):
        super().__init__()
        require(isinstance(config, VAEConfig), "config to be a VAEConfig", config)
        self.config = config
        hidden = config.hidden_dims
        # One output layer for both parameters of q: the first J numbers are mu.
        self.encoder = _mlp((config.n_pixels, *hidden, 2 * config.latent_dim), config)
        self.decoder = _mlp((config.latent_dim, *hidden[::-1], config.n_pixels), config)
        self.register_buffer("input_mean", torch.zeros(config.n_pixels))
        if config.learn_noise:  # log s^2 of the Gaussian likelihood, one for all pixels
            start = torch.tensor(2 * math.log(config.noise_std))
            self.noise_logvar = nn.Parameter(start)
        self.history = None  # training.train keeps its TrainingHistory here

    @classmethod
    def from_data(cls, config: VAEConfig, images: Tensor) -> "VAE":
        """A VAE that need not learn the mean of images (N, D).

        Inputs are centred by the mean image and the output bias starts at its logit
        (for a Gaussian at the mean). Raises ValueError if the images are bad.
        """
        model = cls(config)
        gaussian = config.likelihood == "gaussian"
        check_images(images, config.n_pixels, unit_interval=not gaussian)
        mean = images.detach().mean(0).to(model.input_mean)
        model.input_mean.copy_(mean)
        # Laplace's rule keeps the logit of pixels that are never lit finite.
        smoothed = (mean * len(images) + 1) / (len(images) + 2)
        start = mean if gaussian else torch.logit(smoothed)
        model.decoder[-1].bias.data.copy_(start)
        return model

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters (mu, logvar) of q(z|x), each (B, J), from x of shape (B, D).

        logvar is bounded here, once, so that the KL, the sample and their gradients are
        finite whatever the last layer yields.
        """
        n_pixels = self.config.n_pixels
        self._check(f"images (B, {n_pixels})", x, n_pixels)
        mu, raw_logvar = self.encoder(x - self.input_mean).chunk(2, dim=-1)
        return mu, LOGVAR_BOUND * torch.tanh(raw_logvar / LOGVAR_BOUND)

    def decode(self, z: Tensor) -> Tensor:
        """Parameters of p(x|z) (..., D) of z (..., J): logits, or a Gaussian's mean."""
        latent_dim = self.config.latent_dim
        self._check(f"codes (..., {latent_dim})", z, latent_dim)
        return self.decoder(z)

    def log_p_x_given_z(self, x: Tensor, x_params: Tensor) -> Tensor:
        """Log-likelihood of x (B, D) under x_params (..., B, D), in nats, (..., B).

        Book: eq-bernoulli-log-prob, eq-gaussian-likelihood, eq-continuous-bernoulli.
        """
        if self.config.likelihood == "bernoulli":
            return distributions.bernoulli_log_prob(x, x_params)
        if self.config.likelihood == "continuous_bernoulli":
            return distributions.continuous_bernoulli_log_prob(x, x_params)
        logvar = 2 * math.log(self.config.noise_std)
        logvar = self.noise_logvar if self.config.learn_noise else x.new_tensor(logvar)
        return distributions.gaussian_log_prob(x, x_params, logvar.expand_as(x))

    def forward(
        self,
        x: Tensor,
        *,
        n_samples: int | None = None,
        eps: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> VAEOutput:
        """Encode x (B, D), draw z, decode and score: all that an objective needs.

        n_samples, eps and generator are those of ``distributions.reparameterize``.
        """
        mu, logvar = self.encode(x)
        z = distributions.reparameterize(
            mu, logvar, n_samples=n_samples, eps=eps, generator=generator
        )
        x_params = self.decode(z)
        log_p_x_given_z = self.log_p_x_given_z(x, x_params)
        kl = distributions.gaussian_kl(mu, logvar)
        return VAEOutput(mu, logvar, z, x_params, log_p_x_given_z, kl)

    @torch.no_grad()
    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z], the picture to show: (B, D) in [0, 1] from z (B, J), no gradient."""
        x_params = self.decode(z)
        if self.config.likelihood == "bernoulli":
            return torch.sigmoid(x_params)
        if self.config.likelihood == "continuous_bernoulli":
            return distributions.continuous_bernoulli_mean(x_params)
        return x_params.clamp(0, 1)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Mean images (n, D) of n >= 1 draws z ~ p(z): new data, from the prior."""
        n = whole("n", n)
        check_generator(generator, self.input_mean.device)
        like = {"dtype": self.input_mean.dtype, "device": self.input_mean.device}
        z = torch.randn(n, self.config.latent_dim, generator=generator, **like)
        return self.mean_image(z)

    def _check(self, what: str, given: Tensor, width: int) -> None:
        """Raise ValueError unless these are floats of this width that fit the model."""
        check_floats(what, given, self.input_mean)
        if given.shape[-1:] != (width,) or not len(given):
            raise ValueError(f"expected float {what}, got shape {tuple(given.shape)}")
        dtype = self.input_mean.dtype
        if given.dtype != dtype != torch.promote_types(given.dtype, dtype):
            raise ValueError(f"expected {what} of {dtype}, got {given.dtype}")


def _mlp(widths: tuple[int, ...], config: VAEConfig) -> nn.Sequential:
    """Linear layers of these widths with the activation between them."""
    layers = []
    for n_in, n_out in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), ACTIVATIONS[config.activation]()]
    return nn.Sequential(*layers[:-1])
