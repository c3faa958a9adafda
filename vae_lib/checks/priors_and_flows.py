"""Checks of chapter 14's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import softplus

from vae_lib import checks
from vae_lib.distributions import gaussian_kl


def normal(z: Tensor) -> Tensor:
    """log N(z; 0, I), (B,)."""
    return Normal(0.0, 1.0).log_prob(z).sum(-1)


def random(*size: int) -> Tensor:
    """The same draws of N(0, I) each time."""
    return torch.randn(size, generator=torch.Generator().manual_seed(14))


def log_mixture(answer: Callable[..., Tensor]) -> None:
    """Exercise A: ``answer(z, mu, logvar, weights)``, (B, J), 2 (M, J), (M,): (B,)."""

    def each(z, mu, logvar):  # (B, M, J)
        return Normal(mu, (logvar / 2).exp()).log_prob(z[:, None])

    def of(join):  # what becomes of the components' log densities (B, M) and weights
        return lambda z, mu, lv, w: join(each(z, mu, lv).sum(2), w)

    def product(z, mu, lv, w):
        return (each(z, mu, lv) + w.log()[:, None]).logsumexp(1).sum(1)

    reference = of(lambda log_p, w: (log_p + w.log()).logsumexp(1))
    mu, logvar, z = random(3, 4, 3)
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4])
    humps, half = torch.tensor([[-3.0, -3.0], [3.0, 3.0]]), torch.full((2,), 0.5)
    places = torch.tensor([[3.0, 3.0], [3.0, -3.0], [0.0, 0.0]])
    some = {
        "one component, N(0, I)": (places, *torch.zeros(2, 1, 2), torch.ones(1)),
        "two humps of equal weight": (places, humps, 0 * humps, half),
        "four components in three dimensions": (z, mu, logvar, shares),
        "the same, far from all of them": (z + 60, mu, 0 * logvar, shares),
    }
    mistakes = {
        "A mixture in each dimension, multiplied: add up the dimensions of each "
        "component before you mix.": product,
        "The weights are forgotten.": of(lambda log_p, w: log_p.logsumexp(1)),
        "All components weigh the same: where are the weights?": (
            of(lambda log_p, w: log_p.logsumexp(1) - math.log(len(w)))
        ),
        "A mean of logs: asked for is the log of a mean.": of(lambda p, w: p @ w),
        "exp(logvar) is the variance, you use it as the standard deviation.": (
            lambda z, mu, lv, w: reference(z, mu, 2 * lv, w)
        ),
        "Far away exp() is zero: logsumexp.": of(lambda p, w: (p.exp() @ w).log()),
    }
    checks.compare(answer, reference, some, mistakes)


def made_fit(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise B: ``answer(u, w)``, each (L, J), is u with w'u > -1, (L, J)."""

    def of(m=lambda a: softplus(a) - 1, power=2, sign=1, where=math.inf):
        def made(u, w):
            a = (u * w).sum(1, keepdim=True)
            step = (m(a) - a) * w / w.norm(dim=1, keepdim=True) ** power
            return u + sign * step * (a <= where)

        return made

    u, w = random(2, 6, 3)
    w = w * torch.tensor([[0.2], [0.5], [1.0], [2.0], [3.0], [0.1]])
    some = {
        "u = w = (1, 0)": (torch.eye(2)[:1], torch.eye(2)[:1]),
        "u = (-4, 1) and w = (2, 0)": (u.new_tensor([[-4, 1]]), u.new_tensor([[2, 0]])),
        "six layers in three dimensions": (u, w),
        "six layers that push harder": (4 * u, w),
        "w'u = 200": (torch.full((1, 2), 10.0), torch.full((1, 2), 10.0)),
    }
    mistakes = {
        "Divide by |w|^2, not by |w|: then w'u is m, however long w is.": of(power=1),
        "Where is the division by |w|^2?": of(power=0),
        "m(a) has a -1: a fit w'u may be negative, down to -1.": of(softplus),
        "The wrong sign: m(w'u) - w'u is added.": of(sign=-1),
        "You mend u only where w'u < -1: there the layer jumps.": of(where=-1),
        "exp(200) leaves the range of numbers: log(1 + exp(a)) is softplus.": (
            of(lambda a: (1 + a.exp()).log() - 1)
        ),
    }
    checks.compare(answer, of(), some, mistakes)


def flow_log_prob(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise C: ``answer(u, log_dets)``, (B, J) and (L, B), is log p, (B,)."""

    def of(part):  # what the layers add to the base density
        return lambda u, dets: normal(u) + part(dets.sum(0), u.shape[1])

    reference = of(lambda det, J: det)
    u, dets = random(5, 3), random(4, 5)
    some = {
        "layers that move nothing": (u, 0 * dets),
        "one layer that halves one dimension": (u, torch.full((1, 5), -math.log(2))),
        "four layers, five codes": (u, dets),
        "the same in one dimension": (u[:, :1], dets),
    }
    mistakes = {
        "The log determinant is counted once for each dimension: it is one number for "
        "the whole code.": of(lambda det, J: J * det),
        "The sign: log_dets are of the way from z to u.": of(lambda det, J: -det),
        "Add up the layers, and not the batch.": of(lambda det, J: det.sum()),
        "Where are the log determinants?": of(lambda det, J: 0),
        "One layer is not the whole flow.": lambda u, dets: normal(u) + dets[-1],
    }
    checks.compare(answer, reference, some, mistakes)


def kl_draw(answer: Callable[..., Tensor]) -> None:
    """Exercise D: ``answer(z0, z, mu, logvar, log_det, log_prior)`` is (B,)."""

    def of(sign=1, power=1, prior_at=1, q_at=0, least=-math.inf):
        def drawn(*arguments):
            *z, mu, logvar, log_det, log_prior = arguments
            log_q = Normal(mu, (power * logvar / 2).exp()).log_prob(z[q_at]).sum(-1)
            return (log_q - sign * log_det - log_prior(z[prior_at])).clamp(min=least)

        return drawn

    mu, logvar, eps = random(3, 6, 2)
    z0, log_det = mu + (logvar / 2).exp() * eps, torch.full((6,), 2 * math.log(2))
    bent = z0 + torch.tensor([1.0, 0.0]) * torch.tanh(z0[:, 1:])  # of determinant 1
    some = {
        "no flow": (z0, z0, mu, logvar, 0 * log_det, normal),
        "z = 2 z0 + 1": (z0, 2 * z0 + 1, mu, logvar, log_det, normal),
        "z = z0 / 2": (z0, z0 / 2, mu, logvar, -log_det, normal),
        "a bent q, another prior": (
            z0,
            bent,
            mu,
            logvar,
            0 * log_det,
            lambda z: 2 * normal(z - 1),
        ),
    }
    mistakes = {
        "The closed form is that of z0.": lambda z0, z, *a: gaussian_kl(*a[:2]),
        "The closed form less log_det holds z0 against N(0, I): z is drawn, and the "
        "prior is asked there.": lambda z0, z, *a: gaussian_kl(*a[:2]) - a[2],
        "The prior stands over z, which is decoded: you ask it at z0.": of(prior_at=0),
        "The Gaussian is that of z0: you ask it at z.": of(q_at=1),
        "The sign of log_det: where the flow spreads, q gets thinner.": of(sign=-1),
        "Where is log_det?": of(sign=0),
        "That is log p - log q: the divergence is minus it.": lambda *a: -of()(*a),
        "exp(logvar) is the variance, not the standard deviation.": of(power=2),
        "A draw may be negative, only the mean is not: no clamp.": of(least=0.0),
    }
    checks.compare(answer, of(), some, mistakes)


def prior_gain(answer: Callable[[Tensor, Tensor], tuple]) -> None:
    """Exercise E: ``answer(log_q, log_p)``, (n, n) and (n,), is two gains."""

    def of(join=torch.logsumexp, left=1, own=-math.inf, dim=1, base=1):
        def gains(log_q, log_p):
            n, diagonal = len(log_q), torch.eye(len(log_q), dtype=torch.bool)
            mixed = join(log_q, dim) - math.log(n)
            rest = join(log_q.masked_fill(diagonal, own), dim) - math.log(n - left)
            return torch.stack([mixed.mean(), rest.mean()]) - base * log_p.mean()

        return gains

    def averaged(log_q, log_p):
        n, whole, own = len(log_q), log_q.mean(), log_q.diagonal().mean()
        return torch.stack([whole, (n * whole - own) / (n - 1)]) - log_p.mean()

    log_q, log_p = random(6, 6) + 3 * torch.eye(6), random(6) - 2
    apart = 805 * torch.eye(3) - 800 + random(3, 3)
    some = {
        "two codes, all densities 1": (torch.zeros(2, 2), torch.zeros(2)),
        "six codes": (log_q, log_p),
        "the first four of them": (log_q[:4, :4], log_p[:4]),
        "three codes far from each other": (apart, log_p[:3]),
    }
    mistakes = {
        "Exchanged: with the own answer comes first.": lambda *a: of()(*a).flip(0),
        "Without the own answer n - 1 are left.": of(left=0),
        "The gain is over N(0, I): where is log_p?": of(base=0),
        "The wrong axis: code i has row i, and is mixed over k.": of(dim=0),
        "A mean of logarithms: the mixture is a mean of densities.": averaged,
        "A zero on the diagonal is a density of one: -inf is none.": of(own=0.0),
        "exp(-800) is zero: logsumexp.": of(lambda x, dim: x.exp().sum(dim).log()),
        "The sign: gain is what the mixture has more.": lambda *a: -of()(*a),
    }
    checks.compare(answer, of(), some, mistakes)
