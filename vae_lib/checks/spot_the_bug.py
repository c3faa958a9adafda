"""Checks of "Spot the real bug": each mistake's symptom, then its repair."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_lib import checks
from vae_lib.distributions import bernoulli_log_prob, gaussian_kl
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.objectives import importance_weighted_bound


def normal(*shape: int, seed: int = 0) -> Tensor:
    """The same standard normal numbers each time."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def beta(answer: float) -> None:
    """Exercise A: the beta that the program trains with 25 images and 2 dimensions."""
    mistakes = {
        "the other way round: which term is too heavy?": 25.0,
        "the KL is summed over its dimensions; only over images is it averaged.": 0.02,
        "both terms are sums over the images' own numbers: pixels do not enter.": (
            1 / 784
        ),
        "that needs one reduction over the images for both terms.": 1.0,
    }
    hint = "double the batch: which of the two terms doubles with it?"
    checks.number(answer, 0.04, tolerance=4e-4, hint=hint, mistakes=mistakes)


def loss(answer: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise A: ``answer(x, x_logits, mu, logvar)``: minus the mean of the ELBO."""

    def terms(x, x_logits, mu, logvar):
        return -bernoulli_log_prob(x, x_logits), gaussian_kl(mu, logvar)

    def reduced(cost: str, kl: str, factor: float = 1.0) -> Callable:
        def mistake(*arguments):
            first, second = terms(*arguments)
            return getattr(first, cost)() + factor * getattr(second, kl)()

        return mistake

    x, x_logits = (normal(3, 6, seed=1) > 0).double(), normal(3, 6, seed=2)
    batch = (x, x_logits, normal(3, 2, seed=3), normal(3, 2, seed=4))
    twice = tuple(torch.cat([tensor, tensor]) for tensor in batch)
    mistakes = {
        "The cost is summed over the images, the KL averaged.": reduced("sum", "mean"),
        "The cost is averaged over the images, the KL summed.": reduced("mean", "sum"),
        "The right beta, but both terms are sums: the mean over images, please.": (
            reduced("sum", "sum")
        ),
        "The KL is averaged over its dimensions too.": reduced("mean", "mean", 0.5),
        "The cost is averaged over the pixels too.": (
            lambda *a: terms(*a)[0].mean() / 6 + terms(*a)[1].mean()
        ),
        "The KL has the wrong sign: it is a price.": reduced("mean", "mean", -1.0),
        "That is the ELBO; a loss is minus the ELBO.": (
            lambda *a: -reduced("mean", "mean")(*a)
        ),
    }
    cases = {"3 images": batch, "the same 3 images twice": twice}
    checks.compare(answer, reduced("mean", "mean"), cases, mistakes)


def std_ratio(answer: float) -> None:
    """Exercise B: the program's deviation over the right one at logvar = -6."""
    mistakes = {
        "the other way round: program over right.": math.exp(3),
        "that is what the program draws with: divide by the right deviation.": (
            math.exp(-6)
        ),
        "logvar is the logarithm of the variance: is your right deviation its root?": (
            1.0
        ),
    }
    hint = "draw with both deviations at logvar = -6, and divide what you see."
    checks.number(answer, math.exp(-3), tolerance=2e-3, hint=hint, mistakes=mistakes)


def draw(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    """Exercise B: ``answer(mu, logvar, eps)`` is a draw from q."""
    some = normal(3, 5, 2, seed=5)
    cases = {
        "mu = 1, logvar = -2, eps = 1": tuple(torch.tensor([[1.0], [-2.0], [1.0]])),
        "5 codes of 2 dimensions": (some[0], some[1], some[2]),
    }
    mistakes = {
        "That is the program: exp(logvar) is the variance.": (
            lambda mu, logvar, eps: mu + logvar.exp() * eps
        ),
        "Half the variance is not its root.": (
            lambda mu, logvar, eps: mu + logvar.exp() / 2 * eps
        ),
        "logvar / 2 is a logarithm still.": (
            lambda mu, logvar, eps: mu + logvar / 2 * eps
        ),
        "Where is the mean?": lambda mu, logvar, eps: (logvar / 2).exp() * eps,
    }

    def reference(mu, logvar, eps):
        return mu + (logvar / 2).exp() * eps

    checks.compare(answer, reference, cases, mistakes)


def floor(answer: float) -> None:
    """Exercise C: the least KL of one dimension that the program can report."""
    mistakes = {
        "twice too much: one dimension, and the one half of the formula.": (
            math.exp(2) - 3
        ),
        "that needs logvar = 0; does it pass the clamp?": 0.0,
        "you read the bound as log sigma: it is log sigma^2.": (math.exp(4) - 5) / 2,
        "the one half belongs to all of the bracket.": math.exp(2) / 2 - 3,
    }
    right = (math.exp(2) - 3) / 2
    hint = "scan the program's values over mu and logvar, beyond the clamp too."
    checks.number(
        answer, right, tolerance=2e-3, hint=hint, unit="nats", mistakes=mistakes
    )


def bounded_kl(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise C: ``answer(mu, logvar)`` is the KL, finite for every logvar."""
    zeros = torch.zeros(1, 2)
    for extreme in (1000.0, -1000.0):
        found = checks.call(answer, f"logvar = {extreme:g}", (zeros, zeros + extreme))
        checks.require(
            bool(found.isfinite().all()),
            f"at logvar = {extreme:g} the KL is not finite: on which side is exp in "
            "danger?",
        )

    def clamped(low: float, high: float) -> Callable:
        return lambda mu, logvar: gaussian_kl(mu, logvar.clamp(low, high))

    cases = {
        "the prior, mu = 0, logvar = 0": (zeros, zeros),
        "sigma = 0.05, logvar = -6": (zeros, zeros - 6.0),
        "logvar = -10": (zeros, zeros - 10.0),
        "logvar = 10": (zeros, zeros + 10.0),
        "5 codes of 2 dimensions": (normal(5, 2, seed=6), normal(5, 2, seed=7)),
    }
    mistakes = {
        "That is the program: nothing narrower than the prior passes.": clamped(2, 20),
        "min and max are changed: this lets through nothing above 2.": clamped(-20, 2),
        "min = -2 is too high: sigma could not fall below 0.37.": clamped(-2, 20),
    }
    checks.compare(answer, gaussian_kl, cases, mistakes)


def last_weight(answer: float) -> None:
    """Exercise D: how often the last of 513 images counts, against the first."""
    mistakes = {
        "that is against its fair share; the question is against the first image.": (
            513 / 5
        ),
        "how much does an image of a full batch count?": 513.0,
        "every batch counts alike; how many images share one?": 5.0,
        "the other way round: the last against the first.": 1 / 128,
        "that would be right for equal batches; the last one has a single image.": 1.0,
    }
    hint = "write the average as a sum over images, and compare two of the factors."
    checks.number(answer, 128.0, tolerance=0.1, hint=hint, mistakes=mistakes)


def average(answer: Callable[[list[Tensor]], Tensor]) -> None:
    """Exercise D: ``answer(batches)`` is the mean over all images of all batches."""
    values = normal(9, seed=8) + torch.arange(9)
    cases = {
        "batches of 4, 4 and 1 images": (list(values.split(4)),),
        "batches of 6 and 3 images": (list(values.split(6)),),
        "one batch": ([values[:3]],),
    }
    mistakes = {
        "That is the program: each batch counts alike.": (
            lambda batches: torch.stack([part.mean() for part in batches]).mean()
        ),
        "A sum of means, divided by the number of images, is too small.": (
            lambda batches: (
                sum(part.mean() for part in batches) / len(torch.cat(batches))
            )
        ),
    }
    checks.compare(answer, lambda batches: torch.cat(batches).mean(), cases, mistakes)


def excess(answer: float) -> None:
    """Exercise E: by how much the program lies above log p(x)."""
    right = 10 / 21 + 2 / 5  # the eigenvalues of W'W are 5 and 1, s^2 is 1/4
    mistakes = {
        "the sign: program minus log p(x).": -right,
        "half a nat for each dimension is the limit of sharp posteriors; measure it.": (
            1.0
        ),
    }
    hint = "run the program, and subtract toy.log_evidence(x)."
    checks.number(
        answer, right, tolerance=3e-3, unit="nats", hint=hint, mistakes=mistakes
    )


def sampled_elbo(answer: Callable[..., Tensor]) -> None:
    """Exercise E: ``answer(model, x, mu, logvar, eps)``, an ELBO from one draw."""
    weight = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    model = LinearGaussianModel(weight, torch.zeros(3, dtype=torch.float64), 0.5)
    x = normal(1, 3, seed=9)
    mean, covariance = model.posterior(x)
    logvar = covariance.diagonal().log()[None]
    posterior = MultivariateNormal(mean[0], covariance)
    eye = torch.eye(2, dtype=torch.float64)
    eps = math.sqrt(2) * torch.cat([eye, -eye])  # averages quadratics exactly

    def each(mu: Tensor, logvar: Tensor) -> Tensor:
        many = [tensor.expand(4, -1) for tensor in (x, mu, logvar)]
        return torch.as_tensor(answer(model, *many, eps))

    found = checks.call(each, "4 images", (mean, logvar))
    shape = tuple(found.shape)
    checks.require(shape == (4,), f"4 images should have the shape (4,), got {shape}")

    def your_average(mu: Tensor, logvar: Tensor) -> Tensor:
        return each(mu, logvar).mean()

    def exact(mu: Tensor, logvar: Tensor) -> Tensor:
        q = MultivariateNormal(mu[0], logvar[0].exp().diag())
        return (model.log_evidence(x) - kl_divergence(q, posterior))[0]

    def drawn(scale: Callable, sign: float = 1.0) -> Callable:
        def mistake(mu, logvar):
            z = mu + scale(logvar) * eps
            log_p = model.log_p_x_given_z(x.expand(4, -1), z).mean()
            return log_p - sign * gaussian_kl(mu, logvar)[0]

        return mistake

    mistakes = {
        "Still above the exact value: z is the mean code, no draw.": drawn(
            lambda logvar: 0.0
        ),
        "exp(logvar) is the variance.": drawn(torch.exp),
        "The KL has the wrong sign.": drawn(lambda logvar: (logvar / 2).exp(), -1.0),
        "Where is the KL?": drawn(lambda logvar: (logvar / 2).exp(), 0.0),
        "z comes from the prior, not from q.": lambda mu, logvar: (
            drawn(torch.ones_like)(0 * mu, 0 * logvar) - gaussian_kl(mu, logvar)[0]
        ),
    }
    cases = {
        "q = the exact posterior, the mean over four eps": (mean, logvar),
        "q twice as wide, the mean over four eps": (mean, logvar + math.log(4.0)),
        "q = the prior, the mean over four eps": (0 * mean, 0 * logvar),
    }
    checks.compare(your_average, exact, cases, mistakes)


def shortfall(answer: float) -> None:
    """Exercise F: how far below log p(x) the program stays with chunk = 1."""
    q, posterior = Normal(0.0, 1.0), Normal(1.0, math.sqrt(0.5))
    right = kl_divergence(q, posterior).item()
    mistakes = {
        "the other direction: the draws come from q.": (
            kl_divergence(posterior, q).item()
        ),
        "below means a positive number here.": -right,
        "no number of draws repairs it: with chunk = 1 the logs are averaged.": 0.0,
        "that is log p(x) itself.": -1 - math.log(4 * math.pi) / 2,
    }
    hint = "average log w over many draws, and hold it against log p(x)."
    checks.number(
        answer, right, tolerance=0.03, unit="nats", hint=hint, mistakes=mistakes
    )


def log_mean(answer: Callable[[Tensor, int], Tensor]) -> None:
    """Exercise F: ``answer(log_w, chunk)`` is the log of the mean weight."""
    log_w = 3 * normal(12, 3, seed=11)

    def parts(log_w: Tensor, chunk: int, share: bool = True) -> Tensor:
        each = [
            torch.logsumexp(part, 0) - share * math.log(len(part))
            for part in log_w.split(chunk)
        ]
        return torch.stack(each)

    mistakes = {
        "That is the program: it averages the logs of the chunks.": (
            lambda log_w, chunk: parts(log_w, chunk).mean(0)
        ),
        "You average the logs.": lambda log_w, chunk: log_w.mean(0),
        "That is the log of the sum: where is log K?": (
            lambda log_w, chunk: torch.logsumexp(log_w, 0)
        ),
        "The chunks are not equal: a mean of their means is not the mean.": (
            lambda log_w, chunk: importance_weighted_bound(parts(log_w, chunk))
        ),
        "exp has underflowed: subtract the largest first, or use logsumexp.": (
            lambda log_w, chunk: log_w.exp().mean(0).log()
        ),
        "You divide by the chunk, not by all draws.": lambda log_w, chunk: (
            torch.logsumexp(log_w, 0) - math.log(chunk)
        ),
    }
    cases = {
        "12 draws in chunks of 12": (log_w, 12),
        "12 draws in chunks of 4": (log_w, 4),
        "12 draws in chunks of 5": (log_w, 5),
        "log weights near -1000": (log_w - 1000, 5),
        "two images 800 nats apart": (log_w[:, :2] - torch.tensor([0.0, 800.0]), 5),
    }
    checks.compare(
        answer, lambda log_w, chunk: importance_weighted_bound(log_w), cases, mistakes
    )


def gradient(objective: Callable[[Tensor], Tensor], log_w: Tensor) -> Tensor:
    """Of the objective's value, with respect to the log weights."""
    leaf = log_w.clone().requires_grad_()
    return torch.autograd.grad(objective(leaf), leaf)[0]


def undetached(log_w: Tensor) -> Tensor:
    """The program of exercise G."""
    return (torch.softmax(log_w, 0) * log_w).sum(0).mean()


def slope(answer: float) -> None:
    """Exercise G: the program's derivative by the second of the log weights 0, -3."""
    log_w = torch.tensor([[0.0], [-3.0]], dtype=torch.float64)
    first, second = gradient(undetached, log_w).flatten().tolist()
    mistakes = {
        "that is the bound's own derivative; take the program's.": (
            torch.softmax(log_w, 0)[1].item()
        ),
        "that is the derivative by the first one.": first,
        "look at the sign: value after minus value before.": -second,
    }
    hint = "differentiate the program's value at (0, -3), by autograd for example."
    checks.number(answer, second, tolerance=2e-3, hint=hint, mistakes=mistakes)


def surrogate(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise G: ``answer(log_w)`` has the gradient of the mean bound."""

    def your_gradient(log_w: Tensor) -> Tensor:
        return gradient(answer, log_w)

    def reference(log_w: Tensor) -> Tensor:
        return gradient(lambda w: importance_weighted_bound(w).mean(), log_w)

    def of(objective: Callable) -> Callable:
        return lambda log_w: gradient(objective, log_w)

    mistakes = {
        "That is the program: the weights have a gradient of their own.": of(
            undetached
        ),
        "You detached the wrong factor: the weights shall be constants.": of(
            lambda w: (torch.softmax(w, 0) * w.detach()).sum(0).mean()
        ),
        "The weights of one image add up to 1 over its samples: which dimension?": of(
            lambda w: (torch.softmax(w, 1).detach() * w).sum(0).mean()
        ),
        "A mean over images, please: this is the sum.": (
            lambda log_w: reference(log_w) * log_w.shape[1]
        ),
        "All samples count alike: that is the gradient of the ELBO.": of(
            lambda w: w.mean()
        ),
        "The sign: this is minus the bound.": lambda log_w: -reference(log_w),
    }
    cases = {
        "log weights 0 and -3": (torch.tensor([[0.0], [-3.0]]),),
        "5 samples of 3 images": (2 * normal(5, 3, seed=12),),
    }
    checks.compare(your_gradient, reference, cases, mistakes)
