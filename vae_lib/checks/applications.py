"""Checks of chapter 11's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_lib import checks
from vae_lib.distributions import bernoulli_log_prob


def auc(answer: Callable[[Tensor, Tensor], float]) -> None:
    """Exercise A: ``answer(normal, odd)``, scores (N,) and (M,), is the AUC."""

    def pairs(normal: Tensor, odd: Tensor, tie: float = 0.5) -> Tensor:
        u, v = normal.double(), odd.double()[:, None]
        return ((v > u).double() + tie * (v == u).double()).mean()

    row = torch.tensor
    generator = torch.Generator().manual_seed(11)
    draws = torch.randn(2, 40, generator=generator).mul(2).round()
    some = {
        "normal (1, 2, 3), odd (4, 5)": (row([1.0, 2, 3]), row([4.0, 5])),
        "normal (1, 3, 5), odd (2, 4)": (row([1.0, 3, 5]), row([2.0, 4])),
        "normal (4, 6), odd (1, 2, 5)": (row([4.0, 6]), row([1.0, 2, 5])),
        "normal (2), odd (2, 2, 2): all equal": (row([2.0]), row([2.0, 2, 2])),
        "40 and 25 rounded scores": (draws[0], draws[1, :25] + 1),
    }
    mistakes = {
        "The roles are exchanged: a pair is won if the anomaly scores higher.": (
            lambda u, v: pairs(v, u)
        ),
        "A tie counts one half, yours are lost.": lambda u, v: pairs(u, v, 0.0),
        "A tie counts one half, yours are won.": lambda u, v: pairs(u, v, 1.0),
        "You count pairs: divide by the number of them.": (
            lambda u, v: pairs(u, v) * len(u) * len(v)
        ),
        "Divide by the number of all pairs, N times M, not by N.": (
            lambda u, v: pairs(u, v) * len(v)
        ),
        "You hold the anomalies against the mean of the normal scores: hold them "
        "against each of them.": lambda u, v: pairs(u.mean()[None], v),
    }
    checks.compare(answer, pairs, some, mistakes)


def around(answer: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    """Exercise B: ``answer(a, b, t)``, codes (..., J), turns and grows evenly."""

    def way(e, f, t, angle):
        return torch.sin((1 - t) * angle) * e + torch.sin(t * angle) * f

    def length(z):
        return z.norm(dim=-1, keepdim=True)

    def angle(a, b, lengths=True):
        inner = (a * b).sum(-1, keepdim=True)
        cosine = inner / length(a) / length(b) if lengths else inner
        return torch.arccos(cosine.clamp(-1, 1))

    def page(a, b, t):  # eq-great-circle
        return way(a, b, t, angle(a, b)) / torch.sin(angle(a, b))

    def grown(z, a, b, t):
        return z / length(z) * ((1 - t) * length(a) + t * length(b))

    def reference(a, b, t):
        return grown(page(a / length(a), b / length(b), t), a, b, t)

    row = torch.tensor
    generator = torch.Generator().manual_seed(11)
    batch = torch.randn(2, 5, 20, generator=generator).double()
    some = {
        "a = (3, 0), b = (0, 4), t = 0.5": (row([3.0, 0]), row([0.0, 4]), 0.5),
        "a = (2, 0), b = (1, 1), t = 0.25": (row([2.0, 0]), row([1.0, 1]), 0.25),
        "a batch of 5 in 20 dimensions, t = 0.3": (*batch, 0.3),
        "the same batch, t = 0": (*batch, 0.0),
        "the same batch, t = 1": (*batch, 1.0),
    }
    found = checks.call(answer, "the batch", (*batch, 0.3))
    checks.require(
        not found.isnan().any(),
        "your codes become nan: the cosine of the angle is the inner product divided "
        "by both lengths, or arccos gets a number beyond 1.",
    )
    mistakes = {
        "That is the straight line: it leaves the shell in the middle.": (
            lambda a, b, t: (1 - t) * a + t * b
        ),
        "That is the page's circle: with unequal lengths its length and its pace are "
        "others. What does it do with directions?": page,
        "The length is right, but the straight line does not turn at a constant "
        "speed.": lambda a, b, t: grown((1 - t) * a + t * b, a, b, t),
        "The length is right; apply the circle to the directions, not to the "
        "codes.": lambda a, b, t: grown(page(a, b, t), a, b, t),
        "The cosine of the angle is the inner product divided by both lengths.": (
            lambda a, b, t: way(a, b, t, angle(a, b, lengths=False).clamp(1e-6, 3.14))
        ),
        "You walk from b to a: t = 0 is a.": lambda a, b, t: reference(b, a, t),
        "Divide by the sine of the angle: the ends are too short.": (
            lambda a, b, t: reference(a, b, t) * torch.sin(angle(a, b))
        ),
        "The angle is taken as a right angle: codes of images have others.": (
            lambda a, b, t: grown(
                way(a / length(a), b / length(b), t, torch.tensor(math.pi / 2)), a, b, t
            )
        ),
        "That is the direction, of length 1: the ends are a and b themselves.": (
            lambda a, b, t: (z := reference(a, b, t)) / length(z)
        ),
    }
    checks.compare(answer, reference, some, mistakes)


def fill_in(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise C: ``answer(x, seen, x_logits)``, (D,), (D,) and (K, D)."""

    def log_weights(x, seen, x_logits):
        return bernoulli_log_prob(x[seen], x_logits[:, seen])  # (K,)

    def reference(x, seen, x_logits):
        return log_weights(x, seen, x_logits).softmax(0) @ x_logits.sigmoid()

    generator = torch.Generator().manual_seed(11)
    some = {}
    for K, D, scale in ((4, 6, 1.0), (6, 20, 1.5), (40, 784, 8.0)):
        x_logits = scale * torch.randn(K, D, generator=generator).double()
        x = torch.rand(D, generator=generator).double().round()
        some[f"{K} draws, {D} pixels"] = x, torch.arange(D) < D // 2, x_logits
    found = checks.call(answer, "784 pixels", some["40 draws, 784 pixels"])
    checks.require(
        bool(found.isfinite().all()),
        "your weights are 0 / 0: exp of minus a thousand is zero in the computer. "
        "Subtract the largest logarithm first, as softmax does.",
    )
    every = torch.ones
    mistakes = {
        "You look at the hidden pixels: the weights may use the seen ones only.": (
            lambda x, seen, f: reference(x, every(len(x)).bool(), f)
        ),
        "Your weights are those of the hidden pixels.": (
            lambda x, seen, f: reference(x, ~seen, f)
        ),
        "All draws count the same: where is the likelihood of what is seen?": (
            lambda x, seen, f: f.sigmoid().mean(0)
        ),
        "You average logits: average the pictures, the sigmoid comes first.": (
            lambda x, seen, f: (log_weights(x, seen, f).softmax(0) @ f).sigmoid()
        ),
        "You keep the best draw only: the posterior mean averages over all of them.": (
            lambda x, seen, f: f[log_weights(x, seen, f).argmax()].sigmoid()
        ),
        "A log likelihood is the sum over the pixels, yours is their mean.": (
            lambda x, seen, f: (
                (log_weights(x, seen, f) / seen.sum()).softmax(0) @ f.sigmoid()
            )
        ),
        "All pixels are asked for as the model sees them, the seen ones too.": (
            lambda x, seen, f: torch.where(seen, x, reference(x, seen, f))
        ),
        "Those are logarithms as weights: take the exponential of them.": (
            lambda x, seen, f: (
                log_weights(x, seen, f) / log_weights(x, seen, f).sum() @ f.sigmoid()
            )
        ),
    }
    checks.compare(answer, reference, some, mistakes, atol=1e-3)


def two_sided(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise D: ``answer(known, logs)``, (N,) and (M,), is the score (M,)."""
    row = torch.tensor
    some = {
        "known (-100, -90, -80), log p = -90": (row([-100.0, -90, -80]), row([-90.0])),
        "known (-100, -90, -10), log p = (-130, -20)": (
            row([-100.0, -90, -10]),
            row([-130.0, -20]),
        ),
        "known in another order": (row([-60.0, -90, -200, -95, -70]), -row([300.0, 5])),
    }
    mistakes = {
        "Without a sign: too probable is as suspicious as too improbable.": (
            lambda known, logs: known.median() - logs
        ),
        "That still has a sign: a distance is never negative.": (
            lambda known, logs: logs - known.median()
        ),
        "That is the plain score: where is the median?": lambda known, logs: -logs,
        "You take the mean of the known images, the median is asked for.": (
            lambda known, logs: (logs - known.mean()).abs()
        ),
        "The middle is that of the known images, not of those to be judged.": (
            lambda known, logs: (logs - logs.median()).abs()
        ),
        "The distance itself is asked for, not its square.": (
            lambda known, logs: (logs - known.median()).square()
        ),
    }
    checks.compare(
        answer, lambda known, logs: (logs - known.median()).abs(), some, mistakes
    )
