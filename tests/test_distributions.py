"""Densities, the KL divergence and the sample against independent oracles."""

import math

import numpy as np
import pytest
import sympy as sp
import torch
from torch import Tensor
from torch import distributions as td
from torch.autograd import grad, gradcheck
from torch.testing import assert_close

from vae_lib import distributions, symbolic
from vae_lib.distributions import (
    bernoulli_log_prob,
    continuous_bernoulli_log_prob,
    continuous_bernoulli_mean,
    gaussian_kl,
    gaussian_log_prob,
    reparameterize,
)

BROADCASTS = [((3,), (3,)), ((4, 3), (4, 3)), ((4, 3), (5, 4, 3)), ((5, 4, 3), (4, 3))]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


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
        assert_close(kl(mu, logvar), expected, **EXACT)


@pytest.mark.equation("eq-gaussian-kl")
def test_kl_equals_torch_distributions():
    assert_is_the_kl(gaussian_kl)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m, v: -(1 + v - m**2 - v.exp()).sum(-1),  # one half forgotten
        lambda m, v: -0.5 * (1 + v - m**2 - v.exp()).mean(-1),  # mean over J
        lambda m, v: 0.5 * (1 + v - m**2 - v.exp()).sum(-1),  # sign
        lambda m, v: -0.5 * (1 + 2 * v - m**2 - (2 * v).exp()).sum(-1),  # log std
        lambda m, v: -0.5 * (1 + v - m**2 - (v / 2).exp()).sum(-1),  # std for variance
        lambda m, v: -0.5 * (1 + (v - m**2 - v.exp()).sum(-1)),  # brackets
    ],
)
def test_wrong_kl_formulas_are_told_apart(wrong):
    with pytest.raises(AssertionError):
        assert_is_the_kl(wrong)


def test_kl_equals_the_formula_that_sympy_proves():
    """tests/test_symbolic.py proves that formula from the integral that defines it."""
    exact = symbolic.gaussian_kl([sp.Rational(3, 10)], [sp.exp(sp.Rational(-6, 10))])
    found = gaussian_kl(*torch.tensor([[0.3], [-1.2]], dtype=torch.float64))
    assert_close(found.item(), float(exact), rtol=1e-12, atol=0)


def test_kl_is_zero_at_the_prior():
    assert (gaussian_kl(torch.zeros(4, 3), torch.zeros(4, 3)) == 0).all()


def test_kl_is_never_negative_in_float32():
    mu, logvar = 1e-4 * torch.randn(2, 100_000, 1)
    naive = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)
    assert (gaussian_kl(mu, logvar) >= 0).all() and (naive < 0).any()


def test_kl_is_additive_over_dimensions_and_passes_gradcheck():
    mu, logvar = randn(2, 4, 5)
    parts = [gaussian_kl(mu[:, [j]], logvar[:, [j]]) for j in range(5)]
    assert_close(gaussian_kl(mu, logvar), sum(parts), **EXACT)
    assert gradcheck(gaussian_kl, (mu.requires_grad_(), logvar.requires_grad_()))


@pytest.mark.equation("eq-gaussian-kl", "eq-kl")
def test_kl_is_the_mean_log_ratio_of_its_densities():
    mu, logvar = randn(2, 3, 2)
    z, zero = reparameterize(mu, logvar, n_samples=20_000), torch.zeros_like(mu)
    log_ratio = gaussian_log_prob(z, mu, logvar) - gaussian_log_prob(z, zero, zero)
    assert_within_error(log_ratio, gaussian_kl(mu, logvar))


@pytest.mark.equation(
    "eq-gaussian-log-prob", "eq-bernoulli-log-prob", "eq-continuous-bernoulli"
)
@pytest.mark.parametrize("x_shape, mu_shape", BROADCASTS)
def test_densities_equal_torch_distributions(x_shape, mu_shape):
    x, mu = torch.rand(x_shape, dtype=torch.float64), 3 * randn(*mu_shape)
    for logvar in (randn(*mu_shape), randn(3)):
        expected = td.Normal(mu, torch.exp(logvar / 2)).log_prob(x).sum(-1)
        assert_close(gaussian_log_prob(x, mu, logvar), expected, **EXACT)
    expected = td.Bernoulli(logits=mu, validate_args=False).log_prob(x).sum(-1)
    assert_close(bernoulli_log_prob(x, mu), expected, **EXACT)
    expected = td.ContinuousBernoulli(logits=mu).log_prob(x).sum(-1)
    assert_close(continuous_bernoulli_log_prob(x, mu), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pixel", [0.0, 0.3, 1.0])
def test_extreme_logits_have_the_right_value_and_gradient(pixel):
    sizes = [-1e13, -1e4, -100.0, -20.0, 20.0, 100.0, 1e4, 1e13]
    logits = torch.tensor(sizes, requires_grad=True)
    exact, x = logits.detach().double(), torch.full((8, 1), pixel)
    value = pixel * exact - exact.clamp(min=0) - (-exact.abs()).exp().log1p()
    slope = pixel - torch.sigmoid(exact)
    for density, constant in (
        (bernoulli_log_prob, False),
        (continuous_bernoulli_log_prob, True),  # tanh(l / 2) is one out here
    ):
        found = density(x, logits[:, None])
        found_slope = grad(found.sum(), logits)[0]
        tolerance = {"rtol": 1e-5, "atol": 1e-6, "check_dtype": False}
        assert_close(found, value + constant * exact.abs().log(), **tolerance)
        assert_close(found_slope, slope + constant / exact, **tolerance)


@pytest.mark.equation("eq-bernoulli-log-prob")
def test_bernoulli_of_grey_is_the_expectation_over_bits():
    x, logits = torch.rand(3, dtype=torch.float64), randn(3)
    bits = torch.cartesian_prod(*3 * [torch.arange(2.0, dtype=torch.float64)])
    probability = torch.where(bits == 1, x, 1 - x).prod(-1)  # (8,)
    expected = (probability * bernoulli_log_prob(bits, logits)).sum()
    assert_close(bernoulli_log_prob(x, logits), expected, **EXACT)


@pytest.mark.equation("eq-continuous-bernoulli", "eq-continuous-bernoulli-mean")
@pytest.mark.parametrize("logit", [0.0, 1e-3, 0.019, 0.021, -0.021, 5.0, -30.0])
def test_continuous_bernoulli_is_a_density_with_that_mean(logit):
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(100))
    x, logits = (nodes[:, None] + 1) / 2, torch.tensor([logit], dtype=torch.float64)
    mass = weights / 2 * continuous_bernoulli_log_prob(x, logits).exp()
    assert_close(mass.sum(), torch.ones_like(mass[0]), **EXACT)
    assert_close(continuous_bernoulli_mean(logits), mass @ x, **EXACT)


@pytest.mark.parametrize("logit", [0.0, 1e-3, 0.0199, 0.0201, -0.0201, 3.0])
def test_continuous_bernoulli_gradient_equals_finite_differences(logit):
    """Of log density and mean, and the former in float32 too."""
    x, point = torch.tensor([[0.3], [logit]], dtype=torch.float64)
    for function, dtype, tolerance in (
        (lambda logits: continuous_bernoulli_mean(logits).sum(), torch.float64, 1e-9),
        (lambda logits: continuous_bernoulli_log_prob(x, logits), torch.float64, 1e-9),
        (lambda logits: continuous_bernoulli_log_prob(x, logits), torch.float32, 1e-5),
    ):
        variable = point.to(dtype).requires_grad_()
        (slope,) = grad(function(variable), variable)
        step = (function(point + 1e-5) - function(point - 1e-5)) / 2e-5
        assert slope.item() == pytest.approx(step.item(), abs=tolerance)


@pytest.mark.equation("eq-reparameterization")
def test_sample_has_the_moments_of_the_posterior():
    mu, logvar = randn(2, 3)
    z = reparameterize(mu, logvar, n_samples=50_000)
    assert_within_error(z, mu)
    assert_within_error((z - mu) ** 2, logvar.exp())
    assert_within_error((z - mu) * (z - mu).roll(1, dims=-1), torch.zeros(3))


@pytest.mark.equation("eq-reparameterization")
@pytest.mark.parametrize("lead", [(), (1,), (5,)])
def test_sample_has_the_gradient_of_an_affine_function(lead):
    mu, logvar = (t.requires_grad_() for t in randn(2, 4, 3))
    eps = randn(*lead, 4, 3)
    z = reparameterize(mu, logvar, eps=eps)
    grad_mu, grad_logvar = grad(z.sum(), (mu, logvar))
    assert_close(grad_mu, torch.full_like(mu, math.prod(lead)))
    total = eps.reshape(-1, 4, 3).sum(0)
    assert_close(grad_logvar, 0.5 * (0.5 * logvar).exp() * total)
    assert gradcheck(lambda m, v: reparameterize(m, v, eps=eps), (mu, logvar))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_samples, lead", [(None, ()), (1, (1,)), (5, (5,))])
def test_sample_is_fixed_by_the_generator(n_samples, lead, dtype):
    def draw(seed: int) -> Tensor:
        generator, mu = torch.Generator().manual_seed(seed), torch.ones(4, 3)
        logvar = torch.zeros(4, 3, dtype=dtype)
        return reparameterize(
            mu.to(dtype), logvar, n_samples=n_samples, generator=generator
        )

    assert draw(1).shape == (*lead, 4, 3) and draw(1).dtype == dtype
    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
    assert len(draw(1).unique()) == draw(1).numel()  # no noise is used twice


@pytest.mark.parametrize(
    "name, shapes, options",
    [
        ("gaussian_kl", [(4, 3), (4, 1)], {}),
        ("gaussian_kl", [(4, 3), (3,)], {}),
        ("gaussian_log_prob", [(4, 3), (4, 1), (4, 1)], {}),
        ("bernoulli_log_prob", [(4, 1), (4, 3)], {}),
        ("continuous_bernoulli_log_prob", [(4, 3), (4, 1)], {}),
        ("reparameterize", [(4, 3), (4, 1)], {}),
        ("reparameterize", [(4, 3), (4, 3)], {"n_samples": 0}),
        ("reparameterize", [(4, 3), (4, 3)], {"eps": torch.zeros(4, 1)}),
        ("reparameterize", [(4, 3), (4, 3)], {"eps": torch.zeros(1, 3)}),
        ("reparameterize", [(4, 3), (4, 3)], {"eps": torch.zeros(2, 5, 3)}),
    ],
)
def test_wrong_shapes_are_refused(name, shapes, options, refuses):
    with refuses(ValueError, "expected", "got"):
        getattr(distributions, name)(*map(torch.zeros, shapes), **options)
