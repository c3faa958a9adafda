"""Checks of chapter 1's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_lib import checks


def log_evidence(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise A: ``answer(log_p_x_given_z, p_z)``, (K, B), (K,), is log p(x), (B,)."""

    def reference(log_p: Tensor, p_z: Tensor) -> Tensor:
        return (log_p + p_z.log()[:, None]).logsumexp(0)

    row = torch.tensor
    generator = torch.Generator().manual_seed(1)
    cases = {
        "likelihoods 0.2 and 0.4 of the probabilities 3/4 and 1/4": (
            row([[0.2], [0.4]]).log(),
            row([0.75, 0.25]),
        ),
        "5 codes for 3 images": (
            2 * torch.randn(5, 3, generator=generator) - 1,
            row([0.1, 0.4, 0.0, 0.2, 0.3]),
        ),
        "3 codes with the log-likelihood -800": (
            torch.full((3, 1), -800.0),
            row([0.2, 0.5, 0.3]),
        ),
    }
    rounds = (
        "exp(-800) rounds to zero: take the largest exponent out before you "
        "exponentiate, as torch.logsumexp does."
    )
    mistakes = {
        "That is the mean of the logarithms, which is smaller than the logarithm of "
        "the mean.": lambda log_p, p_z: p_z @ log_p,
        "You add the likelihoods up: each counts with the probability of its code.": (
            lambda log_p, p_z: log_p.logsumexp(0)
        ),
        "A plain average: each code counts with its probability.": (
            lambda log_p, p_z: log_p.logsumexp(0) - math.log(len(log_p))
        ),
        "You divide by K as well: the probabilities add up to 1 already.": (
            lambda log_p, p_z: reference(log_p, p_z) - math.log(len(log_p))
        ),
        rounds: lambda log_p, p_z: (p_z @ log_p.exp()).log(),
        f"Adding a small number is no way out: {rounds}": (
            lambda log_p, p_z: (p_z @ log_p.exp()).clamp(min=1e-8).log()
        ),
        "One value per image: average over the first axis only.": (
            lambda log_p, p_z: reference(log_p, p_z).logsumexp(0)
        ),
        "That is the evidence: return its logarithm.": (
            lambda log_p, p_z: p_z @ log_p.exp()
        ),
    }
    checks.compare(answer, reference, cases, mistakes)


def posterior(answer: Callable[[Tensor, Tensor, float], tuple]) -> None:
    """Exercise B: ``answer(x, weight, noise_std)`` is (mean, variance) of the code."""

    def gaussian(x, weight, noise_std, prior=1.0, power=2, square=2, count=1.0):
        precision = prior + (weight**square).sum() / count / noise_std**power
        mean = (weight * x).sum() / count / noise_std**power / precision
        return torch.stack([mean, 1 / precision])

    def changed(function: Callable[[Tensor, Tensor], tuple]) -> Callable[..., Tensor]:
        return lambda *arguments: torch.stack(function(*gaussian(*arguments)))

    row = torch.tensor
    cases = {
        "x = 2, w = 1, s = 1 (mean, variance)": (row([2.0]), row([1.0]), 1.0),
        "w = (0, 2), s = 0.5 (mean, variance)": (row([5.0, 1.0]), row([0.0, 2.0]), 0.5),
        "three pixels (mean, variance)": (
            row([0.3, -1.0, 2.0]),
            row([0.5, 1.5, -1.0]),
            0.7,
        ),
    }
    mistakes = {
        "The prior is missing: it is one more observation, with precision 1.": (
            lambda *a: gaussian(*a, prior=0.0)
        ),
        "noise_std is s: a precision is one over s squared.": (
            lambda *a: gaussian(*a, power=1)
        ),
        "The second number is a standard deviation: return the variance.": (
            changed(lambda mean, variance: (mean, variance.sqrt()))
        ),
        "The second number is a precision: the variance is one over it.": (
            changed(lambda mean, variance: (mean, 1 / variance))
        ),
        "The mean comes first, then the variance.": (
            changed(lambda mean, variance: (variance, mean))
        ),
        "The mean: what the pixels say is still to be divided by the precision.": (
            changed(lambda mean, variance: (mean / variance, variance))
        ),
        "You average over the pixels: each of them adds its own information.": (
            lambda x, weight, noise_std: gaussian(
                x, weight, noise_std, count=float(len(x))
            )
        ),
        "The weights enter the precision squared.": (lambda *a: gaussian(*a, square=1)),
    }
    checks.compare(answer, gaussian, cases, mistakes)


def samples_needed(answer: Callable[[Tensor, Tensor, float], float]) -> None:
    """Exercise C: ``answer(log_p_x_given_z, z, relative_error)`` is the K it takes."""

    def moments(log_p, z):
        prior = Normal(0.0, 1.0).log_prob(z).exp()
        first, second = (torch.trapezoid(log_p.exp() ** k * prior, z) for k in (1, 2))
        return first, second

    def reference(log_p, z, delta, power=2):
        first, second = moments(log_p, z)
        return (second / first**2 - 1) / delta**power

    def absolute(log_p, z, delta):
        first, second = moments(log_p, z)
        return (second - first**2) / delta**2

    def with_rho(log_p, z, delta):
        return reference(log_p, z, delta) + 1 / delta**2

    def without_prior(log_p, z, delta):
        first, second = (torch.trapezoid(log_p.exp() ** k, z) for k in (1, 2))
        return (second / first**2 - 1) / delta**2

    z = torch.linspace(-8, 8, 4001).double()
    two_peaks = Normal(z**2 + z / 4, 0.4).log_prob(torch.tensor(2.0))
    cases = {
        "x = 1, w = s = 1, one per cent": (Normal(z, 1).log_prob(z * 0 + 1), z, 0.01),
        "a likelihood without z": (0 * z - 2, z, 0.01),
        "the example with two peaks, x = 2, ten per cent": (two_peaks, z, 0.1),
    }
    mistakes = {
        "Is it rho - 1 or rho? A likelihood without z should cost nothing.": with_rho,
        "The standard deviation falls like one over the root of K: where is the square "
        "of the relative error?": lambda *a: reference(*a, power=1),
        "That is for an absolute error: divide by p(x) squared.": absolute,
        "Where is the prior? Both integrals are expectations under it.": without_prior,
    }
    checks.compare(answer, reference, cases, mistakes, rtol=1e-3, atol=1.0)
