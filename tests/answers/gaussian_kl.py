"""Right and wrong answers to chapter 4's exercises, with a word that the check says."""

import math

import numpy as np
import torch
from torch.distributions import (
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)


def by_expm1(mu, logvar):
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar).sum(dim=-1)


def by_distributions(mu, logvar):
    q = Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)
    return kl_divergence(q, Independent(Normal(0 * mu, 0 * mu + 1), 1))


def by_loop(mu, logvar):
    total = 0
    for j in range(mu.shape[-1]):
        m, s = mu[..., j], torch.exp(logvar[..., j] / 2)
        total = total - torch.log(s) + (s**2 + m**2 - 1) / 2
    return total


def by_numpy(mu, logvar):
    mu, logvar = mu.numpy(), logvar.numpy()
    return (mu**2 + np.exp(logvar) - logvar - 1).sum(-1) / 2


def inner(mu, logvar):
    return 1 + logvar - mu**2 - logvar.exp()


def sampled(mu, logvar, n_samples, error=True, shift=0.0, mean_of="p", drawn_from="q"):
    std = torch.exp(logvar / 2)
    noise = torch.randn(n_samples, len(mu))
    z = mu + std * noise if drawn_from == "q" else noise
    log_p = Normal(shift, 1.0).log_prob(z if mean_of == "p" else z - mu)
    log_ratio = (Normal(mu, std).log_prob(z) - log_p).sum(-1)
    scale = math.sqrt(n_samples) if error else 1.0
    return log_ratio.mean(), log_ratio.std() / scale


def sampled_by_numpy(mu, logvar, n_samples):
    eps = torch.randn(n_samples, len(mu)).numpy()
    mu, std = mu.numpy(), torch.exp(logvar / 2).numpy()
    z = mu + std * eps
    terms = (-(eps**2) / 2 + z**2 / 2).sum(1) - torch.log(
        torch.tensor(std)
    ).sum().item()
    return float(terms.mean()), float(terms.std(ddof=1) / n_samples**0.5)


def sampled_with_tensors(mu, logvar, n_samples):
    return tuple(torch.tensor(float(v)) for v in sampled(mu, logvar, n_samples))


def sampled_with_two_widths(mu, logvar, n_samples):
    std = torch.exp(logvar / 2)
    z = mu + std * torch.randn(n_samples, len(mu))
    log_ratio = (Normal(mu, std**2).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)
    return log_ratio.mean(), log_ratio.std() / math.sqrt(n_samples)


def general(mean_q, cov_q, mean_p, cov_p):
    return kl_divergence(
        MultivariateNormal(mean_q, cov_q), MultivariateNormal(mean_p, cov_p)
    )


def general_by_inverse(mean_q, cov_q, mean_p, cov_p, trace=1, dims=1, logs=1, half=0.5):
    delta, precision = mean_q - mean_p, torch.inverse(cov_p)
    return half * (
        trace * torch.trace(precision @ cov_q)
        + delta @ precision @ delta
        - dims * len(mean_q)
        + logs * torch.log(torch.det(cov_p) / torch.det(cov_q))
    )


def general_by_cholesky(mean_q, cov_q, mean_p, cov_p):
    lower_q, lower_p = torch.linalg.cholesky(cov_q), torch.linalg.cholesky(cov_p)
    white = torch.linalg.solve_triangular(lower_p, lower_q, upper=False)
    delta = torch.linalg.solve(lower_p, mean_q - mean_p)
    logs = (lower_p.diagonal().log() - lower_q.diagonal().log()).sum()
    return ((white**2).sum() + (delta**2).sum() - len(delta)) / 2 + logs


RIGHT = {
    "closed_form": [
        by_expm1,
        by_distributions,
        by_loop,
        by_numpy,
        lambda mu, logvar: by_expm1(mu, logvar).tolist(),
    ],
    "from_samples": [sampled, sampled_by_numpy, sampled_with_tensors],
    "general": [
        general,
        general_by_inverse,
        general_by_cholesky,
        lambda *a: general(*a).item(),
    ],
    "std_for_price": [0.030212, torch.tensor(0.03021), 3.0212e-2],
}
WRONG = {
    "closed_form": [
        (lambda mu, logvar: 0.5 * inner(mu, logvar).sum(-1), "negative"),
        (lambda mu, logvar: -inner(mu, logvar).sum(-1), "one half"),
        (lambda mu, logvar: -0.5 * inner(mu, logvar).mean(-1), "average"),
        (lambda mu, logvar: -0.5 * inner(mu, logvar).sum(), "batch"),
        (lambda mu, logvar: -0.5 * inner(mu, logvar), "shape"),
        (lambda mu, logvar: -0.5 * inner(mu, 2 * logvar).sum(-1), "log sigma"),
        (lambda mu, std: -0.5 * (1 - std - mu**2 - std.exp()).sum(-1), "wrong sign"),
        (lambda mu, logvar: -0.5 * (1 + logvar - mu - logvar.exp()).sum(-1), "squared"),
        (lambda mu, logvar: by_expm1(mu, logvar).mean(), "shape"),
        (
            lambda mu, logvar: (mu**2 + torch.exp(logvar / 2) - logvar - 1).sum(-1) / 2,
            "is sigma",
        ),
        (lambda mu, logvar: (-0.5 * 1 + inner(mu, logvar) - 1).sum(-1), "brackets"),
        (lambda mu, logvar: by_expm1(mu, logvar) - (mu**2).sum(-1), "cost something"),
        (lambda mu, logvar: None, "return"),
        (lambda mu, logvar: mu @ logvar.nope, "stopped"),
        ("a word", "function"),
    ],
    "from_samples": [
        (lambda *a: sampled(*a, error=False), "sqrt"),
        (lambda *a: sampled(*a, shift=0.5), "standard error"),
        (lambda *a: sampled(*a, mean_of="q"), "standard error"),
        (lambda *a: (-sampled(*a)[0], sampled(*a)[1]), "minus the divergence"),
        (lambda *a: sampled(*a, drawn_from="p"), "from p"),
        (lambda *a: tuple(value / 2 for value in sampled(*a)), "average"),
        (lambda mu, logvar, n: sampled(mu, 2 * logvar, n), "log sigma"),
        (sampled_with_two_widths, "same mu and sigma"),
        (lambda *a: sampled(*a)[0], "two numbers"),
        (lambda *a: None, "return"),
        (lambda *a: (*sampled(*a), 0.0), "two numbers"),
    ],
    "general": [
        (lambda a, b, c, d: general(c, d, a, b), "direction"),
        (lambda *a: general_by_inverse(*a, logs=-1), "log determinants"),
        (lambda *a: general_by_inverse(*a, dims=0), "number of dimensions"),
        (lambda *a: general_by_inverse(*a, trace=0), "trace"),
        (lambda *a: general_by_inverse(*a, half=1), "one half"),
        (lambda *a: general_by_inverse(*a)[None], "shape"),
    ],
    "std_for_price": [
        (math.exp(-3), "two more terms"),
        (0.030212**2, "sigma^2"),
        (0.0302, "fourth digit"),
        (0.0303, "put it into"),
        (math.exp(-3.5), "fourth digit"),
        (1.0, "put it into"),
        (math.nan, "is not it"),
        (torch.ones(2), "one number"),
    ],
}
