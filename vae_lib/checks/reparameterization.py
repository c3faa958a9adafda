"""Checks of chapter 5's exercises."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd import grad

from vae_lib import checks


def noise(*shape: int) -> Tensor:
    """The same standard normal numbers every time, in double precision."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5)).double()


def log_normal(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise A: ``answer(mu, logvar, eps)`` is log-normal and passes gradients."""

    def right(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
        return torch.exp(mu + (logvar / 2).exp() * eps)

    mistakes = {
        "exp(logvar) is a variance: the noise is multiplied by the standard "
        "deviation.": lambda m, v, e: right(m, 2 * v, e),
        "You multiply the noise by logvar itself: first make a standard deviation "
        "of it.": lambda m, v, e: torch.exp(m + v * e),
        "logvar / 2 is the logarithm of sigma: which function undoes "
        "it?": lambda m, v, e: torch.exp(m + v / 2 * e),
        "Your sigma shrinks when logvar grows: look at the sign in the exponent that "
        "makes it.": lambda m, v, e: right(m, -v, e),
        "That is a Gaussian draw, but it is the logarithm of z that should be "
        "Gaussian.": lambda m, v, e: right(m, v, e).log(),
        "mu belongs into the exponent: it is the mean of log z, not of "
        "z.": lambda m, v, e: m + right(0 * m, v, e),
    }
    one, batch = torch.ones(2), noise(3, 5, 3)
    cases = {
        "mu = 1, sigma = 1, eps = 0": (one, 0 * one, 0 * one),
        "mu = 0, logvar = -2, eps = 1": (0 * one, -2 * one, one),
        "a batch of 5 in 3 dimensions": tuple(batch),
    }
    checks.compare(answer, right, cases, mistakes)
    leaves = [part.clone().requires_grad_() for part in batch[:2]]
    try:
        z = torch.as_tensor(answer(*(leaf.clone() for leaf in leaves), batch[2]))
        slopes = grad(z.sum(), leaves, allow_unused=True)
    except RuntimeError:  # numpy refuses such tensors, and a constant has no gradient
        slopes = [None, None]
    for name, slope in zip(("mu", "logvar"), slopes, strict=True):
        checks.require(
            slope is not None,
            f"the values are right, but no gradient reaches {name}: stay with "
            "operations of PyTorch, without detach, no_grad, item or numpy",
        )


def gumbel(answer: Callable[[Tensor, float, float], Tensor]) -> None:
    """Exercise B: ``answer(u, m, s)`` inverts Gumbel's distribution function."""

    def right(u: Tensor, m: float, s: float) -> Tensor:
        return m - s * torch.log(-torch.log(u))

    mistakes = {
        "Your z falls as u grows, but an inverse distribution function rises: look at "
        "the sign in front of s.": lambda u, m, s: right(u, m, -s),
        "A right draw, since 1 - u is uniform too, but not the inverse: F(z) should "
        "be u.": lambda u, m, s: right(1 - u, m, s),
        "That is F itself: its inverse is the z that solves the equation "
        "F(z) = u.": lambda u, m, s: torch.exp(-torch.exp(-(u - m) / s)),
        "s multiplies the noise alone, not m.": lambda u, m, s: s * right(u, m, 1.0),
        "You divide by s; it is a scale.": lambda u, m, s: right(u, m, 1 / s),
        "Where is the scale s?": lambda u, m, s: right(u, m, 1.0),
        "There are two exponentials to undo: take the logarithm "
        "twice.": lambda u, m, s: m - s * torch.log(u),
    }
    u = torch.tensor([0.05, 0.2, 0.5, 0.9]).double()
    cases = {
        "m = 0, s = 1": (u, 0.0, 1.0),
        "m = 2, s = 1": (u, 2.0, 1.0),
        "m = -1, s = 0.5": (u.float(), -1.0, 0.5),
    }
    checks.compare(answer, right, cases, mistakes)


def two_gradients(answer: Callable) -> None:
    """Exercise C: ``answer(f, mu, std, eps)`` is (pathwise, score), each (K, J)."""

    def pathwise(*case) -> Tensor:
        return answer(*case)[0]

    def score_function(*case) -> Tensor:
        return answer(*case)[1]

    def made(estimate: Callable) -> Callable[..., Tensor]:
        """Of the slope d, the values f, sigma and the noise e."""

        def of_case(f, mu, std, eps):
            z = (mu + std * eps).requires_grad_()
            (slope,) = grad(f(z).sum(), z)
            return estimate(slope, f(z).detach()[:, None], std, eps)

        return of_case

    def log_q(std: Tensor, eps: Tensor) -> Tensor:
        return torch.distributions.Normal(0.0, std).log_prob(std * eps).sum(-1, True)

    mu, std = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.5, 2.0]]).double()
    cases = {
        "f = the sum of z^2": (lambda z: z.square().sum(-1), mu, std, noise(4, 3)),
        "f = cos(z1 z2)": (lambda z: z[:, :2].prod(-1).cos(), mu, std, noise(4, 3)),
    }
    mistakes = {
        "The pathwise estimate comes first.": lambda d, f, s, e: f * e / s,
        "Your first is the derivative in sigma: how much does z move when mu "
        "does?": lambda d, f, s, e: d * e,
        "Your first is the derivative in eps: how much does z move when mu "
        "does?": lambda d, f, s, e: d * s,
        "The draws are added up: differentiate in z, of which each draw has its "
        "own.": lambda d, f, s, e: d.sum(0),
    }
    hints = {hint: made(estimate) for hint, estimate in mistakes.items()}
    checks.compare(pathwise, made(lambda d, f, s, e: d), cases, hints)
    mistakes = {
        "The score in mu is not eps alone: differentiate -(z - mu)^2 / (2 sigma^2) in "
        "mu.": lambda d, f, s, e: f * e,
        "You divide by sigma too often.": lambda d, f, s, e: f * e / s**2,
        "The score is one factor; where is f(z)?": lambda d, f, s, e: e / s,
        "A z above mu should pull mu up: the sign.": lambda d, f, s, e: -f * e / s,
        "For the score hold z fixed, detach it: log q(z) is differentiated in mu, f(z) "
        "is a number.": lambda d, f, s, e: d * log_q(s, e),
        "The score is 0 when z moves along with mu: hold z fixed, detach "
        "it.": lambda d, f, s, e: 0 * e,
    }
    hints = {hint: made(estimate) for hint, estimate in mistakes.items()}
    checks.compare(score_function, made(lambda d, f, s, e: f * e / s), cases, hints)


def leave_one_out(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise D: ``answer(values, score)``: each draw's baseline is the others'."""

    def less(baseline: Callable[[Tensor], Tensor]) -> Callable:
        return lambda f, score: ((f - baseline(f))[:, None] * score).mean(0)

    others = less(lambda f: (f.sum() - f) / (len(f) - 1))
    mistakes = {
        "Your average contains the draw's own value: the baseline depends on the draw, "
        "and the gradient shrinks.": less(torch.mean),
        "The others are K - 1: divide their sum by as many.": less(
            lambda f: (f.sum() - f) / len(f)
        ),
        "Nothing is subtracted yet.": less(lambda f: 0),
        "You add up the draws: the estimate is their average.": lambda f, score: (
            len(f) * others(f, score)
        ),
        "The baseline is subtracted from the value, not the other way "
        "round.": lambda f, score: -others(f, score),
    }
    draws = noise(6, 4)
    cases = {
        "two draws": (torch.tensor([3.0, 1.0]), torch.tensor([[1.0], [-2.0]])),
        "six draws in 3 dimensions": (draws[:, 0] + 2, draws[:, 1:]),
    }
    checks.compare(answer, others, cases, mistakes)
