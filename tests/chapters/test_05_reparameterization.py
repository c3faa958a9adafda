"""Score-function and pathwise gradients: their means, variances and conditions."""

import math
import re
from fractions import Fraction

import numpy as np
import prose
import pytest
import torch
import torch.distributions as td
from torch import Tensor
from torch.autograd import grad
from torch.autograd.functional import jacobian
from torch.testing import assert_close

from tools.book import notebooks_of
from vae_lib.distributions import gaussian_log_prob, reparameterize

says = prose.says("05-reparameterization")


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal_nodes(n: int, n_dims: int = 1) -> tuple[Tensor, Tensor]:
    """Nodes (n ** n_dims, n_dims) and weights of an expectation under N(0, I).

    Gauss-Hermite: exact for polynomials of degree 2 n - 1 in each coordinate.
    """
    nodes, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(n))
    weights = weights / weights.sum()
    grid = torch.cartesian_prod(*[nodes] * n_dims).reshape(-1, n_dims)
    mass = torch.cartesian_prod(*[weights] * n_dims).reshape(-1, n_dims).prod(-1)
    return grid, mass


def copies(parameter: Tensor, n: int) -> Tensor:
    """One copy of the parameter (J,) for each of n samples: (n, J), needing grad."""
    return parameter.expand(n, -1).clone().requires_grad_()


def score_of(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Derivative of the library's log density in (mu, logvar) for every z, (n, 2 J)."""
    parameters = copies(mu, len(z)), copies(logvar, len(z))
    return torch.cat(grad(gaussian_log_prob(z, *parameters).sum(), parameters), -1)


def moments(samples: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    mean = weights @ samples
    return mean, weights @ (samples - mean).square()


MU, LOGVAR = tensor(0.4, -1.1), tensor(0.3, -0.7)


@pytest.mark.parametrize("h", [1.0, 0.1, 0.001])
def test_a_quotient_needs_its_noise_held_fixed(h):
    """Of z^2 at mu = 1: mean 2 + h either way, and 1/h in the spread of fresh noise."""
    eps, weights = normal_nodes(6, 2)
    before = (1 + eps[:, 0]) ** 2
    fixed = ((1 + h + eps[:, 0]) ** 2 - before) / h
    fresh = ((1 + h + eps[:, 1]) ** 2 - before) / h
    mean, variance = moments(fixed, weights)
    assert_close(mean.item(), 2 + h, rtol=1e-9, atol=1e-9)
    assert_close(variance.item(), 4.0, rtol=1e-6, atol=0)
    mean, variance = moments(fresh, weights)
    assert_close(mean.item(), 2 + h, rtol=1e-9, atol=1e-9)
    assert_close(variance.item(), (6 + 4 * (1 + h) ** 2 + 2) / h**2)


@pytest.mark.equation("eq-reparameterization")
def test_sample_has_the_law_of_the_gaussian_that_was_asked_for():
    """P(z_j <= t) is that of N(mu_j, sigma_j^2), and every mixed moment factorises."""
    eps, weights = normal_nodes(12, 2)
    z = reparameterize(MU, LOGVAR, eps=eps)
    q = td.Normal(MU, LOGVAR.exp().sqrt())
    assert_close(q.cdf(z), td.Normal(0.0, 1.0).cdf(eps), rtol=0, atol=1e-12)
    for i, j in ((1, 1), (2, 1), (2, 2), (3, 2)):
        mixed = weights @ (z[:, 0] ** i * z[:, 1] ** j)
        assert_close(mixed, (weights @ z[:, 0] ** i) * (weights @ z[:, 1] ** j))


@pytest.mark.equation("eq-pathwise-gradient", "eq-reparameterization")
def test_pathwise_gradient_is_that_of_the_mean():
    """For f(z) = exp(a'z), whose mean is exp(a'mu + sum(a^2 sigma^2) / 2)."""
    a, (eps, weights) = tensor(0.5, -0.8), normal_nodes(30, 2)
    parameters = copies(MU, len(eps)), copies(LOGVAR, len(eps))
    values = (reparameterize(*parameters, eps=eps) @ a).exp()
    samples = torch.cat(grad(values.sum(), parameters), -1)
    mean = torch.exp(a @ MU + (a**2) @ LOGVAR.exp() / 2)
    exact = mean * torch.cat([a, a**2 * LOGVAR.exp() / 2])
    assert_close(weights @ samples, exact, rtol=1e-11, atol=0)


@pytest.mark.equation("eq-score-gradient")
def test_score_gradient_is_that_of_the_mean():
    a, (eps, weights) = tensor(0.5, -0.8), normal_nodes(30, 2)
    z = reparameterize(MU, LOGVAR, eps=eps)
    score = score_of(z, MU, LOGVAR)
    mean = torch.exp(a @ MU + (a**2) @ LOGVAR.exp() / 2)
    exact = mean * torch.cat([a, a**2 * LOGVAR.exp() / 2])
    assert_close(weights @ score, torch.zeros_like(exact), rtol=0, atol=1e-12)
    estimate = (z @ a).exp()[:, None] * score
    assert_close(weights @ estimate, exact, rtol=1e-11, atol=0)


@pytest.mark.equation("eq-score-gradient", "eq-pathwise-gradient")
def test_a_jump_is_for_the_score_function_only():
    """f(z) = 1 for z > 0: the mean Phi(mu / sigma) has a slope, no path sees it."""
    nodes, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(120))
    z, weights = 6 * (nodes + 1)[:, None], 6 * weights  # on (0, 12), where f = 1
    mu, logvar = tensor(0.4), tensor(0.3)
    density = gaussian_log_prob(z, mu, logvar).exp()
    estimate = (weights * density) @ score_of(z, mu, logvar)
    std = logvar.exp().sqrt()
    slope = td.Normal(0.0, 1.0).log_prob(mu / std).exp() / std
    assert_close(estimate, torch.cat([slope, -slope * mu / 2]), rtol=1e-10, atol=0)
    parameter = copies(mu, 50)
    path = reparameterize(parameter, 0 * parameter, eps=torch.randn(50, 1).double())
    step = (1 + path.sign()) / 2
    assert set(step.flatten().tolist()) == {0.0, 1.0}
    assert not grad(step.sum(), parameter)[0].any()


@pytest.mark.equation("eq-baseline")
def test_variance_is_a_parabola_in_the_baseline():
    eps, weights = normal_nodes(40)
    z = reparameterize(tensor(0.7), tensor(-0.4), eps=eps)
    f = (z.square() + (0.3 * z).exp())[:, 0]
    score = score_of(z, tensor(0.7), tensor(-0.4))[:, 0]
    best = (weights @ (f * score**2)) / (weights @ score**2)
    mean, smallest = moments((f - best) * score, weights)
    assert 1.05 * smallest < moments((f - weights @ f) * score, weights)[1]
    for c in (-3.0, 0.0, float(best), 5.0):
        mean_c, variance = moments((f - c) * score, weights)
        assert_close(mean_c, mean, rtol=0, atol=1e-11)
        assert_close(variance, smallest + (c - best) ** 2 * (weights @ score**2))


@pytest.mark.parametrize("n_draws", [2, 3])
def test_a_baseline_from_the_same_draws_shrinks_the_gradient(n_draws):
    """By 1 - 1/K; the average over the other draws leaves it alone."""
    eps, weights = normal_nodes(6, n_draws)  # (nodes, K)
    f = (1 + eps) ** 2  # of z ~ N(1, 1), whose mean has slope 2
    others = (f.sum(1, keepdim=True) - f) / (n_draws - 1)
    same = weights @ ((f - f.mean(1, keepdim=True)) * eps).mean(1)
    assert_close(same, tensor(2 * (1 - 1 / n_draws))[0])
    assert_close(weights @ ((f - others) * eps).mean(1), tensor(2.0)[0])


@pytest.mark.parametrize("std", [0.1, 1.0, 3.0])
def test_a_constant_is_noise_for_the_score_function_alone(std):
    """For f(z) = a z + b: variance f(mu)^2 / sigma^2 + 2 a^2, and 2 a^2 at the best."""
    a, mu, (eps, weights) = 1.0, 0.0, normal_nodes(12)
    values = a * (mu + std * eps[:, 0]) - 100
    score = eps[:, 0] / std
    mean, variance = moments(values * score, weights)
    assert_close(mean.item(), a)
    assert_close(variance.item(), 100**2 / std**2 + 2 * a**2)
    best = weights @ (values * score**2) / (weights @ score**2)
    assert_close(best.item(), -100.0)
    assert_close(moments((values - best) * score, weights)[1].item(), 2 * a**2)


@pytest.mark.parametrize("std", [0.01, 1.0])
@pytest.mark.parametrize("size", [0.1, 3.0])
def test_score_function_is_noisy_only_where_value_over_width_is_large(std, size):
    """Var <= (M / sigma)^2, with equality for a constant; the slope does not matter."""
    eps, weights = normal_nodes(150)
    eps, score = eps[:, 0], eps[:, 0] / std
    bound = size**2 / std**2
    constant = moments(size * score, weights)[1].item()
    assert_close(constant, bound, rtol=1e-9, atol=0)
    for f in (torch.sin(9 * eps), torch.tanh(5 * eps - 1), eps.sign()):
        assert moments(size * f * score, weights)[1] <= bound


@pytest.mark.equation("eq-baseline")
@pytest.mark.parametrize("n_dims", [1, 2, 4])
@pytest.mark.parametrize("top, curvature, std", [(-100.0, 0.7, 0.1), (3.0, 2.0, 1.5)])
def test_best_constant_of_a_bowl_leaves_a_factor_of_its_dimensions(
    n_dims, top, curvature, std
):
    """(J + 2) / 2 times the pathwise variance, whatever top, curvature, width are."""
    eps, weights = normal_nodes(5, n_dims)
    z = (std * eps).requires_grad_()
    f = top - curvature / 2 * z.square().sum(-1)
    path = moments(grad(f.sum(), z)[0][:, 0], weights)[1]
    f, s = f.detach(), eps[:, 0] / std
    best = weights @ (f * s**2) / (weights @ s**2)
    assert_close(best.item(), top - curvature * std**2 * (n_dims + 2) / 2)
    left = moments((f - best) * s, weights)[1]
    assert_close((left / path).item(), (n_dims + 2) / 2, rtol=1e-8, atol=0)
    plain = top**2 / std**2 - curvature * top * (n_dims + 2)
    plain += curvature**2 * std**2 * (n_dims + 2) * (n_dims + 4) / 4
    assert_close(moments(f * s, weights)[1].item(), plain, rtol=1e-9, atol=0)


@pytest.mark.equation("eq-reparameterization-general", "eq-pathwise-gradient")
def test_a_map_need_not_be_affine():
    """exp(mu + sigma eps) is log-normal, and the chain rule goes through it."""
    mu, logvar, (eps, weights) = tensor(0.3), tensor(-0.8), normal_nodes(40)
    parameters = copies(mu, 40), copies(logvar, 40)
    z = reparameterize(*parameters, eps=eps).exp()
    q = td.LogNormal(mu, logvar.exp().sqrt())
    assert_close(q.cdf(z.detach()), td.Normal(0.0, 1.0).cdf(eps), rtol=0, atol=1e-12)
    variance = logvar.exp()
    mean = (2 * mu + 2 * variance).exp()  # of z^2
    assert_close(weights @ z.detach() ** 2, mean, rtol=1e-11, atol=0)
    gradients = grad(z.square().sum(), parameters)
    for gradient, exact in zip(gradients, (2 * mean, 2 * variance * mean), strict=True):
        assert_close(weights @ gradient, exact, rtol=1e-11, atol=0)


def score_variance(mu: Tensor) -> Tensor:
    n_dims, m = len(mu), mu @ mu
    return m**2 + 2 * (n_dims + 4) * m + (n_dims + 2) * (n_dims + 4) + 4 * mu[0] ** 2


@pytest.mark.equation("eq-gradient-variance")
@pytest.mark.parametrize("n_dims", [1, 2, 3, 4])
def test_variances_of_both_estimators_of_the_squared_norm(n_dims):
    """By quadrature, exact here: all integrands are polynomials of degree <= 6."""
    mu, (eps, weights) = torch.randn(n_dims).double(), normal_nodes(5, n_dims)
    z = reparameterize(mu, torch.zeros_like(mu), eps=eps)
    f, score = z.square().sum(-1), score_of(z, mu, torch.zeros_like(mu))[:, 0]
    mean, variance = moments(f * score, weights)
    assert_close(mean, 2 * mu[0])
    assert_close(variance, score_variance(mu))
    assert_close(moments(2 * z[:, 0], weights), (2 * mu[0], tensor(4.0)[0]))
    best = mu @ mu + n_dims + 2
    _, smallest = moments((f - best) * score, weights)
    assert_close(smallest, 4 * mu @ mu + 2 * n_dims + 4 + 4 * mu[0] ** 2)


@pytest.mark.equation("eq-gradient-variance")
def test_variances_fall_like_one_over_the_number_of_samples():
    mu, (eps, weights) = tensor(0.6), normal_nodes(5, 3)  # three draws in J = 1
    z = mu + eps  # (nodes, K)
    average = (z.square() * eps).mean(1)
    assert_close(moments(average, weights)[1], score_variance(mu) / 3)
    assert_close(moments(2 * z.mean(1), weights)[1], tensor(4 / 3)[0])


def oscillation_variances(omega: float) -> tuple[float, float]:
    """Pathwise and score, as the page states them."""
    wide, narrow = math.exp(-(omega**2)), math.exp(-2 * omega**2)
    score = (1 + (4 * omega**2 - 1) * narrow) / 2 - omega**2 * wide
    return omega**2 / 2 * (1 - wide) ** 2, score


@pytest.mark.parametrize("omega", [0.3, 1.0, 1.11, 2.0, 4.0])
def test_variances_of_both_estimators_of_an_oscillation(omega):
    eps, weights = normal_nodes(150)
    gradient = tensor(omega * math.exp(-(omega**2) / 2))[0]
    path, score = oscillation_variances(omega)
    by_path = omega * torch.cos(omega * eps[:, 0])
    by_score = torch.sin(omega * eps[:, 0]) * eps[:, 0]
    tolerance = {"rtol": 0, "atol": 1e-10}
    assert_close(moments(by_path, weights), (gradient, tensor(path)[0]), **tolerance)
    assert_close(moments(by_score, weights), (gradient, tensor(score)[0]), **tolerance)


@pytest.mark.equation("eq-full-covariance-sample")
def test_sample_with_full_covariance_has_its_density_and_derivative():
    factor = torch.randn(3, 3).double().tril(-1) + tensor(0.5, 1.2, 0.8).diag()
    mu, eps = torch.randn(3).double(), torch.randn(20, 3).double()
    log_p_eps = gaussian_log_prob(eps, 0 * mu, 0 * mu)
    q = td.MultivariateNormal(mu, factor @ factor.T)
    log_q = q.log_prob(mu + eps @ factor.T)
    assert_close(log_p_eps - factor.det().log(), log_q, rtol=0, atol=1e-10)
    slope = jacobian(lambda m: mu + m @ eps[0], factor)  # (i, i', j)
    expected = torch.eye(3).double()[:, :, None] * eps[0]
    assert_close(slope, expected)


FAMILIES = {
    "exponential": (lambda u, s: -torch.log(1 - u) / s, lambda s: td.Exponential(s)),
    "logistic": (
        lambda u, s: 0.5 + s * torch.log(u / (1 - u)),
        lambda s: td.TransformedDistribution(
            td.Uniform(tensor(0.0)[0], 1.0),
            [td.SigmoidTransform().inv, td.AffineTransform(0.5, s)],
        ),
    ),
    "Laplace": (
        lambda u, s: torch.where(
            u < 0.5, 0.5 + s * torch.log(2 * u), 0.5 - s * torch.log(2 - 2 * u)
        ),
        lambda s: td.Laplace(0.5, s),
    ),
    "uniform": (lambda u, s: s * u, lambda s: td.Uniform(torch.zeros_like(s), s)),
}


@pytest.mark.equation("eq-inverse-cdf")
@pytest.mark.parametrize("name", FAMILIES)
def test_inverse_distribution_function_undoes_the_distribution_function(name):
    (inverse, law), u = FAMILIES[name], torch.linspace(0.01, 0.99, 99).double()
    s = tensor(1.7)[0].requires_grad_()
    z = inverse(u, s)
    assert_close(law(s).cdf(z), u, rtol=0, atol=1e-12)
    # The path keeps F(z) = u, so that dz/ds = -(dF/ds) / q(z).
    for i in (3, 40, 80):
        (path,) = grad(z[i], s, retain_graph=True)
        (slope,) = grad(law(s).cdf(z[i].detach()), s)
        assert_close(path, -slope / law(s).log_prob(z[i]).exp().detach())


@pytest.mark.equation("eq-inverse-cdf")
def test_inverse_distribution_function_serves_jumps_and_flat_pieces():
    """F of a variable on {0, 1, 3}: F^-1(u) <= t exactly when u <= F(t)."""
    support, cdf = tensor(0, 1, 3), tensor(0.25, 0.75, 1.0)
    u = torch.arange(0.5, 64).double() / 64
    z = support[torch.searchsorted(cdf, u)]  # the smallest t with F(t) >= u
    for t, f_t in ((-0.5, 0.0), (0.0, 0.25), (0.9, 0.25), (1.0, 0.75), (3.0, 1.0)):
        assert torch.equal(z <= t, u <= f_t)
        assert (z <= t).double().mean() == f_t


def test_score_of_a_moving_support_is_not_the_gradient():
    """U(0, s) with f(z) = z: the mean s / 2 has slope 1/2, the formula says -1/2."""
    s, u = tensor(1.7).requires_grad_(), torch.linspace(0, 1, 1001).double()
    (path,) = grad((s * u).mean(), s)
    (score,) = grad(td.Uniform(tensor(0.0), s).log_prob((s * 0.3).detach()), s)
    assert_close(path, tensor(0.5))
    assert_close((s * u).mean() * score, tensor(-0.5))


@pytest.mark.equation("eq-score-gradient")
def test_discrete_variable_has_a_score_and_no_path():
    pi, f = tensor(0.3)[0].requires_grad_(), tensor(2.0, 5.0)
    u = torch.arange(0.5, 1000).double() / 1000
    path = torch.ceil(u - (1 - pi))
    assert_close(path.abs().detach().mean(), pi.detach())
    assert grad(path.sum(), pi)[0] == 0
    z = tensor(0.0, 1.0)
    log_q = td.Bernoulli(pi).log_prob(z)
    scores = torch.stack([grad(v, pi, retain_graph=True)[0] for v in log_q])
    assert_close(log_q.exp() @ (f * scores), f[1] - f[0])


def softened_gradients(tau: float, n: int = 400_000) -> Tensor:
    """Pathwise gradients in pi = 0.3 of (z - 0.45)^2, z softened, for a grid of u."""
    u = (torch.arange(n).double() + 0.5) / n
    pi = torch.full_like(u, 0.3).requires_grad_()
    z = torch.sigmoid((torch.logit(pi) + torch.logit(u)) / tau)
    return grad(((z - 0.45) ** 2).sum(), pi)[0]


def test_a_softened_variable_has_a_gradient_of_another_expectation():
    """It is biased, less so at lower temperature, and there it is noisier."""
    found = [softened_gradients(tau) for tau in (1 / 4, 1 / 16, 1 / 64)]
    off = [abs(float(g.mean()) - 0.1) for g in found]
    assert off[0] > 2 * off[1] > 4 * off[2] > 0
    assert found[0].std() < found[1].std() / 1.5 < found[2].std() / 2.25
    # It is the derivative of the softened expectation, by finite differences.
    u, tau, h = (torch.arange(400_000).double() + 0.5) / 400_000, 0.25, 1e-5
    values = [
        torch.sigmoid((torch.logit(tensor(p)) + torch.logit(u)) / tau) - 0.45
        for p in (0.3 + h, 0.3 - h)
    ]
    slope = (values[0].square().mean() - values[1].square().mean()) / (2 * h)
    assert_close(found[0].mean(), slope, rtol=1e-6, atol=0)


def test_a_gumbel_maximum_is_a_draw_and_two_of_them_are_logistic():
    probabilities = tensor(0.5, 0.3, 0.2)
    u = torch.rand(200_000, 3, generator=torch.Generator().manual_seed(0)).double()
    scores = probabilities.log() - torch.log(-torch.log(u))
    share = torch.bincount(scores.argmax(1), minlength=3) / 200_000
    assert_close(share.double(), probabilities, rtol=0, atol=0.005)
    soft = (scores / 0.3).softmax(1)
    assert torch.equal(soft.argmax(1), scores.argmax(1))
    noise = scores[:, 0] - scores[:, 1] - probabilities[:2].log().diff().neg()
    quantiles = torch.linspace(0.05, 0.95, 19).double()
    found = noise.sigmoid().quantile(quantiles)
    assert_close(found, quantiles, rtol=0, atol=0.01)


def straight_through(pi: float) -> float:
    """Mean of f'(z) for f(z) = (z - 0.45)^2 and z one with probability pi."""
    return pi * 2 * (1 - 0.45) + (1 - pi) * 2 * (0 - 0.45)


@pytest.mark.book
def test_numbers_in_the_text_are_right():
    ones = torch.ones(20).double()
    a, b, c, d = says("becomes $#(#J + #)(J + #)$")
    for n_dims in (1, 2, 7, 20):
        assert score_variance(ones[:n_dims]) == a * (b * n_dims + c) * (n_dims + d)
    few, many = score_variance(ones[:1]).item(), score_variance(ones).item()
    says("it is # for $J = 1$ and # for", few / 4, Fraction(many / 4))
    slope, start = says("it is $#J + #$")
    best = Fraction(many - (20 + 20 + 2) ** 2)
    assert best == slope * 20 + start
    says("that is # in place of #", best, Fraction(many))
    says("still # times", best / 4)
    slope, start = says("leaves $#J + #$, which")
    zero = torch.zeros(20).double()
    assert slope * 20 + start == score_variance(zero) - (0 + 20 + 2) ** 2
    says("of # for two dimensions and of # for", (2 + 2) // 2, (20 + 2) // 2)
    says("it is above #")
    assert 3000 < math.sqrt(6 + 4 * 1.001**2 + 2) / 0.001
    low, high = (score_variance(torch.ones(n).double()).item() for n in (1, 100))
    says("rises from # to #", low, high)
    size = says("Even the constant $f = #$")
    _, std = says("variance of # at $\\sigma = #$")
    says("variance of # at", size**2 / std**2)
    meet = says("meet near $\\omega = #$")
    for omega in np.arange(0.05, 8, 0.01):
        path, score = oscillation_variances(omega)
        assert (path < score) == (omega < meet) or abs(omega - meet) < 0.005
    says("the gradient is #, and", 1 / 2)
    says("would give #", -1 / 2)
    says("$f(1) - f(0) = #$. At", 0.55**2 - 0.45**2)
    says("$#$ in place of $0.1$", straight_through(0.3))
    assert math.isclose(straight_through(0.5), 0.55**2 - 0.45**2)
    assert all(softened_gradients(tau).mean() < 0 for tau in (0.5, 1.0, 2.0))
    assert all(softened_gradients(tau).mean() > 0 for tau in (0.25, 1 / 32))
    says("one draw, up to #", softened_gradients(1 / 32).std().item())


@pytest.mark.book
def test_factors_on_the_digits_are_those_that_the_notebook_has_measured():
    shown = prose.shown(notebooks_of("05-reparameterization")[1])

    def found(pattern: str) -> list[float]:
        groups = re.search(pattern, shown).groups()
        return [float(number.replace(",", "")) for number in groups]

    narrow, wide = found(r"score function +(\S+) +(\S+)\n")
    says("estimate is # times", narrow)
    says("and # times in the one", wide)
    best = found(r"minus best constant +(\S+) +(\S+)\n")
    says("factors are # and #", *best)
    says("all but a factor of # or #", *best)
    mean = found(r"minus mean +(\S+) +(\S+)\n")
    assert all(b <= m < b + 1.5 for b, m in zip(best, mean, strict=True))
    value, spread = found(r"mnist-2d: (-\d+), ([\d.]+)")
    says("log-likelihoods near $#$", value)
    says("standard deviation of only #", spread)
