"""Right and wrong answers to chapter 8's exercises, with a word that the check says."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, Normal

from vae_lib.objectives import effective_beta

LOSSES = [
    lambda cost, kl: cost.sum() + kl.sum(),
    lambda cost, kl: cost.sum() + kl.sum(1).mean(),
    lambda cost, kl: cost.mean() + kl.mean(),
    lambda cost, kl: cost.mean() + kl.sum() / cost.numel(),
    lambda cost, kl: cost.mean() + 0.00025 * kl.sum(1).mean(),
]


def betas_measured(batch_size, n_pixels, latent_dim):
    """By the gradients of each loss."""
    found = []
    for loss in LOSSES:
        cost = torch.ones(batch_size, n_pixels, requires_grad=True)
        kl = torch.ones(batch_size, latent_dim, requires_grad=True)
        of_cost, of_kl = torch.autograd.grad(loss(cost, kl), (cost, kl))
        found.append(of_kl[0, 0] / of_cost[0, 0])
    return torch.stack(found)


def betas_by_library(batch_size, n_pixels, latent_dim):
    sizes = {"batch_size": batch_size, "n_pixels": n_pixels, "latent_dim": latent_dim}
    weight = 1 / (batch_size * n_pixels)
    return [
        effective_beta("sum", "sum", **sizes),
        effective_beta("sum", "batchmean", **sizes),
        effective_beta("mean", "mean", **sizes),
        effective_beta("mean", "sum", kl_weight=weight, **sizes),
        effective_beta("mean", "batchmean", kl_weight=0.00025, **sizes),
    ]


def betas(b, d, j):
    return 1, 1 / b, d / j, 1.0, d / 4000


def with_beta(i, wrong):
    """The five betas, but the i-th by another function."""
    return lambda *sizes: [
        wrong(*sizes) if i == k else beta for k, beta in enumerate(betas(*sizes), 1)
    ]


def entropy(x):
    return torch.special.entr(x).sum(-1) + torch.special.entr(1 - x).sum(-1)


def floors(x):
    return entropy(x).mean(), entropy(x.mean(0))


def floors_clamped(x, eps=1e-6):
    def cost(p):
        p = p.clamp(eps, 1 - eps)
        return -(p * p.log() + (1 - p) * (1 - p).log()).sum(-1)

    return cost(x).mean(), cost(x.mean(0))


def floors_by_cost(x):
    one = x.mean(0).expand_as(x)
    costs = [F.binary_cross_entropy(p, x, reduction="sum") / len(x) for p in (x, one)]
    return torch.stack(costs)


def floors_by_distributions(x):
    pixels = [Bernoulli(p.double()).entropy() for p in (x, x.mean(0))]
    return [float(pixels[0].sum() / len(x)), float(pixels[1].sum())]


def noise(x, mean, std=None, constant=0.0):
    std = (x - mean).pow(2).mean().sqrt() if std is None else std(x - mean)
    d = x.shape[-1]
    log_2pi = math.log(2 * math.pi) + constant
    error = (x - mean).pow(2).sum(-1).mean()
    return std, -0.5 * (d * log_2pi + 2 * d * std.log() + error / std**2)


def noise_closed_form(x, mean):
    mse = F.mse_loss(mean, x)
    return mse**0.5, -x.shape[1] / 2 * (math.log(2 * math.pi * float(mse)) + 1)


def noise_by_search(x, mean):
    stds = torch.linspace(0.01, 1.5, 150_000)
    mse = float(((x - mean) ** 2).mean())
    values = -x.shape[1] * (stds.log() + mse / (2 * stds**2))
    std = float(stds[values.argmax()])
    return [std, float(Normal(mean, std).log_prob(x).sum(1).mean())]


def noise_by_distributions(x, mean):
    std = torch.linalg.vector_norm(x - mean) / math.sqrt(x.numel())
    return torch.stack([std, Normal(mean, std).log_prob(x).sum(1).mean()])


def constant_by_where(v, limit=1e-3):
    near = v.abs() < limit
    safe = torch.where(near, torch.ones_like(v), v)
    return torch.where(near, math.log(2) + v**2 / 12, (safe / (safe / 2).tanh()).log())


def constant_of_size(v):
    size = v.abs().clamp(min=1e-4)
    return size.log() + torch.log1p((-size).exp()) - torch.log(-torch.expm1(-size))


def constant_by_mask(v):
    out = torch.full_like(v, math.log(2)) + 0 * v
    some = v.abs() > 1e-3
    out[some] = torch.log(v[some] / torch.tanh(v[some] / 2))
    return out


def constant_plain(v):
    return torch.log(v / torch.tanh(v / 2))


def constant_by_probability(v):
    p = torch.sigmoid(v)
    return torch.log(2 * torch.atanh(1 - 2 * p) / (1 - 2 * p))


RIGHT = {
    "five_losses": [betas, betas_measured, betas_by_library],
    "two_floors": [
        floors,
        floors_clamped,
        floors_by_cost,
        floors_by_distributions,
        lambda x: torch.stack(floors(x.float())).numpy(),
    ],
    "best_noise": [noise, noise_closed_form, noise_by_search, noise_by_distributions],
    "log_constant": [
        constant_by_where,
        constant_of_size,
        constant_by_mask,
        lambda v: constant_by_where(v.double(), 1e-5).float(),
    ],
}
WRONG = {
    "five_losses": [
        (with_beta(2, lambda b, d, j: b), "upside down"),
        (with_beta(2, lambda b, d, j: 1), "averaged over the images"),
        (with_beta(3, lambda b, d, j: 1), "`mean` divides"),
        (with_beta(4, lambda b, d, j: 1 / (b * d)), "whatever it looks like"),
        (with_beta(5, lambda b, d, j: 0.00025), "images and pixels"),
        (with_beta(5, lambda b, d, j: 0.196), "B = 8"),
        (lambda b, d, j: [1, 1], "five numbers"),
        (lambda b, d, j: None, "return"),
    ],
    "two_floors": [
        (
            lambda x: -(x * x.log() + (1 - x) * (1 - x).log()).sum(-1)[:2],
            "count as 0",
        ),
        (lambda x: floors_clamped(x, 1e-4), "784 pixels"),
        (lambda x: [part / math.log(2) for part in floors(x)], "bits"),
        (
            lambda x: (
                torch.special.entr(x).sum(-1).mean(),
                torch.special.entr(x.mean(0)).sum(),
            ),
            "other outcome",
        ),
        (lambda x: [part / x.shape[-1] for part in floors(x)], "no mean"),
        (lambda x: [-part for part in floors(x)], "sign"),
        (lambda x: [part * len(x) for part in floors(x)], "Per image"),
        (lambda x: floors(x)[::-1], "exchanged"),
        (lambda x: (floors(x)[0], x.shape[1] * math.log(2)), "1/2"),
        (lambda x: 2 * floors(x)[:1], "average the images"),
        (lambda x: floors(x)[0], "shape"),
    ],
    "best_noise": [
        (lambda x, m: noise(x, m, lambda e: e.square().mean()), "s^2"),
        (lambda x, m: noise(x, m, lambda e: e.std()), "mean of the errors"),
        (
            lambda x, m: noise(x, m, lambda e: e.square().mean(1).sqrt().mean()),
            "average first",
        ),
        (
            lambda x, m: noise(x, m, lambda e: e.square().sum(1).mean().sqrt()),
            "one pixel",
        ),
        (lambda x, m: noise(x, m, lambda e: e.abs().mean()), "mean size"),
        (lambda x, m: noise(x, m, constant=-math.log(2 * math.pi)), "log(2 pi)"),
        (lambda x, m: (noise(x, m)[0], -noise(x, m)[1]), "sign"),
        (lambda x, m: (noise(x, m)[0], noise(x, m)[1] * len(x)), "over images"),
        (lambda x, m: (noise(x, m)[0], noise(x, m)[1] / x.shape[1]), "adds them up"),
        (lambda x, m: (noise(x, m)[0], noise(x, m)[1] + x.shape[1] / 2), "not 0"),
        (
            lambda x, m: (noise(x, m)[0], -x.shape[1] / 2 * (math.log(6.283185) + 1)),
            "no s would",
        ),
        (lambda x, m: noise(x, m)[0], "stopped"),
    ],
    "log_constant": [
        (constant_plain, "0 divided by 0"),
        (constant_by_probability, "not finite"),
        (lambda v: constant_plain(v + 1e-6), "rounds to 0"),
        (
            lambda v: torch.where(v.abs() < 0.5, math.log(2), constant_by_where(v)),
            "should be",
        ),
        (
            lambda v: torch.where(v == 0, math.log(2), constant_plain(v)),
            "torch.where",
        ),
        (lambda v: (v.abs() + 1e-9).log() - (v.abs() / 2).tanh().log(), "0 divided"),
        (lambda v: constant_by_where(v).exp(), "logarithm"),
        (lambda v: -constant_by_where(v), "sign"),
        (
            lambda v: (v.abs() + 1e-6).log() - (v.abs() + 1e-6).tanh().log(),
            "half the logit",
        ),
        (lambda v: torch.tensor(constant_by_where(v).tolist()), "no gradient"),
        (lambda v: constant_by_where(v.sum()), "shape"),
        (lambda v: torch.from_numpy(v.numpy()), "stopped"),
    ],
}
