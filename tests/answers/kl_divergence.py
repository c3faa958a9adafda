"""Right and wrong answers to chapter 2's exercises, with a word that the check says."""

import math

import numpy as np
import torch
from torch.distributions import Categorical
from torch.distributions import kl_divergence as torch_kl


def by_where(q, p):
    ratio = torch.where(q > 0, q / p, torch.ones_like(q))
    return (q * ratio.log()).sum(dim=-1)


def by_distributions(q, p):
    return torch_kl(Categorical(probs=q), Categorical(probs=p))


def by_functional(q, p):
    log_p = p.log()  # PyTorch's function takes the second argument first
    return torch.nn.functional.kl_div(log_p, q, reduction="none").sum(-1)


def by_loop(q, p):
    rows_q, rows_p = q.reshape(-1, q.shape[-1]), p.reshape(-1, p.shape[-1])
    found = []
    for a, b in zip(rows_q.tolist(), rows_p.tolist(), strict=True):
        total = 0.0
        for one, other in zip(a, b, strict=True):
            if one > 0:
                total += one * math.log(one / other) if other > 0 else math.inf
        found.append(total)
    return np.array(found).reshape(q.shape[:-1])


def by_nansum(q, p):
    return (q * (q / p).log()).nansum(-1)


def with_constant(q, p):
    return (q * ((q + 1e-8) / (p + 1e-8)).log()).sum(-1)


def masked(q, p):
    both = (q > 0) & (p > 0)
    return torch.where(both, q * (q / p).log(), 0 * q).sum(-1)


def new(log_q, log_p):
    t = torch.exp(log_p - log_q)
    return torch.mean(t - 1 - torch.log(t))


def new_by_expm1(log_q, log_p):
    return (torch.expm1(log_p - log_q) + log_q - log_p).sum() / len(log_q)


def new_by_numpy(log_q, log_p):
    log_t = log_p.numpy().astype(float) - log_q.numpy()
    return float(np.mean(np.exp(log_t) - 1 - log_t))


RIGHT = {
    "discrete": [by_where, by_distributions, by_loop, by_nansum],
    "reverse_fit": [
        (-3.0, 1.2),
        [torch.tensor(-2.9992), torch.tensor(1.2017)],
        np.array([-2.98, 1.21]),
        torch.tensor([-3.0, 1.2]),
    ],
    "never_negative": [new, new_by_expm1, new_by_numpy],
}
WRONG = {
    "discrete": [
        (lambda q, p: (q * (q / p).log()).sum(-1), "nan"),
        (by_functional, "at q = p = (1/2, 1/2, 0, 0) you get nan"),
        (with_constant, "small constant"),
        (lambda q, p: (q * (q / p).log()).nan_to_num().sum(-1), "should be inf"),
        (masked, "leave"),
        (lambda q, p: by_where(p, q), "direction"),
        (lambda q, p: by_where(q, p) / math.log(2), "bits"),
        (lambda q, p: by_where(q, p) / q.shape[-1], "add them up"),
        (lambda q, p: by_where(q, p).sum(), "last axis"),
        (lambda q, p: -torch.xlogy(q, p).sum(-1), "cross-entropy"),
        (lambda q, p: -by_where(q, p), "sign"),
        (0.3, "function"),
    ],
    "reverse_fit": [
        ((-1.2, 2.932), "forward"),
        ((3.0, 0.3), "higher hump"),
        ((-3.0, 1.44), "variance"),
        ((-3.0, math.log(1.2)), "log std"),
        ((0.0, 3.0), "lower one"),
        ((-3.0, -1.2), "positive"),
        ((math.nan, 1.2), "finite"),
        (-3.0, "pair"),
        ((-3.0, 1e-4), "lower one"),
        ((-3.0, 1.2, 0.36), "pair"),
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
