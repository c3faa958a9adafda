"""q(z|x): what becomes of a draw of the Gaussian that the encoder names.

A posterior is one class and one line in POSTERIORS; nothing asks for it by name. The
encoder's (mu, logvar) belong to the first draw z0, whatever comes after: before a flow
mu is the mean of z0 and no longer that of q. They are all that the layers of a flow are
told of x, so that encoders stay as they are.
"""

from typing import Any

import torch
from torch import Tensor, nn

from vae_lib.flows import InverseAutoregressive, Planar


class Posterior(nn.Module):
    """A map of z0 ((K,) B, J) to z of the same shape, which may differ with x.

    options names the fields of a VAEConfig that this posterior reads and others do not;
    is_gaussian says whether q is N(mu, diag(exp(logvar))) itself.
    """

    options: frozenset[str] = frozenset()
    is_gaussian = False

    def forward(self, z0: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
        """z and ``log |det(dz / dz0)|`` in nats, ((K,) B); mu and logvar are (B, J).

        log q(z|x) is log N(z0; mu, diag(exp(logvar))) less that.
        """
        raise NotImplementedError


class Gaussian(Posterior):
    """N(mu, diag(exp(logvar))): z is z0."""

    is_gaussian = True

    def __init__(self, config: Any):
        super().__init__()

    def forward(self, z0: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
        """z0, and zeros."""
        return z0, z0.new_zeros(z0.shape[:-1])


class Flow(Posterior):
    """n_flows layers, each told (mu, logvar) as its context and as wide as flow_dim."""

    options = frozenset({"n_flows", "flow_dim"})

    def __init__(self, config: Any):
        super().__init__()
        layers = [self.layer(config, n) for n in range(config.n_flows)]
        self.layers = nn.ModuleList(layers)

    def layer(self, config: Any, n: int) -> nn.Module:
        """The layer of this number, from 0."""
        raise NotImplementedError

    def forward(self, z0: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
        """z behind the last layer, and the sum of the log determinants."""
        context = torch.cat((mu, logvar), dim=-1)  # (B, 2 J)
        z, log_det = z0, z0.new_zeros(z0.shape[:-1])
        for layer in self.layers:
            z, more = layer(z, context)
            log_det = log_det + more
        return z, log_det


class PlanarFlow(Flow):
    """Planar layers: each bends q along one direction, which is little in many.

    Source: Rezende & Mohamed (2015).
    """

    def layer(self, config: Any, n: int) -> nn.Module:
        """A planar layer."""
        J = config.latent_dim
        return Planar(J, 2 * J, config.flow_dim)


class InverseAutoregressiveFlow(Flow):
    """Autoregressive layers, in turn from the first dimension and from the last.

    Source: Kingma et al. (2016).
    """

    def layer(self, config: Any, n: int) -> nn.Module:
        """An autoregressive layer, every second one in reverse."""
        J, reverse = config.latent_dim, n % 2 == 1
        return InverseAutoregressive(J, 2 * J, config.flow_dim, reverse=reverse)


POSTERIORS = {
    "gaussian": Gaussian,
    "planar": PlanarFlow,
    "iaf": InverseAutoregressiveFlow,
}
