"""How good a trained VAE is: ELBO, importance-weighted log p(x), active units.

Without a generator the noise comes from a fixed seed, so the same model and images give
the same figure twice. Averages are taken once, over all examples, in float64: the batch
size changes memory, never the result.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_lib.data import check_images
from vae_lib.guards import require
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
    model: VAE,
    images: Tensor,
    *,
    batch_size: int = 1000,
    generator: torch.Generator | None = None,
) -> ElboReport:
    """ELBO of the model on these images, one draw of z per image, averaged exactly.

    Args:
        images: (N, D), on any device; batches are moved to the model's.
        batch_size: images per pass; without influence on the result.
        generator: source of the noise, on the model's device; None for a fixed seed.

    Returns:
        ElboReport of floats, in nats per image.

    Raises ValueError if the images are bad or batch_size < 1.
    Book: eq-elbo. Source: Kingma & Welling (2014), Eq. 7.
    """
    _check(model, images, batch_size=batch_size)
    # Drawn for all images at once, so that no batch size changes who gets which noise.
    eps = _noise(model, (len(images), model.config.latent_dim), generator)
    terms = []
    for x, noise in zip(images.split(batch_size), eps.split(batch_size), strict=True):
        output = model(x.to(noise.device), eps=noise)
        bound = elbo(output.log_p_x_given_z, output.kl)
        terms.append(torch.stack((bound, output.log_p_x_given_z, output.kl)).cpu())
    return ElboReport(*torch.cat(terms, dim=1).double().mean(1).tolist())


@torch.no_grad()
def log_likelihood(
    model: VAE,
    images: Tensor,
    *,
    n_samples: int,
    chunk: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Importance-weighted estimate of log p(x), one value per image.

    In expectation it lies below log p(x) and rises to it as n_samples grows.

    Args:
        images: (N, D), on any device.
        n_samples: K, exactly this many draws of z for each image.
        chunk: draws decoded at once; without influence on the result but for rounding.
        generator: source of the noise, on the model's device; None for a fixed seed.

    Returns:
        Estimates of log p(x) in nats, shape (N,), on the CPU.

    Raises ValueError if the images are bad, n_samples < 1 or chunk < 1.
    Source: Burda, Grosse & Salakhutdinov (2016).
    """
    _check(model, images, n_samples=n_samples, chunk=chunk)
    generator = generator or torch.Generator(model.input_mean.device).manual_seed(0)
    bounds = []
    for x in images.split(IMAGES_PER_BLOCK):
        eps = _noise(model, (n_samples, len(x), model.config.latent_dim), generator)
        x = x.to(eps.device)
        log_w = [model(x, eps=noise).log_w for noise in eps.split(chunk)]  # (chunk, B)
        bounds.append(importance_weighted_bound(torch.cat(log_w)).cpu())  # (B,)
    return torch.cat(bounds)


@torch.no_grad()
def active_units(model: VAE, images: Tensor, *, threshold: float = 0.01) -> int:
    """Number of latent dimensions that are used, over images (N, D) with N >= 2.

    A dimension is active if the variance over the data of its posterior mean exceeds
    the threshold. Raises ValueError if the images are bad or fewer than two.
    Source: Burda, Grosse & Salakhutdinov (2016).
    """
    _check(model, images)
    if len(images) < 2:
        raise ValueError(f"expected at least 2 images, got {len(images)}")
    batches = images.to(model.input_mean).split(1000)
    mu = torch.cat([model.encode(x)[0] for x in batches])  # (N, J)
    return int((mu.var(0) > threshold).sum())


def _check(model: VAE, images: Tensor, **counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"expected {name} >= 1, got {count}")
    unit_interval = model.config.likelihood != "gaussian"
    check_images(images, model.config.n_pixels, unit_interval=unit_interval)
    dtype = model.input_mean.dtype
    require(images.dtype == dtype, f"images of {dtype}, as the model", images.dtype)


def _noise(model: VAE, shape: tuple, generator: torch.Generator | None) -> Tensor:
    like = {"dtype": model.input_mean.dtype, "device": model.input_mean.device}
    generator = generator or torch.Generator(like["device"]).manual_seed(0)
    return torch.randn(shape, generator=generator, **like)
