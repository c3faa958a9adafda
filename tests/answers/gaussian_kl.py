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


def by_expm1(mu, logvar, s):
    log_ratio = logvar - 2 * math.log(s)
    return 0.5 * ((mu / s) ** 2 + torch.expm1(log_ratio) - log_ratio).sum(dim=-1)


def by_distributions(mu, logvar, s):
    q = Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)
    return kl_divergence(q, Independent(Normal(0 * mu, 0 * mu + s), 1))


def by_loop(mu, logvar, s):
    total = 0
    for j in range(mu.shape[-1]):
        m, std = mu[..., j] / s, torch.exp(logvar[..., j] / 2) / s
        total = total - torch.log(std) + (std**2 + m**2 - 1) / 2
    return total


def by_numpy(mu, logvar, s):
    mu, logvar = mu.numpy(), logvar.numpy()
    terms = (mu**2 + np.exp(logvar)) / s**2 - logvar - 1 + np.log(s**2)
    return terms.sum(-1) / 2


def of_parts(mean=1, variance=1, log=1, prior=1, half=0.5, one=1, power=2):
    """The formula with other factors."""

    def kl(mu, logvar, s):
        logs = log * logvar - 2 * prior * math.log(s)
        terms = mean * mu**power / s**2 + variance * logvar.exp() / s**2 - one - logs
        return half * terms.sum(-1)

    return kl


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
        lambda *a: by_expm1(*a).tolist(),
        of_parts(),
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
        (lambda *a: -by_expm1(*a), "negative"),
        (of_parts(half=1), "one half"),
        (lambda mu, v, s: by_expm1(mu, v, 1.0), "where does prior_std enter"),
        (lambda mu, v, s: by_expm1(mu, v, math.sqrt(s)), "you take s for it"),
        (lambda mu, v, s: by_expm1(mu, v, 1 / s), "what you multiply"),
        (of_parts(prior=0), "log s^2 is missing"),
        (
            lambda mu, v, s: of_parts(prior=0)(mu, v, s) + math.log(s),
            "every dimension has it",
        ),
        (lambda mu, v, s: by_expm1(s * mu, v, s), "not divided by s"),
        (lambda *a: by_expm1(*a) / a[0].shape[-1], "average"),
        (lambda *a: by_expm1(*a).sum(), "batch"),
        (lambda *a: by_expm1(*a)[..., None], "shape"),
        (lambda mu, v, s: by_expm1(mu, 2 * v, s), "log sigma"),
        (of_parts(log=-1, prior=-1), "wrong sign"),
        (of_parts(power=1), "squared"),
        (lambda *a: by_expm1(*a).mean(), "shape"),
        (
            lambda mu, v, s: (
                by_expm1(mu, v, s) + ((v / 2).exp() - v.exp()).sum(-1) / s**2 / 2
            ),
            "is sigma",
        ),
        (
            lambda mu, v, s: 2 * by_expm1(mu, v, s) + mu.shape[-1] / 2,
            "brackets",
        ),
        (of_parts(mean=-1), "cost something"),
        (lambda mu, logvar, s: None, "return"),
        (lambda mu, logvar, s: mu @ logvar.nope, "stopped"),
        (lambda mu, logvar: by_expm1(mu, logvar, 1.0), "stopped"),
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
