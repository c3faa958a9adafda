"""Checks of chapter 7's exercises."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.special import ndtr, ndtri

from vae_lib import checks
from vae_lib.distributions import bernoulli_log_prob, gaussian_kl
from vae_lib.models import VAE, VAEConfig


def batch_loss(answer: Callable[..., Tensor]) -> None:
    """Exercise A: ``answer(mu, log_std, x_logits, x)`` is minus the ELBO per image."""

    def loss(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable:
        def of_batch(mu, log_std, x_logits, x):
            kl = gaussian_kl(mu[..., None], 2 * log_std[..., None])  # (B, J)
            return combine(kl, -bernoulli_log_prob(x[..., None], x_logits[..., None]))

        return of_batch

    def other(bce: Callable[[Tensor, Tensor], Tensor]) -> Callable:
        def of_batch(mu, log_std, x_logits, x):
            return (gaussian_kl(mu, 2 * log_std) + bce(x_logits, x).sum(1)).mean()

        return of_batch

    def from_p(logits: Tensor, x: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        return -(x * p.log() + (1 - x) * (1 - p).log())

    def cut(logits: Tensor, x: Tensor) -> Tensor:
        return F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")

    def right(kl: Tensor, bce: Tensor) -> Tensor:  # both with all their dimensions
        return kl.sum(1).mean() + bce.sum(1).mean()

    wrong_terms = {
        "You add up the batch: the loss is a mean over the images.": lambda kl, bce: (
            kl.sum() + bce.sum()
        ),
        "The KL is averaged over the batch, the cross-entropy summed: the KL has the "
        "weight 1/B.": lambda kl, bce: kl.sum(1).mean() + bce.sum(),
        "The cross-entropy is averaged over the batch, the KL "
        "summed.": lambda kl, bce: kl.sum() + bce.sum(1).mean(),
        "The cross-entropy is averaged over the pixels: sum them, or the KL weighs D "
        "times too much.": lambda kl, bce: kl.sum(1).mean() + bce.mean(),
        "The KL is averaged over its dimensions: sum them.": lambda kl, bce: (
            kl.mean() + bce.sum(1).mean()
        ),
        "You average over everything: only the batch is averaged.": lambda kl, bce: (
            kl.mean() + bce.mean()
        ),
        "The KL has the wrong sign: it is a cost, as the cross-entropy "
        "is.": lambda kl, bce: right(-kl, bce),
        "The log-likelihood is a reward; its negative is the cost.": lambda kl, bce: (
            right(kl, -bce)
        ),
        "That is the ELBO: the loss is minus it.": lambda kl, bce: -right(kl, bce),
        "Where is the KL's one half?": lambda kl, bce: right(2 * kl, bce),
        "Where is the KL?": lambda kl, bce: right(0 * kl, bce),
    }
    wrong_pixels = {
        "Where p rounds to 1, log(1 - p) is -inf: compute from the logits "
        "themselves.": from_p,
        "binary_cross_entropy cuts logarithms off at -100: use the one that takes "
        "logits.": cut,
        "The sigmoid is taken twice: the function for logits contains "
        "it.": lambda logits, x: from_p(torch.sigmoid(logits), x),
        "That is a squared error, for Gaussian pixels.": lambda logits, x: (
            (torch.sigmoid(logits) - x) ** 2
        ),
    }
    mistakes = {
        "You read log_std as log sigma^2: it is log sigma.": (
            lambda mu, log_std, x_logits, x: loss(right)(mu, log_std / 2, x_logits, x)
        )
    }
    mistakes |= {hint: loss(terms) for hint, terms in wrong_terms.items()}
    mistakes |= {hint: other(pixels) for hint, pixels in wrong_pixels.items()}
    random = torch.Generator().manual_seed(7)
    mu, log_std = torch.randn(2, 4, 3, generator=random).double()
    x, x_logits = torch.rand(2, 4, 6, generator=random).double()
    one, far = torch.ones(1, 2), torch.tensor([[150.0, -150.0, 3.0]])
    cases = {
        "q = p and logits 0": (0 * mu, 0 * mu, 0 * x, x),
        "4 images of 6 pixels": (mu, log_std, 6 * x_logits - 3, x),
        "logits of 150 (p rounds to 1)": (one, one, far, 0 * far + 0.25),
    }
    checks.compare(answer, loss(right), cases, mistakes)


def linear_vae(n_pixels: int, **options) -> VAE:
    """A small VAE of single layers with weights that are always the same."""
    config = VAEConfig(latent_dim=3, hidden_dims=(), n_pixels=n_pixels, **options)
    model, random = VAE(config).requires_grad_(False), torch.Generator().manual_seed(7)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=random) / 2)
    return model


def new_digits(answer: Callable[[VAE, int], Tensor]) -> None:
    """Exercise B: ``answer(model, n)`` decodes n draws from the prior."""
    model = linear_vae(784)
    model.encoder[-1].weight.zero_()
    model.encoder[-1].bias.copy_(torch.tensor([4.0, 4.0, 4.0, -4.0, -4.0, -4.0]))
    model.decoder[0].weight.copy_(torch.eye(784, 3))  # the first pixels tell the code
    model.decoder[0].bias.zero_()
    torch.manual_seed(7)
    pictures = checks.call(answer, "n = 2000", (model, 2000))
    shape = tuple(pictures.shape)
    checks.require(shape == (2000, 784), f"expected shape (2000, 784), got {shape}")
    pixels = pictures[:, :3]
    checks.require(
        bool((pictures >= 0).all() and (pictures <= 1).all()),
        "grey levels lie between 0 and 1: did you return logits?",
    )
    checks.require(
        not ((pixels == 0) | (pixels == 1)).all(),
        "you draw each pixel black or white, which looks like noise: show the mean",
    )
    codes = torch.logit(pixels, eps=1e-9)
    mean, std = codes.mean().item(), codes.std(0).mean().item()
    checks.require(std > 1e-3, "all pictures are the same: draw a code for each")
    checks.require(
        not torch.equal(pictures, checks.value(answer(model, 2000))),
        "a second call gave the same pictures: do not fix the seed in the function",
    )
    checks.require(
        abs(mean - 4) > 0.5,
        "your codes come from the encoder: that gives variations of known images, new "
        "ones come from the prior",
    )
    off = codes.mean(0).abs().max() + (torch.cov(codes.T) - torch.eye(3)).abs().max()
    checks.require(
        off < 0.4,
        f"your codes have mean {mean:.2f} and standard deviation {std:.2f}: are they "
        "independent draws from N(0, I)?",
    )
    inside = (codes[:, 0].abs() < ndtri(torch.tensor(0.75))).double().mean().item()
    checks.require(abs(inside - 0.5) < 0.07, "your codes are not normally distributed")
    checks.passed("new digits")


def two_values(answer: Callable) -> None:
    """Exercise C: ``answer(model, x, n_samples)`` is (value at the mean, ELBO)."""
    model = linear_vae(5, likelihood="gaussian", noise_std=0.7)
    x = torch.rand(6, 5, generator=torch.Generator().manual_seed(7))
    output = model(x, eps=torch.zeros(6, 3))  # z = mu
    # An affine decoder: noise in the code costs sum_j sigma_j^2 |w_j|^2 / (2 s^2).
    weights = model.decoder[0].weight.square().sum(0) / (2 * 0.7**2)
    variance = output.logvar.exp()
    kl, log_p = output.kl.mean().item(), output.log_p_x_given_z.mean().item()
    picture = model.log_p_x_given_z(x, model.mean_image(output.mu)).mean().item()
    cost = (variance @ weights).mean().item()
    torch.manual_seed(7)

    def pair(*case) -> Tensor:
        parts = [torch.as_tensor(part).detach().flatten() for part in answer(*case)]
        return torch.cat(parts)

    found = checks.call(pair, "n_samples = 2000", (model, x, 2000))
    checks.require(found.shape == (2,), "return two numbers: (at the mean, ELBO)")
    at_mean, elbo = found.tolist()
    draws = model(x, n_samples=2000).log_p_x_given_z  # (K, B)
    of_means = (draws.logsumexp(0) - math.log(2000)).mean().item()
    too_little = (variance**2 @ weights).mean().item()
    wrong = [
        (elbo, log_p - kl, "both values decode the mean: the ELBO needs draws"),
        (at_mean, log_p - cost - kl, "the first should decode mu itself"),
        (at_mean, picture - kl, "decode gives p(x|z) its parameters, mean_image not"),
        (elbo, log_p - too_little - kl, "exp(logvar) is a variance, not sigma"),
        (elbo, of_means - kl, "average log p(x|z), not p(x|z) under the logarithm"),
    ]
    for value, log_p_x_given_z in ((at_mean, log_p), (elbo, log_p - cost)):
        wrong += [
            (value, log_p_x_given_z, "where is the KL? Both values pay it"),
            (value, log_p_x_given_z + kl, "the KL is subtracted, not added"),
            (value, kl - log_p_x_given_z, "that is a loss: mind the ELBO's sign"),
            (value, 6 * (log_p_x_given_z - kl), "average over the images"),
        ]
    for value, mistake, hint in wrong:
        checks.require(abs(value - mistake) > 0.1 * cost, hint)
    for value, expected in ((at_mean, log_p - kl), (elbo, log_p - cost - kl)):
        checks.require(
            abs(value - expected) < 0.1 * cost,
            f"{value:.3f} should be {expected:.3f} up to chance: average over z, "
            "subtract the KL, and average over the images",
        )
    checks.passed("two values")


def fair_ticks(answer: Callable[[int], Tensor]) -> None:
    """Exercise D: ``answer(n)`` has one code for each nth of the prior's mass."""

    def middles(n: int) -> Tensor:
        return (torch.arange(n, dtype=torch.float64) + 0.5) / n

    mistakes = {
        "Equal steps are not equal shares.": lambda n: torch.linspace(-3, 3, n),
        "These are probabilities: the inverse of the distribution function makes codes "
        "of them.": middles,
        "You apply the distribution function itself: its inverse is "
        "needed.": lambda n: ndtr(middles(n)),
        "The ends have the probabilities 0 and 1, whose codes are infinite: take the "
        "middle of each piece.": lambda n: ndtri(torch.linspace(0, 1, n).double()),
        "You use n + 1 pieces: the first middle has the probability "
        "1/(2n).": lambda n: ndtri(torch.arange(1, n + 1).double() / (n + 1)),
        "These are left ends, not middles.": lambda n: ndtri(middles(n) - 0.5 / n),
        "Rising order, please.": lambda n: -ndtri(middles(n)),
        "The prior is normal, not logistic.": lambda n: torch.logit(middles(n)),
    }
    cases = {f"n = {n}": (n,) for n in (2, 4, 9)}
    checks.compare(answer, lambda n: ndtri(middles(n)), cases, mistakes)
