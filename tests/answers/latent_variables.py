"""Right and wrong answers to chapter 1's exercises, with a word that the check says."""

import math

import numpy as np
import torch
from torch.distributions import Normal

from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.objectives import importance_weighted_bound


def log_average(log_p, p_z):
    return (log_p + p_z.log()[:, None]).logsumexp(0)


def log_average_by_shift(log_p, p_z):
    top = log_p.max(0).values
    return top + (p_z[:, None] * (log_p - top).exp()).sum(0).log()


def log_average_by_loop(log_p, p_z):
    total = torch.full(log_p.shape[1:], -math.inf)
    for row, weight in zip(log_p, p_z, strict=True):
        total = torch.logaddexp(total, row + weight.log())
    return total


def log_average_by_numpy(log_p, p_z):
    used = (p_z > 0).numpy()
    rows = log_p.numpy()[used] + np.log(p_z.numpy()[used])[:, None]
    return np.logaddexp.reduce(rows, axis=0)


def log_average_by_mixture(log_p, p_z):
    """By copies: K probabilities that are all alike are a plain mean."""
    return importance_weighted_bound(log_p + (len(p_z) * p_z).log()[:, None])


def posterior_by_matrices(x, weight, noise_std):
    model = LinearGaussianModel(weight[:, None], torch.zeros(len(x)), noise_std)
    mean, covariance = model.posterior(x[None])
    return mean[0, 0], covariance[0, 0]


def posterior_pixel_by_pixel(x, weight, noise_std, prior=1.0, power=2, count=1):
    information, precision = 0.0, prior
    for value, w in zip(x.tolist(), weight.tolist(), strict=True):
        information += w * value / noise_std**power / count
        precision += w * w / noise_std**power / count
    return information / precision, 1 / precision


def posterior_on_a_grid(x, weight, noise_std):
    z = torch.linspace(-10, 10, 20_001).double()
    log_p = -(z**2) / 2 - ((x - weight * z[:, None]) ** 2).sum(1) / 2 / noise_std**2
    p = log_p.softmax(0)
    mean = (p * z).sum()
    return mean, (p * z**2).sum() - mean**2


def wrong_second(function):
    def answer(*arguments):
        mean, variance = posterior_pixel_by_pixel(*arguments)
        return mean, function(variance)

    return answer


def linear_weights(x, weight, noise_std):
    precision = 1 + weight.sum() / noise_std**2
    return (weight @ x) / noise_std**2 / precision, 1 / precision


def samples(log_p, z, delta, minus=1.0, power=2, normalised=True, prior=True):
    weight = (z[1] - z[0]) * (Normal(0, 1).log_prob(z).exp() if prior else 1)
    first = (weight * log_p.exp()).sum()
    second = (weight * (2 * log_p).exp()).sum()
    if not normalised:
        return (second - first**2) / delta**power
    return (second / first**2 - minus) / delta**power


def samples_from_the_posterior(log_p, z, delta):
    log_prior = Normal(0, 1).log_prob(z)
    posterior = (log_p + log_prior).softmax(0)
    evidence = torch.trapezoid((log_p + log_prior).exp(), z)
    return ((posterior * log_p.exp()).sum() / evidence - 1) / delta**2


RIGHT = {
    "log_evidence": [
        log_average,
        log_average_by_shift,
        log_average_by_loop,
        log_average_by_numpy,
        log_average_by_mixture,
    ],
    "posterior": [
        posterior_by_matrices,
        posterior_pixel_by_pixel,
        posterior_on_a_grid,
    ],
    "samples_needed": [
        samples,
        samples_from_the_posterior,
        lambda *a: math.ceil(samples(*a)),
        lambda log_p, z, delta: samples(log_p.float(), z.float(), delta),
    ],
}
WRONG = {
    "log_evidence": [
        (lambda log_p, p_z: (p_z[:, None] * log_p).sum(0), "mean of the logarithms"),
        (lambda log_p, p_z: torch.logsumexp(log_p, 0), "probability of its code"),
        (lambda log_p, p_z: importance_weighted_bound(log_p), "plain average"),
        (
            lambda log_p, p_z: log_average(log_p, p_z) - math.log(len(p_z)),
            "divide by K",
        ),
        (lambda log_p, p_z: torch.log(p_z @ log_p.exp()), "rounds to zero"),
        (lambda log_p, p_z: (p_z @ log_p.exp()).clamp(1e-8).log(), "no way out"),
        (lambda log_p, p_z: (log_p.exp() * p_z).sum(0).log(), "stopped"),
        (lambda log_p, p_z: log_average(log_p, p_z).logsumexp(0), "first axis"),
        (lambda log_p, p_z: p_z @ log_p.exp(), "return its logarithm"),
        (lambda log_p: log_p.logsumexp(0), "stopped"),
    ],
    "posterior": [
        (lambda *a: posterior_pixel_by_pixel(*a, prior=0.0), "prior"),
        (lambda *a: posterior_pixel_by_pixel(*a, power=1), "squared"),
        (lambda *a: posterior_pixel_by_pixel(*a, count=len(a[0])), "average"),
        (linear_weights, "enter the precision"),
        (lambda *a: posterior_pixel_by_pixel(*a)[::-1], "comes first"),
        (
            lambda x, weight, s: (
                (weight @ x) / s**2,
                posterior_pixel_by_pixel(x, weight, s)[1],
            ),
            "divided by the precision",
        ),
        (wrong_second(math.sqrt), "standard deviation"),
        (wrong_second(lambda variance: 1 / variance), "precision"),
        (lambda *a: posterior_pixel_by_pixel(*a)[0], "shape"),
        (lambda x, weight, s: ((weight * x).sum(), s), "should be"),
    ],
    "samples_needed": [
        (lambda *a: samples(*a, minus=0.0), "rho - 1"),
        (lambda *a: samples(*a, power=1), "square"),
        (lambda *a: samples(*a, normalised=False), "absolute"),
        (lambda *a: samples(*a, prior=False), "prior"),
        (lambda *a: 2 * samples(*a), "should be"),
        (lambda *a: torch.tensor([3641.0]), "shape"),
    ],
}
