"""Checks of chapter 8's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal

from vae_lib import checks
from vae_lib.distributions import bernoulli_log_prob, continuous_bernoulli_log_prob

# The beta of each of the notebook's losses, and what a wrong one has overlooked.
LOSSES = (
    (lambda b, d, j: 1, "both terms are plain sums."),
    (lambda b, d, j: 1 / b, "its KL is averaged over the images, its costs are not."),
    (lambda b, d, j: d / j, "`mean` divides by all numbers of a tensor, in both."),
    (lambda b, d, j: 1, "work out what is divided by what, whatever it looks like."),
    (lambda b, d, j: 0.00025 * d, "its costs are averaged over images and pixels."),
)


def five_losses(answer: Callable[[int, int, int], list]) -> None:
    """Exercise A: ``answer(batch_size, n_pixels, latent_dim)`` is the five betas."""
    for sizes in ((100, 784, 20), (8, 30, 3)):
        name = "B = {}, D = {}, J = {}".format(*sizes)
        found = checks.call(answer, name, sizes)
        checks.require(found.shape == (5,), "return five numbers, one for each loss")
        pairs = zip(found.tolist(), LOSSES, strict=True)
        for i, (beta, (right, hint)) in enumerate(pairs, 1):
            expected = right(*sizes)
            if math.isclose(beta, expected, rel_tol=1e-4):
                continue
            if math.isclose(beta, 1 / expected, rel_tol=1e-4):
                hint = "upside down: beta is the factor of the KL, not of the costs."
            raise AssertionError(f"at {name} loss {i} has another beta, {hint}")
    checks.passed("your five betas")


def two_floors(answer: Callable[[Tensor], tuple[float, float]]) -> None:
    """Exercise B: ``answer(x)``, (B, D), is (images known, one picture), in nats."""

    def part(p: Tensor) -> Tensor:
        return -torch.xlogy(p, p)

    def both(p: Tensor) -> Tensor:
        return part(p) + part(1 - p)

    def floors(x: Tensor, cost: Callable = both) -> Tensor:
        return torch.stack([cost(x).sum(-1).mean(), cost(x.mean(0)).sum()])

    cases = {
        "two images with two pixels of 0.5": (torch.full((2, 2), 0.5),),
        "the images (0, 1) and (1, 1)": (torch.tensor([[0.0, 1.0], [1.0, 1.0]]),),
        "one image (0, 0.2, 1)": (torch.tensor([[0.0, 0.2, 1.0]]),),
        "5 images of 30 pixels": (torch.linspace(0, 1, 150).view(5, 30),),
        "3 images of 784 pixels of exactly 0 or 1": (
            (torch.arange(784) % 2.0).expand(3, 784),
        ),
    }
    for name, arguments in cases.items():
        if checks.call(answer, name, arguments).isnan().any():
            raise AssertionError(
                f"at {name} you get nan: a pixel of exactly 0 or 1 makes it 0 times "
                "minus infinity, which should count as 0."
            )
    mistakes = {
        "The two are exchanged: first what is paid when every image is known.": (
            lambda x: floors(x).flip(0)
        ),
        "In nats, please: that is in bits.": lambda x: floors(x) / math.log(2),
        "The other outcome is missing: a pixel is lit or it is not.": (
            lambda x: floors(x, part)
        ),
        "Costs of pixels add up: no mean over them.": (
            lambda x: floors(x) / x.shape[-1]
        ),
        "The sign: a cost is minus the log-likelihood.": lambda x: -floors(x),
        "Per image: you add up the batch.": lambda x: floors(x) * len(x),
        "Ignoring the code is no reason for probabilities of 1/2: which picture is "
        "best?": lambda x: torch.stack(
            [floors(x)[0], x.new_tensor(x.shape[-1] * math.log(2))]
        ),
        "The best single picture: average the images, then take the cost of that.": (
            lambda x: floors(x)[:1].expand(2)
        ),
    }
    checks.compare(answer, floors, cases, mistakes, atol=0.02)


def best_noise(answer: Callable) -> None:
    """Exercise C: ``answer(x, mean)``, (B, D), is (best s, log-likelihood with it)."""

    def noise(x: Tensor, mean: Tensor) -> Tensor:
        return answer(x, mean)[0]

    def log_likelihood(x: Tensor, mean: Tensor) -> Tensor:
        return answer(x, mean)[1]

    def best(x: Tensor, mean: Tensor) -> Tensor:
        return (x - mean).square().mean().sqrt()

    def value(x: Tensor, mean: Tensor) -> Tensor:
        return Normal(mean, best(x, mean)).log_prob(x).sum(-1).mean()

    generator = torch.Generator().manual_seed(8)
    x, mean = torch.rand(2, 6, 50, generator=generator)
    cases = {
        "errors of many sizes": (torch.linspace(0, 1, 6)[:, None] * x, 0 * x),
        "random pictures": (x, mean),
    }
    mistakes = {
        "That is s^2: return s itself.": lambda x, m: best(x, m) ** 2,
        "You subtract the mean of the errors: s^2 is the mean of their squares.": (
            lambda x, m: (x - m).std()
        ),
        "You take the root of each image's error, and average then: one s serves "
        "all images, so average first.": (
            lambda x, m: (x - m).square().mean(-1).sqrt().mean()
        ),
        "You add up the pixels: s is the noise of one pixel.": (
            lambda x, m: (x - m).square().sum(-1).mean().sqrt()
        ),
        "That is the mean size of the errors, not the root of their mean square.": (
            lambda x, m: (x - m).abs().mean()
        ),
    }
    checks.compare(noise, best, cases, mistakes)
    log_2pi = math.log(2 * math.pi)
    mistakes = {
        "The constant log(2 pi) is missing.": (
            lambda x, m: value(x, m) + x.shape[-1] * log_2pi / 2
        ),
        "The term with log s is missing: without it no s would be best.": (
            lambda x, m: -x.shape[-1] / 2 * (log_2pi + 1)
        ),
        "The squared error's own term is missing: at the best s it is a constant, "
        "and not 0.": lambda x, m: value(x, m) + x.shape[-1] / 2,
        "Averaged over pixels: a log-likelihood adds them up.": (
            lambda x, m: value(x, m) / x.shape[-1]
        ),
        "Added up over images: average them.": lambda x, m: value(x, m) * len(x),
        "The sign: that is the loss.": lambda x, m: -value(x, m),
    }
    checks.compare(log_likelihood, value, cases, mistakes, atol=1e-3)


def log_constant(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise D: ``answer(x_logits)`` is log(l / tanh(l / 2)), elementwise."""

    def reference(x_logits: Tensor) -> Tensor:
        logits = x_logits.double()[..., None]
        at = torch.zeros_like(logits)
        return continuous_bernoulli_log_prob(at, logits) - bernoulli_log_prob(
            at, logits
        )

    hints = {
        "logits 0.3, -1 and 4": "what happens to a logit below 0?",
        "a logit of 0": "0 divided by 0; which value does the constant tend to?",
        "logits of 1e-6, -1e-6 and 1e-4": "which sum or difference rounds to 0 there?",
        "logits of 100 and -100": "exponentials overflow, and probabilities round.",
    }
    logits = ([0.3, -1.0, 4.0], [0.0], [1e-6, -1e-6, 1e-4], [100.0, -100.0])
    cases = {
        name: (torch.tensor(row),) for name, row in zip(hints, logits, strict=True)
    }
    for name, arguments in cases.items():
        found = checks.call(answer, name, arguments)
        checks.require(
            bool(found.isfinite().all()), f"at {name} not finite: {hints[name]}"
        )
    at = torch.tensor([0.0, 1.0, -2.0, 100.0], requires_grad=True)
    checks.call(answer, "logits that want a gradient", (at,))
    checks.require(
        getattr(answer(at), "requires_grad", False),
        "no gradient gets through: compute with torch, on the tensor itself",
    )
    checks.require(
        bool(torch.autograd.grad(answer(at).sum(), at)[0].isfinite().all()),
        "the values are finite, but not the gradient at 0: the branch that "
        "`torch.where` drops is still differentiated, and 0 times infinity is nan. "
        "Give that branch a harmless logit.",
    )
    mistakes = {
        "That is the constant: its logarithm is asked.": lambda v: reference(v).exp(),
        "The sign: it is multiplied by the density, so its logarithm is added.": (
            lambda v: -reference(v)
        ),
        "Look at the argument of tanh: half the logit.": (
            lambda v: reference(2 * v) - math.log(2)
        ),
    }
    checks.compare(answer, reference, cases, mistakes)
