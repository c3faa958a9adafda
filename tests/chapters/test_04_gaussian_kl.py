"""Chapter 4: quadratic forms, Gaussian densities and their KL divergences."""

import math
from fractions import Fraction

import numpy as np
import prose
import pytest
import sympy as sp
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from vae_lib import symbolic
from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize

says = prose.says("04-gaussian-kl")
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def random_gaussian(n: int) -> tuple[Tensor, Tensor]:
    factor = torch.tril(randn(n, n), -1) + torch.diag(0.5 + torch.rand(n).double())
    return randn(n), factor @ factor.T


def matrix(values: Tensor) -> sp.Matrix:
    """A sympy matrix of exactly these floating-point numbers; a vector is a column."""
    shape = (len(values), values.numel() // len(values))
    return sp.Matrix(*shape, [sp.Rational(v) for v in values.flatten().tolist()])


def price(mu: float, std: float, dtype=torch.float64) -> float:
    logvar = 2 * math.log(std)
    return gaussian_kl(*torch.tensor([[mu], [logvar]], dtype=dtype)).item()


@pytest.mark.equation("eq-quadratic-form")
def test_quadratic_form_needs_neither_gaussian_nor_symmetric():
    """A random discrete distribution in five dimensions, enumerated."""
    points, a = randn(7, 5), randn(5, 5)
    weights = torch.rand(7).double().softmax(0)
    mean = weights @ points
    centred = points - mean
    covariance = (weights[:, None] * centred).T @ centred
    expected = (weights * ((points @ a) * points).sum(-1)).sum()
    found = symbolic.quadratic_form_mean(matrix(a), matrix(mean), matrix(covariance))
    assert float(found) == pytest.approx(expected.item(), rel=1e-12)
    x, moments = sp.Matrix(sp.symbols("x1:6")), (matrix(mean), matrix(covariance))
    found = symbolic.quadratic_expectation((x.T * matrix(a) * x)[0], x, *moments)
    assert float(found) == pytest.approx(expected.item(), rel=1e-12)
    quadratic, trace = mean @ a @ mean, (a @ covariance).trace()
    assert_close(quadratic + trace, expected, **EXACT)
    for wrong in (quadratic - trace, quadratic + trace / 2, quadratic):
        assert abs(wrong - expected) > 1e-3


@pytest.mark.equation("eq-quadratic-form")
def test_quadratic_form_sees_the_symmetric_part_only():
    mean, covariance = map(matrix, random_gaussian(4))
    a = matrix(randn(4, 4))
    value = symbolic.quadratic_form_mean(a, mean, covariance)
    assert value == symbolic.quadratic_form_mean((a + a.T) / 2, mean, covariance)
    assert symbolic.quadratic_form_mean(a - a.T, mean, covariance) == 0


@pytest.mark.equation("eq-gaussian-density")
def test_full_density_has_mass_one_and_the_moments_of_its_name():
    mean, covariance = random_gaussian(2)
    line = torch.linspace(-25, 25, 801, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    centred = z - mean
    quadratic = (centred @ torch.linalg.inv(covariance) * centred).sum(-1)
    log_density = -0.5 * (2 * math.log(2 * math.pi) + covariance.logdet() + quadratic)
    expected = MultivariateNormal(mean, covariance).log_prob(z)
    assert_close(log_density, expected, rtol=1e-10, atol=1e-10)
    mass = log_density.exp() * (line[1] - line[0]) ** 2
    assert mass.sum().item() == pytest.approx(1, abs=1e-10)
    assert_close(mass @ z, mean, rtol=0, atol=1e-9)
    moments = (mass[:, None] * centred).T @ centred
    assert_close(moments, covariance, rtol=0, atol=1e-9)


@pytest.mark.equation("eq-gaussian-density", "eq-gaussian-log-prob")
def test_diagonal_density_is_the_full_one_with_a_diagonal_covariance():
    x, mu, logvar = randn(3, 6, 4)
    full = MultivariateNormal(mu, torch.diag_embed(logvar.exp())).log_prob(x)
    assert_close(gaussian_log_prob(x, mu, logvar), full, **EXACT)


@pytest.mark.equation("eq-gaussian-log-prob")
def test_symbolic_density_is_the_one_of_the_library():
    x, mu, logvar = randn(3, 1)
    std = torch.exp(logvar / 2)
    arguments = (sp.Float(t.item(), 20) for t in (x, mu, std))
    found = float(symbolic.gaussian_log_density(*arguments))
    assert found == pytest.approx(gaussian_log_prob(x, mu, logvar).item(), rel=1e-12)


@pytest.mark.equation("eq-gaussian-kl")
def test_kl_is_the_sum_of_its_integrals_on_a_grid():
    mu, logvar = randn(2, 3)
    z = torch.linspace(-40, 40, 20_001, dtype=torch.float64)[:, None]
    q, p = Normal(mu, torch.exp(logvar / 2)), Normal(0.0, 1.0)
    integrand = q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))
    integral = torch.trapezoid(integrand, z[:, 0], dim=0).sum()
    assert_close(gaussian_kl(mu, logvar), integral, rtol=1e-10, atol=0)


@pytest.mark.equation("eq-gaussian-kl")
def test_symbolic_kl_is_the_integral_and_wrong_ones_are_not():
    z, mu = sp.symbols("z mu", real=True)
    sigma = sp.symbols("sigma", positive=True)
    log_ratio = -sp.log(sigma) - (z - mu) ** 2 / (2 * sigma**2) + z**2 / 2
    density = sp.exp(-((z - mu) ** 2) / (2 * sigma**2)) / (sigma * sp.sqrt(2 * sp.pi))
    integral = sp.integrate(sp.expand(log_ratio) * density, (z, -sp.oo, sp.oo))
    right = symbolic.gaussian_kl([mu], [sigma])
    assert symbolic.residual(integral, right) == 0
    there = {mu: sp.Rational(1, 3), sigma: sp.Rational(1, 2)}
    for wrong in (2 * right, -right, right - mu**2, right + sp.log(sigma) / 2):
        assert abs(float((integral - wrong).subs(there))) > 0.05


def test_kl_has_the_gradient_and_the_curvature_of_the_page():
    mu, logvar = (t.requires_grad_() for t in randn(2, 4))
    slopes = torch.autograd.grad(
        gaussian_kl(mu, logvar), (mu, logvar), create_graph=True
    )
    assert_close(slopes, (mu, (logvar.exp() - 1) / 2), **EXACT)
    assert slopes[1].min() > -0.5
    hessian = torch.autograd.functional.hessian(
        lambda both: gaussian_kl(both[:4], both[4:]), torch.cat([mu, logvar]).detach()
    )
    expected = torch.cat([torch.ones_like(mu), logvar.exp() / 2])
    assert_close(hessian, torch.diag(expected), **EXACT)


@pytest.mark.parametrize("mu", [0.0, 1e-5, 1e-3])
def test_float32_kl_keeps_its_sign_and_digits_at_every_scale(mu):
    size = torch.logspace(-20, 1.3, 50_001, dtype=torch.float32)
    logvar = torch.cat([size, -size])[:, None]
    means = torch.full_like(logvar, mu)
    found, exact = gaussian_kl(means, logvar), gaussian_kl(means.double(), logvar)
    assert found.dtype == torch.float32 and (found >= 0).all()
    scale = exact + logvar[:, 0].abs()  # what one rounding is measured against
    assert ((found - exact).abs() <= 2e-7 * scale).all()
    naive = 0.5 * (logvar.exp() - 1 - logvar)[:, 0]
    assert (naive < 0).any()


def test_sampled_kl_has_the_variance_of_the_page_and_z_for_gradient():
    mu, logvar = randn(2, 3, 1)
    mu.requires_grad_()
    z = reparameterize(mu, logvar, n_samples=20_000)
    zero = torch.zeros_like(mu)
    log_ratio = gaussian_log_prob(z, mu, logvar) - gaussian_log_prob(z, zero, zero)
    (slope,) = torch.autograd.grad(log_ratio[0].sum(), mu)
    assert_close(slope, z[0].detach(), **EXACT)
    variance = mu**2 * logvar.exp() + (logvar.exp() - 1) ** 2 / 2
    assert_close(log_ratio.var(0), variance[:, 0], rtol=0.1, atol=0)


@pytest.mark.equation("eq-gaussian-kl-trace")
@pytest.mark.parametrize("n", [1, 2, 4])
def test_trace_form_holds_for_every_covariance(n):
    mean, covariance = random_gaussian(n)
    prior = MultivariateNormal(torch.zeros_like(mean), torch.eye(n).double())
    expected = kl_divergence(MultivariateNormal(mean, covariance), prior).item()
    found = symbolic.gaussian_kl_trace(matrix(mean), matrix(covariance))
    assert float(found) == pytest.approx(expected, rel=1e-12)
    by_hand = covariance.trace() + mean @ mean - n - covariance.logdet()
    assert by_hand.item() / 2 == pytest.approx(expected, rel=1e-12)
    diagonal = covariance.diagonal()
    found = symbolic.gaussian_kl_trace(matrix(mean), matrix(diagonal.diag()))
    expected = gaussian_kl(mean, diagonal.log()).item()
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.equation("eq-gaussian-kl-trace")
def test_a_column_times_a_row_is_no_covariance_of_a_density():
    std = sp.Matrix(sp.symbols("sigma1:4", positive=True))
    printed, meant = std * std.T, sp.diag(*std.multiply_elementwise(std))
    assert printed.rank() == 1 and sp.expand(printed.det()) == 0
    assert sp.expand(printed.trace() - meant.trace()) == 0
    halves = torch.tensor([0.5, 0.25])  # exact in floating point
    assert torch.logdet(halves.outer(halves)) == -math.inf


@pytest.mark.equation("eq-gaussian-kl-general")
@pytest.mark.parametrize("n", [1, 2, 4])
def test_general_form_equals_torch_and_its_eigenvalue_form(n):
    q, p = random_gaussian(n), random_gaussian(n)
    expected = kl_divergence(MultivariateNormal(*q), MultivariateNormal(*p)).item()
    found = symbolic.gaussian_kl_general(*map(matrix, (*q, *p)))
    assert float(found) == pytest.approx(expected, rel=1e-10)
    delta, precision = q[0] - p[0], torch.linalg.inv(p[1])
    eigenvalues = torch.linalg.eigvals(precision @ q[1]).real
    assert eigenvalues.min() > 0
    spread = (eigenvalues - 1 - eigenvalues.log()).sum()
    by_axes = 0.5 * (delta @ precision @ delta + spread)
    assert by_axes.item() == pytest.approx(expected, rel=1e-10)
    turned = symbolic.gaussian_kl_general(*map(matrix, (*p, *q)))
    assert abs(float(turned) - expected) > 1e-3


@pytest.mark.equation("eq-gaussian-kl-general")
def test_general_form_has_the_special_cases_of_the_page():
    (mu_q, covariance), (mu_p, _) = random_gaussian(3), random_gaussian(3)
    q, p = (matrix(mu_q), matrix(covariance)), (matrix(mu_p), matrix(covariance))
    delta = mu_q - mu_p
    mahalanobis = delta @ torch.linalg.solve(covariance, delta)
    found = float(symbolic.gaussian_kl_general(*q, *p))
    assert found == pytest.approx(mahalanobis.item() / 2, rel=1e-10)
    assert found == pytest.approx(float(symbolic.gaussian_kl_general(*p, *q)))
    found = symbolic.gaussian_kl_general(*q, sp.zeros(3, 1), sp.eye(3))
    assert symbolic.residual(found, symbolic.gaussian_kl_trace(*q)) == 0
    m, n = sp.symbols("m n", real=True)
    s, t = sp.symbols("s t", positive=True)
    pair = sp.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - sp.Rational(1, 2)
    ones = (sp.Matrix([e]) for e in (m, s**2, n, t**2))
    assert symbolic.residual(symbolic.gaussian_kl_general(*ones), pair) == 0


@pytest.mark.book
def test_numbers_in_the_text_are_right():
    says("the divergence, is # nat", price(1, 1))
    says("happens with probability #", Normal(0.0, 1.0).cdf(torch.tensor(-0.5)))
    says("costs exactly # nat", Fraction(price(1, 1)))
    says("and $\\mu = 2$ costs #", Fraction(price(2, 1)))
    tenth, hundredth = price(0, 0.1), price(0, 0.01)
    says("$\\sigma = 0.1$ with $\\mu = 0$, costs # nats", tenth)
    says("nats; to a hundredth, #", hundredth)
    says("The difference, # nats", hundredth - tenth)
    says("decimal of precision about #", math.log(10))
    says("$\\sigma = 2$ costs # nat", price(0, 2))
    says("costs $# + # = #$ nats", tenth, price(1, 1), price(1, 0.1))
    says("rises by more than # nats", price(1, 0.1))
    says("mean at 3 costs $3^2/2 = #$", price(3, 1))
    says("\\approx #$ nats: less", hundredth)


@pytest.mark.book
def test_answers_of_the_first_picture_cost_one_nat():
    """Each is printed with two decimals, between which the price passes one nat."""
    mean = says("move its mean to #")
    assert price(mean, 1) == pytest.approx(1, abs=0.005 * mean)
    for width in (says("a standard deviation of #"), says("be vague, with one of #")):
        ends = [price(0, width + half) - 1 for half in (-0.005, 0.005)]
        assert ends[0] * ends[1] < 0


def log_p_of_white(z: Tensor) -> Tensor:
    return torch.nn.functional.logsigmoid(3 * z)


def test_best_width_has_the_precision_of_prior_and_mean_curvature():
    """Against the best of a fine lattice of means and standard deviations."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    eps, weights = torch.tensor(nodes), torch.tensor(weights / weights.sum())
    mu = torch.linspace(0.4, 1.0, 601, dtype=torch.float64)[:, None, None]
    std = torch.linspace(0.5, 0.9, 401, dtype=torch.float64)[:, None]
    z = mu + std * eps
    kl = gaussian_kl(mu.expand(601, 401, 1), 2 * std.log().expand(601, 401, 1))
    best = int((log_p_of_white(z) @ weights - kl).argmax())
    mu, std = mu[best // 401, 0, 0], std[best % 401, 0]
    white = torch.sigmoid(3 * (mu + std * eps))
    curvature = weights @ (9 * white * (1 - white))
    assert 1 / std**2 == pytest.approx(float(1 + curvature), rel=5e-3)
    assert mu == pytest.approx(float(weights @ (3 * (1 - white))), rel=5e-3)


@pytest.mark.book
def test_clouds_of_the_picture_have_the_mean_of_the_text():
    a = torch.tensor([[1.0, 4.0], [0.0, 1.0]], dtype=torch.float64)
    mean = torch.tensor([1.0, 0.5], dtype=torch.float64)
    covariance = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
    says("average of $x^\\top A x$ is #", mean @ a @ mean + (a @ covariance).trace())


@pytest.mark.book
@pytest.mark.equation("eq-gaussian-kl-general")
def test_prices_seen_from_p_add_up_to_the_divergence():
    q = torch.tensor([1.5, 0.2]), torch.tensor([[0.25, -0.1], [-0.1, 0.3]])
    p = torch.zeros(2), torch.tensor([[2.0, 1.2], [1.2, 1.0]])
    shift = q[0] @ torch.linalg.solve(p[1], q[0]) / 2
    lam = torch.linalg.eigvals(torch.linalg.solve(p[1], q[1])).real.sort().values
    axes = (lam - 1 - lam.log()) / 2
    says("# nats for the shift, # for", shift, axes[0])
    total = kl_divergence(MultivariateNormal(*q), MultivariateNormal(*p))
    says("# for the long one", axes[1])
    says("one, # in all", total)


@pytest.mark.book
def test_cheapest_way_to_tell_images_apart():
    """Exercise: the average price over a lattice of widths, and the information."""
    ratio = says("What does a ratio of $\\rho = #$ cost")
    assert ratio == 10
    width = torch.linspace(0.05, 0.5, 200_001, dtype=torch.float64)
    average = 0.5 * ((ratio * width) ** 2 + width**2 - 1) - width.log()
    best = width[average.argmin()]
    assert float(best) ** -2 == pytest.approx(1 + ratio**2, rel=1e-3)
    says("\\frac12\\log 101 = #$ nats", average.min())
    # What all codes tell of their means: the entropy of all, minus that of one.
    both = math.sqrt(ratio**2 + 1) * 0.3
    told = Normal(0.0, both).entropy() - Normal(0.0, 0.3).entropy()
    assert float(told) == pytest.approx(float(average.min()), rel=1e-6)
    wasted = kl_divergence(Normal(0.0, both), Normal(0.0, 1.0))
    there = 0.5 * ((ratio * 0.3) ** 2 + 0.3**2 - 1) - math.log(0.3)
    assert there == pytest.approx(float(told + wasted), rel=1e-5)


@pytest.mark.book
def test_float32_numbers_in_the_text_are_right():
    says("a multiple of #", torch.finfo(torch.float32).eps)
    exact = says("For $\\ell = #$")
    ell = torch.tensor(exact)
    assert float(1 + ell - ell.exp()) == says("exp(l))` returns #") == 0
    says("- 1 - l)` returns #", 0.5 * (torch.exp(ell) - 1 - ell))
    says("the truth is $+#$", 0.5 * (math.expm1(exact) - exact))


@pytest.mark.book
def test_literal_readings_in_the_text_are_right():
    at_the_prior = -0.5 * 2 + math.log(1) - 0 - 1
    expected = Fraction(at_the_prior), Fraction(price(0, 1))
    says("prior this is # instead of #", *expected)
    # Half of J times the cross-entropy, here 80, is what is taken off.
    for n in (2, 3):
        mu, logvar = randn(2, n)
        everything = -0.5 * (1 + logvar - mu**2 - logvar.exp() + 80).sum()
        assert_close(everything, gaussian_kl(mu, logvar) - n / 2 * 80, **EXACT)


@pytest.mark.book
def test_example_of_the_text_is_right():
    points, a = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 4], [0, 1]])
    mean = points.mean(0)
    covariance = points.T @ points / 2 - mean.outer(mean)
    assert covariance.tolist() == [[0.25, -0.5], [-0.5, 1.0]]
    values = ((points @ a) * points).sum(-1)
    says("is # or #, with mean #", *values, values.mean())
    says("$\\mu^\\top A\\mu = #$", mean @ a @ mean)
    says("= #$; the sum is #", (a @ covariance).trace(), values.mean())
