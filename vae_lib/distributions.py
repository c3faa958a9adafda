"""Log densities, the Gaussian KL divergence and the reparameterized sample.

Every function works in nats, sums over the last dimension (pixels or latents) and
leaves all others alone: no mean over a batch is taken here.
Letters: B batch, D pixels, J latent dimensions, K samples (the sample axis first).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_lib.domains import check_floats, check_generator, whole

# Below this |logit| the continuous Bernoulli uses series, against cancellation.
SERIES_LIMIT = 0.02


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence from N(mu, diag(exp(logvar))) to N(0, I), one value per example.

    Args:
        mu: posterior mean, shape (..., J).
        logvar: posterior log variance log(sigma^2), shape (..., J).

    Returns:
        KL in nats, shape (...): summed over J, not averaged over the batch; never
        negative.

    Raises ValueError unless both are tensors of floats of one shape.
    Book: eq-gaussian-kl. Source: Kingma & Welling (2014), Appendix B.
    """
    _check_same(mu, logvar)
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

    Raises ValueError unless all are tensors of floats whose shapes fit in this way.
    Book: eq-gaussian-log-prob. Source: Kingma & Welling (2014), Appendix C.2.
    """
    _check_fit("x and mu (..., D)", x, mu)
    _check_fit("mu and logvar (..., D)", mu, logvar, or_one=True)
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

    Raises ValueError unless both are tensors of floats whose shapes fit in this way.
    Book: eq-bernoulli-log-prob. Source: Kingma & Welling (2014), Appendix C.1.
    """
    _check_fit("x and x_logits (..., D)", x, x_logits)
    x, x_logits = torch.broadcast_tensors(x, x_logits)
    if x_logits.requires_grad and torch.is_grad_enabled():
        bce = F.binary_cross_entropy_with_logits(x_logits, x, reduction="none")
        return -bce.sum(-1)
    # Without a tape the same by a logarithm, where torch's function takes a log1p that
    # costs several times as much on some processors: log p of the likelier bit, and l
    # less for a lit pixel if that is dark.
    log_p = x_logits.abs().sigmoid_().log_()
    return log_p.addcmul_(x, x_logits).sub_(x_logits.relu()).sum(-1)


def continuous_bernoulli_log_prob(x: Tensor, x_logits: Tensor) -> Tensor:
    """Log density of x in [0, 1] under independent continuous Bernoulli pixels.

    The Bernoulli formula read as a density on [0, 1] does not integrate to one; here it
    is multiplied by the constant that it lacks, l / tanh(l / 2) for the logit l.
    Shapes, reduction and errors are those of ``bernoulli_log_prob``; the value is a log
    density and may be positive.

    Book: eq-continuous-bernoulli.
    Source: Loaiza-Ganem & Cunningham (2019), in terms of the logit.
    """
    _check_fit("x and x_logits (..., D)", x, x_logits)
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
    Raises ValueError unless x_logits is a tensor of floats.

    Book: eq-continuous-bernoulli-mean.
    Source: Loaiza-Ganem & Cunningham (2019), in terms of the logit.
    """
    check_floats("x_logits", x_logits)
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

    Raises ValueError if the shapes differ, n_samples < 1 or not the K of eps, or if a
    generator comes beside eps.
    Book: eq-reparameterization. Source: Kingma & Welling (2014), section 2.4.
    """
    _check_same(mu, logvar)
    if n_samples is not None:
        n_samples = whole("n_samples", n_samples)
    if eps is None:
        check_generator(generator, mu.device)
        shape = mu.shape if n_samples is None else (n_samples, *mu.shape)
        eps = torch.randn(shape, dtype=mu.dtype, device=mu.device, generator=generator)
    elif generator is not None:
        raise ValueError("expected eps or a generator, got both")
    check_floats("mu and eps", mu, eps)
    n = eps.shape[:1] if n_samples is None else (n_samples,)  # also (B,), for one draw
    one = n_samples is None and eps.shape == mu.shape
    if not one and (eps.shape != (*n, *mu.shape) or n == (0,)):
        shapes = f"mu {tuple(mu.shape)}, n_samples {n_samples}, eps {tuple(eps.shape)}"
        raise ValueError(f"expected eps (..., J) or (K, ..., J) for mu, got {shapes}")
    return mu + torch.exp(0.5 * logvar) * eps  # (..., J) or (K, ..., J)


def _check_same(mu: Tensor, logvar: Tensor) -> None:
    """Raise ValueError unless both are floats (..., J) of one shape."""
    check_floats("mu and logvar", mu, logvar)
    if mu.shape != logvar.shape:
        shapes = f"{tuple(mu.shape)} and {tuple(logvar.shape)}"
        raise ValueError(f"expected mu and logvar of one shape, got {shapes}")


def _check_fit(what: str, a: Tensor, b: Tensor, *, or_one: bool = False) -> None:
    """Raise ValueError unless both are floats of one D whose leading dimensions fit.

    With or_one b may also have a last dimension of one, or none at all.
    """
    check_floats(what, a, b)
    fits = a.shape[-1:] == b.shape[-1:] or (or_one and b.shape[-1:] in ((), (1,)))
    pairs = zip(a.shape[-2::-1], b.shape[-2::-1], strict=False)
    if not fits or not all(m == n or m == 1 or n == 1 for m, n in pairs):
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"expected matching shapes of {what}, got {shapes}")
