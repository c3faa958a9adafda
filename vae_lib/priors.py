"""p(z): the distribution of codes, its log density, its samples, its KL divergence.

A prior is one class and one line in PRIORS; nothing asks for it by name. It is made of
a VAEConfig and of the model's own ``encode``, which most have no use for.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vae_lib.distributions import gaussian_kl, gaussian_log_prob
from vae_lib.domains import require
from vae_lib.flows import Coupling

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]  # x (B, D) to mu, logvar (B, J)


class Prior(nn.Module):
    """A distribution over codes. Shapes: z (..., J).

    options names the fields of a VAEConfig that this prior reads and others do not.
    """

    options: frozenset[str] = frozenset()

    def start(self, images: Tensor) -> None:
        """Learn what one may of images (N, D) before training: for most, nothing."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (...)."""
        raise NotImplementedError

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws of z, (n, J), on the prior's device; no gradient."""
        raise NotImplementedError

    def kl(self, mu: Tensor, logvar: Tensor) -> Tensor | None:
        """KL divergence from N(mu, diag(exp(logvar))) to this prior, (B,), in nats.

        None without a closed form, as for most: then the average of log q(z) - log p(z)
        over draws of q is unbiased, and may be negative.
        """
        return None


class StandardNormal(Prior):
    """N(0, I), which has no parameters and a KL divergence in closed form.

    Book: eq-gaussian-kl.
    """

    origin: Tensor

    def __init__(self, config: Any, encode: Encode):
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

    def kl(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """KL divergence in nats, (B,), exact."""
        return gaussian_kl(mu, logvar)


class Gaussians(Prior):
    """A mixture of M diagonal Gaussians, wherever they come from."""

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """mu and logvar, each (M, J), and logits (M,) of the weights."""
        raise NotImplementedError

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (...), by products (..., J) x (J, M) of matrices."""
        mu, logvar, logits = self.components()
        # Large terms cancel where components are narrow: float32 with J = 40, M = 100
        # and std 0.2 is off by 5e-4 nats at a code, far below the noise of a draw, and
        # by 1e-6 on average. bfloat16 would be off by whole nats.
        with torch.autocast(z.device.type, enabled=False):
            mu, logvar = mu.to(z.dtype), logvar.to(z.dtype)
            precision = torch.exp(-logvar)
            squares = z.square() @ precision.T - 2 * z @ (mu * precision).T  # (..., M)
            rest = (mu.square() * precision + logvar + math.log(2 * math.pi)).sum(-1)
            each = logits.log_softmax(0) - (squares + rest) / 2
            return torch.logsumexp(each, dim=-1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws of z, (n, J): first of a component, then of its Gaussian."""
        mu, logvar, logits = self.components()
        weights = logits.softmax(0)
        which = torch.multinomial(weights, n, replacement=True, generator=generator)
        mu, std = mu[which], (logvar[which] / 2).exp()
        return mu + std * torch.empty_like(mu).normal_(generator=generator)


class Mixture(Gaussians):
    """A mixture of n_components diagonal Gaussians, all of it learned.

    The means start as draws of N(0, I), the variances at 1, the weights as equals: with
    one component it is a Gaussian that learns its place. Source: as of ``VampPrior``.
    """

    options = frozenset({"n_components"})

    def __init__(self, config: Any, encode: Encode):
        super().__init__()
        size = config.n_components, config.latent_dim
        self.mu = nn.Parameter(torch.randn(size))  # (M, J)
        self.logvar = nn.Parameter(torch.zeros(size))  # (M, J)
        self.logits = nn.Parameter(torch.zeros(config.n_components))  # (M,)

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """The parameters themselves."""
        return self.mu, self.logvar, self.logits


class VampPrior(Gaussians):
    """The average of q(z|u) over n_components images u that are learned, not seen.

    The pixels of u are the sigmoid of the parameter: behind a clamp they would have no
    gradient once outside [0, 1]. All weights are equal, and before a flow the Gaussians
    are those of z0. Source: Tomczak & Welling (2018), section 2.
    """

    options = Mixture.options

    def __init__(self, config: Any, encode: Encode):
        super().__init__()
        self.encode = encode  # a method: a copy of the model has the copy's own
        self.pixels = nn.Parameter(torch.randn(config.n_components, config.n_pixels))

    @torch.no_grad()
    def start(self, images: Tensor) -> None:
        """Pseudo-inputs at some of the images (N, D); ValueError if not in [0, 1]."""
        fits = bool(((images >= 0) & (images <= 1)).all())
        require(fits, "images in [0, 1] for the prior 'vamp'", "others")
        which = torch.randperm(len(images), device=images.device)[: len(self.pixels)]
        chosen = images[which].to(self.pixels)
        self.pixels[: len(chosen)] = torch.logit(0.02 + 0.96 * chosen)

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """What the encoder makes of the pseudo-inputs, with equal weights."""
        mu, logvar = self.encode(torch.sigmoid(self.pixels))
        return mu, logvar, logvar.new_zeros(len(logvar))


class Flow(Prior):
    """What n_couplings invertible layers make of N(0, I), read backwards.

    The layers, flow_dim wide, map z to numbers that are to be standard normal, so that
    log p(z) takes one pass; a draw is mapped back, exactly. It starts as N(0, I).
    Raises ValueError unless latent_dim > 1. Source: Dinh et al. (2017), section 3.
    """

    options = frozenset({"n_couplings", "flow_dim"})
    layers: Any  # each a Coupling

    def __init__(self, config: Any, encode: Encode):
        super().__init__()
        self.base, self.layers = StandardNormal(config, encode), nn.ModuleList()
        for n in range(config.n_couplings):
            size = config.latent_dim, config.flow_dim
            self.layers.append(Coupling(*size, flip=n % 2 == 1))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, shape (...)."""
        log_det: Tensor | float = 0.0
        for layer in self.layers:
            z, more = layer(z)
            log_det = log_det + more
        return self.base.log_prob(z) + log_det

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws of z, (n, J)."""
        z = self.base.sample(n, generator)
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z


PRIORS: dict[str, type[Prior]] = {
    "standard": StandardNormal,
    "mixture": Mixture,
    "vamp": VampPrior,
    "flow": Flow,
}
