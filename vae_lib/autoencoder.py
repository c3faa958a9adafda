"""The plain auto-encoder: the networks of a VAE without its distribution over codes."""

import torch
from torch import Tensor

from vae_lib.domains import check_floats, require
from vae_lib.models import VAE, VAEOutput


class AutoEncoder(VAE):
    """A VAE whose code is a point: z = mu(x), and nothing ties codes to a prior.

    It has the layers of a VAE of the same VAEConfig, so that they differ in nothing but
    the objective; the encoder's log variances are there and unused. ``training.train``
    maximises log p(x|z), which is minus a reconstruction error. There is no bound on
    log p(x): what histories and ``evaluate_elbo`` report as elbo is log p(x|mu(x)), and
    estimates of log p(x) refuse it.

    Book: eq-autoencoder.
    """

    draws_z = False

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
        """Encode x (B, D), decode its code and score.

        The result has the shapes of one sample, z = mu, and a KL of zero. eps, which
        loops hand to every model, changes nothing. Raises ValueError if n_samples, a
        generator or weights are asked for: nothing is drawn.
        """
        require(y is None, "no labels for an AutoEncoder", y)
        given = n_samples if generator is None else generator
        require(given is None, "no n_samples and no generator for a code", given)
        require(weights is False, "no importance weights of a code", weights)
        if eps is not None:
            check_floats("eps", eps)
        mu, logvar = self.encode(x)
        x_params = self.decode(mu)
        log_p_x_given_z = self.log_p_x_given_z(x, x_params)
        no_kl = torch.zeros_like(log_p_x_given_z)
        return VAEOutput(mu, logvar, mu, x_params, log_p_x_given_z, no_kl)
