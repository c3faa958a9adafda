"""Densities, the KL divergence and the sample against independent oracles."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch import distributions as td
from torch.autograd import gradcheck
from torch.testing import assert_close

from vae_lib import distributions
from vae_lib.distributions import (
    bernoulli_log_prob,
    continuous_bernoulli_log_prob,
    continuous_bernoulli_mean,
    gaussian_kl,
    gaussian_log_prob,
    reparameterize,
)

DENSITIES = [bernoulli_log_prob, continuous_bernoulli_log_prob]
BROADCASTS = [((3,), (3,)), ((4, 3), (4, 3)), ((4, 3), (5, 4, 3)), ((5, 4, 3), (4, 3))]
# On both sides of the series' limit 0.02 and far from it.
LOGITS = [0.0, 1e-3, 0.019, 0.021, -0.019, 5.0, -30.0]


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def assert_within_error(samples: Tensor, expected: Tensor) -> None:
    """The mean over the first axis lies within four standard errors."""
    error = samples.std(0) / math.sqrt(len(samples))
    assert ((samples.mean(0) - expected).abs() < 4 * error).all()


def assert_is_the_kl(kl) -> None:
    for shape in [(3,), (4, 2), (2, 3, 5)]:
        mu, logvar = randn(2, *shape)
        q = td.Normal(mu, torch.exp(logvar / 2))
        expected = td.kl_divergence(q, td.Normal(0.0, 1.0)).sum(-1)
        assert_close(kl(mu, logvar), expected, rtol=1e-12, atol=1e-12)


def test_kl_equals_torch_distributions():
    assert_is_the_kl(gaussian_kl)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m, v: -(1 + v - m**2 - v.exp()).sum(-1),  # one half forgotten
        lambda m, v: -0.5 * (1 + v - m**2 - v.exp()).mean(-1),  # mean over J
        lambda m, v: 0.5 * (1 + v - m**2 - v.exp()).sum(-1),  # sign
        lambda m, v: -0.5 * (1 + 2 * v - m**2 - (2 * v).exp()).sum(-1),  # log std
        lambda m, v: -0.5 * (1 + v - m**2 - (v / 2).exp()).sum(-1),  # std, not variance
        lambda m, v: -0.5 * (1 + (v - m**2 - v.exp()).sum(-1)),  # brackets
    ],
)
def test_wrong_kl_formulas_are_told_apart(wrong):
    with pytest.raises(AssertionError):
        assert_is_the_kl(wrong)


def test_kl_is_zero_at_the_prior():
    assert (gaussian_kl(torch.zeros(4, 3), torch.zeros(4, 3)) == 0).all()


def test_kl_is_never_negative_in_float32():
    mu, logvar = 1e-4 * torch.randn(2, 100_000, 1)
    naive = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
    assert (gaussian_kl(mu, logvar) >= 0).all()
    assert (naive < 0).any()  # so the law above is not empty


def test_kl_is_additive_over_dimensions():
    mu, logvar = randn(2, 4, 5)
    parts = [gaussian_kl(mu[:, j : j + 1], logvar[:, j : j + 1]) for j in range(5)]
    assert_close(gaussian_kl(mu, logvar), sum(parts), rtol=1e-12, atol=0)


def test_kl_passes_gradcheck():
    assert gradcheck(gaussian_kl, tuple(randn(2, 3, 2).requires_grad_()))


def test_kl_is_the_mean_log_ratio_of_its_densities():
    mu, logvar = randn(2, 3, 2)
    z = reparameterize(mu, logvar, n_samples=20_000)
    zero = torch.zeros_like(mu)
    log_ratio = gaussian_log_prob(z, mu, logvar) - gaussian_log_prob(z, zero, zero)
    assert_within_error(log_ratio, gaussian_kl(mu, logvar))


@pytest.mark.parametrize("x_shape, mu_shape", BROADCASTS)
def test_gaussian_equals_torch_distributions(x_shape, mu_shape):
    x, mu = randn(*x_shape), randn(*mu_shape)
    for logvar in (randn(*mu_shape), randn(3)):
        expected = td.Normal(mu, torch.exp(logvar / 2)).log_prob(x).sum(-1)
        assert_close(gaussian_log_prob(x, mu, logvar), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("x_shape, logits_shape", BROADCASTS)
def test_bernoulli_equals_torch_distributions(x_shape, logits_shape):
    x, logits = torch.rand(x_shape, dtype=torch.float64), 3 * randn(*logits_shape)
    grey = td.Bernoulli(logits=logits, validate_args=False).log_prob(x).sum(-1)
    assert_close(bernoulli_log_prob(x, logits), grey, rtol=1e-12, atol=1e-12)
    density = td.ContinuousBernoulli(logits=logits).log_prob(x).sum(-1)
    found = continuous_bernoulli_log_prob(x, logits)
    assert_close(found, density, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("density", DENSITIES)
def test_extreme_logits_have_finite_values_and_the_right_gradient(density):
    logits = torch.tensor([-1e4, -100.0, -20.0, 20.0, 100.0, 1e4]).requires_grad_()
    for pixel in (0.0, 0.3, 1.0):
        x = torch.full_like(logits, pixel)
        value = density(x[:, None], logits[:, None])
        (grad,) = torch.autograd.grad(value.sum(), logits)
        limit = logits.detach().double()
        bernoulli = pixel * limit - limit.clamp(min=0) - (-limit.abs()).exp().log1p()
        slope = pixel - torch.sigmoid(limit)
        if density is continuous_bernoulli_log_prob:  # tanh is one out here
            bernoulli, slope = bernoulli + limit.abs().log(), slope + 1 / limit
        assert_close(value.detach().double(), bernoulli, rtol=1e-5, atol=1e-6)
        assert_close(grad.double(), slope, rtol=1e-5, atol=1e-6)


def test_bernoulli_of_grey_is_the_expectation_over_bits():
    x, logits = torch.rand(3, dtype=torch.float64), randn(3)
    bits = torch.cartesian_prod(*3 * [torch.tensor([0.0, 1.0], dtype=torch.float64)])
    probability = torch.where(bits == 1, x, 1 - x).prod(-1)  # (8,)
    expected = (probability * bernoulli_log_prob(bits, logits.expand(8, 3))).sum()
    assert_close(bernoulli_log_prob(x, logits), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_is_a_density_with_that_mean(logit):
    nodes, weights = np.polynomial.legendre.leggauss(100)
    x = torch.from_numpy(nodes / 2 + 0.5)[:, None]
    logits = torch.full_like(x, logit)
    density = continuous_bernoulli_log_prob(x, logits).exp()
    mass = torch.from_numpy(weights / 2) * density
    one = torch.ones((), dtype=torch.float64)
    assert_close(mass.sum(), one, rtol=0, atol=1e-12)
    mean = continuous_bernoulli_mean(logits[0, 0])
    assert_close(mean, (mass * x[:, 0]).sum(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("logit", [0.0, 0.0199, 0.0201, -0.0201, 3.0])
def test_continuous_bernoulli_gradient_equals_finite_differences(logit):
    x = torch.tensor([0.3], dtype=torch.float64)
    point = torch.tensor([logit], dtype=torch.float64)
    for function in (lambda v: continuous_bernoulli_log_prob(x, v), single_mean):
        grad = torch.autograd.functional.jacobian(function, point).flatten()
        step = (function(point + 1e-5) - function(point - 1e-5)) / 2e-5
        assert_close(grad, step.flatten(), rtol=0, atol=1e-9)


def single_mean(logits: Tensor) -> Tensor:
    return continuous_bernoulli_mean(logits).sum()


def test_continuous_bernoulli_gradient_is_sound_in_float32():
    """The constant's gradient, about l / 6, is not lost to cancellation."""
    for logit in (0.001, 0.0199, 0.0201, 0.1):
        logits = torch.tensor([logit], requires_grad=True)
        half = torch.tensor([0.5])
        constant = continuous_bernoulli_log_prob(half, logits)
        constant = constant - bernoulli_log_prob(half, logits.detach())
        (grad,) = torch.autograd.grad(constant, logits)
        expected = 0.5 - 1 / (1 + math.exp(-logit)) + 1 / logit - 1 / math.sinh(logit)
        assert float(grad) == pytest.approx(expected, rel=0.01)


def test_sample_has_the_moments_of_the_posterior():
    mu, logvar = randn(2, 3)
    z = reparameterize(mu, logvar, n_samples=50_000)
    assert_within_error(z, mu)
    assert_within_error((z - mu) ** 2, logvar.exp())
    assert_within_error((z - mu)[:, 0] * (z - mu)[:, 1], torch.zeros(()))


@pytest.mark.parametrize("n_samples", [None, 1, 5])
def test_sample_has_the_gradient_of_an_affine_function(n_samples):
    mu, logvar = (t.requires_grad_() for t in randn(2, 4, 3))
    lead = () if n_samples is None else (n_samples,)
    eps = randn(*lead, 4, 3)
    z = reparameterize(mu, logvar, n_samples=n_samples, eps=eps)
    assert z.shape == (*lead, 4, 3)
    grad_mu, grad_logvar = torch.autograd.grad(z.sum(), (mu, logvar))
    total = eps.reshape(-1, 4, 3).sum(0)
    assert_close(grad_mu, torch.full_like(mu, n_samples or 1))
    assert_close(grad_logvar, 0.5 * (0.5 * logvar).exp() * total)
    assert gradcheck(lambda m, v: reparameterize(m, v, eps=eps), (mu, logvar))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_samples", [None, 1, 5])
def test_sample_is_fixed_by_the_generator(n_samples, dtype):
    mu = torch.zeros(4, 3, dtype=dtype)
    lead = () if n_samples is None else (n_samples,)
    draws = [
        reparameterize(mu, mu, n_samples=n_samples, generator=generator.manual_seed(1))
        for generator in (torch.Generator(), torch.Generator())
    ]
    assert torch.equal(*draws)
    assert draws[0].shape == (*lead, 4, 3) and draws[0].dtype == dtype
    assert len(draws[0].unique()) == draws[0].numel()  # no noise is used twice
    assert not torch.equal(draws[0], reparameterize(mu, mu, n_samples=n_samples))


@pytest.mark.parametrize(
    "name, arguments, options",
    [
        ("gaussian_kl", [(4, 3), (4, 1)], {}),
        ("gaussian_kl", [(4, 3), (3,)], {}),
        ("gaussian_log_prob", [(4, 3), (4, 1), (4, 1)], {}),
        ("bernoulli_log_prob", [(4, 1), (4, 3)], {}),
        ("continuous_bernoulli_log_prob", [(4, 3), (4, 1)], {}),
        ("reparameterize", [(4, 3), (4, 1)], {}),
        ("reparameterize", [(4, 3), (4, 3)], {"n_samples": 0}),
        ("reparameterize", [(4, 3), (4, 3)], {"eps": torch.zeros(4, 1)}),
    ],
)
def test_wrong_shapes_are_refused(name, arguments, options, refuses):
    tensors = [torch.zeros(shape) for shape in arguments]
    with refuses(ValueError, "expected", "got"):
        getattr(distributions, name)(*tensors, **options)
