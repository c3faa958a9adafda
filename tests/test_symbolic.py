"""Closed forms against the integrals that define them, torch and numbers."""

import math

import pytest
import sympy
import torch
from sympy import Matrix, diag, symbols
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_lib import symbolic

z, mu, m = symbols("z mu m", real=True)
sigma, s = symbols("sigma s", positive=True)


def vector(name: str, n: int) -> Matrix:
    return Matrix(symbols(f"{name}:{n}", real=True))


def covariance(name: str) -> Matrix:
    """Any 2 x 2 covariance, through its Cholesky factor."""
    a, c = symbols(f"{name}a {name}c", positive=True)
    factor = Matrix([[a, 0], [sympy.Symbol(f"{name}b", real=True), c]])
    return factor * factor.T


def log_density(x: Matrix, mean: Matrix, cov: Matrix) -> sympy.Expr:
    distance = ((x - mean).T * cov.inv() * (x - mean))[0]
    return -(sympy.log((2 * sympy.pi) ** len(x) * cov.det()) + distance) / 2


@pytest.mark.equation("eq-gaussian-log-prob")
def test_log_density_is_the_one_of_torch():
    expression = symbolic.gaussian_log_density(z, mu, sigma)
    value = float(expression.subs({z: 0.3, mu: -1.1, sigma: 0.4}))
    expected = Normal(-1.1, 0.4).log_prob(torch.tensor(0.3, dtype=torch.float64))
    assert math.isclose(value, float(expected), rel_tol=1e-6)


@pytest.mark.equation("eq-gaussian-expectation")
def test_gaussian_expectation_knows_the_moments_and_the_generating_function():
    for power, moment in enumerate((1, 0, 1, 0, 3, 0, 15)):
        centred = symbolic.gaussian_expectation((z - mu) ** power, z, mu, sigma)
        assert symbolic.residual(centred, moment * sigma**power) == 0
    generating = symbolic.gaussian_expectation(sympy.exp(m * z), z, mu, sigma)
    assert symbolic.residual(generating, sympy.exp(m * mu + (m * sigma) ** 2 / 2)) == 0


@pytest.mark.equation("eq-gaussian-kl", "eq-gaussian-expectation")
def test_kl_to_the_prior_is_the_integral_of_the_log_ratio():
    log_ratio = symbolic.gaussian_log_density(z, mu, sigma)
    log_ratio -= symbolic.gaussian_log_density(z, 0, 1)
    integral = symbolic.gaussian_expectation(log_ratio, z, mu, sigma)
    assert symbolic.residual(integral, symbolic.gaussian_kl([mu], [sigma])) == 0


@pytest.mark.equation("eq-gaussian-kl")
def test_kl_to_the_prior_is_a_sum_over_the_dimensions():
    together = symbolic.gaussian_kl([mu, m], [sigma, s])
    apart = symbolic.gaussian_kl([mu], [sigma]) + symbolic.gaussian_kl([m], [s])
    assert symbolic.residual(together, apart) == 0


@pytest.mark.equation("eq-quadratic-form")
def test_quadratic_form_needs_two_moments_and_no_symmetry():
    a, x = Matrix(3, 3, symbols("a:9")), vector("x", 3)
    cov = Matrix(3, 3, lambda i, j: sympy.Symbol(f"c{min(i, j)}{max(i, j)}"))
    mean = vector("mu", 3)
    left = symbolic.quadratic_expectation((x.T * a * x)[0], x, mean, cov)
    assert symbolic.residual(left, symbolic.quadratic_form_mean(a, mean, cov)) == 0


@pytest.mark.equation("eq-quadratic-form")
def test_quadratic_expectation_is_exact_on_three_points():
    """X takes three values with equal probability: nothing Gaussian about it."""
    points = [Matrix([0, 0]), Matrix([3, 0]), Matrix([0, 6])]
    x, mean = vector("x", 2), Matrix([1, 2])
    third = sympy.Rational(1, 3)
    cov = third * sum((p * p.T for p in points), sympy.zeros(2)) - mean * mean.T
    expression = 5 + x[0] - 4 * x[1] + 2 * x[0] ** 2 + 7 * x[0] * x[1] - x[1] ** 2
    exact = third * sum(expression.subs(dict(zip(x, p, strict=True))) for p in points)
    assert symbolic.quadratic_expectation(expression, x, mean, cov) == exact


def test_quadratic_expectation_refuses_a_cubic(refuses):
    with refuses(ValueError, "degree at most 2", "got 3"):
        symbolic.quadratic_expectation(z**3, [z], Matrix([0]), Matrix([[1]]))


@pytest.mark.equation("eq-gaussian-kl-trace")
@pytest.mark.parametrize("j", [1, 2, 3, 4])
def test_trace_form_is_the_sum_for_a_diagonal_covariance(j):
    mean, stds = vector("mu", j), symbols(f"sigma:{j}", positive=True)
    trace = symbolic.gaussian_kl_trace(mean, diag(*[std**2 for std in stds]))
    assert symbolic.residual(trace, symbolic.gaussian_kl(mean, stds)) == 0


@pytest.mark.equation("eq-gaussian-density", "eq-gaussian-kl-general")
def test_general_kl_is_the_mean_log_ratio_of_two_gaussians():
    x, mean_q, mean_p = vector("x", 2), vector("u", 2), vector("v", 2)
    cov_q, cov_p = covariance("q"), covariance("p")
    log_ratio = log_density(x, mean_q, cov_q) - log_density(x, mean_p, cov_p)
    mean = symbolic.quadratic_expectation(log_ratio, x, mean_q, cov_q)
    closed = symbolic.gaussian_kl_general(mean_q, cov_q, mean_p, cov_p)
    assert symbolic.residual(mean, closed) == 0


@pytest.mark.equation("eq-gaussian-kl-general", "eq-gaussian-kl-trace")
def test_general_kl_to_the_prior_is_the_trace_form():
    mean, cov = vector("mu", 2), covariance("q")
    prior = Matrix([0, 0]), sympy.eye(2)
    general = symbolic.gaussian_kl_general(mean, cov, *prior)
    assert symbolic.residual(general, symbolic.gaussian_kl_trace(mean, cov)) == 0


@pytest.mark.equation("eq-gaussian-kl-general", "eq-gaussian-density")
def test_general_kl_equals_torch_distributions():
    root = torch.randn(2, 3, 3, dtype=torch.float64)
    covs = root @ root.mT + 0.1 * torch.eye(3)
    means = torch.randn(2, 3, dtype=torch.float64)
    q, p = (MultivariateNormal(means[i], covs[i]) for i in range(2))
    parts = [Matrix(part.tolist()) for i in range(2) for part in (means[i], covs[i])]
    value = float(symbolic.gaussian_kl_general(*parts))
    assert math.isclose(value, float(kl_divergence(q, p)), rel_tol=1e-10)
