"""The properties of the KL divergence that chapter 2 proves, and its numbers."""

import itertools
import math
from functools import cache
from itertools import pairwise

import prose
import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import (
    Gamma,
    LogNormal,
    MultivariateNormal,
    Normal,
    Uniform,
    kl_divergence,
)
from torch.testing import assert_close

from vae_lib import symbolic
from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize

says = prose.says("02-kl-divergence")
Z = torch.linspace(-25, 25, 10_001, dtype=torch.float64)
EXACT = {"rtol": 0, "atol": 1e-10}


def bell(mu: float | Tensor, std: float | Tensor) -> Tensor:
    """Log density of N(mu, std^2) on the grid, (nodes,) or (n, nodes)."""
    mu, std = (torch.as_tensor(a, dtype=torch.float64) for a in (mu, std))
    mu, std = mu[..., None, None], std[..., None, None]
    return gaussian_log_prob(Z[:, None], mu, 2 * std.log())


def kl(log_q: Tensor, log_p: Tensor, z: Tensor = Z) -> Tensor:
    return torch.trapezoid(log_q.exp() * (log_q - log_p), z)


def mean_under(log_q: Tensor, h: Tensor) -> Tensor:
    return torch.trapezoid(log_q.exp() * h, Z)


def mixture(weight: float, first: Tensor, second: Tensor) -> Tensor:
    return torch.logaddexp(math.log(weight) + first, math.log(1 - weight) + second)


def random_mixtures(n: int) -> Tensor:
    mu, std = 4 * torch.rand(2, n) - 2, 0.5 + torch.rand(2, n)
    return mixture(0.3, bell(mu[0], std[0]), bell(mu[1], std[1]))


def pair_formula(mu_q, std_q, mu_p, std_p):
    """eq-kl-gaussian-pair as the page prints it."""
    shift = (std_q**2 + (mu_q - mu_p) ** 2) / (2 * std_p**2)
    return torch.log(std_p / std_q) + shift - 0.5


def random_gaussians(n: int) -> tuple[Tensor, Tensor]:
    return 4 * torch.rand(n).double() - 2, 0.5 + torch.rand(n).double()


@pytest.mark.equation("eq-kl")
def test_the_integral_is_the_divergence_that_torch_knows():
    (m, s), (n, t) = random_gaussians(50), random_gaussians(50)
    known = kl_divergence(Normal(m, s), Normal(n, t))
    assert_close(kl(bell(m, s), bell(n, t)), known, **EXACT)
    x = torch.linspace(1e-4, 80, 200_001, dtype=torch.float64)
    q, p = (Gamma(*torch.tensor(a).double()) for a in ((3.0, 1.0), (4.0, 0.7)))
    integral = kl(q.log_prob(x), p.log_prob(x), x)
    assert_close(integral, kl_divergence(q, p), rtol=0, atol=1e-7)


@pytest.mark.equation("eq-kl")
def test_missing_a_part_of_the_support_costs_infinity():
    short, long = Uniform(0.0, 1.0), Uniform(0.0, 2.0)
    assert_close(kl_divergence(short, long), torch.tensor(math.log(2)))
    assert kl_divergence(long, short) == math.inf
    q, p = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    assert (torch.xlogy(q, q) - torch.xlogy(q, p)).sum() == math.inf
    assert (torch.xlogy(p, p) - torch.xlogy(p, q)).sum() == math.log(2)


@pytest.mark.equation("eq-kl")
def test_average_log_ratio_of_draws_estimates_the_divergence():
    mu, std = torch.tensor([0.7]).double(), torch.tensor([1.5]).double()
    z = reparameterize(mu, 2 * std.log(), n_samples=40_000)
    zero = torch.zeros(1, dtype=torch.float64)
    log_p = gaussian_log_prob(z, zero, zero)
    log_w = gaussian_log_prob(z, mu, 2 * std.log()) - log_p
    error = log_w.std() / math.sqrt(len(z))
    exact = pair_formula(mu, std, zero, zero + 1)
    assert abs(log_w.mean() - exact) < 4 * error < 0.1 * exact
    assert (log_w < 0).any(), "single draws are negative, their mean is not"


@pytest.mark.equation("eq-jensen")
@pytest.mark.parametrize(
    "f, derivative",
    [
        (torch.log, lambda y: 1 / y),
        (torch.sqrt, lambda y: 0.5 / y.sqrt()),
        (lambda y: -y * y.log(), lambda y: -1 - y.log()),
    ],
)
def test_mean_of_a_concave_function_is_below_the_function_of_the_mean(f, derivative):
    weights = torch.rand(1000, 5, dtype=torch.float64) + 0.05
    weights /= weights.sum(1, keepdim=True)
    y = 0.1 + 3 * torch.rand(1000, 5, dtype=torch.float64)
    m = (weights * y).sum(1, keepdim=True)
    assert (f(y) < f(m) + derivative(m) * (y - m)).all()
    assert ((weights * f(y)).sum(1) < f(m)[:, 0]).all()
    assert_close((weights * f(m)).sum(1), f(m)[:, 0])


@pytest.mark.equation("eq-gibbs")
def test_divergence_is_positive_between_different_distributions_only():
    q, p = torch.randn(2, 5000, 6, dtype=torch.float64).softmax(-1)
    assert ((q * (q / p).log()).sum(1) > 0).all()
    log_q, log_p = random_mixtures(100), random_mixtures(100)
    assert (kl(log_q, log_p) > 1e-4).all()
    assert (kl(log_q, log_q) == 0).all()


@pytest.mark.equation("eq-gibbs")
def test_a_density_is_stationary_only_at_itself():
    """Second order: KL(q || q (1 + t h)) = t^2 E[h^2] / 2 + O(t^3) if E[h] = 0."""
    log_q = random_mixtures(1)[0]
    h = torch.sin(Z) - mean_under(log_q, torch.sin(Z))
    for t in (1e-3, -1e-3):
        value = kl(log_q, log_q + torch.log1p(t * h))
        assert_close(value / t**2, mean_under(log_q, h**2) / 2, rtol=2e-3, atol=0)


@pytest.mark.equation("eq-pinsker")
def test_no_event_has_probabilities_that_differ_by_more_than_pinsker_says():
    q, p = torch.randn(2, 200, 6, dtype=torch.float64).softmax(-1)
    share = torch.rand(200, 1)
    p = share * q + (1 - share) * p
    bound = ((q * (q / p).log()).sum(1) / 2).sqrt()
    for event in itertools.product((0.0, 1.0), repeat=6):
        event = torch.tensor(event, dtype=torch.float64)
        assert ((q - p) @ event <= bound).all(), "and of the complement"
    a = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)[:, None]
    b = a.T
    coins = torch.xlogy(a, a / b) + torch.xlogy(1 - a, (1 - a) / (1 - b))
    assert (coins >= 2 * (a - b) ** 2 - 1e-12).all()
    assert coins[500, 499] < 2.00001 * (a[500] - b[0, 499]) ** 2, "it is sharp"


@pytest.mark.equation("eq-pinsker")
def test_two_bells_are_told_apart_no_better_than_pinsker_says():
    shift = torch.tensor([0.01, 0.1, 0.5, 1.0, 2.0]).double()
    most = 2 * Normal(0.0, 1.0).cdf(shift / 2) - 1  # of z < shift / 2
    assert (most < (shift**2 / 2 / 2).sqrt()).all()
    says("no event differs by more than #", math.sqrt(0.01 / 2))
    assert math.sqrt(says("From # nats on") / 2) == 1


def test_pytorchs_loss_has_the_order_that_the_page_says():
    q, p = torch.randn(2, 5, dtype=torch.float64).softmax(-1)
    direct = (q * (q / p).log()).sum()
    assert_close(F.kl_div(p.log(), q, reduction="sum"), direct)
    assert_close(F.kl_div(p, q, reduction="sum"), (q * q.log() - q * p).sum())
    assert F.kl_div(p, q, reduction="sum") < 0


def symbols():
    mu = sp.symbols("mu_q mu_p", real=True)
    return *mu, *sp.symbols("sigma_q sigma_p", positive=True)


@cache
def symbolic_pair() -> sp.Expr:
    m, n, s, t = symbols()
    scalars = (sp.Matrix([a]) for a in (m, s**2, n, t**2))
    return symbolic.gaussian_kl_general(*scalars)


@pytest.mark.equation("eq-kl-gaussian-pair")
def test_pair_formula_is_the_integral_for_all_parameters():
    m, n, s, t = symbols()
    z = sp.symbols("z", real=True)
    log_density = symbolic.gaussian_log_density
    log_ratio = log_density(z, m, s) - log_density(z, n, t)
    integral = symbolic.gaussian_expectation(log_ratio, z, m, s)
    printed = sp.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - sp.Rational(1, 2)
    assert symbolic.residual(integral, printed) == 0
    assert symbolic.residual(symbolic_pair(), printed) == 0
    assert symbolic.residual(m, n) != 0, "the check can fail"
    assert symbolic.gaussian_expectation(1 + z, z, m, s) == 1 + m
    standard = symbolic.gaussian_kl([m], [s])
    assert symbolic.residual(standard, printed.subs({n: 0, t: 1})) == 0


@pytest.mark.equation("eq-kl-gaussian-pair")
def test_pair_formula_agrees_with_torch_and_with_the_library():
    (m, s), (n, t) = random_gaussians(200), random_gaussians(200)
    known = kl_divergence(Normal(m, s), Normal(n, t))
    assert_close(pair_formula(m, s, n, t), known, rtol=1e-12, atol=1e-12)
    one = torch.ones_like(s)
    standard = gaussian_kl(m[:, None], 2 * s.log()[:, None])
    assert_close(pair_formula(m, s, 0 * m, one), standard, rtol=1e-12, atol=1e-12)


@pytest.mark.equation("eq-gibbs", "eq-kl-gaussian-pair")
def test_pair_formula_has_one_stationary_point_and_it_is_equality():
    m, n, s, t = symbols()
    value = symbolic_pair()
    places = sp.solve([value.diff(m), value.diff(s)], [m, s], dict=True)
    assert places == [{m: n, s: t}] and sp.simplify(value.subs(places[0])) == 0


@pytest.mark.equation("eq-no-triangle")
def test_neither_symmetric_nor_a_detour_longer_than_the_straight_way():
    m, n, s, t = symbols()

    def exact(*values):
        return symbolic_pair().subs(dict(zip((m, s, n, t), values, strict=True)))

    there, back = exact(0, 1, 0, 2), exact(0, 2, 0, 1)
    assert symbolic.residual(there, sp.log(2) - sp.Rational(3, 8)) == 0
    assert symbolic.residual(back, sp.Rational(3, 2) - sp.log(2)) == 0
    steps = [exact(a, 1, b, 1) for a, b in pairwise((0, 1, 2))]
    assert steps == [sp.Rational(1, 2)] * 2 and exact(0, 1, 2, 1) == 2
    assert_close(kl(bell(0, 1), bell(2, 1)).item(), 2.0, **EXACT)


@pytest.mark.equation("eq-kl-additive")
def test_divergence_adds_up_over_independent_coordinates_and_only_there():
    some = slice(2000, 8001, 8)  # |z| <= 15
    axis, (q1, q2), (p1, p2) = Z[some], random_mixtures(2), random_mixtures(2)
    log_q = q1[some][:, None] + q2[some]
    log_p = p1[some][:, None] + p2[some]
    integrand = log_q.exp() * (log_q - log_p)
    plane = torch.trapezoid(torch.trapezoid(integrand, axis), axis)
    assert_close(plane, kl(q1, p1) + kl(q2, p2), **EXACT)
    correlated = MultivariateNormal(torch.zeros(2), torch.tensor([[1, 0.8], [0.8, 1]]))
    standard = MultivariateNormal(torch.zeros(2), torch.eye(2))
    whole = kl_divergence(correlated, standard)
    assert_close(whole, torch.tensor(-0.5 * math.log(1 - 0.64)))
    origin, r = sp.zeros(2, 1), sp.Rational(4, 5)
    matrices = sp.Matrix([[1, r], [r, 1]]), sp.eye(2)
    by_symbols = symbolic.gaussian_kl_general(origin, matrices[0], origin, matrices[1])
    assert symbolic.residual(by_symbols, -sp.log(1 - r**2) / 2) == 0


def test_divergence_survives_a_change_of_coordinates_and_entropy_does_not():
    y = torch.linspace(0.002, 60, 400_001, dtype=torch.float64)
    q, p = LogNormal(0.2, 0.5), LogNormal(0.6, 0.6)
    after = kl(q.log_prob(y), p.log_prob(y), y)
    assert_close(after, kl(bell(0.2, 0.5), bell(0.6, 0.6)), rtol=0, atol=1e-6)
    entropy = -torch.trapezoid(q.log_prob(y).exp() * q.log_prob(y), y)
    before = -mean_under(bell(0.2, 0.5), bell(0.2, 0.5))
    assert_close(entropy, before + 0.2, rtol=0, atol=1e-6)


@pytest.mark.equation("eq-maximum-likelihood")
def test_likelihood_and_forward_divergence_have_the_same_optimum():
    log_data = mixture(0.7, bell(-1, 0.5), bell(2, 1))
    theta = torch.linspace(-2, 2, 401, dtype=torch.float64)
    log_model = bell(theta, torch.full_like(theta, 1.5))
    forward = kl(log_data, log_model)
    likelihood = mean_under(log_data, log_model)
    entropy = -mean_under(log_data, log_data)
    assert_close(forward, -entropy - likelihood, **EXACT)
    assert forward.argmin() == likelihood.argmax()
    assert abs(theta[forward.argmin()] - (0.7 * -1 + 0.3 * 2)) < 1e-9


TARGET = mixture(0.5, bell(-2, 0.6), bell(2, 0.6))
FORWARD = bell(0, math.sqrt(4.36))


def descend(objective, start: float) -> tuple[float, float]:
    """Mean and standard deviation of the Gaussian at which gradient descent ends."""
    parameters = torch.tensor([start, 0.0], dtype=torch.float64)
    for _ in range(150):
        parameters.requires_grad_()
        value = objective(bell(parameters[0], parameters[1].exp()))
        (gradient,) = torch.autograd.grad(value, parameters)
        parameters = (parameters - 0.3 * gradient).detach()
    return parameters[0].item(), parameters[1].exp().item()


@cache
def reverse_fit() -> tuple[float, float]:
    return descend(lambda log_q: kl(log_q, TARGET), 1.0)


@pytest.mark.equation("eq-moment-matching")
def test_forward_divergence_splits_at_the_gaussian_with_the_same_moments():
    p = random_mixtures(20)
    mean = mean_under(p, Z)
    std = mean_under(p, (Z - mean[:, None]) ** 2).sqrt()
    matched, other = bell(mean, std), bell(*random_gaussians(20))
    whole = kl(p, other)
    assert_close(whole, kl(p, matched) + kl(matched, other), **EXACT)
    assert (whole > kl(p, matched)).all()


@pytest.mark.equation("eq-moment-matching")
def test_descent_on_the_forward_divergence_ends_at_the_moments():
    mean, std = descend(lambda log_q: kl(TARGET, log_q), 1.0)
    assert abs(mean) < 1e-4 and abs(std**2 - 4.36) < 1e-4


def test_descent_on_the_reverse_divergence_ends_at_either_mode():
    mean, std = reverse_fit()
    mirror = descend(lambda log_q: kl(log_q, TARGET - 7), -1.0)  # unnormalised
    assert 1.9 < mean < 2 and 0.6 < std < 0.61
    assert abs(mirror[0] + mean) < 1e-9 and abs(mirror[1] - std) < 1e-9
    assert kl(bell(mean, std), TARGET) < math.log(2)


EPS = torch.linspace(-8, 8, 801, dtype=torch.float64)
SHARES = 0.02 * Normal(0.0, 1.0).log_prob(EPS).exp()


def price(d: float, t: Tensor) -> Tensor:
    """Reverse KL from N(t[0], exp(2 t[1])) to humps at -d and d, by sums over noise."""
    z = t[0] + t[1].exp() * EPS
    left, right = (Normal(mean, 0.6).log_prob(z) for mean in (-d, d))
    log_p = torch.logaddexp(left, right) - math.log(2)
    return -t[1] - 0.5 * math.log(2 * math.pi * math.e) - SHARES @ log_p


@cache
def best(d: float, mean: float, std: float) -> tuple[float, float, float]:
    """Mean, standard deviation and price where a descent from this Gaussian ends."""
    t = torch.tensor([mean, math.log(std)], dtype=torch.float64, requires_grad=True)
    for _ in range(1500):
        (slope,) = torch.autograd.grad(price(d, t), t)
        if slope.abs().max() < 1e-9:
            break
        t = (t - 0.1 * slope).detach().requires_grad_()
    return t[0].item(), t[1].exp().item(), price(d, t).item()


def test_reverse_fit_covers_near_humps_and_lets_one_of_two_far_ones_go():
    """exm-letting-go."""
    cover, hump = best(1.0, 0.0, 1.0), best(1.0, 1.0, 0.6)
    assert abs(hump[0]) < 1e-6, "there is no fit on a hump"
    says("the reverse fit is $\\mathcal N(0, #^2)$ and covers", cover[1])
    says("covers both humps, for # nats", cover[2])
    cover, hump = best(1.5, 0.0, 1.5), best(1.5, 1.5, 0.6)
    says("still does: $\\mathcal N(0, #^2)$ costs # nats", *cover[1:])
    says("the best Gaussian on a hump #", hump[2])
    d = says("At $d = #$ both cost")
    assert abs(best(d, 0.0, d)[2] - best(d, d, 0.6)[2]) < 1e-3
    says("both cost # nats", best(d, d, 0.6)[2])
    assert best(d - 0.01, 0.0, d)[2] < best(d - 0.01, d, 0.6)[2] < math.log(2)
    assert best(d + 0.01, 0.0, d)[2] > best(d + 0.01, d, 0.6)[2]
    says("then # standard deviations of a hump", 2 * d / 0.6)
    says("humps of any width $s$ are let go at $d = #", d / 0.6)
    log_p = mixture(0.5, bell(-d, 0.6), bell(d, 0.6))
    valley = (log_p[len(Z) // 2] - log_p.max()).exp()
    says("sunk to # percent of the peaks", 100 * valley)
    first = says("on one hump begins at $d = #$")
    assert best(first, first, 0.6)[0] > 1 > best(first - 0.01, first, 0.6)[0]


def posterior(x: float, nodes: int = 40_001) -> tuple[Tensor, Tensor]:
    """Codes, and the log posterior of exm-two-peaks at them."""
    z = torch.linspace(-6, 6, nodes, dtype=torch.float64)
    log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(z**2 + z / 4, 0.4).log_prob(
        torch.tensor(x)
    )
    return z, log_joint - torch.trapezoid(log_joint.exp(), z).log()


def moments(z: Tensor, log_p: Tensor) -> tuple[float, float]:
    mean = torch.trapezoid(log_p.exp() * z, z)
    return mean.item(), torch.trapezoid(log_p.exp() * (z - mean) ** 2, z).sqrt().item()


@pytest.mark.book
def test_two_directions_rank_three_candidates_in_opposite_orders():
    z, log_p = posterior(2.0)
    fits = {"A": Normal(*moments(z, log_p))}
    fits |= {"B": Normal(1.246, 0.146), "C": Normal(0.0, 1.0)}
    values = {
        name: (kl(log_p, q.log_prob(z), z), kl(q.log_prob(z), log_p, z))
        for name, q in fits.items()
    }
    says("| A, mean and width of $p$ | # | # |", *values["A"])
    says("| B, on the higher peak | # | # |", *values["B"])
    says("| C, the prior | # | # |", *values["C"])
    forward, reverse = (sorted(fits, key=lambda n: values[n][i]) for i in (0, 1))
    assert forward == reverse[::-1] == ["A", "C", "B"]
    for moved in (Normal(1.256, 0.146), Normal(1.236, 0.146), Normal(1.246, 0.15)):
        assert kl(moved.log_prob(z), log_p, z) > values["B"][1], "B is a reverse fit"


@pytest.mark.equation("eq-amortised-forward")
def test_forward_divergence_of_an_encoder_needs_pairs_only():
    joint = torch.rand(5, 6).double() + 0.05  # images, codes
    joint /= joint.sum()
    given = joint / joint.sum(1, keepdim=True)
    encoder = torch.rand(5, 6).double().softmax(1)
    forward = (given * (given / encoder).log()).sum(1)
    averaged = joint.sum(1) @ forward
    cross = -(joint * encoder.log()).sum()
    assert_close(averaged, cross + (joint * given.log()).sum(), **EXACT)
    assert averaged > 0.01


@pytest.mark.equation("eq-amortised-forward")
def test_draws_of_the_model_have_found_the_moments_of_the_posterior():
    exact = moments(*posterior(0.5))
    says("the posterior has # and #", *exact)
    drawn = says("have mean # and standard deviation #")
    assert max(abs(a - b) for a, b in zip(drawn, exact, strict=True)) < 0.01
    generator = torch.Generator().manual_seed(1)
    z, noise = torch.randn(2, 1_000_000, generator=generator)
    near = z[(z**2 + z / 4 + 0.4 * noise - 0.5).abs() < 0.02]
    error = near.std() / len(near) ** 0.5
    assert abs(near.mean() - exact[0]) < 4 * error < 0.03


def test_reverse_fit_by_independent_coordinates_is_too_narrow():
    a = torch.randn(3, 3, dtype=torch.float64)
    covariance = a @ a.T + 0.3 * torch.eye(3, dtype=torch.float64)
    target = MultivariateNormal(torch.zeros(3).double(), covariance)
    variance = 1 / torch.linalg.inv(covariance).diagonal()
    assert (variance < covariance.diagonal()).all()

    def value(mu, v):
        return kl_divergence(MultivariateNormal(mu, torch.diag(v)), target)

    mu, v = torch.zeros(3).double().requires_grad_(), variance.requires_grad_()
    for gradient in torch.autograd.grad(value(mu, v), (mu, v)):
        assert gradient.abs().max() < 1e-12
    best = value(mu, v)
    for _ in range(20):
        assert value(mu, v * (0.5 + torch.rand(3))) > best
        assert value(mu + 0.1 * torch.randn(3), v) > best


@pytest.mark.book
def test_numbers_in_the_text_are_right():
    narrow, wide = bell(0, 1), bell(0, 2)
    says("$1/\\log 2 \\approx #$ bits", 1 / math.log(2))
    both = kl(narrow, wide), kl(wide, narrow)
    says("that is # and # nats", *both)
    says("the shaded area, #, is", both[0])
    says("# nats in one direction, #", *both)
    edge = torch.tensor(8 / 3 * math.log(2)).sqrt()
    says("as soon as $\\lvert z\\rvert > #$", edge)
    says("this happens with probability #", 2 * Normal(0.0, 1.0).cdf(-edge))
    says("narrow one is true costs #", both[0])
    says("wide one is true costs #", both[1])

    zero, (mean, std) = len(Z) // 2, reverse_fit()
    reverse = bell(mean, std)
    says("$0.36 + 4 = #$", mean_under(TARGET, Z**2))
    says("its density is #", FORWARD[zero].exp())
    says("while the target's is #", TARGET[zero].exp())
    says("the fit is about # times", (FORWARD - TARGET)[zero].exp())
    says("minima, $\\mathcal N(\\pm #, #^2)$", mean, std)
    width = says("end in a third minimum, near $\\mathcal N(0, #^2)$")
    says("only: its value is #", kl(bell(0, width), TARGET))
    forward = kl(TARGET, FORWARD), kl(FORWARD, TARGET)
    says("| forward: $\\mathcal N(0, 4.36)$ | # | # |", *forward)
    says("and their divergence is # nats", forward[0])
    other = kl(TARGET, reverse), kl(reverse, TARGET)
    row = "| reverse: $\\mathcal N(#, #^2)$, unrounded | # | # |"
    says(row, mean, std, *other)
    says("charges # nats for it", other[0])
    says("bit, $\\log 2 \\approx #$ nats; the", math.log(2))
    variance = says("$1/\\Lambda_{jj} = 1 - 0.9^2 = #$")
    assert math.isclose(variance, 1 - 0.9**2) and math.sqrt(variance) < 0.5
    says("charges $\\log 2 \\approx #$ nats", math.log(2))
    says("$\\log 100 \\approx #$ nats", math.log(100))
    says("$-\\log 0.7 \\approx #$ nats", -math.log(0.7))
    says("$-\\log 0.3$, which is # nats", -math.log(0.3))


def test_divergence_of_pairs_is_that_of_one_and_of_the_other_given_it():
    """ex-kl-chain-rule, for random distributions of four times five outcomes."""
    q, p = torch.rand(2, 4, 5).double() + 0.05
    q, p = q / q.sum(), p / p.sum()
    given = (q / q.sum(1, keepdim=True)) / (p / p.sum(1, keepdim=True))
    of_x = (q.sum(1) * (q.sum(1) / p.sum(1)).log()).sum()
    pairs = (q * (q / p).log()).sum()
    assert_close(pairs, of_x + (q * given.log()).sum(), **EXACT)
    assert of_x < pairs
