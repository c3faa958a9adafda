"""Checks of chapter 2's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_lib import checks


def discrete(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise A: ``answer(log_q, log_p)``, (..., n), is the divergence from q to p."""

    def reference(log_q: Tensor, log_p: Tensor) -> Tensor:
        q = log_q.exp()
        return torch.where(q > 0, q * (log_q - log_p), 0.0).sum(-1)

    generator = torch.Generator().manual_seed(2)
    some = torch.randn(2, 3, 5, generator=generator).log_softmax(-1)
    half, full = torch.tensor([0.5, 0.5, 0, 0]).log(), torch.full((4,), 0.25).log()
    cases = {
        "q = (1/2, 1/2, 0, 0), p = four times 1/4": (half, full),
        "q = four times 1/4, p = (1/2, 1/2, 0, 0)": (full, half),
        "q = p = (1/2, 1/2, 0, 0)": (half, half),
        "q = (1/2, 1/2), p = (1, 0)": (half[:2], torch.tensor([0.0, -math.inf])),
        "log q = (0, -inf), log p = (-1000, 0)": (
            torch.tensor([0.0, -math.inf]),
            torch.tensor([-1000.0, 0.0]),
        ),
        "three pairs with five outcomes": (some[0], some[1]),
    }
    found = {name: checks.call(answer, name, pair) for name, pair in cases.items()}
    for name, result in found.items():
        checks.require(
            not result.isnan().any(),
            f"at {name} you get nan, for to the computer 0 times infinity and infinity "
            "minus infinity are no numbers: outcomes with q_i = 0 contribute nothing.",
        )
    there, back = list(found.values())[:2]
    checks.require(
        not (there.isfinite().all() and back.isfinite().all()),
        "from four equal probabilities to (1/2, 1/2, 0, 0) your divergence is finite: "
        "q_i > 0 = p_i costs infinitely much. Did you add a small constant, or leave "
        "these outcomes out?",
    )
    mistakes = {
        "exp(-1000) rounds to zero, and -1000 is finite: leave log p a logarithm.": (
            lambda log_q, log_p: reference(log_q, log_p.exp().log())
        ),
        "The other direction: the average is over q, the first argument.": (
            lambda log_q, log_p: reference(log_p, log_q)
        ),
        "That is in bits: a nat belongs to the natural logarithm.": (
            lambda log_q, log_p: reference(log_q, log_p) / math.log(2)
        ),
        "You average over the outcomes: their probabilities weight them already, add "
        "them up.": lambda log_q, log_p: reference(log_q, log_p) / log_q.shape[-1],
        "One value per pair: add up the last axis only.": (
            lambda log_q, log_p: reference(log_q, log_p).sum()
        ),
        "That is the cross-entropy: the entropy of q is to be taken off.": (
            lambda log_q, log_p: reference(log_q, log_p) + entropy(log_q)
        ),
        "Your divergence has the wrong sign.": (
            lambda log_q, log_p: -reference(log_q, log_p)
        ),
    }
    checks.compare(answer, reference, cases, mistakes)


def entropy(log_q: Tensor) -> Tensor:
    """In nats, over the last axis."""
    return torch.special.entr(log_q.exp()).sum(-1)


# Of all Gaussians: mean -1.147, standard deviation 1.512, found by descent.
LOWEST = 0.28037


def log_target(z: Tensor) -> Tensor:
    """Log density of exercise B's target."""
    broad, narrow = Normal(-1.5, 1.2).log_prob(z), Normal(2.0, 0.3).log_prob(z)
    return torch.logaddexp(broad + math.log(0.7), narrow + math.log(0.3))


def reverse_kl(mean: float, std: float) -> float:
    """From N(mean, std^2) to the target, by a sum over nodes that move with q."""
    e = torch.linspace(-9, 9, 6001).double()
    density = Normal(0.0, 1.0).log_prob(e)
    log_ratio = density - math.log(std) - log_target(mean + std * e)
    return torch.trapezoid(density.exp() * log_ratio, e).item()


def reverse_fit(answer: tuple[float, float, float]) -> None:
    """Exercise B: ``answer``: mean, std, divergence of the best Gaussian in reverse."""
    try:
        mean, std, divergence = (float(part) for part in answer)
    except (TypeError, ValueError):
        got = checks.shown(answer)
        wanted = "expected three numbers (mean, std, divergence)"
        raise AssertionError(f"{wanted}, got {got}") from None
    checks.require(
        math.isfinite(mean) and 0 < std < math.inf,
        f"expected a finite mean and a positive std, got ({mean:.4g}, {std:.4g})",
    )
    enough = LOWEST + 0.001
    now = reverse_kl(mean, std)
    hints = {
        "That has the target's own moments: it is the forward fit.": (
            abs(mean + 0.45) < 0.05 and abs(std - 1.9) < 0.05
        ),
        "You sit on the higher hump: how much of the target's mass does it hold?": (
            abs(mean - 2) < 0.2
        ),
        "That is the left hump itself: is it best to leave the other one out?": (
            abs(mean + 1.5) < 0.01 and abs(std - 1.2) < 0.01
        ),
        "The second number is a variance: return the standard deviation.": (
            reverse_kl(mean, math.sqrt(std)) < enough
        ),
        "The second number is log std: return the standard deviation.": (
            reverse_kl(mean, math.exp(min(std, 9))) < enough
        ),
        "Search from other starts, or more finely.": True,
    }
    if now >= enough:
        hint = next(hint for hint, fits in hints.items() if fits)
        raise AssertionError(
            f"Yours has {now:.4g} nats, and there is a lower one. {hint}"
        )
    mistakes = {
        "in nats, please: that is in bits.": now / math.log(2),
        "a divergence is not negative.": -now,
    }
    sums = "your fit is right; add (log q - log p) times q up, times the grid's step."
    checks.number(divergence, now, tolerance=0.003, mistakes=mistakes, hint=sums)


def never_negative(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise C: ``answer(log_q, log_p)``, (K,), is the mean of t - 1 - log t."""

    def with_t(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda log_q, log_p: function((log_p - log_q).exp())

    row = torch.tensor
    cases = {
        "one draw where p is twice q": (row([-1.0]), row([math.log(2) - 1])),
        "three draws where p = q": (row([-1.0, 0.3, -4]), row([-1.0, 0.3, -4])),
        "four draws": (row([-1.0, -0.2, -3, -1.5]), row([-1.5, 0.4, -1, -1.6])),
    }
    mistakes = {
        "That is the log ratio alone, which may be negative.": (
            with_t(lambda t: -t.log().mean())
        ),
        "Your t is upside down: the draws are from q, so it is p that is divided.": (
            lambda log_q, log_p: ((log_q - log_p).exp() - 1 - (log_q - log_p)).mean()
        ),
        "The sign of the logarithm: t - 1 minus log t.": (
            with_t(lambda t: (t - 1 + t.log()).mean())
        ),
        "Where is the -1? At p = q each contribution is 0.": (
            with_t(lambda t: (t - t.log()).mean())
        ),
        "A mean over the draws, not a sum.": with_t(lambda t: (t - 1 - t.log()).sum()),
        "Half the squared logarithm is near it where t is near 1, and nowhere else.": (
            with_t(lambda t: (t.log() ** 2).mean() / 2)
        ),
    }
    checks.compare(answer, with_t(lambda t: (t - 1 - t.log()).mean()), cases, mistakes)
