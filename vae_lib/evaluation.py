"""How good a trained VAE is: ELBO, log p(x) estimated or exact, active units.

Without a generator the noise comes from a fixed seed, so the same model and images give
the same figure twice. Averages are taken once, over all examples, in float64: the batch
size changes memory, never the result.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from vae_lib.domains import check_generator, number, require, whole
from vae_lib.doors import check_evidence, check_gaussian, check_given, check_judged
from vae_lib.latent import LatentVariableModel
from vae_lib.likelihoods import Bernoulli
from vae_lib.models import VAE
from vae_lib.objectives import elbo, importance_weighted_bound

IMAGES_PER_BLOCK = 100  # log_likelihood draws the noise of so many at a time


class ElboReport(NamedTuple):
    """Averages over a data set, in nats per image: elbo = log_p_x_given_z - kl."""

    elbo: float
    log_p_x_given_z: float
    kl: float


@torch.no_grad()
def evaluate_elbo(
    model: LatentVariableModel,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    batch_size: int = 1000,
    generator: torch.Generator | None = None,
) -> ElboReport:
    """ELBO of the model on these images, one draw of z per image, averaged exactly.

    Args:
        images: (N, D), on any device; batches are moved to the model's.
        labels: (N,) int64, for a model that is told them.
        batch_size: images per pass; without influence on the result.
        generator: source of the noise, on the model's device; None for a fixed seed.
            An auto-encoder draws none.

    Returns:
        ElboReport of floats, in nats per image.

    Raises ValueError if the model or the images are bad, or batch_size < 1.
    Book: eq-elbo. Source: Kingma & Welling (2014), Eq. 7.
    """
    check_judged(model)
    check_given(model, images, labels)
    batch_size = whole("batch_size", batch_size)
    # Drawn for all images at once, so that no batch size changes who gets which noise.
    eps = _noise(model, (len(images), model.noise_dim), generator)
    terms = []
    for n, noise in enumerate(eps.split(batch_size)):
        x, y = _batch(n, batch_size, images, labels, noise.device)
        output = model(x, y, eps=noise)
        bound = elbo(output.log_p_x_given_z, output.kl)
        terms.append(torch.stack((bound, output.log_p_x_given_z, output.kl)).cpu())
    return ElboReport(*torch.cat(terms, dim=1).double().mean(1).tolist())


@torch.no_grad()
def log_likelihood(
    model: LatentVariableModel,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    n_samples: int,
    chunk: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Importance-weighted estimate of log p(x), one value per image.

    In expectation it lies below log p(x) and rises to it as n_samples grows.

    Args:
        images: (N, D), on any device.
        labels: (N,) int64, for a model that is told them.
        n_samples: K, exactly this many draws of z for each image.
        chunk: draws decoded at once; without influence on the result but for rounding.
        generator: source of the noise, on the model's device; None for a fixed seed.

    Returns:
        Estimates of log p(x) in nats, shape (N,), on the CPU.

    Raises ValueError if the model is an auto-encoder, which has no p(x), or another
    argument is bad.
    Source: Burda, Grosse & Salakhutdinov (2016).
    """
    check_evidence(model)
    check_given(model, images, labels)
    n_samples, chunk = whole("n_samples", n_samples), whole("chunk", chunk)
    check_generator(generator, model.input_mean.device)
    generator = generator or torch.Generator(model.input_mean.device).manual_seed(0)
    bounds = []
    for n in range(math.ceil(len(images) / IMAGES_PER_BLOCK)):
        x, y = _batch(n, IMAGES_PER_BLOCK, images, labels, model.input_mean.device)
        eps = _noise(model, (n_samples, len(x), model.noise_dim), generator)
        log_w = [
            model(x, y, eps=noise, weights=True).log_w for noise in eps.split(chunk)
        ]  # of (chunk, B)
        bounds.append(importance_weighted_bound(torch.cat(log_w)).cpu())  # (B,)
    return torch.cat(bounds)


@torch.no_grad()
def log_likelihood_by_quadrature(
    model: VAE,
    images: Tensor,
    *,
    limit: float = 6.0,
    n_nodes: int = 1201,
    chunk: int = 5000,
) -> Tensor:
    """log p(x) itself, one value per image, for two latent dimensions: no sampling.

    The evidence is an integral over the plane. It is summed on a square grid, which for
    smooth integrands that vanish at the rim is accurate as soon as the nodes are closer
    than the posterior's width. q plays no part. A learned prior may reach farther.

    Args:
        model: a VAE, not an auto-encoder, with latent_dim 2 and the "bernoulli"
            likelihood.
        images: (N, D), on any device.
        limit: half the side of the square around the origin.
        n_nodes: nodes along each side, 2 to 9,999.
        chunk: nodes decoded at once; without influence on the result but for rounding.

    Returns:
        log p(x) in nats, shape (N,), float64, on the CPU.

    Raises ValueError if the model is another one, the images are bad, or another
    argument is out of range.
    Book: eq-evidence-quadrature.
    """
    check_evidence(model)
    fits = isinstance(model, VAE) and model.config.latent_dim == 2
    fits = fits and type(model.likelihood) is Bernoulli
    got = f"{type(model).__name__}, {model.config.latent_dim} dimensions"
    require(fits, "a VAE with 2 latent dimensions and Bernoulli pixels", got)
    check_given(model, images)
    limit, chunk = number("limit", limit, above=0), whole("chunk", chunk)
    n_nodes = whole("n_nodes", n_nodes, 2, 10_000)  # their square is in memory
    x = images.to(model.input_mean)
    nodes = torch.linspace(-limit, limit, n_nodes, dtype=x.dtype, device=x.device)
    log_sum = torch.full((len(x),), -torch.inf, dtype=torch.float64, device=x.device)
    for z in torch.cartesian_prod(nodes, nodes).split(chunk):  # (chunk, 2)
        x_logits = model.decode(z)
        # x enters linearly, which makes a matrix product of all images with all nodes.
        log_joint = x @ x_logits.T - softplus(x_logits).sum(1)  # (N, chunk)
        log_joint += model.prior.log_prob(z)
        log_sum = torch.logaddexp(log_sum, torch.logsumexp(log_joint, dim=1))
    area = (2 * limit / (n_nodes - 1)) ** 2  # of the cell around a node
    return (log_sum + math.log(area)).cpu()


@torch.no_grad()
def active_units(
    model: LatentVariableModel, images: Tensor, *, threshold: float = 0.01
) -> int:
    """Number of latent dimensions that are used, over images (N, D) with N >= 2.

    A dimension is active if the variance over the data of its posterior mean exceeds
    the threshold >= 0. Raises ValueError if q is a flow, or images are bad or but one.
    Book: eq-active-units. Source: Burda, Grosse & Salakhutdinov (2016).
    """
    check_judged(model)
    check_gaussian(model, "active units, which are counted at its means")
    check_given(model, images)
    threshold = number("threshold", threshold, least=0)
    require(len(images) > 1, "at least 2 images", len(images))
    batches = images.to(model.input_mean.device).split(1000)
    mu = torch.cat([model.encode(x)[0] for x in batches])  # (N, J)
    return int((mu.var(0) > threshold).sum())


def _batch(
    n: int, size: int, images: Tensor, labels: Tensor | None, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Images and labels, if any, of batch n on a device."""
    rows = slice(n * size, (n + 1) * size)
    return images[rows].to(device), None if labels is None else labels[rows].to(device)


def _noise(
    model: LatentVariableModel, shape: tuple, generator: torch.Generator | None
) -> Tensor:
    dtype, device = model.input_mean.dtype, model.input_mean.device
    check_generator(generator, device)
    generator = generator or torch.Generator(device).manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=dtype, device=device)
