"""Layers of codes in one pass: what q draws, in which order, and what p says of it.

Shapes: B batch, K samples (the sample axis first), J dimensions of a code. An encoder
is one function of a HierarchicalVAE, of x less its mean and of the noise of each code,
z1 first; one line in ENCODERS; and its name in ``layered_configs.ORDERS``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize
from vae_lib.models import LOGVAR_BOUND
from vae_lib.networks import ACTIVATIONS, mlp

# How far below 0 the log variance of a ladder's guesses starts, so that its gates are
# open: see merged.
NARROW = 3.0

Gaussian = tuple[Tensor, Tensor]  # mu and logvar, each ((K,) B, J)


class Layer(NamedTuple):
    """A code in one pass, and what q and p say of it."""

    z: Tensor  # ((K,) B, J)
    q: Gaussian  # without the axis of samples where q knows x alone
    p: Gaussian  # of zeros in the top layer
    kl: Tensor  # ((K,) B), nats: in closed form, or log q - log p at z


def networks_of(config: Any) -> tuple[nn.ModuleList, nn.ModuleList, nn.ModuleList]:
    """The networks up, of guess and down of a HierarchicalConfig, those of z1 first.

    The first read what lies below a code, x less its mean or the code there, and in a
    ladder what was read there; the second make a code's mu and logvar of that. The last
    make of a code what p says of what lies below it.
    """
    reads_codes = ENCODERS[config.encoder].reads_codes
    up, down = nn.ModuleList(), nn.ModuleList()
    guesses: Any = nn.ModuleList()
    n_in, n_out, name = config.n_pixels, config.n_pixels, config.activation
    for J, width in zip(config.latent_dims, config.hidden_dims, strict=True):
        inner = (width,) * config.n_hidden
        last: list[nn.Module] = [ACTIVATIONS[name]()] if inner else []
        if inner and not reads_codes:
            last.append(nn.LayerNorm(width))  # or its gates close: see merged
        up.append(nn.Sequential(*mlp((n_in, *inner), name), *last))
        n_read = width if inner else n_in
        guesses.append(nn.Linear(n_read, 2 * J))
        down.append(mlp((J, *inner, n_out), name))
        n_in, n_out = (J if reads_codes else n_read), 2 * J
    if not reads_codes:
        for guess, J in zip(guesses[:-1], config.latent_dims, strict=False):
            guess.bias.data[J:] -= NARROW
    return up, guesses, down


def bounded(raw: Tensor) -> Gaussian:
    """(mu, logvar), each (..., J), of a layer's last numbers (..., 2 J).

    The log variance is bounded as in a VAE, so that all terms are finite.
    """
    mu, raw_logvar = raw.chunk(2, dim=-1)
    return mu, LOGVAR_BOUND * torch.tanh(raw_logvar / LOGVAR_BOUND)


def kl_between(q: Gaussian, p: Gaussian) -> Tensor:
    """KL divergence from one diagonal Gaussian q to another one p, never negative.

    A shift and a scale change no divergence: so it is that from a Gaussian to N(0, I).

    Args:
        q: mu and logvar, each (..., J).
        p: the same of the other, of shapes that broadcast with those of q.

    Returns the divergence in nats, (...), summed over J. Raises ValueError unless all
    are tensors of floats.
    """
    (mu, logvar), (mu_p, logvar_p) = q, p
    return gaussian_kl((mu - mu_p) * torch.exp(-logvar_p / 2), logvar - logvar_p)


def merged(guess: Gaussian, p: Gaussian) -> Gaussian:
    """The product of two diagonal Gaussians: precisions add, means weigh by them.

    Each is mu and logvar (..., J), of shapes that broadcast, and so is the result.
    Where p is p(z_l|z_l+1) and the guess is the likelihood of z_l, it is Bayes' rule.
    A guess that is much wider than p changes nothing, and its own gradient is then next
    to nothing: a code that falls silent early stays so. What a ladder reads of x is
    normalised, and its guesses start out narrow, so that few do.
    Source: Sonderby et al. (2016), Eq. 10.
    """
    (mu, logvar), (mu_p, logvar_p) = guess, p
    share = torch.sigmoid(logvar_p - logvar)  # of the guess in the precision
    return mu_p + share * (mu - mu_p), logvar + torch.log(share)


def log_ratio(layer: Layer) -> Tensor:
    """log q - log p of a layer's code at its draw, ((K,) B), in nats."""
    return log_density_ratio(layer.z, layer.q, layer.p)


def log_density_ratio(z: Tensor, q: Gaussian, p: Gaussian) -> Tensor:
    """log q - log p of two diagonal Gaussians at z ((K,) B, J), ((K,) B), in nats."""
    return gaussian_log_prob(z, *q) - gaussian_log_prob(z, *p)


def bottom_up(model: Any, x: Tensor, eps: tuple[Tensor, ...]) -> list[Layer]:
    """Each code drawn given the one below it, q(z1|x) q(z2|z1) and so on.

    What p says of a code depends on a draw of the code above, so that its divergence is
    drawn, too; the top layer's alone has a closed form.
    """
    codes, answers, below = [], [], x
    for up, guess, noise in zip(model.up, model.guess, eps, strict=True):
        answers.append(bounded(guess(up(below))))
        below = reparameterize(*answers[-1], eps=noise)
        codes.append(below)
    layers, top = [], len(codes) - 1
    for n, (z, q) in enumerate(zip(codes, answers, strict=True)):
        p = model.prior_of(n + 1, codes[min(n + 1, top)])
        kl = kl_between(q, p) if n == top else log_density_ratio(z, q, p)
        layers.append(Layer(z, q, p, kl.expand(z.shape[:-1])))
    return layers


def ladder(model: Any, x: Tensor, eps: tuple[Tensor, ...]) -> list[Layer]:
    """Each code drawn given x and the one above it: q(z2|x) q(z1|x, z2).

    x is read from the bottom up, without a draw; on the way down each layer merges what
    it has read with what p expects. All divergences have a closed form.
    """
    guesses, h = [], x
    for up, guess in zip(model.up, model.guess, strict=True):
        h = up(h)
        guesses.append(bounded(guess(h)))
    layers: list[Layer] = []
    for n in reversed(range(len(guesses))):
        q = guesses[n]
        p = torch.zeros_like(q[0]), torch.zeros_like(q[1])
        if layers:
            p = model.prior_of(n + 1, layers[0].z)
            q = merged(q, p)
        z = reparameterize(*q, eps=eps[n])
        kl = kl_between(q, p).expand(z.shape[:-1])
        layers.insert(0, Layer(z, q, p, kl))
    return layers


class Encoder(NamedTuple):
    """How q draws the codes, and what its networks read on the way up."""

    draw: Callable[[Any, Tensor, tuple[Tensor, ...]], list[Layer]]
    reads_codes: bool  # each from the code below it; else from what was read of x


ENCODERS = {
    "bottom-up": Encoder(bottom_up, reads_codes=True),
    "ladder": Encoder(ladder, reads_codes=False),
}
