"""The variational auto-encoder: two multilayer perceptrons and the terms of its loss.

Letters: B batch, D pixels, J latent dimensions, K samples (the sample axis first).
"""

import torch
from torch import Tensor

from vae_lib.configs import VAEConfig
from vae_lib.distributions import gaussian_log_prob, reparameterize
from vae_lib.domains import (
    check_floats,
    check_generator,
    check_switches,
    require,
    whole,
)
from vae_lib.latent import LatentVariableModel, VAEOutput
from vae_lib.likelihoods import LIKELIHOODS, Likelihood
from vae_lib.networks import ACTIVATIONS, NETWORKS
from vae_lib.posteriors import POSTERIORS, Posterior
from vae_lib.priors import PRIORS, Prior

__all__ = [
    "ACTIVATIONS",
    "LIKELIHOODS",
    "LOGVAR_BOUND",
    "LatentVariableModel",
    "NETWORKS",
    "POSTERIORS",
    "PRIORS",
    "VAE",
    "VAEConfig",
    "VAEOutput",
]

LOGVAR_BOUND = 20.0  # exp(20) is far from overflow, exp(-20) from any useful variance


class VAE(LatentVariableModel):
    """A VAE whose networks, likelihood, prior and q(z|x) are named by its config.

    Its methods raise ValueError unless what comes is a tensor of floats of their shape,
    on the model's device and not of a longer type than the model's.

    Book: eq-vae-model. Source: Kingma & Welling (2014), section 3.
    """

    likelihood: Likelihood
    prior: Prior
    posterior: Posterior

    def __init__(self, config: VAEConfig):
        super().__init__(config)
        # The order is that in which Adam's moments stand in files.
        self.likelihood = LIKELIHOODS[config.likelihood](config)
        self.encoder = NETWORKS[config.network].encoder(config)
        self.decoder = NETWORKS[config.network].decoder(config)
        self.prior = PRIORS[config.prior](config, self.encode)
        self.posterior = POSTERIORS[config.posterior](config)

    @property
    def q_is_gaussian(self) -> bool:
        """Whether q(z|x) is what ``encode`` names, with no flow behind it."""
        return self.posterior.is_gaussian

    @classmethod
    def from_data(cls, config: VAEConfig, images: Tensor) -> "VAE":
        """A VAE that need not learn the mean of images (N, D).

        Inputs are centred by the mean image, and the output bias starts where the
        likelihood's mean is that image; a prior that reads images starts at some of
        these. Raises ValueError if the images are bad.
        """
        cls.check_data(config, images)
        model = cls(config)
        mean = images.detach().mean(0).to(model.input_mean)
        model.input_mean.copy_(mean)
        start = model.likelihood.start(mean, len(images))
        model.decoder[-1].get_parameter("bias").data.copy_(start)
        model.prior.start(images.detach())
        return model

    @classmethod
    def check_data(cls, config: VAEConfig, x: Tensor) -> None:
        """Raise ValueError unless x (N, D) are images that have a likelihood."""
        cls.check_config(config)
        LIKELIHOODS[config.likelihood].check(x, config.n_pixels)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters (mu, logvar) of q(z|x), each (B, J), from x of shape (B, D).

        They are those of its first draw where the posterior is a flow behind it.
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
        return self.likelihood.log_prob(x, x_params)

    def forward(
        self,
        x: Tensor,
        y: None = None,
        *,
        n_samples: int | None = None,
        eps: Tensor | None = None,
        generator: torch.Generator | None = None,
        weights: bool = False,
    ) -> VAEOutput:
        """Encode x (B, D), draw z, decode and score: all that an objective needs.

        n_samples, eps and generator are those of ``distributions.reparameterize``. With
        weights the log importance weights come too: log p(x|z) + log p(z) - log q(z|x).
        Labels y, which loops hand to every model, are None: a VAE is told none.

        Book: eq-importance-weights.
        """
        check_switches(weights=weights)
        require(y is None, "no labels for a VAE", y)
        mu, logvar = self.encode(x)
        z0 = reparameterize(
            mu, logvar, n_samples=n_samples, eps=eps, generator=generator
        )
        z, log_det = self.posterior(z0, mu, logvar)
        x_params = self.decode(z)
        log_p_x_given_z = self.log_p_x_given_z(x, x_params)
        kl = self.prior.kl(mu, logvar) if self.q_is_gaussian else None
        log_w = None
        if weights or kl is None:
            log_q_z = gaussian_log_prob(z0, mu, logvar) - log_det
            log_p_z = self.prior.log_prob(z)
            log_w = log_p_x_given_z + log_p_z - log_q_z if weights else None
            if kl is None:  # its estimate at the draws
                kl = (log_q_z - log_p_z).view(-1, len(mu)).mean(0)
        return VAEOutput(mu, logvar, z, x_params, log_p_x_given_z, kl, log_w)

    @torch.no_grad()
    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z], the picture to show: (B, D) in [0, 1] from z (B, J), no gradient."""
        return self.likelihood.mean(self.decode(z))

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Mean images (n, D) of n >= 1 draws z ~ p(z): new data, from the prior."""
        n = whole("n", n)
        check_generator(generator, self.input_mean.device)
        return self.mean_image(self.prior.sample(n, generator))

    def _check(self, what: str, given: Tensor, width: int) -> None:
        """Raise ValueError unless these are floats of this width that fit the model."""
        check_floats(what, given, self.input_mean)
        if given.shape[-1:] != (width,) or not len(given):
            raise ValueError(f"expected float {what}, got shape {tuple(given.shape)}")
        dtype = self.input_mean.dtype
        if given.dtype != dtype != torch.promote_types(given.dtype, dtype):
            raise ValueError(f"expected {what} of {dtype}, got {given.dtype}")
