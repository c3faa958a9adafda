"""Checks of chapter 4's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from vae_lib import checks
from vae_lib.distributions import gaussian_kl


def closed_form(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise A: ``answer(mu, logvar, prior_std)``, (..., J), is the KL, (...)."""

    def parts(mu: Tensor, logvar: Tensor, s: float) -> tuple[Tensor, Tensor, Tensor]:
        """The mean's part, the variance's, and the logarithm, in one dimension each."""
        return mu**2 / s**2, logvar.exp() / s**2, logvar - 2 * math.log(s)

    def joined(mean: Tensor, variance: Tensor, log_ratio: Tensor) -> Tensor:
        return 0.5 * (mean + variance - 1 - log_ratio)

    def of(combine: Callable) -> Callable:
        return lambda mu, logvar, s: combine(*parts(mu, logvar, s)).sum(-1)

    right = of(joined)
    row = torch.tensor
    generator = torch.Generator().manual_seed(4)
    mu, logvar = torch.randn(2, 5, 3, generator=generator).double()
    zero = torch.zeros(2)
    cases = {
        "mu = (0, 0), sigma = (1, 1), s = 1": (zero, zero, 1.0),
        "mu = (1, 0), sigma = (1, 1), s = 1": (row([1.0, 0.0]), zero, 1.0),
        "mu = (0, 0), sigma = (e, 1), s = 1": (zero, row([2.0, 0.0]), 1.0),
        "mu = 0, sigma = 1, s = 2": (zero[:1], zero[:1], 2.0),
        "a batch of 5 in 3 dimensions, s = 0.6": (mu, logvar, 0.6),
    }
    mistakes = {
        "Your divergence is negative: look at the sign in front of the sum.": (
            lambda *a: -right(*a)
        ),
        "That is for s = 1: where does prior_std enter?": (
            lambda mu, logvar, s: right(mu, logvar, 1.0)
        ),
        "s^2 is the prior's variance, you take s for it.": (
            lambda mu, logvar, s: right(mu, logvar, s**0.5)
        ),
        "Divide by s^2 what you multiply by it.": (
            lambda mu, logvar, s: right(mu, logvar, 1 / s)
        ),
        "The logarithm is that of a ratio: the prior's log s^2 is missing.": (
            lambda mu, logvar, s: joined(*parts(mu, logvar, s)[:2], logvar).sum(-1)
        ),
        "The logarithm of s^2 is outside of your sum: every dimension has it.": (
            lambda mu, logvar, s: (
                joined(*parts(mu, logvar, s)[:2], logvar).sum(-1) + math.log(s)
            )
        ),
        "mu is not divided by s.": lambda mu, logvar, s: right(mu * s, logvar, s),
        "Twice too much: where is the one half?": lambda *a: 2 * right(*a),
        "You average over the dimensions: a divergence adds them up.": (
            lambda mu, logvar, s: right(mu, logvar, s) / mu.shape[-1]
        ),
        "You add up the batch as well: one value per example, sum over the last "
        "dimension only.": lambda *a: right(*a).sum(),
        "Without the sum: a divergence adds up the dimensions.": (
            lambda *a: joined(*parts(*a))
        ),
        "You read logvar as log sigma: it is log sigma^2.": (
            lambda mu, logvar, s: right(mu, 2 * logvar, s)
        ),
        "exp(logvar / 2) is sigma: the last term is sigma^2.": (
            lambda mu, logvar, s: joined(
                mu**2 / s**2, (logvar / 2).exp() / s**2, parts(mu, logvar, s)[2]
            ).sum(-1)
        ),
        "Mind the brackets: the one half is a factor of all four terms.": (
            of(lambda m, v, log_ratio: m + v - 0.5 - log_ratio)
        ),
        "mu^2 has the wrong sign: a mean away from 0 must cost something.": (
            of(lambda m, v, log_ratio: joined(-m, v, log_ratio))
        ),
        "mu enters squared.": lambda mu, logvar, s: joined(
            mu / s**2, *parts(mu, logvar, s)[1:]
        ).sum(-1),
        "log sigma^2 has the wrong sign.": (
            of(lambda m, v, log_ratio: joined(m, v, -log_ratio))
        ),
        "The 1 is outside of your sum: it belongs to every dimension.": (
            lambda *a: right(*a) + 0.5 * (a[0].shape[-1] - 1)
        ),
    }
    checks.compare(answer, right, cases, mistakes)


def from_samples(answer: Callable) -> None:
    """Exercise B: ``answer(mu, logvar, n_samples)`` is (estimate, standard error)."""
    mu, logvar = torch.tensor([1.0, -0.5]), torch.tensor([0.0, -1.0])
    exact = gaussian_kl(mu, logvar).item()
    mistakes = {
        "That is minus the divergence: log q(z) comes first, log p(z) is subtracted.": (
            -exact
        ),
        "You average over the dimensions: the logarithms of their densities add up.": (
            exact / 2
        ),
        "You read logvar as log sigma: sigma is exp(logvar / 2).": (
            gaussian_kl(mu, 2 * logvar).item()
        ),
        "Your z come from p: draw them from q.": (
            -gaussian_kl(mu / (logvar / 2).exp(), -logvar).item()
        ),
    }
    # The log ratio is a sum over dimensions of mu s e + (s^2 - 1) e^2 / 2 + a constant.
    variance = logvar.exp()
    std = ((mu**2 * variance) + (variance - 1) ** 2 / 2).sum().sqrt().item()
    for n_samples in (50_000, 2_000):
        torch.manual_seed(n_samples)
        name = f"n_samples = {n_samples}"
        result = checks.call(answer, name, (mu, logvar, n_samples))
        checks.require(result.shape == (2,), "return two numbers: (estimate, error)")
        estimate, error = result.tolist()
        expected = std / math.sqrt(n_samples)
        for hint, wrong in mistakes.items():
            checks.require(abs(estimate - wrong) > 6 * expected, hint)
        checks.require(
            abs(estimate - exact) < 6 * expected,
            f"with {n_samples} samples {estimate:.4f} lies "
            f"{abs(estimate - exact) / expected:.0f} standard errors from the exact "
            f"{exact:.4f}: do z, log q and log p use the same mu and sigma?",
        )
        checks.require(
            abs(error - std) > 0.1 * std,
            "your error does not shrink with the number of samples: that is the "
            "deviation of one sample, divide by sqrt(n_samples).",
        )
        checks.require(
            abs(error / expected - 1) < 0.1,
            f"with {n_samples} samples the standard error should be near "
            f"{expected:.4f}, got {error:.4f}",
        )
    checks.passed("the sampled divergence")


def general(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise C: ``answer(mean_q, cov_q, mean_p, cov_p)`` for two full Gaussians."""

    def reference(mean_q, cov_q, mean_p, cov_p):
        q, p = MultivariateNormal(mean_q, cov_q), MultivariateNormal(mean_p, cov_p)
        return kl_divergence(q, p)

    def without(part: str) -> Callable:
        def mistake(mean_q, cov_q, mean_p, cov_p):
            delta, inverse = mean_q - mean_p, cov_p.inverse()
            log_ratio = torch.logdet(cov_p) - torch.logdet(cov_q)
            terms = {
                "trace": (inverse @ cov_q).trace(),
                "quadratic form": delta @ inverse @ delta,
                "number of dimensions": -torch.tensor(1.0 * len(delta)),
                "log determinants": log_ratio,
            }
            sign = {part: -1.0 if part == "log determinants" else 0.0}
            return 0.5 * sum(sign.get(name, 1.0) * terms[name] for name in terms)

        return mistake

    lower = torch.tensor([[1.2, 0.0, 0.0], [0.7, 0.6, 0.0], [-0.4, 0.3, 0.9]]).double()
    mean, eye = torch.tensor([0.5, -1.0, 0.2]).double(), torch.eye(3).double()
    zero = torch.zeros(3).double()
    some = {
        "q = p": (mean, lower @ lower.T, mean, lower @ lower.T),
        "p = N(0, I)": (mean, lower @ lower.T, zero, eye),
        "two full covariances": (
            mean,
            lower @ lower.T,
            zero,
            2 * eye - lower.T @ lower / 3,
        ),
    }
    mistakes = {
        "The other direction: q comes first, and it is p's covariance that is "
        "inverted.": lambda mq, cq, mp, cp: reference(mp, cp, mq, cq),
        "The log determinants are the wrong way round: p's minus q's.": without(
            "log determinants"
        ),
        "The number of dimensions is missing: the divergence at q = p must be 0.": (
            without("number of dimensions")
        ),
        "Where does the distance of the means enter?": without("quadratic form"),
        "Where does the trace enter?": without("trace"),
        "Twice too much: where is the one half?": lambda *a: 2 * reference(*a),
    }
    checks.compare(answer, reference, some, mistakes)


def std_for_price(answer: float) -> None:
    """Exercise D: the sigma < 1 whose price at mu = 0 is 3 nats."""
    std = 0.0
    for _ in range(9):  # (sigma^2 - 1) / 2 - log(sigma) = 3, solved for the logarithm
        std = math.exp(std**2 / 2 - 3.5)
    mistakes = {
        "that is sigma^2; the question is about sigma.": std**2,
        "that is the rule -log(sigma) alone: the formula has two more terms.": (
            math.exp(-3)
        ),
        "that is close, but sigma^2 / 2 changes the fourth digit.": math.exp(-3.5),
    }
    hint = "put it into your formula: 3 nats should come out, to four digits."
    checks.number(answer, std, tolerance=6e-6, hint=hint, mistakes=mistakes)
