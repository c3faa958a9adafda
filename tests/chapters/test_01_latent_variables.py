"""Chapter 1: evidence, posterior and naive Monte Carlo against independent oracles."""

import math
import re

import nbformat
import numpy as np
import prose
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from tools.book import NOTEBOOKS
from vae_lib.distributions import gaussian_log_prob
from vae_lib.linear_gaussian import LinearGaussianModel

says = prose.says("01-latent-variables")
AXIS = torch.linspace(-9, 9, 3601, dtype=torch.float64)


def make_model(n_pixels: int = 5, latent_dim: int = 2) -> LinearGaussianModel:
    weight = torch.randn(n_pixels, latent_dim, dtype=torch.float64)
    return LinearGaussianModel(weight, torch.randn(n_pixels).double(), noise_std=0.7)


def covariance_of(model: LinearGaussianModel) -> Tensor:
    return model.weight @ model.weight.T + model.noise_std**2 * identity(model.mean)


def identity(vector: Tensor) -> Tensor:
    return torch.eye(len(vector), dtype=vector.dtype)


def log_prior(z: Tensor) -> Tensor:
    return gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z))


def two_peaks(z: Tensor) -> Tensor:
    """The decoder of the page's example; its noise is 0.4."""
    return z**2 + z / 4


def likelihood(x: float, z: Tensor) -> Tensor:
    """p(x | z) of the page's example, from the textbook formula."""
    return torch.exp(-((x - two_peaks(z)) ** 2) / 0.32) / (0.4 * math.sqrt(2 * math.pi))


def prior(z: Tensor) -> Tensor:
    return torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def evidence(x: float) -> float:
    return float(torch.trapezoid(likelihood(x, AXIS) * prior(AXIS), AXIS))


def ratio(w: float, s: float, y: float) -> float:
    """r of the page's example on growth."""
    front = (w**2 + s**2) / (s * math.sqrt(s**2 + 2 * w**2))
    return front * math.exp(w**2 * y**2 / ((w**2 + s**2) * (2 * w**2 + s**2)))


@pytest.mark.equation("eq-joint", "eq-linear-gaussian")
def test_likelihood_times_prior_is_the_joint_gaussian_of_code_and_image():
    model = make_model()
    x, z = model.sample(6), torch.randn(6, 2, dtype=torch.float64)
    top = torch.cat([torch.eye(2, dtype=torch.float64), model.weight.T], 1)
    bottom = torch.cat([model.weight, covariance_of(model)], 1)
    mean = torch.cat([torch.zeros(2, dtype=torch.float64), model.mean])
    joint = MultivariateNormal(mean, torch.cat([top, bottom]))
    log_p = model.log_p_x_given_z(x, z) + log_prior(z)
    assert_close(log_p, joint.log_prob(torch.cat([z, x], 1)), rtol=0, atol=1e-10)


@pytest.mark.equation("eq-evidence")
def test_evidence_of_the_nonlinear_example_is_a_density_and_two_rules_agree():
    x = torch.linspace(-4, 60, 641, dtype=torch.float64)
    p = torch.tensor([evidence(value) for value in x.tolist()])
    assert abs(torch.trapezoid(p.double(), x) - 1) < 1e-5
    nodes, weights = np.polynomial.legendre.leggauss(400)
    nodes, weights = torch.from_numpy(8 * nodes), torch.from_numpy(8 * weights)
    gauss = float((weights * likelihood(2.0, nodes) * prior(nodes)).sum())
    assert math.isclose(evidence(2.0), gauss, rel_tol=1e-12)


@pytest.mark.equation("eq-posterior", "eq-linear-gaussian-posterior")
def test_joint_density_over_posterior_density_is_the_evidence_for_any_code():
    model = make_model()
    x, z = model.sample(4), torch.randn(30, 4, 2, dtype=torch.float64)
    log_q = MultivariateNormal(*model.posterior(x)).log_prob(z)
    log_p_x = model.log_p_x_given_z(x, z) + log_prior(z) - log_q
    expected = MultivariateNormal(model.mean, covariance_of(model)).log_prob(x)
    assert_close(log_p_x, expected.expand(30, 4), rtol=0, atol=1e-10)


@pytest.mark.equation("eq-linear-gaussian-posterior")
def test_posterior_is_the_conditional_of_the_joint_gaussian():
    model = make_model()
    x = model.sample(4)
    w, c = model.weight.numpy(), covariance_of(model).numpy()
    gain = np.linalg.solve(c, w).T  # W' C^-1
    mean, covariance = model.posterior(x)
    expected = torch.from_numpy((x - model.mean).numpy() @ gain.T)
    assert_close(mean, expected, rtol=0, atol=1e-12)
    assert_close(covariance, torch.from_numpy(np.eye(2) - gain @ w), rtol=0, atol=1e-12)


@pytest.mark.equation("eq-linear-gaussian-evidence", "eq-linear-gaussian")
def test_evidence_of_the_linear_gaussian_model_is_the_sum_over_a_plane_of_codes():
    model = make_model()
    x, axis = model.sample(3), torch.linspace(-7, 7, 201, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    means = z @ model.weight.T + model.mean
    log_p = Normal(means[:, None], 0.7).log_prob(x).sum(-1)  # (nodes, B)
    p = (log_p.exp() * (prior(z[:, :1]) * prior(z[:, 1:]))).sum(0) * 0.07**2
    assert_close(model.log_evidence(x), p.log(), rtol=0, atol=1e-10)


def test_rotation_of_the_codes_leaves_the_evidence_of_a_nonlinear_decoder():
    axis = torch.linspace(-7, 7, 201, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    first, second = torch.randn(2, 4).double(), torch.randn(4, 3).double()
    rotation, _ = torch.linalg.qr(torch.randn(2, 2).double())
    shear = torch.tensor([[1.0, 0.5], [0.0, 1.0]], dtype=torch.float64)

    def p(matrix):
        x_mean = torch.tanh(z @ matrix.T @ first) @ second
        log_p = Normal(x_mean, 0.5).log_prob(torch.ones(3).double()).sum(-1)
        return float((log_p.exp() * log_prior(z).exp()).sum()) * 0.07**2

    assert math.isclose(p(rotation), p(torch.eye(2).double()), rel_tol=1e-10)
    assert not math.isclose(p(shear), p(rotation), rel_tol=1e-3)


def test_gradient_of_the_log_evidence_is_a_posterior_mean():
    """For f(z) = theta z^2, against finite differences of the sum over a grid."""

    def log_evidence(theta):
        log_p = Normal(theta * AXIS**2, 0.4).log_prob(torch.tensor(2.0).double())
        return torch.trapezoid(log_p.exp() * prior(AXIS), AXIS).log()

    theta = torch.tensor(0.8, dtype=torch.float64)
    log_p = Normal(theta * AXIS**2, 0.4).log_prob(torch.tensor(2.0).double())
    posterior = log_p.exp() * prior(AXIS) / log_evidence(theta).exp()
    gradient = (2.0 - theta * AXIS**2) * AXIS**2 / 0.4**2  # of log p(x | z)
    expected = float(torch.trapezoid(posterior * gradient, AXIS))
    slope = float(log_evidence(theta + 1e-5) - log_evidence(theta - 1e-5)) / 2e-5
    assert math.isclose(slope, expected, rel_tol=1e-7)


@pytest.mark.equation("eq-naive-monte-carlo")
def test_naive_monte_carlo_is_unbiased_and_its_logarithm_too_low():
    z = torch.randn(10, 40_000, dtype=torch.float64)
    relative = likelihood(2.0, z).mean(0) / evidence(2.0)
    error = relative.std() / math.sqrt(40_000)
    assert (relative.mean() - 1).abs() < 4 * error < 0.02
    assert relative.log().mean() < -0.3


@pytest.mark.equation("eq-naive-monte-carlo-error")
def test_relative_variance_of_two_samples_is_that_of_one_by_two():
    """Exactly: by a sum over all pairs of nodes of a rule for the prior."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    z = torch.from_numpy(nodes)
    p_z = torch.from_numpy(weights / weights.sum())
    values = likelihood(0.5, z)
    p_x = float((p_z * values).sum())
    rho = float((p_z * values**2).sum()) / p_x**2
    pairs = (values[:, None] + values) / 2 / p_x
    variance = float((p_z[:, None] * p_z * (pairs - 1) ** 2).sum())
    assert math.isclose(variance, (rho - 1) / 2, rel_tol=1e-12)


@pytest.mark.equation("eq-naive-monte-carlo-error")
def test_ratio_of_a_likelihood_that_factorises_is_a_power():
    """On the grid of three latent variables, with the library's likelihood."""
    axis = torch.linspace(-6, 6, 49, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis, axis)[:, None]  # (nodes, 1, J)
    model = LinearGaussianModel(0.8 * torch.eye(3).double(), torch.zeros(3).double(), 1)
    x = torch.full((1, 3), 1.5, dtype=torch.float64)
    log_w = model.log_p_x_given_z(x, z) - model.log_evidence(x)
    rho = float((2 * log_w + log_prior(z)).exp().sum()) * 0.25**3
    assert math.isclose(rho, ratio(0.8, 1.0, 1.5) ** 3, rel_tol=1e-9)


@pytest.mark.equation("eq-naive-monte-carlo-error")
@pytest.mark.parametrize("w, s, y", [(1, 1, 1), (1, 0.1, 1), (0.7, 0.5, -2), (3, 1, 0)])
def test_ratio_of_one_coordinate_has_the_closed_form(w, s, y):
    values = Normal(w * AXIS, s).log_prob(torch.tensor(float(y)).double()).exp()
    mean = torch.trapezoid(values * prior(AXIS), AXIS)
    square = torch.trapezoid(values**2 * prior(AXIS), AXIS)
    assert math.isclose(float(square / mean**2), ratio(w, s, y), rel_tol=1e-9)
    assert ratio(w, s, y) > 1 == ratio(0, s, y)


def test_ratio_is_at_least_the_exponential_of_the_nats_told():
    for x in (-0.3, 0.5, 2.0, 5.0):
        posterior = likelihood(x, AXIS) * prior(AXIS) / evidence(x)
        told = (likelihood(x, AXIS) / evidence(x)).clamp(1e-300).log()
        nats = float(torch.trapezoid(posterior * told, AXIS))
        rho = float(torch.trapezoid(posterior**2 / prior(AXIS), AXIS))
        square = torch.trapezoid(likelihood(x, AXIS) ** 2 * prior(AXIS), AXIS)
        assert math.isclose(rho, float(square) / evidence(x) ** 2, rel_tol=1e-10)
        assert 0 < nats < math.log(rho)


@pytest.mark.equation("eq-linear-gaussian-fit")
def test_fit_attains_a_bound_that_no_covariance_of_the_model_passes():
    x = make_model(6, 2).sample(300)
    s = torch.cov(x.T, correction=0)
    values, vectors = (part.flip(-1) for part in torch.linalg.eigh(s))  # descending
    rest = values[2:].mean()
    bound = values[:2].log().sum() + 4 * rest.log() + 6
    best = LinearGaussianModel.fit(x, 2)
    top = best.log_evidence(x).mean()
    assert_close(top, -0.5 * (6 * math.log(2 * math.pi) + bound), rtol=0, atol=1e-10)
    assert_close(best.mean, x.mean(0))
    assert_close(torch.tensor(best.noise_std**2).double(), rest)
    expected = vectors[:, :2] * (values[:2] - rest) @ vectors[:, :2].T
    assert_close(best.weight @ best.weight.T, expected)
    for _ in range(200):
        c = covariance_of(make_model(6, 2))
        assert c.logdet() + torch.linalg.solve(c, s).trace() > bound


@pytest.mark.equation("eq-linear-gaussian-fit")
def test_gradient_of_the_mean_log_likelihood_vanishes_at_the_fit():
    x = make_model(6, 2).sample(300)
    best = LinearGaussianModel.fit(x, 2)
    rotation, _ = torch.linalg.qr(torch.randn(2, 2).double())
    weight = (best.weight @ rotation).requires_grad_()
    mean = best.mean.clone().requires_grad_()

    def value(std):
        return LinearGaussianModel(weight, mean, std).log_evidence(x).mean()

    for gradient in torch.autograd.grad(value(best.noise_std), (weight, mean)):
        assert gradient.abs().max() < 1e-10
    slope = (value(best.noise_std + 1e-5) - value(best.noise_std - 1e-5)) / 2e-5
    assert slope.abs() < 1e-6
    assert (value(1.01 * best.noise_std) < value(best.noise_std)).item()


@pytest.mark.equation("eq-linear-gaussian-posterior")
def test_one_affine_encoder_is_exact_and_a_rotation_makes_it_diagonal():
    model = make_model()
    x = 10 * torch.randn(50, 5, dtype=torch.float64)
    m = model.weight.T @ model.weight + 0.49 * torch.eye(2).double()
    gain = torch.linalg.inv(m) @ model.weight.T
    assert_close(x @ gain.T - gain @ model.mean, model.posterior(x)[0])
    _, rotation = torch.linalg.eigh(model.weight.T @ model.weight)
    rotated = LinearGaussianModel(model.weight @ rotation, model.mean, 0.7)
    assert_close(rotated.log_evidence(x), model.log_evidence(x), rtol=1e-11, atol=0)
    assert rotated.posterior(x)[1][0, 1].abs() < 1e-12
    assert model.posterior(x)[1][0, 1].abs() > 1e-3


def test_grid_is_cheaper_than_sampling_up_to_five_dimensions():
    """What the notebook reads off its figure of costs."""
    r = ratio(1.0, 0.3, 1.0)
    sampling = [(r**j - 1) / 0.01**2 for j in range(1, 13)]
    cheaper = [20**j < cost for j, cost in enumerate(sampling, start=1)]
    assert cheaper == [True] * 5 + [False] * 7
    assert f"{r:.3f}" == "3.898"


def log_rho(weight: Tensor, s: float, x: Tensor) -> Tensor:
    """log rho of images x of a linear-Gaussian model without shift, in closed form."""
    cov, eye = weight @ weight.T, torch.eye(len(weight), dtype=weight.dtype)
    zero = torch.zeros(len(weight), dtype=weight.dtype)
    square = MultivariateNormal(zero, cov + s**2 / 2 * eye).log_prob(x)
    square = square - len(weight) * math.log(2 * s * math.sqrt(math.pi))
    return square - 2 * MultivariateNormal(zero, cov + s**2 * eye).log_prob(x)


@pytest.mark.equation("eq-naive-monte-carlo-error")
def test_price_of_one_pixel_does_not_depend_on_the_number_of_codes():
    """The closed form against sums over one code and over a plane of codes."""
    one = torch.ones(1, 1, dtype=torch.float64)
    for n_codes in (1, 2, 7, 200):
        weight = torch.full((1, n_codes), n_codes**-0.5, dtype=torch.float64)
        found = float(log_rho(weight, 1.0, one).exp())
        assert math.isclose(found, ratio(1, 1, 1), rel_tol=1e-9)
    axis = torch.linspace(-8, 8, 321, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    p = Normal(z.sum(1) / math.sqrt(2), 1.0).log_prob(one[0]).exp()
    p_z = log_prior(z).exp() * 0.05**2
    rho = float((p**2 * p_z).sum() / (p * p_z).sum() ** 2)
    assert math.isclose(rho, ratio(1, 1, 1), rel_tol=1e-9)


@pytest.mark.book
def test_four_pixels_have_a_price_and_nats_that_level_off():
    """exm-few-pixels: both tend to what four independent pixels have."""
    s, dims = 0.3, (1, 4, 16, 256)
    limit = 2 * math.log(1 + 1 / s**2)
    price_limit = 4 * math.log((1 + s**2) / (s * math.sqrt(s**2 + 2)))
    price_limit += 4 / (s**2 + 2)
    prices, told = [], []
    for n_codes in dims:
        weights = torch.randn(200, 4, n_codes, dtype=torch.float64) / n_codes**0.5
        gram = torch.eye(4, dtype=torch.float64) + weights @ weights.mT / s**2
        told.append(float(0.5 * gram.logdet().mean()))
        models = [LinearGaussianModel(w, torch.zeros(4).double(), s) for w in weights]
        price = [log_rho(m.weight, s, m.sample(20)).mean() for m in models]
        prices.append(float(torch.stack(price).mean()))
    assert told == sorted(told) and told[-1] < limit + 0.03
    assert prices[0] < prices[1] < prices[2] and abs(prices[3] - price_limit) < 0.1
    assert all(price > nats for price, nats in zip(prices, told, strict=True))
    says("levels off at #.", price_limit)
    says("+ \\frac{1}{s^2 + 2}\\bigr) = #", price_limit)
    says("\\log(1 + 1/s^2) = #$ nats", limit)


def test_nats_that_an_image_tells_are_half_the_log_determinant_on_average():
    """Over the images of a model: the mean divergence from posterior to prior."""
    model = make_model(4, 3)
    mean, covariance = model.posterior(model.sample(40_000))
    inside = torch.trace(covariance) - 3 - covariance.logdet()
    nats = 0.5 * ((mean**2).sum(1) + inside)
    gram = identity(model.mean) + model.weight @ model.weight.T / 0.49
    error = nats.std() / math.sqrt(len(nats))
    assert (nats.mean() - 0.5 * gram.logdet()).abs() < 4 * error < 0.1


@pytest.mark.book
def test_numbers_of_the_digit_are_those_that_the_notebook_prints():
    cells = nbformat.read(NOTEBOOKS / "01-latent-variables.ipynb", as_version=4).cells
    printed = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for cell in cells
        for output in cell.get("outputs", [])
    )

    def number(pattern):
        return float(re.search(pattern, printed)[1])

    says("whose log evidence is #", number(r"a 7 +(-[\d.]+)"))
    says("# of the 200 are", int(number(r"truth: (\d+) of 200")))
    assert number(r"than a nat: (\d+)") > 100  # most of them
    says("the lowest by # nats", -number(r"the lowest: (-[\d.]+)"))
    rho = says("the grid gives \\rho = #", number(r"\nrho = (\d+)"))
    says("standard deviation of # times", math.sqrt((rho - 1) / 1000))
    nats = says("The 7 tells # nats", number(r"([\d.]+) nats; e to"))
    says("e^{7.09} = #", int(number(r"this power: (\d+)")))
    assert abs(math.log(number(r"this power: (\d+)")) - nats) < 0.005


@pytest.mark.book
def test_numbers_in_the_text_are_right():
    roots = [sign * math.sqrt(2 + 1 / 64) - 1 / 8 for sign in (-1, 1)]
    assert [two_peaks(z) for z in roots] == pytest.approx([2, 2])
    says("by $z \\approx #$ and by $z \\approx #$", *roots)
    says("$p(2) = #$", evidence(2.0))
    few = torch.linspace(-8, 8, int(says("# nodes give")), dtype=torch.float64)
    by_few = float(torch.trapezoid(likelihood(2.0, few) * prior(few), few))
    assert abs(by_few / evidence(2.0) - 1) < 1e-12
    says("that makes # evaluations", 20**2)
    says("it makes #,", float(20**20))
    years, bound = 20**20 / 1e6 / (365.25 * 86400), says("more than # years")
    assert bound < years < 10 * bound
    says("this is $r = #$", ratio(1, 1, 1))
    says("it is $r = #$", ratio(1, 0.1, 1))
    need = {j: (ratio(1, 1, 1) ** j - 1) / 0.1**2 for j in (1, 10, 50)}
    says("costs # codes", math.ceil(need[1]))
    says("and # samples are enough", math.ceil(need[1]))
    says("\\rho = #$ for one code", ratio(1, 1, 1))
    says("about # for $J = 10$", need[10])
    says("# for $J = 50$", need[50])
    says("needs #.", (ratio(1, 0.1, 1) ** 10 - 1) / 0.1**2)
    assert math.expm1(says("# nats needs more than")) > 1000
    bound = says("25 nats needs more than #")
    assert bound < math.expm1(25) < 1.1 * bound
    prior_of, likelihoods = torch.tensor([[0.5, 0.3, 0.2], [0.02, 0.1, 0.4]]).double()
    mean_log, log_mean = prior_of @ likelihoods.log(), (prior_of @ likelihoods).log()
    says("0.4 \\approx # ,", mean_log)
    says("\\log 0.12 \\approx #$", log_mean)
    says("# nats too low", log_mean - mean_log)
    assert ratio(2, 0.0005, 3) / ratio(2, 0.001, 3) == pytest.approx(2, abs=1e-3)
    limit = 2 / (math.sqrt(2) * 0.001) * math.exp(9 / 8)
    assert ratio(2, 0.001, 3) / limit == pytest.approx(1, abs=1e-3)


def test_rotation_of_the_weight_rotates_the_posterior_back():
    """prp-rotation: the code Rz of the first model is the code z of the second."""
    weight, b = torch.randn(4, 2).double(), torch.randn(4).double()
    rotation = torch.linalg.qr(torch.randn(2, 2).double()).Q
    x = torch.randn(3, 4).double()
    mean, covariance = LinearGaussianModel(weight, b, 0.5).posterior(x)
    turned = LinearGaussianModel(weight @ rotation, b, 0.5).posterior(x)
    assert_close(turned[0] @ rotation.T, mean, rtol=0, atol=1e-12)
    assert_close(rotation @ turned[1] @ rotation.T, covariance, rtol=0, atol=1e-12)
