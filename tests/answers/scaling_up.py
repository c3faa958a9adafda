"""Right and wrong answers to chapter 12, with a word that the check says."""

import math
from fractions import Fraction

import numpy as np
import torch


def weighted(means, sizes):
    return (sizes[:, None] * means).sum(0) / sizes.sum()


def weighted_by_loop(means, sizes):
    total, count = 0, 0
    for mean, size in zip(means, sizes.tolist(), strict=True):
        total, count = total + size * mean, count + size
    return total / count


def noise(rank, n_processes, batch, latent_dim, seed):
    torch.manual_seed(seed)
    return torch.randn(batch, latent_dim)[rank::n_processes]


def noise_by_generator(rank, n_processes, batch, latent_dim, seed):
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(batch, latent_dim, generator=generator, dtype=torch.float64)
    return torch.stack([eps[i] for i in range(batch) if i % n_processes == rank])


def noise_by_numpy(rank, n_processes, batch, latent_dim, seed):
    eps = np.random.default_rng(seed).normal(size=(batch, latent_dim))
    return eps[np.arange(rank, batch, n_processes)]


def own_noise(rank, n_processes, batch, latent_dim, seed):
    torch.manual_seed(seed)
    return torch.randn(len(range(rank, batch, n_processes)), latent_dim)


def time_of(
    W, t0, t1, batch, n_parameters, latency, rate, overlap=0, *, rounds=2, size=4
):
    computing = batch * t1 / W
    sending = rounds * (W - 1) * (latency + size * n_parameters / (W * rate))
    left = sending - overlap * computing
    return t0 + computing + (left > 0) * left


def gain(W, *plan, **factors):
    return time_of(1, *plan) / time_of(W, *plan, **factors)


def gain_in_fractions(W, *plan):
    plan = [Fraction(value) for value in plan]
    return float(time_of(Fraction(1), *plan) / time_of(Fraction(W), *plan))


def gain_by_the_longer(W, t0, t1, batch, n_parameters, latency, rate, overlap):
    computing = batch * t1 / W
    sending = 2 * (W - 1) * latency + 8 * n_parameters / rate * (1 - 1 / W)
    step = t0 + max(computing, sending + (1 - overlap) * computing)
    return torch.tensor((t0 + batch * t1) / step)


def instead(change):
    """The gain where the time with W processes is another one."""
    return lambda W, *plan: time_of(1, *plan) / change(W, *plan)


def best(*arguments):
    return max(range(1, arguments[-1] + 1), key=lambda W: gain(W, *arguments[:-1]))


def best_by_tensor(*arguments):
    return time_of(torch.arange(1, arguments[-1] + 1), *arguments[:-1]).argmin() + 1


def star(t0, t1, batch, n_parameters, latency, rate, sign=-1, two=2):
    a = batch * t1 + sign * 8 * n_parameters / rate
    return math.sqrt(max(a, 0) / (two * latency))


def best_by_neighbours(*arguments):
    *plan, most = arguments
    low = min(most, max(1, math.floor(star(*plan))))
    return min((low, min(low + 1, most)), key=lambda W: time_of(W, *plan))


RIGHT = {
    "combine": [
        weighted,
        weighted_by_loop,
        lambda means, sizes: (sizes / sizes.sum()).to(means.dtype) @ means,
        lambda means, sizes: np.average(means.numpy(), axis=0, weights=sizes.numpy()),
    ],
    "share_of_noise": [noise, noise_by_generator, noise_by_numpy],
    "speed_up": [gain, gain_in_fractions, gain_by_the_longer],
    "best_processes": [best, best_by_tensor, best_by_neighbours],
}
WRONG = {
    "combine": [
        (lambda means, sizes: means.mean(0), "mean of means"),
        (lambda means, sizes: (sizes[:, None] * means).mean(0), "number of shares"),
        (lambda means, sizes: (sizes[:, None] * means).sum(0), "sum over the images"),
        (lambda means, sizes: means.sum(0), "add up the means"),
        (
            lambda means, sizes: (means / sizes[:, None]).sum(0) / (1 / sizes).sum(),
            "weigh more",
        ),
        (lambda means, sizes: weighted(means, sizes).mean(), "shape"),
        (lambda means, sizes: sizes * means / sizes.sum(), "stopped"),
    ],
    "share_of_noise": [
        (own_noise, "different images"),
        (lambda r, W, *a: noise(r, W, *a[:-1], a[-1] + r), "other noise"),
        (lambda r, W, *a: noise(0, 1, *a[:-1], a[-1] + W)[r::W], "other noise"),
        (lambda r, W, *a: noise(0, 1, *a), "shape"),
        (lambda r, W, n, J, seed: torch.randn(n, J)[r::W], "use the seed"),
        (lambda r, W, n, J, seed: noise(r, W, n, J, 0), "seeds 3 and 4"),
        (lambda r, W, n, J, s: noise(r, W, n, J, s).sigmoid(), "N(0, 1)"),
        (
            lambda r, W, n, J, s: noise(0, 1, n, J, s).tensor_split(W)[r],
            "block",
        ),
        (3, "function"),
    ],
    "speed_up": [
        (lambda *a: 1 / gain(*a), "Upside down"),
        (lambda *a: gain(*a, rounds=1), "there and back"),
        (lambda *a: gain(*a, size=1), "four bytes"),
        (lambda W, *a: gain(W, *a, size=4 * W), "whole vector"),
        (instead(lambda W, *a: time_of(W, *a[:4], 0.0, *a[5:])), "latency"),
        (instead(lambda W, *a: time_of(W, a[0] / W, *a[1:])), "every process"),
        (
            instead(lambda W, a, b, n, *c: time_of(W, a, b, n * W, *c)),
            "images of the batch",
        ),
        (instead(lambda W, *a: time_of(W, *a[:6])), "where does the overlap"),
        (
            instead(lambda W, *a: time_of(W, *a[:6]) - a[6] * a[1] * a[2] / W),
            "More cannot be hidden",
        ),
        (
            instead(
                lambda W, *a: (
                    (1 - a[6]) * time_of(W, *a[:6]) + a[6] * (a[0] + a[1] * a[2] / W)
                )
            ),
            "not that share of the sending",
        ),
        (instead(lambda W, *a: time_of(W, *a[:6], a[6] * W)), "of one process"),
        (
            instead(
                lambda W, *a: time_of(W, *a[:6], a[6] * (1 + W * a[0] / a[1] / a[2]))
            ),
            "t0 hides nothing",
        ),
        (lambda W, *a: W, "should be"),
    ],
    "best_processes": [
        (lambda *a: min(a[-1], max(1, round(star(*a[:-1])))), "rounded formula"),
        (lambda *a: min(a[-1], max(1, int(star(*a[:-1])))), "Rounding down"),
        (lambda *a: best(*a[:-1], 1000), "most"),
        (lambda *a: a[-1], "ring longer"),
        (lambda *a: min(a[-1], max(1, round(star(*a[:-1], sign=1)))), "subtracted"),
        (lambda *a: min(a[-1], max(1, round(star(*a[:-1], two=1)))), "not over one"),
        (lambda *a: 1, "should be"),
    ],
}
