"""p(z): the distribution of codes, its log density, its samples, its KL divergence.

A prior is one class and one line in PRIORS; nothing asks for it by name.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vae_lib.distributions import gaussian_kl, gaussian_log_prob


class Prior(nn.Module):
    """A distribution over codes. Shapes: z (..., J).

    options names the fields of a VAEConfig that this prior reads and others do not.
    """

    options: frozenset[str] = frozenset()

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (...)."""
        raise NotImplementedError

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws of z, (n, J), on the prior's device."""
        raise NotImplementedError

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """KL divergence from q = N(mu, diag(exp(logvar))) to this prior, (B,), in nats.

        Where it has no closed form: log q(z) - log p(z) at the draws z of q, (B, J) or
        (K, B, J), averaged over K. That is unbiased, and may be negative.
        """
        log_q = gaussian_log_prob(z, mu, logvar)
        return (log_q - self.log_prob(z)).view(-1, len(mu)).mean(0)


class StandardNormal(Prior):
    """N(0, I), which has no parameters and a KL divergence in closed form.

    Book: eq-gaussian-kl.
    """

    origin: Tensor

    def __init__(self, config: Any):
        super().__init__()
        origin = torch.zeros(config.latent_dim)  # not saved: it tells where and how
        self.register_buffer("origin", origin, persistent=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (...)."""
        zero = torch.zeros_like(z)
        return gaussian_log_prob(z, zero, zero)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws of z, (n, J)."""
        dtype, device = self.origin.dtype, self.origin.device
        shape = (n, len(self.origin))
        return torch.randn(shape, generator=generator, dtype=dtype, device=device)

    def kl(self, mu: Tensor, logvar: Tensor, z: Tensor) -> Tensor:
        """KL divergence in nats, (B,), exact: z plays no part."""
        return gaussian_kl(mu, logvar)


class Mixture(Prior):
    """A mixture of n_components diagonal Gaussians, all of it learned.

    The means start as draws of N(0, I), the variances at 1, the weights as equals: with
    one component it is a Gaussian that learns its place.
    Source: Tomczak & Welling (2018), section 2.
    """

    options = frozenset({"n_components"})

    def __init__(self, config: Any):
        super().__init__()
        size = config.n_components, config.latent_dim
        self.mu = nn.Parameter(torch.randn(size))  # (M, J)
        self.logvar = nn.Parameter(torch.zeros(size))  # (M, J)
        self.logits = nn.Parameter(torch.zeros(config.n_components))  # (M,)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (...)."""
        mu, logvar = (p.expand(*z.shape[:-1], *p.shape) for p in (self.mu, self.logvar))
        each = gaussian_log_prob(z[..., None, :].expand_as(mu), mu, logvar)  # (..., M)
        return torch.logsumexp(each + self.logits.log_softmax(0), dim=-1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws of z, (n, J): first of a component, then of its Gaussian."""
        weights = self.logits.detach().softmax(0)
        which = torch.multinomial(weights, n, replacement=True, generator=generator)
        mu, std = self.mu.detach()[which], (self.logvar.detach()[which] / 2).exp()
        eps = torch.randn(
            mu.shape, dtype=mu.dtype, device=mu.device, generator=generator
        )
        return mu + std * eps


PRIORS = {"standard": StandardNormal, "mixture": Mixture}
