"""Checks of chapter 10's exercises."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from vae_lib import checks


def told(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise A: ``answer(mu, logvar)``, each (N, J), is the images' share, (J,)."""

    def reference(mu: Tensor, logvar: Tensor) -> Tensor:
        return mu.var(0) / (mu.var(0) + logvar.exp().mean(0))

    generator = torch.Generator().manual_seed(10)
    noise = torch.randn(4000, 6, generator=generator)
    mixed = torch.randn(4000, 6, generator=generator) - 1
    scale = torch.tensor([1.0, 0.8, 0.3, 0.05, 0.02, 0.001])
    wide, narrow = torch.zeros(4000, 6), torch.full((4000, 6), -5.0)
    flat = torch.tensor([3.0, 0.0, -1.0, 0.5, 0.2, 2.0]).expand(4000, 6)
    some = {
        "all codes equal to the prior": (0 * noise, wide),
        "six means that never move": (flat, narrow),
        "means that move by 1, 0.8, 0.3, 0.05, 0.02 and 0.001": (noise * scale, wide),
        "the same means, precise codes": (noise * scale + flat, narrow),
        "the same means, noise of many sizes": (noise * scale, mixed),
    }
    mistakes = {
        "That is the share of the noise: 1 minus it is asked for.": (
            lambda mu, lv: 1 - reference(mu, lv)
        ),
        "The variance of the mean code alone: divide by that of the code.": (
            lambda mu, lv: mu.var(0)
        ),
        "A ratio of the two parts: divide by their sum.": (
            lambda mu, lv: mu.var(0) / lv.exp().mean(0)
        ),
        "Variances add up, standard deviations do not.": (
            lambda mu, lv: mu.std(0) / (mu.std(0) + (lv / 2).exp().mean(0))
        ),
        "A mean of squares is no variance: a unit that always says 3 says nothing.": (
            lambda mu, lv: (
                mu.square().mean(0) / (mu.square().mean(0) + lv.exp().mean(0))
            )
        ),
        "You take the variance over the dimensions: take it over the images, dim 0.": (
            lambda mu, lv: mu.var(1) / (mu.var(1) + lv.exp().mean(1))
        ),
        "The mean of sigma^2, not of its logarithm.": (
            lambda mu, lv: mu.var(0) / (mu.var(0) + lv.mean(0).exp())
        ),
        "exp(logvar / 2) is sigma: the noise has the variance sigma^2.": (
            lambda mu, lv: mu.var(0) / (mu.var(0) + (lv / 2).exp().mean(0))
        ),
        "The noise's part is a mean of sigma^2, not a variance of it.": (
            lambda mu, lv: mu.var(0) / (mu.var(0) + lv.exp().var(0))
        ),
    }
    checks.compare(answer, reference, some, mistakes, rtol=2e-3)


def linear_optimum(answer: Callable[..., tuple]) -> None:
    """Exercise B: ``answer(eigenvalues, n_dims, beta, noise_std)``, three numbers."""

    def water(lam, tau):  # what is left of a direction that may be used
        return lam.clamp(max=tau)

    def reference(
        lam, n_dims, beta, std, *, power=2, half=0.5, floor=0.0, left=water, rest=1
    ):
        tau = beta * std**power
        top, others = lam[:n_dims], lam[n_dims:]
        rate = half * (top / tau).log().clamp(min=floor).sum()
        error = left(top, tau).sum() + rest * others.sum()
        return torch.stack([(top > tau).double().sum(), rate, error])

    spectrum = torch.tensor([5.12, 3.74, 3.25, 2.84, 1.5, 0.6, 0.1]).double()
    some = {
        "tau = 1, enough dimensions": (spectrum, 7, 1.0, 1.0),
        "tau = 1, three dimensions": (spectrum, 3, 1.0, 1.0),
        "beta = 4, noise_std = 0.5, six dimensions": (spectrum, 6, 4.0, 0.5),
        "beta = 0.5, noise_std = 2.5, six dimensions": (spectrum, 6, 0.5, 2.5),
        "beta = 784, noise_std = 0.7": (spectrum, 7, 784.0, 0.7),
    }
    mistakes = {
        "tau = beta s^2: the noise enters squared.": partial(reference, power=1),
        "tau = beta s^2: where is beta?": (
            lambda lam, n_dims, beta, std: reference(lam, n_dims, 1.0, std)
        ),
        "A model with n_dims dimensions uses n_dims directions at most.": (
            lambda lam, n_dims, *a: reference(lam, len(lam), *a)
        ),
        "The rate is twice too large: where is the one half?": (
            partial(reference, half=1.0)
        ),
        "The rate is in bits: nats are asked for, the natural logarithm.": (
            partial(reference, half=0.5 / math.log(2))
        ),
        "An idle direction has the rate 0: no negative logarithm.": (
            partial(reference, floor=-math.inf)
        ),
        "Directions beyond n_dims are not decoded: what is left of them?": (
            partial(reference, rest=0)
        ),
        "An eigenvalue below tau leaves an error of less than tau.": (
            partial(reference, left=torch.full_like)
        ),
        "A direction in use is left with the error tau: its code is noisy.": (
            partial(reference, left=lambda lam, tau: lam * (lam <= tau))
        ),
    }
    checks.compare(answer, reference, some, mistakes)


def weights_for(answer: Callable[[Tensor, Tensor, int], tuple]) -> None:
    """Exercise C: ``answer(rates, distortions, k)`` is (lowest, highest) weight."""

    def interval(rates, distortions, k, most=max, least=min, keep=lambda i, k: True):
        dearer, cheaper = [0.0], [math.inf]
        for i in range(len(rates)):
            gap = float(rates[i] - rates[k])
            if gap and keep(i, k):
                price = float(distortions[k] - distortions[i]) / gap
                (dearer if gap > 0 else cheaper).append(price)
        return most(dearer), least(cheaper)

    def finite(most):  # the wrong one of several prices, without 0 and infinity
        return lambda prices: most(prices[1:] or prices)

    rates = torch.tensor([50.0, 30.0, 20.0, 10.0, 2.0]).double()
    distortions = torch.tensor([60.0, 66.0, 76.0, 97.0, 150.0]).double()
    above = torch.tensor([60.0, 66.0, 90.0, 97.0, 150.0]).double()
    mixed = torch.tensor([3, 0, 4, 2, 1])
    some = {f"five points, k = {k}": (rates, distortions, k) for k in range(5)}
    some |= {f"a point above the others, k = {k}": (rates, above, k) for k in (1, 2, 3)}
    some["five points in another order, k = 3"] = rates[mixed], distortions[mixed], 3
    mistakes = {
        "Lowest and highest are exchanged.": lambda *a: interval(*a)[::-1],
        "That is rate per nat of distortion: a weight is distortion per nat of rate.": (
            lambda *a: tuple(1 / w if w else math.inf for w in interval(*a)[::-1])
        ),
        "The point must beat all others, not only its neighbours in the list.": (
            lambda *a: interval(*a, keep=lambda i, k: abs(i - k) == 1)
        ),
        "The point must beat each of the others: the strictest of the limits counts, "
        "yours are the mildest.": (
            lambda *a: interval(*a, most=finite(min), least=finite(max))
        ),
        "The weights have the wrong sign: distortion falls where the rate rises.": (
            lambda *a: tuple(-w for w in interval(*a))
        ),
        "You hold the point against those with a larger rate only.": (
            lambda *a: (interval(*a)[0], math.inf)
        ),
    }
    checks.compare(answer, interval, some, mistakes)
