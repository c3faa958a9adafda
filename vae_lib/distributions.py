"""Log densities, the Gaussian KL divergence and the reparameterized sample.

Every function works in nats, sums over the last dimension (pixels or latents) and
leaves all others alone: no mean over a batch is taken here.
Letters: B batch, D pixels, J latent dimensions, K samples (the sample axis first).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Below this |logit| the continuous Bernoulli uses series, against cancellation.
SERIES_LIMIT = 0.02
LAST = slice(-1, None)


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence from N(mu, diag(exp(logvar))) to N(0, I), one value per example.

    Args:
        mu: posterior mean, shape (..., J).
        logvar: posterior log variance log(sigma^2), shape (..., J).

    Returns:
        KL in nats, shape (...): summed over J, not averaged over the batch; never
        negative.

    Raises ValueError if the shapes differ.
    Book: eq-gaussian-kl. Source: Kingma & Welling (2014), Appendix B.
    """
    _check_same_shape(mu, logvar)
    # expm1(v) - v >= 0 also in float32, where exp(v) - 1 - v may round below zero.
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum(-1)


def gaussian_log_prob(x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Log density of N(mu, diag(exp(logvar))) at x, one value per example.

    Args:
        x: where to evaluate, shape (..., D).
        mu: mean, shape (..., D); leading dimensions broadcast against those of x.
        logvar: log variance log(sigma^2), of mu's shape or one that broadcasts to it.

    Returns:
        log N(x; mu, diag(sigma^2)) in nats, shape (...): summed over D.

    Raises ValueError if x and mu differ in their last dimension.
    Book: eq-gaussian-log-prob. Source: Kingma & Welling (2014), Appendix C.2.
    """
    _check_same_shape(x, mu, dims=LAST)
    quadratic = (x - mu).square() * torch.exp(-logvar)
    return -0.5 * (math.log(2 * math.pi) + logvar + quadratic).sum(-1)


def bernoulli_log_prob(x: Tensor, x_logits: Tensor) -> Tensor:
    """Log probability of x under independent Bernoulli pixels, one value per example.

    For grey x it is the expected log probability of a picture whose pixels are drawn
    from Bernoulli(x). Pixels outside [0, 1] have no meaning: they are refused where
    data enter (``data.check_images``), not in this inner loop.

    Args:
        x: pixels in [0, 1], shape (..., D).
        x_logits: log(p / (1 - p)) of each pixel's probability p, shape (..., D);
            leading dimensions broadcast against those of x.

    Returns:
        log p(x) in nats, shape (...): summed over D, finite for every finite logit.

    Raises ValueError if x and x_logits differ in their last dimension.
    Book: eq-bernoulli-log-prob. Source: Kingma & Welling (2014), Appendix C.1.
    """
    _check_same_shape(x, x_logits, dims=LAST)
    x, x_logits = torch.broadcast_tensors(x, x_logits)
    bce = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none")
    return -bce.sum(-1)


def continuous_bernoulli_log_prob(x: Tensor, x_logits: Tensor) -> Tensor:
    """Log density of x in [0, 1] under independent continuous Bernoulli pixels.

    The Bernoulli formula read as a density on [0, 1] does not integrate to one; here it
    is multiplied by the constant that it lacks, l / tanh(l / 2) for the logit l.
    Shapes, reduction and errors are those of ``bernoulli_log_prob``; the value is a log
    density and may be positive.

    Book: eq-continuous-bernoulli.
    Source: Loaiza-Ganem & Cunningham (2019), in terms of the logit.
    """
    near_zero = x_logits.abs() < SERIES_LIMIT
    safe = torch.where(near_zero, 1.0, x_logits)
    exact = torch.log(safe / torch.tanh(safe / 2))
    small = x_logits.clamp(-SERIES_LIMIT, SERIES_LIMIT)  # large powers would overflow
    series = math.log(2) + small**2 / 12 - 7 * small**4 / 1440
    log_constant = torch.where(near_zero, series, exact)
    return bernoulli_log_prob(x, x_logits) + log_constant.sum(-1)


def continuous_bernoulli_mean(x_logits: Tensor) -> Tensor:
    """Mean of the continuous Bernoulli, 1 / (1 - exp(-l)) - 1 / l, elementwise.

    x_logits may have any shape; the mean, in [0, 1], is not the parameter p itself.

    Book: eq-continuous-bernoulli-mean.
    Source: Loaiza-Ganem & Cunningham (2019), in terms of the logit.
    """
    near_zero = x_logits.abs() < SERIES_LIMIT
    safe = torch.where(near_zero, 1.0, x_logits)
    exact = -1 / torch.expm1(-safe) - 1 / safe
    small = x_logits.clamp(-SERIES_LIMIT, SERIES_LIMIT)
    return torch.where(near_zero, 0.5 + small / 12 - small**3 / 720, exact)


def reparameterize(
    mu: Tensor,
    logvar: Tensor,
    *,
    n_samples: int | None = None,
    eps: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw z = mu + exp(logvar / 2) * eps, differentiable in mu and logvar.

    Args:
        mu: posterior mean, shape (..., J).
        logvar: posterior log variance log(sigma^2), shape (..., J).
        n_samples: K draws per example along a new first axis; None for one draw
            without that axis.
        eps: standard normal noise instead of drawing it, (..., J) or (K, ..., J).
        generator: source of the noise, on mu's device; None for torch's global one.

    Returns:
        z, shape (..., J), or (K, ..., J) with n_samples = K.

    Raises ValueError if the shapes differ, or n_samples < 1.
    Book: eq-reparameterization. Source: Kingma & Welling (2014), section 2.4.
    """
    _check_same_shape(mu, logvar)
    if n_samples is not None and n_samples < 1:
        raise ValueError(f"expected n_samples >= 1, got {n_samples}")
    if eps is None:
        shape = mu.shape if n_samples is None else (n_samples, *mu.shape)
        eps = torch.randn(shape, dtype=mu.dtype, device=mu.device, generator=generator)
    _check_same_shape(eps[0] if eps.dim() > mu.dim() else eps, mu)
    return mu + torch.exp(0.5 * logvar) * eps  # (..., J) or (K, ..., J)


def _check_same_shape(a: Tensor, b: Tensor, *, dims: slice = slice(None)) -> None:
    if a.shape[dims] != b.shape[dims]:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"expected matching shapes of two tensors, got {shapes}")
