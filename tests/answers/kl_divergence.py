"""Right and wrong answers to chapter 2's exercises, with a word that the check says."""

import math

import numpy as np
import torch
from torch.distributions import Categorical, Normal
from torch.distributions import kl_divergence as torch_kl


def by_where(log_q, log_p):
    q = log_q.exp()
    terms = q * (log_q - log_p)
    return torch.where(q > 0, terms, torch.zeros_like(terms)).sum(dim=-1)


def by_functional(log_q, log_p):
    # PyTorch's function takes the second argument first.
    terms = torch.nn.functional.kl_div(log_p, log_q, reduction="none", log_target=True)
    return terms.nan_to_num(nan=0.0, posinf=math.inf).sum(-1)


def by_loop(log_q, log_p):
    rows_q, rows_p = (t.reshape(-1, t.shape[-1]).tolist() for t in (log_q, log_p))
    found = []
    for a, b in zip(rows_q, rows_p, strict=True):
        total = 0.0
        for one, other in zip(a, b, strict=True):
            if one > -math.inf:
                total += math.exp(one) * (one - other)
        found.append(total)
    return np.array(found).reshape(log_q.shape[:-1])


def by_nansum(log_q, log_p):
    return (log_q.exp() * (log_q - log_p)).nansum(-1)


def by_xlogy(log_q, log_p):
    q, p = log_q.exp(), log_p.exp()
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)


def by_distributions(log_q, log_p):
    return torch_kl(Categorical(logits=log_q), Categorical(logits=log_p))


def with_constant(log_q, log_p):
    q, p = log_q.exp(), log_p.exp()
    return (q * ((q + 1e-8) / (p + 1e-8)).log()).sum(-1)


def masked(log_q, log_p):
    both = log_q.isfinite() & log_p.isfinite()
    return torch.where(both, log_q.exp() * (log_q - log_p), 0.0).sum(-1)


def fit_by_scan():
    """The best of a grid of means and widths, by sums over z."""
    z = torch.linspace(-12, 12, 601).double()
    humps = [Normal(-1.5, 1.2).log_prob(z), Normal(2.0, 0.3).log_prob(z)]
    shares = torch.tensor([[0.7], [0.3]]).double()
    log_p = (torch.stack(humps) + shares.log()).logsumexp(0)
    means, stds = torch.linspace(-3, 3, 121), torch.linspace(0.2, 3, 57)
    pairs = torch.cartesian_prod(means, stds).double()
    log_q = Normal(pairs[:, :1], pairs[:, 1:]).log_prob(z)
    sums = (log_q.exp() * (log_q - log_p)).sum(1) * 0.04
    best = sums.argmin()
    return (*pairs[best].tolist(), sums[best].item())


def new(log_q, log_p):
    t = torch.exp(log_p - log_q)
    return torch.mean(t - 1 - torch.log(t))


def new_by_expm1(log_q, log_p):
    return (torch.expm1(log_p - log_q) + log_q - log_p).sum() / len(log_q)


def new_by_numpy(log_q, log_p):
    log_t = log_p.numpy().astype(float) - log_q.numpy()
    return float(np.mean(np.exp(log_t) - 1 - log_t))


RIGHT = {
    "discrete": [by_where, by_functional, by_loop, by_nansum],
    "reverse_fit": [
        (-1.147, 1.512, 0.2804),
        fit_by_scan(),
        [torch.tensor(-1.15), torch.tensor(1.51), torch.tensor(0.28)],
        np.array([-1.16, 1.50, 0.281]),
    ],
    "never_negative": [new, new_by_expm1, new_by_numpy],
}
WRONG = {
    "discrete": [
        (lambda log_q, log_p: (log_q.exp() * (log_q - log_p)).sum(-1), "nan"),
        (by_xlogy, "leave log p a logarithm"),
        (by_distributions, "-1000 is finite"),
        (with_constant, "small constant"),
        (lambda a, b: (a.exp() * (a - b)).nan_to_num().sum(-1), "should be inf"),
        (masked, "leave"),
        (lambda log_q, log_p: by_where(log_p, log_q), "direction"),
        (lambda log_q, log_p: by_where(log_q, log_p) / math.log(2), "bits"),
        (lambda log_q, log_p: by_where(log_q, log_p) / log_q.shape[-1], "add them up"),
        (lambda log_q, log_p: by_where(log_q, log_p).sum(), "last axis"),
        (
            lambda log_q, log_p: (
                torch.special.entr(log_q.exp()).sum(-1) + by_where(log_q, log_p)
            ),
            "cross-entropy",
        ),
        (lambda log_q, log_p: -by_where(log_q, log_p), "sign"),
        (0.3, "function"),
    ],
    "reverse_fit": [
        ((-0.45, 1.899, 0.4735), "forward"),
        ((2.0, 0.3, 1.1715), "higher hump"),
        ((-1.5, 1.2, 0.3238), "left hump itself"),
        ((-1.147, 1.512**2, 0.2804), "variance"),
        ((-1.147, math.log(1.512), 0.2804), "log std"),
        ((0.0, 3.0, 1.0), "lower one"),
        ((-1.4, 1.512, 0.2804), "lower one"),
        ((-1.5, -1.2, 0.3), "positive"),
        ((math.nan, 1.2, 0.3), "finite"),
        ((-1.147, 1.512), "three numbers"),
        (-1.147, "three numbers"),
        ((-1.147, 1.512, 0.4045), "bits"),
        ((-1.147, 1.512, -0.2804), "not negative"),
        ((-1.147, 1.512, 0.35), "add (log q"),
    ],
    "never_negative": [
        (lambda log_q, log_p: (log_q - log_p).mean(), "alone"),
        (lambda log_q, log_p: new(log_p, log_q), "upside down"),
        (lambda a, b: ((b - a).exp() - 1 + b - a).mean(), "sign"),
        (lambda a, b: ((b - a).exp() + a - b).mean(), "-1"),
        (lambda log_q, log_p: new(log_q, log_p) * len(log_q), "sum"),
        (lambda a, b: ((b - a) ** 2).mean() / 2, "squared"),
        (lambda a, b: (b - a).exp() - 1 - (b - a), "shape"),
        (lambda log_q, log_p: None, "return"),
    ],
}
