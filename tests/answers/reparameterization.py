"""Right and wrong answers to chapter 5's exercises, with a word that the check says."""

import math

import numpy as np
import torch
from torch.distributions import LogNormal, Normal


def by_power(mu, logvar, eps):
    return torch.exp(mu) * torch.exp(torch.sqrt(torch.exp(logvar)) * eps)


def by_quantiles(mu, logvar, eps):
    return LogNormal(mu, torch.exp(0.5 * logvar)).icdf(torch.special.ndtr(eps))


def by_loop(mu, logvar, eps):
    parts = zip(mu.flatten(), logvar.flatten(), eps.flatten(), strict=True)
    drawn = [torch.exp(m + torch.exp(v / 2) * e) for m, v, e in parts]
    return torch.stack(drawn).reshape(mu.shape)


def gumbel_by_numpy(u, m, s):
    u = np.asarray(u)
    return m + s * np.log(1 / np.log(1 / u))


def gumbel_by_loop(u, m, s):
    return [m - s * math.log(-math.log(v)) for v in u.tolist()]


def gumbel_by_bisection(u, m, s):
    low, high = torch.full_like(u, -30.0), torch.full_like(u, 30.0)
    for _ in range(60):
        middle = (low + high) / 2
        below = torch.exp(-torch.exp(-(middle - m) / s)) < u
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def pathwise(f, mu, std, eps):
    copies = mu.expand_as(eps).clone().requires_grad_()
    return torch.autograd.grad(f(copies + std * eps).sum(), copies)[0]


def score(f, mu, std, eps, detach_z=True, detach_f=True):
    copies = mu.expand_as(eps).clone().requires_grad_()
    z = copies + std * eps
    log_q = Normal(copies, std).log_prob(z.detach() if detach_z else z).sum(-1)
    values = f(z).detach() if detach_f else f(z)
    return torch.autograd.grad((values * log_q).sum(), copies)[0]


def both(f, mu, std, eps):
    return pathwise(f, mu, std, eps), score(f, mu, std, eps)


def both_as_list_with_graph(f, mu, std, eps):
    z = (mu + std * eps).requires_grad_()
    values = f(z)
    (slope,) = torch.autograd.grad(values.sum(), z, create_graph=True)
    return [slope, (values * ((z - mu) / std**2).T).T]


def both_by_loop(f, mu, std, eps):
    rows = [both(f, mu, std, row) for row in eps.split(1)]
    return tuple(torch.cat(parts) for parts in zip(*rows, strict=True))


def changed(change):
    """Both estimates, then changed by a function of them and of (f(z), std, eps)."""

    def wrong(f, mu, std, eps):
        values = f(mu + std * eps)[:, None]
        return change(*both(f, mu, std, eps), values, std, eps)

    return wrong


def others(values, score):
    baseline = (values.sum() - values) / (len(values) - 1)
    return ((values - baseline)[:, None] * score).mean(0)


def rescaled(values, score):
    n = len(values)
    return ((values - values.mean()) @ score) / (n - 1)


def others_by_numpy(values, score):
    f = values.numpy()
    return np.mean((f - (f.sum() - f) / (len(f) - 1))[:, None] * score.numpy(), axis=0)


def by_mask(values, score):
    weights = (1 - torch.eye(len(values))).to(values) / (len(values) - 1)
    return torch.einsum("k,kj->j", values - weights @ values, score) / len(values)


RIGHT = {
    "log_normal": [by_power, by_quantiles, by_loop],
    "gumbel": [gumbel_by_numpy, gumbel_by_loop, gumbel_by_bisection],
    "two_gradients": [both, both_as_list_with_graph, both_by_loop],
    "leave_one_out": [others, rescaled, by_mask, others_by_numpy],
}
WRONG = {
    "log_normal": [
        (lambda m, v, e: torch.exp(m + v.exp() * e), "is a variance"),
        (lambda m, v, e: torch.exp(m + v * e), "logvar itself"),
        (lambda m, v, e: torch.exp(m + 0.5 * v * e), "undoes"),
        (lambda m, v, e: torch.exp(m + torch.exp(-0.5 * v) * e), "shrinks"),
        (lambda m, v, e: m + torch.exp(v / 2) * e, "logarithm of z"),
        (lambda m, v, e: m + torch.exp(torch.exp(v / 2) * e), "not of z"),
        (lambda m, v, e: by_power(m, v, e).detach(), "no gradient reaches mu"),
        (lambda m, v, e: by_power(m, v.detach(), e), "no gradient reaches logvar"),
        (lambda m, v, e: np.exp((m + torch.exp(v / 2) * e).numpy()), "no gradient"),
        (lambda m, v, e: by_power(m, v, e).detach().numpy(), "no gradient"),
        (lambda m, v, e: torch.exp(m), "should be"),
    ],
    "gumbel": [
        (lambda u, m, s: m + s * torch.log(-torch.log(u)), "falls"),
        (lambda u, m, s: m - s * torch.log(-torch.log(1 - u)), "1 - u"),
        (lambda u, m, s: torch.exp(-torch.exp(-(u - m) / s)), "F itself"),
        (lambda u, m, s: s * (m - torch.log(-torch.log(u))), "noise alone"),
        (lambda u, m, s: m - torch.log(-torch.log(u)) / s, "divide"),
        (lambda u, m, s: m - torch.log(-torch.log(u)), "Where is the scale"),
        (lambda u, m, s: m - s * torch.log(u), "twice"),
        (lambda u, m, s: m - s * torch.log(torch.log(u)), "should be"),
    ],
    "two_gradients": [
        (lambda *a: both(*a)[::-1], "comes first"),
        (changed(lambda p, s, f, std, eps: (p, f * eps)), "not eps alone"),
        (changed(lambda p, s, f, std, eps: (p, s / std)), "too often"),
        (changed(lambda p, s, f, std, eps: (p, eps / std)), "where is"),
        (changed(lambda p, s, f, std, eps: (p, -s)), "the sign"),
        (changed(lambda p, s, f, std, eps: (p * eps, s)), "derivative in sigma"),
        (changed(lambda p, s, f, std, eps: (p * std, s)), "derivative in eps"),
        (
            lambda f, mu, std, eps: (
                pathwise(f, mu, std, eps),
                score(f, mu, std, eps, detach_z=False, detach_f=False),
            ),
            "hold z fixed",
        ),
        (
            lambda f, mu, std, eps: (
                pathwise(f, mu, std, eps),
                score(f, mu, std, eps, detach_z=False),
            ),
            "moves along",
        ),
        (lambda *a: (both(*a)[0].sum(0), both(*a)[1]), "added up"),
        (changed(lambda p, s, f, std, eps: (p.mean(0), s.mean(0))), "shape"),
        (lambda *a: pathwise(*a), "shape"),
    ],
    "leave_one_out": [
        (lambda f, s: ((f - f.mean())[:, None] * s).mean(0), "own value"),
        (
            lambda f, s: ((f - (f.sum() - f) / len(f))[:, None] * s).mean(0),
            "K - 1",
        ),
        (lambda f, s: (f[:, None] * s).mean(0), "Nothing is subtracted"),
        (lambda f, s: len(f) * others(f, s), "average"),
        (lambda f, s: -others(f, s), "other way round"),
        (lambda f, s: ((f - f.median())[:, None] * s).mean(0), "should be"),
        (lambda f, s: others(f, s)[None], "shape"),
    ],
}
