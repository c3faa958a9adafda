"""Figures of merit: exact averages, exact sample counts, the exact evidence."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from vae_lib.evaluation import (
    active_units,
    evaluate_elbo,
    log_likelihood,
    log_likelihood_by_quadrature,
)
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.models import VAE, VAEConfig

N = 130  # more than one block of log_likelihood, and not a multiple of any batch


@pytest.fixture
def images() -> Tensor:
    return torch.rand(N, 6, dtype=torch.float64)


def linear_pair(
    inflate: float = 1.0, shift: float = 0.0
) -> tuple[VAE, LinearGaussianModel]:
    """A linear VAE with the decoder of an exact model.

    Its q is the exact posterior, which has a diagonal covariance because the columns
    of the weight are orthogonal; or that with an inflated variance and shifted mean.
    """
    directions = torch.linalg.qr(torch.randn(5, 2, dtype=torch.float64)).Q
    weight = directions * directions.new_tensor([2.0, 0.5])
    exact = LinearGaussianModel(weight, torch.randn(5, dtype=torch.float64), 0.7)
    config = VAEConfig(2, (), likelihood="gaussian", n_pixels=5, noise_std=0.7)
    model = VAE(config).double()
    precision = weight.square().sum(0) + 0.7**2  # times noise variance
    logvar = (0.7**2 * inflate / precision).log()
    with torch.no_grad():
        model.decoder[0].weight.copy_(weight)
        model.decoder[0].bias.copy_(exact.mean)
        model.input_mean.copy_(exact.mean)
        model.encoder[0].weight.zero_()[:2] = (weight / precision).T
        model.encoder[0].bias[:2] = shift
        model.encoder[0].bias[2:] = 20 * torch.atanh(logvar / 20)
    return model, exact


@pytest.mark.parametrize("batch_size", [1, 7, 64, N, 1000])
def test_elbo_is_the_mean_over_images_at_any_batch_size(make_vae, images, batch_size):
    model, log_p, kl = make_vae(), 0.0, 0.0
    options = {"batch_size": batch_size, "generator": torch.Generator()}
    report = evaluate_elbo(model, images, **options)
    eps = torch.randn(N, 2, dtype=torch.float64, generator=torch.Generator())
    for x, e in zip(images, eps, strict=True):
        output = model(x[None], eps=e[None])
        log_p += output.log_p_x_given_z.item() / N
        kl += output.kl.item() / N
    assert report == pytest.approx((log_p - kl, log_p, kl), rel=1e-12)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_log_likelihood_under_the_exact_posterior_is_the_evidence(k):
    model, exact = linear_pair()
    x = exact.sample(N)
    estimate = log_likelihood(model, x, n_samples=k, chunk=7)
    assert_close(estimate, exact.log_evidence(x), rtol=0, atol=1e-10)


def test_log_likelihood_rises_to_the_exact_evidence():
    """In expectation: means over 3,000 images, with their standard errors."""
    model, exact = linear_pair(inflate=2.0, shift=0.3)
    x = exact.sample(3000)
    means, errors = [], []
    for k in (1, 10, 100):
        gap = log_likelihood(model, x, n_samples=k) - exact.log_evidence(x)
        means.append(float(gap.mean()))
        errors.append(float(gap.std()) / math.sqrt(len(x)))
    for i in range(2):
        assert means[i + 1] - means[i] > 4 * math.hypot(errors[i], errors[i + 1])
    assert abs(means[-1]) < 0.002 + 4 * errors[-1] and errors[-1] < 0.002


@pytest.mark.parametrize("k, chunk", [(1, 100), (5, 1), (5, 2), (7, 7), (11, 4)])
def test_log_likelihood_draws_exactly_k_codes_an_image(
    make_vae, images, k, chunk, monkeypatch
):
    model = make_vae()
    whole = log_likelihood(model, images, n_samples=k, chunk=k)
    decode, seen = model.decode, []
    monkeypatch.setattr(model, "decode", lambda z: seen.append(z) or decode(z))
    estimate = log_likelihood(model, images, n_samples=k, chunk=chunk)
    codes = torch.cat([z.flatten(0, 1) for z in seen])
    assert len(codes) == len(codes.unique(dim=0)) == k * N
    assert max(len(z) for z in seen) <= chunk
    assert_close(estimate, whole, rtol=1e-12, atol=0)


def test_evaluation_without_a_generator_is_deterministic(make_vae, images):
    model, other = make_vae(), {"generator": torch.Generator().manual_seed(1)}
    first, second = (log_likelihood(model, images, n_samples=3) for _ in range(2))
    assert torch.equal(first, second) and not first.requires_grad
    assert not torch.equal(first, log_likelihood(model, images, n_samples=3, **other))
    assert evaluate_elbo(model, images) == evaluate_elbo(model, images)
    assert evaluate_elbo(model, images) != evaluate_elbo(model, images, **other)


@pytest.mark.parametrize("threshold, expected", [(0.01, 1), (1e-5, 2), (1.0, 0)])
def test_active_units_counts_the_means_that_vary(threshold, expected):
    model = VAE(VAEConfig(3, (), n_pixels=6))
    with torch.no_grad():  # variances of the means: 1/12, 1/4800 and 0
        model.encoder[0].weight.zero_()[0, 0] = 1.0
        model.encoder[0].weight[1, 1] = 0.05
        model.encoder[0].weight[3, 2] = 10.0  # a logvar, which does not count
    images = torch.rand(2500, 6)
    assert active_units(model, images, threshold=threshold) == expected


def test_bad_arguments_are_refused(make_vae, images, refuses):
    model = make_vae()
    for call in (
        lambda: evaluate_elbo(model, images, batch_size=0),
        lambda: evaluate_elbo(model, 255 * images),
        lambda: log_likelihood(model, images, n_samples=0),
        lambda: log_likelihood(model, images, n_samples=1, chunk=0),
        lambda: log_likelihood(model, images[:, :5], n_samples=1),
        lambda: active_units(model, images[:1]),
        lambda: active_units(model, images * math.nan),
    ):
        with refuses(ValueError, "expected", "got"):
            call()


def test_quadrature_refuses_what_it_cannot_do(make_vae, batch, refuses):
    for make, options in (
        ({"latent_dim": 3}, {}),
        ({"likelihood": "gaussian"}, {}),
        ({}, {"n_nodes": 1}),
        ({}, {"limit": 0.0}),
        ({}, {"chunk": 0}),
    ):
        with refuses(ValueError, "expected", "got"):
            log_likelihood_by_quadrature(make_vae(**make), batch, **options)
    with refuses(ValueError, "n_nodes >= 2", "got 1"):
        log_likelihood_by_quadrature(make_vae(), batch, n_nodes=1)
