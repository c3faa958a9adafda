"""Right and wrong answers to chapter 14, with a word that the check says."""

import math

import numpy as np
import torch
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)
from torch.nn.functional import softplus

from vae_lib.distributions import gaussian_kl, gaussian_log_prob


def mixture(z, mu, logvar, weights):
    each = Normal(mu, logvar.mul(0.5).exp()).log_prob(z[:, None]).sum(-1)
    return (each + weights.log()).logsumexp(-1)


def mixture_by_torch(z, mu, logvar, weights):
    parts = Independent(Normal(mu, torch.sqrt(logvar.exp())), 1)
    return MixtureSameFamily(Categorical(weights), parts).log_prob(z)


def mixture_by_loop(z, mu, logvar, weights):
    log_p = torch.full((len(z),), -math.inf)
    for m in range(len(mu)):
        part = MultivariateNormal(mu[m], torch.diag(logvar[m].exp())).log_prob(z)
        log_p = torch.logaddexp(log_p, part + math.log(weights[m]))
    return log_p


def mixture_by_products(z, mu, logvar, weights):
    z, mu, logvar, weights = (a.double() for a in (z, mu, logvar, weights))
    precision = (-logvar).exp()
    squares = z**2 @ precision.T - 2 * z @ (mu * precision).T
    rest = (mu**2 * precision + logvar + math.log(2 * math.pi)).sum(1)
    return torch.logsumexp(weights.log() - (squares + rest) / 2, 1)


def mixture_by_numpy(z, mu, logvar, weights):
    z, mu, logvar, weights = (a.numpy() for a in (z, mu, logvar, weights))
    off = (z[:, None] - mu) ** 2 / np.exp(logvar)
    each = np.log(weights) - 0.5 * (off + logvar + np.log(2 * np.pi)).sum(2)
    return np.logaddexp.reduce(each, axis=1)


def mixtures_multiplied(z, mu, logvar, weights):
    found = 0
    for j in range(z.shape[1]):
        one = slice(j, j + 1)
        found = found + mixture(z[:, one], mu[:, one], logvar[:, one], weights)
    return found


def fit(u, w, power=2):
    a = (w * u).sum(-1, keepdim=True)
    return (
        u + (softplus(a) - 1 - a) * w / torch.linalg.norm(w, dim=-1)[:, None] ** power
    )


def fit_by_loop(u, w):
    found = []
    for one, normal in zip(u, w, strict=True):
        a = one @ normal
        found.append(one + (softplus(a) - 1 - a) / (normal @ normal) * normal)
    return torch.stack(found)


def fit_in_two_parts(u, w):
    """What is across w stays, what is along it is replaced."""
    unit = torch.nn.functional.normalize(w, dim=1)
    a = torch.einsum("lj,lj->l", u, w)[:, None]
    across = u - (u * unit).sum(1, keepdim=True) * unit
    m = torch.logaddexp(a, 0 * a) - 1
    return across + m * unit / w.norm(dim=1, keepdim=True)


def fit_by_numpy(u, w):
    u, w = u.double().numpy(), w.double().numpy()
    a = np.sum(u * w, axis=1, keepdims=True)
    return u + (np.logaddexp(a, 0) - 1 - a) * w / np.sum(w * w, axis=1, keepdims=True)


def fit_where_needed(u, w):
    fits = (u * w).sum(1, keepdim=True) >= -1
    return torch.where(fits, u, fit(u, w))


def fit_by_exp(u, w):
    a = (w * u).sum(-1, keepdim=True)
    m = torch.log(1 + torch.exp(a)) - 1
    return u + (m - a) * w / w.square().sum(1, keepdim=True)


def flow(u, log_dets):
    return gaussian_log_prob(u, 0 * u, 0 * u) + log_dets.sum(0)


def flow_by_loop(u, log_dets):
    log_p = Normal(torch.zeros_like(u), 1).log_prob(u).sum(1)
    for log_det in log_dets:
        log_p = log_p + log_det
    return log_p


def flow_by_torch(u, log_dets):
    base = MultivariateNormal(torch.zeros(u.shape[1]), torch.eye(u.shape[1]))
    return base.log_prob(u) + torch.ones(len(log_dets)) @ log_dets


def flow_by_numpy(u, log_dets):
    u, log_dets = u.numpy(), log_dets.numpy()
    return log_dets.sum(0) - 0.5 * (u**2 + np.log(2 * np.pi)).sum(1)


def kl(z0, z, mu, logvar, log_det, log_prior):
    return gaussian_log_prob(z0, mu, logvar) - log_det - log_prior(z)


def kl_by_torch(z0, z, mu, logvar, log_det, log_prior):
    q = Independent(Normal(mu, torch.exp(logvar / 2)), 1)
    return -(log_prior(z) - (q.log_prob(z0) - log_det))


def kl_by_noise(z0, z, mu, logvar, log_det, log_prior):
    eps = (z0 - mu) / torch.exp(0.5 * logvar)
    log_q0 = -0.5 * (eps.square() + logvar + math.log(2 * math.pi)).sum(1)
    return log_q0 - log_prior(z) - log_det


def kl_by_parts(z0, z, mu, logvar, log_det, log_prior):
    """The price of z0 under N(0, I), then what the flow and the prior change."""
    standard = gaussian_log_prob(z0, 0 * z0, 0 * z0)
    before = gaussian_log_prob(z0, mu, logvar) - standard
    return before + (standard - log_prior(z)) - log_det


def gain(log_q, log_p):
    n = len(log_q)
    own = torch.diag(torch.full((n,), math.inf))
    each = [log_q.logsumexp(1) - math.log(n)]
    each.append((log_q - own).logsumexp(1) - math.log(n - 1))
    return tuple((log_mix - log_p).mean() for log_mix in each)


def gain_by_loop(log_q, log_p):
    n, first, second = len(log_q), 0.0, 0.0
    for i in range(n):
        others = torch.cat([log_q[i, :i], log_q[i, i + 1 :]])
        first += float(log_q[i].logsumexp(0) - log_p[i]) - math.log(n)
        second += float(others.logsumexp(0) - log_p[i]) - math.log(n - 1)
    return first / n, second / n


def gain_by_numpy(log_q, log_p):
    log_q, log_p = log_q.double().numpy(), log_p.double().numpy()
    n = len(log_p)
    others = log_q[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    mixed, rest = (np.logaddexp.reduce(part, axis=1) for part in (log_q, others))
    excess = np.stack([mixed - np.log(n), rest - np.log(n - 1)]) - log_p
    return excess.mean(1)


def gain_by_a_mask(log_q, log_p, own=-math.inf, left=1):
    n = len(log_q)
    kept = log_q.where(torch.arange(n) != torch.arange(n)[:, None], own)
    log_mix = torch.stack([log_q.logsumexp(1), kept.logsumexp(1)])
    sizes = torch.tensor([[n], [n - left]])
    return (log_mix - sizes.log() - log_p).mean(1)


RIGHT = {
    "log_mixture": [
        mixture,
        mixture_by_torch,
        mixture_by_loop,
        mixture_by_products,
        mixture_by_numpy,
    ],
    "made_fit": [fit, fit_by_loop, fit_in_two_parts, fit_by_numpy],
    "flow_log_prob": [flow, flow_by_loop, flow_by_torch, flow_by_numpy],
    "kl_draw": [kl, kl_by_torch, kl_by_noise, kl_by_parts],
    "prior_gain": [gain, gain_by_loop, gain_by_numpy, gain_by_a_mask],
}
WRONG = {
    "log_mixture": [
        (mixtures_multiplied, "before you mix"),
        (
            lambda z, mu, logvar, w: mixture(z, mu, logvar, torch.ones(len(w))),
            "are forgotten",
        ),
        (
            lambda z, mu, logvar, w: mixture(z, mu, logvar, 0 * w + 1 / len(w)),
            "weigh the same",
        ),
        (
            lambda z, mu, logvar, w: (
                gaussian_log_prob(
                    z[:, None], *(a.expand(len(z), -1, -1) for a in (mu, logvar))
                )
                @ w
            ),
            "mean of logs",
        ),
        (
            lambda z, mu, logvar, w: mixture(z, mu, 2 * logvar, w),
            "as the standard deviation",
        ),
        (
            lambda z, mu, logvar, w: (
                Normal(mu, (logvar / 2).exp()).log_prob(z[:, None]).sum(2).exp() @ w
            ).log(),
            "logsumexp",
        ),
        (lambda z, mu, logvar, w: mixture(z, mu, logvar, w).sum(), "shape"),
        (lambda z, mu, logvar, w: mixture(z, mu, 0 * logvar, w), "should be"),
        (lambda z, mu, logvar, w: mixture(z, mu, logvar, w).exp(), "should be"),
    ],
    "made_fit": [
        (lambda u, w: fit(u, w, power=1), "not by |w|"),
        (lambda u, w: fit(u, w, power=0), "Where is the division"),
        (lambda u, w: fit(u, w) + w / w.square().sum(1)[:, None], "has a -1"),
        (lambda u, w: 2 * u - fit(u, w), "wrong sign"),
        (fit_where_needed, "jumps"),
        (fit_by_exp, "softplus"),
        (lambda u, w: u, "should be"),
        (lambda u, w: (u * w).sum(1), "shape"),
        (lambda u, w: fit(w, u), "should be"),
    ],
    "flow_log_prob": [
        (
            lambda u, log_dets: (
                Normal(0, 1).log_prob(u) + log_dets.sum(0)[:, None]
            ).sum(1),
            "once for each dimension",
        ),
        (lambda u, log_dets: flow(u, -log_dets), "sign"),
        (lambda u, log_dets: flow(u, 0 * u[:, 0]) + log_dets.sum(), "not the batch"),
        (lambda u, log_dets: flow(u, log_dets[-1:]), "not the whole flow"),
        (lambda u, log_dets: flow(u, 0 * log_dets), "Where are"),
        (lambda u, log_dets: flow(u, log_dets).sum(), "shape"),
        (lambda u, log_dets: flow(u, log_dets.exp()), "should be"),
        (lambda u, log_dets: flow(u, log_dets.diff(dim=0)), "should be"),
    ],
    "kl_draw": [
        (lambda z0, z, mu, logvar, *a: gaussian_kl(mu, logvar), "is that of z0"),
        (
            lambda z0, z, mu, logvar, log_det, p: gaussian_kl(mu, logvar) - log_det,
            "less log_det",
        ),
        (lambda z0, z, *a: kl(z0, z0, *a), "ask it at z0"),
        (lambda z0, z, *a: kl(z, z, *a), "ask it at z."),
        (
            lambda z0, z, mu, logvar, log_det, p: kl(z0, z, mu, logvar, -log_det, p),
            "sign of log_det",
        ),
        (
            lambda z0, z, mu, logvar, log_det, p: kl(z0, z, mu, logvar, 0, p),
            "Where is log_det",
        ),
        (lambda *a: -kl(*a), "minus it"),
        (
            lambda z0, z, mu, logvar, *a: kl(z0, z, mu, 2 * logvar, *a),
            "not the standard deviation",
        ),
        (lambda *a: kl(*a).relu(), "no clamp"),
        (lambda *a: kl(*a).mean(), "shape"),
        (
            lambda z0, z, mu, logvar, log_det, p: kl(
                z0, z, mu, logvar, log_det, lambda z: p(0 * z)
            ),
            "should be",
        ),
    ],
    "prior_gain": [
        (lambda *a: gain(*a)[::-1], "Exchanged"),
        (lambda *a: gain_by_a_mask(*a, left=0), "n - 1 are left"),
        (lambda log_q, log_p: gain(log_q, 0 * log_p), "where is log_p"),
        (lambda log_q, log_p: gain(log_q.T, log_p), "wrong axis"),
        (
            lambda log_q, log_p: (
                log_q.mean() - log_p.mean(),
                log_q[~torch.eye(len(log_q), dtype=torch.bool)].mean() - log_p.mean(),
            ),
            "mean of logarithms",
        ),
        (lambda *a: gain_by_a_mask(*a, own=0.0), "zero on the diagonal"),
        (lambda *a: gain(*a)[1], "shape"),
        (
            lambda log_q, log_p: [
                (log_q - own).exp().sum(1).div(len(log_q) - k).log().sub(log_p).mean()
                for k, own in enumerate((0, torch.eye(len(log_q)) * 1e9))
            ],
            "exp(-800)",
        ),
        (lambda *a: [-part for part in gain(*a)], "sign"),
        (lambda *a: gain(*a)[:1] * 2, "should be"),
        (lambda log_q, log_p: [13.0, len(log_q)], "should be"),
    ],
}
