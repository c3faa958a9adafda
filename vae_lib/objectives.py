"""What a VAE maximises: lower bounds on log p(x), one value per example, in nats.

These functions take tensors and know no model. Means run over samples K only; the mean
over a batch belongs to the training loop.
"""

import math

import torch
from torch import Tensor

from vae_lib.distributions import gaussian_kl, gaussian_log_prob
from vae_lib.domains import check_floats, number, one_of, require, whole


def elbo(log_p_x_given_z: Tensor, kl: Tensor, *, beta: float = 1.0) -> Tensor:
    """Evidence lower bound E_q[log p(x|z)] - beta * KL(q(z|x) || p(z)).

    Args:
        log_p_x_given_z: log-likelihood of x given sampled z, shape (B,), or (K, B) for
            K samples of z per example, which are averaged.
        kl: KL divergence to the prior, shape (B,), >= 0.
        beta: weight of the KL; a lower bound on log p(x) for beta >= 1, tightest at 1.

    Returns:
        The bound in nats, shape (B,): to be maximised, not averaged over the batch.

    Raises ValueError if the shapes do not match, or beta is negative or not finite.
    Book: eq-elbo, eq-estimator-b. Source: Kingma & Welling (2014), Eq. 3 and 7.
    """
    check_floats("log_p_x_given_z and kl", log_p_x_given_z, kl)
    beta = number("beta", beta, least=0)
    if log_p_x_given_z.dim() > kl.dim() and len(log_p_x_given_z):
        log_p_x_given_z = log_p_x_given_z.mean(0)  # (K, B) -> (B,)
    if log_p_x_given_z.shape != kl.shape or kl.dim() != 1:
        raise ValueError(
            "expected log_p_x_given_z (B,) or (K, B) and kl (B,),"
            f" got {tuple(log_p_x_given_z.shape)} for one sample and {tuple(kl.shape)}"
        )
    return log_p_x_given_z - beta * kl


def kl_beyond(mu: Tensor, logvar: Tensor, free_bits: float) -> Tensor:
    """KL divergence to N(0, I) where each dimension has some nats for nothing.

    A dimension whose KL, averaged over the batch, is no more than free_bits counts as
    much and has no gradient: nothing presses it further. The mean of the result is the
    sum of max(free_bits, mean KL) over the dimensions, never less than that of the KL.

    Args:
        mu: posterior mean, shape (B, J).
        logvar: posterior log variance log(sigma^2), shape (B, J).
        free_bits: nats of each dimension, >= 0; 0 gives ``gaussian_kl``.

    Returns:
        Values in nats, shape (B,): for ``elbo`` in place of the KL.

    Raises ValueError unless mu and logvar are matrices of floats of one shape.
    Book: eq-free-bits. Source: Kingma et al. (2016).
    """
    free_bits = number("free_bits", free_bits, least=0)
    check_floats("mu and logvar (B, J)", mu, logvar)
    fits = mu.dim() == 2 and mu.shape == logvar.shape
    require(fits, "mu and logvar (B, J)", (tuple(mu.shape), tuple(logvar.shape)))
    each = gaussian_kl(mu[..., None], logvar[..., None])  # (B, J)
    return torch.where(each.mean(0) > free_bits, each, free_bits).sum(1)


def importance_weighted_bound(log_w: Tensor) -> Tensor:
    """Log of the mean of K importance weights: in expectation at most log p(x).

    With K = 1 it is a one-sample ELBO; it rises to log p(x) as K grows.

    Args:
        log_w: log p(x|z_k) + log p(z_k) - log q(z_k|x), shape (K, B).

    Returns:
        logsumexp over K minus log K, in nats, shape (B,).

    Raises ValueError if there is no sample, or log_w is no tensor of floats.
    Book: eq-importance-weighted-bound. Source: Burda, Grosse & Salakhutdinov (2016).
    """
    check_floats("log_w", log_w)
    if log_w.dim() < 1 or log_w.shape[0] < 1:
        got = tuple(log_w.shape)
        raise ValueError(f"expected log_w of shape (K, B) with K >= 1, got {got}")
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])


def without_score(log_w: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """The same log importance weights with a quieter gradient: along the path alone.

    log q(z|x) depends on mu and logvar through z and by itself. The second part of its
    derivative, the score, is zero on average over one draw, and is left out here: the
    gradient of the mean of the result is unbiased ("sticking the landing").

    Args:
        log_w: log p(x|z_k) + log p(z_k) - log q(z_k|x), shape (K, B) or (B,).
        z: the draws mu + std * eps, shape (K, B, J) or (B, J).
        mu: posterior mean, shape (B, J).
        logvar: posterior log variance log(sigma^2), shape (B, J).

    Returns the numbers of log_w, in nats. Raises ValueError if the shapes do not fit.
    Book: eq-path-gradient. Source: Roeder, Wu & Duvenaud (2017).
    """
    check_floats("log_w, z, mu and logvar", log_w, z, mu, logvar)
    fits = log_w.shape == z.shape[:-1] and z.shape[-2:] == mu.shape == logvar.shape
    got = [tuple(given.shape) for given in (log_w, z, mu, logvar)]
    require(fits, "log_w ((K,) B), z ((K,) B, J), mu and logvar (B, J)", got)
    score_and_path = gaussian_log_prob(z, mu, logvar)
    path = gaussian_log_prob(z, mu.detach(), logvar.detach())
    return log_w + (score_and_path - path)


def doubly_reparameterized(
    log_w: Tensor, z: Tensor, mu: Tensor, logvar: Tensor
) -> Tensor:
    """The same log weights (K, B), for an ``importance_weighted_bound`` of K draws.

    There the score is not zero on average: what it adds is what the path gets if its
    normalised weights are squared. So the gradient that reaches z, and through it mu
    and logvar, is multiplied by them once more; the decoder's is left as it is. Use z
    in no other objective: its gradient would be multiplied as well. Arguments and
    errors are those of ``without_score``; with K = 1 it does the same.

    Book: eq-doubly-reparameterized. Source: Tucker et al. (2019).
    """
    log_w = without_score(log_w, z, mu, logvar)
    if z.requires_grad:
        share = log_w.detach().softmax(0)[..., None]  # (K, B, 1)
        z.register_hook(lambda grad: grad * share)
    return log_w


def effective_beta(
    log_likelihood: str,
    kl: str,
    *,
    batch_size: int,
    n_pixels: int,
    latent_dim: int,
    kl_weight: float = 1.0,
) -> float:
    """The beta of the ``elbo`` that a loss maximises whose two terms are scaled apart.

    Such a loss is minus the log-likelihood plus kl_weight times the KL, each reduced in
    its own way; up to a common factor it is minus the ELBO with this beta.

    Args:
        log_likelihood: reduction of -log p(x|z) over B images and D pixels: "sum",
            "batchmean" (summed over pixels, averaged over images) or "mean" (averaged
            over both).
        kl: reduction of the KL over B images and J latent dimensions, named likewise.
        batch_size: B.
        n_pixels: D.
        latent_dim: J.
        kl_weight: the factor > 0 that the code itself puts before its reduced KL.

    Returns:
        The factor of a KL summed over J beside a log-likelihood summed over D; a pure
        number, without unit.

    Raises ValueError if a reduction is unknown, a size is not whole or not positive.
    Book: eq-effective-beta.
    """
    batch_size = whole("batch_size", batch_size)
    widths = whole("n_pixels", n_pixels), whole("latent_dim", latent_dim)
    kl_weight = number("kl_weight", kl_weight, above=0)
    divided_by = []
    for reduction, width in zip((log_likelihood, kl), widths, strict=True):
        divisors = {"sum": 1, "batchmean": batch_size, "mean": batch_size * width}
        divided_by.append(divisors[one_of("a reduction", reduction, divisors)])
    return kl_weight * divided_by[0] / divided_by[1]
