"""The statements of chapter 3 on models whose evidence and posterior are exact."""

import itertools
import math
import re
from fractions import Fraction

import numpy as np
import prose
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from tools.book import notebooks_of
from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.objectives import elbo, importance_weighted_bound

says = prose.says("03-elbo")
NODES, WEIGHTS = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(5))
EPS = torch.cartesian_prod(NODES, NODES)[:, None]  # (25, 1, 2)
WEIGHTS_2D = torch.cartesian_prod(WEIGHTS, WEIGHTS).prod(1) / (2 * math.pi)


pytestmark = pytest.mark.usefixtures("double_precision")


@pytest.fixture
def model() -> LinearGaussianModel:
    weight = torch.tensor([[1.0, 0.4], [-0.3, 1.1], [0.8, 0.2]])
    return LinearGaussianModel(weight, torch.tensor([0.2, 0.0, -1.0]), 0.6)


def expectation(f, mu: Tensor, logvar: Tensor) -> Tensor:
    """E[f(z)] under N(mu, diag(exp(logvar))), exact for polynomials of degree 9."""
    z = reparameterize(mu, logvar, eps=EPS.expand(-1, len(mu), -1))
    return torch.tensordot(WEIGHTS_2D, f(z), dims=1)


def terms(model: LinearGaussianModel, x: Tensor, mu: Tensor, logvar: Tensor, z: Tensor):
    """Estimators A and B of the ELBO from one code each, by hand: (K, B)."""
    prior = Normal(torch.zeros(2), 1.0)
    log_q = Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(-1)
    log_p = model.log_p_x_given_z(x, z)
    kl = kl_divergence(Normal(mu, (0.5 * logvar).exp()), prior).sum(-1)
    return log_p + prior.log_prob(z).sum(-1) - log_q, log_p - kl


def some_q(n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 2), torch.randn(n, 2) - 1


@pytest.mark.equation("eq-elbo", "eq-elbo-identity")
def test_log_evidence_is_elbo_plus_kl_to_the_posterior_for_any_q(model):
    x, (mu, logvar) = model.sample(6), some_q(6)
    log_p = expectation(lambda z: model.log_p_x_given_z(x, z), mu, logvar)
    q = MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    gap = kl_divergence(q, MultivariateNormal(*model.posterior(x)))
    bound = elbo(log_p, gaussian_kl(mu, logvar))
    assert_close(bound + gap, model.log_evidence(x), rtol=0, atol=1e-10)
    assert gap.min() > 0.01


@pytest.mark.equation("eq-elbo", "eq-elbo-identity")
def test_identity_holds_for_densities_that_are_not_gaussian():
    """A Laplace q and a nonlinear likelihood; evidence and posterior by two rules."""
    z, prior = torch.linspace(-30, 30, 600_001), Normal(0.0, 1.0)
    q = torch.distributions.Laplace(0.5, 0.8)

    def log_likelihood(z: Tensor) -> Tensor:
        return Normal(z.sin() + 0.1 * z, 0.3).log_prob(torch.tensor(0.7))

    def mean(f: Tensor) -> Tensor:
        return torch.trapezoid(q.log_prob(z).exp() * f, z)

    legendre, mass = (8 * torch.tensor(a) for a in np.polynomial.legendre.leggauss(400))
    log_p_x = (mass @ (log_likelihood(legendre) + prior.log_prob(legendre)).exp()).log()
    log_joint = log_likelihood(z) + prior.log_prob(z)
    log_posterior = log_joint - torch.trapezoid(log_joint.exp(), z).log()
    bound = mean(log_likelihood(z)) - kl_divergence(q, prior)
    gap = mean(q.log_prob(z) - log_posterior)
    assert_close(bound + gap, log_p_x, rtol=0, atol=1e-6)
    assert gap > 0.1


@pytest.mark.equation("eq-importance-weights", "eq-elbo-jensen")
def test_mean_of_the_weights_is_the_evidence_and_of_their_logs_the_elbo():
    """One code on a grid: both expectations without sampling error."""
    one = LinearGaussianModel(torch.tensor([[1.3]]), torch.zeros(1), 0.5)
    x, z = torch.tensor([[0.9]]), torch.linspace(-15, 15, 30_001)
    mu, logvar = torch.tensor([0.3]), torch.tensor([-0.4])
    nodes = z[:, None, None]  # (nodes, 1, 1)
    log_q = gaussian_log_prob(nodes, mu, logvar)[:, 0]
    log_w = one.log_p_x_given_z(x, nodes)[:, 0] - log_q
    log_w = log_w + Normal(0.0, 1.0).log_prob(z)
    mean_w = torch.trapezoid(log_q.exp() * log_w.exp(), z)
    mean_log_w = torch.trapezoid(log_q.exp() * log_w, z)
    evidence = one.log_evidence(x)[0]
    assert_close(mean_w.log(), evidence, rtol=0, atol=1e-6)
    mean, covariance = one.posterior(x)
    q, p = Normal(mu, (0.5 * logvar).exp()), Normal(mean[0], covariance[0].sqrt())
    gap = kl_divergence(q, p)[0]
    assert gap > 0.01
    assert_close(mean_log_w, evidence - gap, rtol=0, atol=1e-6)


def bounds(ratio: Tensor, probability: Tensor, k: int) -> float:
    """E[log mean of k ratios] for a ratio with finitely many values: all k-tuples."""
    index = torch.tensor(list(itertools.product(range(len(ratio)), repeat=k)))
    log_w = ratio.log()[index].T  # (k, tuples)
    return float(importance_weighted_bound(log_w) @ probability[index].prod(1))


@pytest.mark.equation("eq-importance-weighted-bound")
def test_bound_rises_with_every_sample_and_stays_below():
    """Exactly, by enumeration: the weight takes three values."""
    ratio = torch.tensor([0.2, 0.9, 2.5])
    probability = torch.tensor([0.3, 0.5, 0.2])
    evidence = math.log(float(ratio @ probability))
    found = [bounds(ratio, probability, k) for k in range(1, 8)]
    assert all(a < b for a, b in itertools.pairwise(found)) and found[-1] < evidence
    assert math.isclose(found[0], float(ratio.log() @ probability))  # the ELBO


@pytest.mark.equation("eq-importance-weighted-gap")
def test_gap_is_half_the_relative_variance_over_k():
    """Two values: the number of large weights is binomial, so large K is exact."""
    low, high, p = 0.5, 2.0, 1 / 3
    variance = p * (1 - p) * (high - low) ** 2
    errors = []
    for k in (250, 1000, 4000):
        n = torch.arange(k + 1)
        log_probability = torch.distributions.Binomial(k, torch.tensor(p)).log_prob(n)
        log_mean = (low + (high - low) * n / k).log()
        gap = -float(log_probability.exp() @ log_mean)  # the mean weight is 1
        errors.append(abs(gap * 2 * k / variance - 1))
    assert errors[0] < 0.01 and errors[1] < errors[0] / 3 and errors[2] < errors[1] / 3


@pytest.mark.equation("eq-estimator-a", "eq-estimator-b")
def test_both_estimators_are_unbiased(model):
    x, (mu, logvar) = model.sample(3), some_q(3)
    gap = kl_divergence(
        MultivariateNormal(mu, torch.diag_embed(logvar.exp())),
        MultivariateNormal(*model.posterior(x)),
    )
    for i in (0, 1):
        mean = expectation(lambda z, i=i: terms(model, x, mu, logvar, z)[i], mu, logvar)
        assert_close(mean, model.log_evidence(x) - gap, rtol=0, atol=1e-10)


@pytest.mark.equation("eq-estimator-variance")
def test_sampled_kl_has_no_noise_at_the_posterior_where_the_closed_form_has():
    weight = torch.diag(torch.tensor([1.5, 0.8]))
    axes = LinearGaussianModel(weight, torch.zeros(2), 0.7)
    x = axes.sample(3)
    mu, covariance = axes.posterior(x)
    logvar = covariance.diagonal().log().expand(3, 2)
    z = reparameterize(mu, logvar, n_samples=40_000)
    a, b = (term.var(0) for term in terms(axes, x, mu, logvar, z))
    assert a.max() < 1e-20 and b.min() > 0.1
    narrow = logvar - 2
    z = reparameterize(mu, narrow, n_samples=40_000)
    a, b = (term.var(0) for term in terms(axes, x, mu, narrow, z))
    assert (b < a / 2).all()


@pytest.mark.equation("eq-estimator-variance")
def test_variance_of_both_estimators_falls_like_the_number_of_samples(model):
    x, (mu, logvar) = model.sample(2), some_q(2)
    z = reparameterize(mu, logvar, n_samples=120_000)
    for term in terms(model, x, mu, logvar, z):
        averaged = term.reshape(20_000, 6, 2).mean(1)  # K = 6, many times
        ratio = 6 * averaged.var(0) / term.var(0)
        assert ((ratio - 1).abs() < 0.1).all()


@pytest.mark.equation("eq-touching")
def test_bound_touches_the_evidence_with_the_same_slope_and_stays_below():
    x = torch.randn(5, 1)

    def model(a: Tensor) -> LinearGaussianModel:
        return LinearGaussianModel(a.view(1, 1), torch.zeros(1), 0.7)

    def bound(a: Tensor, at: Tensor) -> Tensor:
        """The bound of the model a with the posterior of another one, (5,)."""
        mu, covariance = (part.detach() for part in model(at).posterior(x))
        z = mu + covariance[0].sqrt() * NODES[:, None, None]  # (5 nodes, 5, 1)
        log_p = torch.tensordot(
            WEIGHTS / math.sqrt(2 * math.pi), model(a).log_p_x_given_z(x, z), dims=1
        )
        return log_p - gaussian_kl(mu, covariance.log().expand(5, 1))

    for at in torch.tensor([0.3, 1.0, -2.0]):
        a = at.clone().requires_grad_()
        evidence = model(a).log_evidence(x).sum()
        assert_close(bound(a, at).sum(), evidence, rtol=0, atol=1e-10)
        slopes = [torch.autograd.grad(f, a)[0] for f in (evidence, bound(a, at).sum())]
        assert abs(slopes[0]) > 1e-3
        assert_close(slopes[1], slopes[0], rtol=0, atol=1e-10)
        for other in torch.linspace(-3, 3, 13):
            assert (bound(other, at) <= model(other).log_evidence(x) + 1e-10).all()


@pytest.mark.equation("eq-control-variate")
def test_best_point_on_the_line_of_estimators_is_that_of_the_covariance(model):
    x, (mu, logvar) = model.sample(3), some_q(3)

    def at(c) -> Tensor:
        """The variance of A + c d, exact: a polynomial of degree four."""

        def on_the_line(z: Tensor) -> Tensor:
            a, b = terms(model, x, mu, logvar, z)
            return a + c * (b - a)

        mean = expectation(on_the_line, mu, logvar)
        return expectation(lambda z: (on_the_line(z) - mean) ** 2, mu, logvar)

    difference = at(1) + at(-1) - 2 * at(0)  # twice the variance of d
    covariance = (at(1) - at(-1)) / 4
    best = -2 * covariance / difference
    left = at(0) - 2 * covariance**2 / difference
    assert_close(at(best), left, rtol=1e-9, atol=1e-9)
    for step in (-0.1, 0.1):
        assert (at(best + step) > at(best)).all()


@pytest.mark.equation("eq-gradient-noise")
def test_three_gradients_are_those_of_the_estimators_and_agree_in_the_mean(model):
    x, (mu, logvar) = model.sample(1), some_q(1)
    std, eps = (0.5 * logvar).exp(), torch.randn(2)
    moved = mu.clone().requires_grad_()
    z = moved + std * eps

    def slope(value: Tensor, to: Tensor) -> Tensor:
        return torch.autograd.grad(value.sum(), to, retain_graph=True)[0]

    log_p = model.log_p_x_given_z(x, z)
    prior = Normal(torch.zeros(2), 1.0).log_prob(z).sum(-1)
    g = slope(log_p, z)
    a, b = terms(model, x, moved, logvar, z)
    held = Normal(mu, std).log_prob(z).sum(-1)
    assert_close(slope(a, moved), g - z, rtol=0, atol=1e-10)
    assert_close(slope(b, moved), g - mu, rtol=0, atol=1e-10)
    landing = slope(log_p + prior - held, moved)
    assert_close(landing, g - z + eps / std, rtol=0, atol=1e-10)


@pytest.mark.equation("eq-gradient-noise")
def test_at_the_posterior_the_landing_has_no_noise_and_the_others_as_stated():
    weight = torch.diag(torch.tensor([1.5, 0.8]))
    axes = LinearGaussianModel(weight, torch.zeros(2), 0.7)
    x = axes.sample(1)
    mu, covariance = axes.posterior(x)
    v = covariance.diagonal()
    eps = torch.randn(200_000, 2)
    z = (mu + v.sqrt() * eps).requires_grad_()
    (g,) = torch.autograd.grad(axes.log_p_x_given_z(x, z[:, None]).sum(), z)
    z = z.detach()
    assert (g - z + eps / v.sqrt()).abs().max() < 1e-10
    assert_close((g - z).var(0), 1 / v, rtol=0.02, atol=0)
    assert_close((g - mu).var(0), (1 - v) ** 2 / v, rtol=0.02, atol=0)


@pytest.mark.equation("eq-mean-field-gap")
@pytest.mark.parametrize("t", [0.3, 1.0, 2.0])
def test_best_diagonal_q_leaves_the_stated_gap(t):
    twins = LinearGaussianModel(torch.full((1, 2), math.sqrt(t)), torch.zeros(1), 1.0)
    _, covariance = twins.posterior(torch.ones(1, 1))
    p = MultivariateNormal(torch.zeros(2), covariance)
    stated = 0.5 * math.log((1 + t) ** 2 / (1 + 2 * t))
    best = -covariance.inverse().diagonal().log()

    def gap(mean: Tensor, logvar: Tensor) -> float:
        return float(kl_divergence(MultivariateNormal(mean, logvar.exp().diag()), p))

    nowhere, change = torch.zeros(2), torch.tensor([0.1, 0.0])
    assert math.isclose(gap(nowhere, best), stated, rel_tol=1e-10)
    for sign in (1, -1):
        assert gap(nowhere, best + sign * change) > stated
        assert gap(sign * change, best) > stated


def test_second_term_alone_is_smallest_for_a_code_that_knows_nothing(model):
    x = model.sample(4)
    mu, logvar = (part.requires_grad_() for part in some_q(4))
    optimizer = torch.optim.LBFGS(
        [mu, logvar], max_iter=200, line_search_fn="strong_wolfe"
    )

    def kl() -> Tensor:
        optimizer.zero_grad()
        loss = gaussian_kl(mu, logvar).sum()
        loss.backward()
        return loss

    optimizer.step(kl)
    assert_close(mu.detach(), torch.zeros(4, 2), rtol=0, atol=1e-4)
    assert_close(logvar.detach(), torch.zeros(4, 2), rtol=0, atol=1e-4)
    best, _ = model.posterior(x)
    narrow = torch.full_like(best, -1.0)
    bounds = [
        elbo(
            expectation(lambda z: model.log_p_x_given_z(x, z), m, v),
            gaussian_kl(m, v),
        )
        for m, v in ((best, narrow), (mu.detach(), logvar.detach()))
    ]
    assert (bounds[1] < bounds[0] - 0.1).all()


@pytest.mark.equation("eq-dataset-elbo")
def test_scaled_batches_average_to_the_data_set():
    log_p, kl = -10 * torch.rand(6), torch.rand(6)
    total = elbo(log_p, kl).sum()
    batches = [list(batch) for batch in itertools.combinations(range(6), 2)]
    estimates = torch.stack([6 / 2 * elbo(log_p[b], kl[b]).sum() for b in batches])
    assert_close(estimates.mean(), total)
    half = torch.stack([(6 / 2 * log_p[b] - kl[b]).sum() for b in batches])
    assert abs(half.mean() - total) > 0.1  # both terms must be scaled


@pytest.mark.parametrize("x, m, v", [(1.5, -0.4, 0.3), (-2.0, 3.0, 2.0)])
def test_with_the_wrong_sign_the_squares_cancel_and_no_maximum_is_left(x, m, v):
    """ex-elbo-sign, both closed forms, and the maximum of the right one."""

    def objective(m: float, v: float, sign: float) -> float:
        log_p = Normal(m + v**0.5 * NODES, 1.0).log_prob(torch.tensor(x))
        kl = kl_divergence(Normal(m, v**0.5), Normal(0.0, 1.0))
        return float(WEIGHTS @ log_p / math.sqrt(2 * math.pi) + sign * kl)

    c = -0.5 * math.log(2 * math.pi) - x**2 / 2 + x * m
    assert math.isclose(objective(m, v, +1), c - 0.5 - 0.5 * math.log(v))
    right = c - m**2 - v + 0.5 + 0.5 * math.log(v)
    assert math.isclose(objective(m, v, -1), right)
    assert right < objective(x / 2, 0.5, -1)
    evidence = Normal(0.0, 2**0.5).log_prob(torch.tensor(x))
    assert math.isclose(objective(x / 2, 0.5, -1), evidence)


def test_a_q_that_is_the_posterior_on_a_part_loses_the_log_of_its_share():
    """ex-elbo-missed, with nine codes of which q draws four: weights without noise."""
    joint = torch.rand(9) + 0.05
    evidence, share = joint.sum(), joint[:4].sum() / joint.sum()
    log_w = (joint[:4] / (joint[:4] / evidence / share)).log()
    assert_close(log_w, (evidence * share).log().expand(4))


def test_bounds_of_all_images_are_minus_one_divergence_of_pairs():
    """ex-elbo-joint, for four images and five codes."""
    p_xz, data, q = torch.rand(4, 5) + 0.05, torch.rand(4) + 0.05, torch.rand(4, 5)
    p_xz, data, q = p_xz / p_xz.sum(), data / data.sum(), q / q.sum(1, keepdim=True)
    bounds = (q * (p_xz / q).log()).sum(1)
    pairs = data[:, None] * q
    divergence = (pairs * (pairs / p_xz).log()).sum()
    assert_close(data @ bounds, -divergence + data @ data.log())
    gap = p_xz.sum(1).log() - bounds
    assert_close(divergence, data @ (data / p_xz.sum(1)).log() + data @ gap)


@pytest.mark.book
def test_numbers_in_the_text_are_right():
    t = (1 + math.sqrt(65)) / 8
    assert math.isclose((1 + 2 * t) ** 2, 5 * (1 + t))
    says("t = (1 + \\sqrt{65})/8 \\approx #", t)
    says("prefers a model with the variance #", 1 + 2 * t)

    def evidence(variance: float) -> float:
        return -0.5 * (math.log(2 * math.pi * variance) + 5 / variance)

    says("best there are, $#$ nats", evidence(5))
    gap = 0.5 * math.log((1 + t) ** 2 / (1 + 2 * t))
    tied = evidence(1 + 2 * t) - gap, evidence(1 + 2 * t)
    says("bound is $#$, and the evidence there $#$", *tied)
    a = [0.5]
    for _ in range(3):  # the top of the parabola whose q is the posterior of a
        a.append(5 * a[-1] * (1 + a[-1] ** 2) / (1 + 6 * a[-1] ** 2))
    says("from $a = #$ to $#$, $#$ and $#$", *a)
    at_most = 6 / 0.5**4  # of the fourth derivative, from one half on
    says("is at most # in size", Fraction(at_most))
    says("by at most $#\\,\\delta^4$", Fraction(at_most / 24))
    z = torch.linspace(-60, 60, 120_001)
    log_p = Normal(0.0, 1.0).log_prob(z)  # the posterior
    edges = says("$\\kappa > #$; the fourth moment needs $\\kappa > #$")
    for power, edge in zip((2, 4), edges, strict=True):
        for kappa, finite in ((edge + 0.01, True), (edge - 0.01, False)):
            log_q = Normal(0.0, math.sqrt(kappa)).log_prob(z)
            tail = (power * log_p - (power - 1) * log_q).exp()[-1]
            assert (tail < 1e-10) == finite


@pytest.mark.book
def test_measured_numbers_in_the_text_are_those_of_the_notebook():
    shown = prose.shown(notebooks_of("03-elbo")[1])

    def found(pattern: str) -> list[float]:
        return [float(number) for number in re.search(pattern, shown).groups()]

    (variance,) = found(r"relative variance of the weights: ([\d.]+)")
    says("relative variance is $#$, so", variance)
    says("line begins at $#$ nats", variance / 2)
    wide, narrow = found(r"wide +q: ([\d.]+)\nnarrow q: ([\d.]+)")
    says("standard deviations divides its gap by $#$", narrow)
    assert abs(wide - 2) < 0.15
    c, best = found(r"best c = ([-\d.]+), variance ([\d.]+)")
    (of_a,) = found(r"\nA ([\d.]+), B")
    says("bottom is at $c = #$, with a variance of $#$ where A has $#$", c, best, of_a)
    (gap,) = found(r"mean of its logarithm: -([\d.]+)")
    says("by the gap of the ELBO, $#$ nats", gap)
    table = shown[shown.index("of the gradient") :]
    numbers = r" +([\d,.]+) +([\d.]+)"
    rows = [re.search(f" {k}{numbers}", table).groups() for k in ("A", "B", "STL")]
    rows = [[float(number.replace(",", "")) for number in row] for row in rows]
    plane, wider = zip(*rows, strict=True)
    assert plane[0] == plane[1]
    says("numbers: # for A and B against # for", plane[0], plane[2])
    says("and # and # against # for", *wider)
