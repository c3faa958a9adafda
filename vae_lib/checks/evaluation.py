"""Checks of chapter 9's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_lib import checks
from vae_lib.distributions import gaussian_kl
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.objectives import importance_weighted_bound

FAR = "log weights near -1000"


def cases() -> dict[str, tuple[Tensor]]:
    """Log weights (K, B) by the words for them."""
    generator = torch.Generator().manual_seed(9)
    some = torch.randn(7, 3, generator=generator)
    return {
        "the weights 1 and 3 of one image": (torch.tensor([[0.0], [math.log(3)]]),),
        "7 draws for each of 3 images": (some,),
        FAR: (some - 1000,),
        "two images 800 nats apart": (some[:, :2] - torch.tensor([40.0, 840.0]),),
        "two draws 300 nats apart": (torch.tensor([[-300.0], [0.0]]),),
    }


def require_finite(answer: Callable[[Tensor], Tensor]) -> None:
    """The answer's values are finite, whatever the size of the weights."""
    for name, arguments in cases().items():
        found = checks.call(answer, name, arguments)
        where = "of each image" if name != FAR else "from all of them"
        checks.require(
            bool(found.isfinite().all()),
            f"at {name} not finite: exp() leaves the range of numbers; subtract the "
            f"largest log weight {where} before it",
        )


def log_mean_exp(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise A: ``answer(log_w)``, (K, B), is the log of the mean weight, (B,)."""

    def shifted(log_w: Tensor) -> Tensor:
        return importance_weighted_bound(log_w - log_w.amax(0))

    require_finite(answer)
    mistakes = {
        "That is the mean of the logarithms, the ELBO: average the weights "
        "themselves.": lambda log_w: log_w.mean(0),
        "That is the log of the sum: a mean divides by K, inside the logarithm.": (
            lambda log_w: log_w.logsumexp(0)
        ),
        "What you subtracted before exp() has to come back.": shifted,
        "You average over the images: the draws are the first axis.": (
            lambda log_w: importance_weighted_bound(log_w.T)
        ),
        "One number for all images: average over the draws only.": (
            lambda log_w: importance_weighted_bound(log_w.flatten())
        ),
        "That is the mean weight: its logarithm is asked.": (
            lambda log_w: importance_weighted_bound(log_w).exp()
        ),
    }
    checks.compare(answer, importance_weighted_bound, cases(), mistakes)


def estimate(answer: Callable) -> None:
    """Exercise B: ``answer(model, x, mu, std, n_samples)`` estimates log p(x), (B,)."""
    weight = torch.tensor([[1.0, 0.5], [1.0, -0.5], [0.0, 1.0]]).double()
    weight[:, 1] -= weight[:, 0] * (weight[:, 0] @ weight[:, 1]) / 2  # a diagonal M
    model = LinearGaussianModel(weight, torch.zeros(3).double(), 0.8)
    x = torch.tensor([[1.0, 0.5, -0.5], [0.0, -2.0, 1.0]]).double()
    exact, (mu, covariance) = model.log_evidence(x), model.posterior(x)
    std = covariance.diagonal().sqrt().expand_as(mu)
    torch.manual_seed(9)
    name = "a q that is wider than the posterior, n_samples = 5000"
    found = checks.call(answer, name, (model, x, mu, 1.5 * std, 5000))
    checks.require(
        found.shape == (2,), f"one value per image, got {checks.shown(found)}"
    )
    if not checks.close(found, exact, rtol=0, atol=0.15):
        for hint, value in mistakes_of(model, x, mu, 1.5 * std, 5000).items():
            checks.require(not checks.close(found, value, rtol=0, atol=0.15), hint)
        off = (found - exact).abs().max().item()
        raise AssertionError(
            f"at {name} you are off by {off:.2g} nats: is every z a draw from q, with "
            "standard deviation std, and does each log density have its constant?"
        )
    for n_samples in (1, 3):
        name = f"q = the exact posterior, n_samples = {n_samples}"
        found = checks.call(answer, name, (model, x, mu, std, n_samples))
        checks.require(
            checks.close(found, exact, rtol=0, atol=1e-3),
            f"at {name} every weight is p(x), but your estimate is off: do the draws "
            "and log q use the same mu and std?",
        )
    checks.passed("your estimate")


def mistakes_of(model, x, mu, std, n_samples) -> dict[str, Tensor]:
    """What wrong weights come to, by the hint that helps."""
    q, p = Normal(mu, std), Normal(torch.zeros_like(mu), 1.0)
    z = q.sample((n_samples,))
    likelihood = model.log_p_x_given_z(x, z)  # (K, B)
    prior, code = p.log_prob(z).sum(-1), q.log_prob(z).sum(-1)
    right, kl = likelihood + prior - code, gaussian_kl(mu, 2 * std.log())
    bound = importance_weighted_bound
    return {
        "log q(z) is missing from your weights.": bound(likelihood + prior),
        "The prior is missing from your weights.": bound(likelihood - code),
        "log q(z) has the wrong sign: the weight divides by q.": bound(
            right + 2 * code
        ),
        "With the closed KL in place of log p(z) - log q(z) all draws get one and the "
        "same price: each needs its own.": bound(likelihood - kl),
        "You average logarithms: that is the ELBO.": right.mean(0),
        "Where is the division by the number of samples?": right.logsumexp(0),
        "log p(z) - log q(z) has the wrong sign.": bound(likelihood - prior + code),
    }


def effective_sample_size(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise C: ``answer(log_w)``, (K, B), is the effective sample size, (B,)."""

    def reference(log_w: Tensor) -> Tensor:
        return 1 / log_w.softmax(0).square().sum(0)

    require_finite(answer)
    mistakes = {
        "That is its share of K.": lambda log_w: reference(log_w) / len(log_w),
        "Upside down.": lambda log_w: 1 / reference(log_w),
        "You take the log weights for the weights.": (
            lambda log_w: log_w.sum(0).square() / log_w.square().sum(0)
        ),
        "The sum in the numerator is squared.": (
            lambda log_w: log_w.exp().sum(0) / log_w.exp().square().sum(0)
        ),
        "That is the relative variance K / ESS - 1.": (
            lambda log_w: len(log_w) / reference(log_w) - 1
        ),
        "The draws are the first axis.": lambda log_w: reference(log_w.T),
        "One number for all images: add up over the draws only.": (
            lambda log_w: reference(log_w.flatten())
        ),
    }
    equal = {"5 equal weights": (torch.full((5, 1), -3.0),)}
    checks.compare(answer, reference, cases() | equal, mistakes)


def fit(answer: Callable) -> None:
    """Exercise D: ``answer(log_joint, mu, logvar)`` is the best q's (mu, logvar)."""
    mean, std = torch.tensor([[2.0, -1.0], [0.8, 0.4]]).double()
    correlation = torch.tensor([[1.0, 0.8], [0.8, 1.0]]).double()
    covariance = std[:, None] * correlation * std
    precision = covariance.inverse()

    def log_joint(z: Tensor) -> Tensor:
        return -0.5 * (((z - mean) @ precision) * (z - mean)).sum(-1) - 20

    def both(*arguments) -> Tensor:
        return torch.stack([torch.as_tensor(p).double() for p in answer(*arguments)])

    torch.manual_seed(9)
    name = "a posterior with correlation 0.8"
    start = (log_joint, torch.tensor([1.0, -0.5]), torch.tensor([-2.0, -3.0]))
    found = checks.call(both, name, start)
    checks.require(found.shape == (2, 2), "return a pair, mu and logvar, each (J,)")
    delta, best = found[0] - mean, 1 / precision.diagonal()
    checks.require(bool(found.isfinite().all()), "your mu or logvar is not finite")
    ratio = found[1].exp() / best
    shift = float(0.5 * delta @ precision @ delta)
    lost = shift + float(0.5 * (ratio - ratio.log() - 1).sum())
    if lost < 0.1:
        return checks.passed("your Gaussian")
    hint = "more steps, smaller steps at the end, or more draws in each step?"
    prior = torch.linalg.solve(precision + torch.eye(2), precision @ mean)
    if checks.close(found[0], prior, rtol=0, atol=0.1):
        hint = (
            "log_joint has the prior in it already: add the entropy of q, not the KL."
        )
    elif shift > 0.1:
        hint = (
            "its mean is off: does the gradient reach mu, in the right direction, and "
            "has each of the 300 steps new draws?"
        )
    elif (ratio < 0.3).all():
        hint = (
            "it is much too narrow: without the entropy of q, beside a mean over the "
            "draws, nothing keeps it wide."
        )
    elif checks.close(ratio, covariance.diagonal() / best, rtol=0.3, atol=0):
        hint = "these are the posterior's own variances; the best q is narrower."
    elif (ratio > 1.3).all():
        hint = (
            "it is too wide: is logvar log sigma^2 everywhere, in z and in what you "
            "return, and does the entropy count once, as half of it?"
        )
    raise AssertionError(f"your q is {lost:.2g} nats below the best one: {hint}")
