"""The exact model against quadrature and numpy, and the estimators against it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence
from torch.testing import assert_close

from vae_lib.distributions import gaussian_kl, gaussian_log_prob, reparameterize
from vae_lib.linear_gaussian import LinearGaussianModel
from vae_lib.objectives import elbo, importance_weighted_bound


def make_model(n_pixels: int = 5, latent_dim: int = 2) -> LinearGaussianModel:
    weight = torch.randn(n_pixels, latent_dim, dtype=torch.float64)
    return LinearGaussianModel(weight, torch.randn(n_pixels).double(), noise_std=0.7)


def covariance_of(model: LinearGaussianModel) -> Tensor:
    noise = model.noise_std**2 * torch.eye(len(model.mean), dtype=torch.float64)
    return model.weight @ model.weight.T + noise


def log_joint(model: LinearGaussianModel, x: Tensor, z: Tensor) -> Tensor:
    zero = torch.zeros_like(z)
    return model.log_p_x_given_z(x, z) + gaussian_log_prob(z, zero, zero)


def bad_posterior(model: LinearGaussianModel, x: Tensor) -> tuple[Tensor, Tensor]:
    """(mu, logvar) of a q that is shifted, too wide and without correlation."""
    mean, covariance = model.posterior(x)
    variance = covariance.diagonal().expand_as(mean)
    return mean + 0.6 * variance.sqrt(), (1.5 * variance).log()


@pytest.mark.equation("eq-linear-gaussian", "eq-linear-gaussian-evidence")
def test_evidence_equals_quadrature_over_one_latent():
    model = make_model(latent_dim=1)
    x, z = model.sample(4), torch.linspace(-10, 10, 8001, dtype=torch.float64)
    nodes = z[:, None, None].expand(-1, 4, 1)  # (nodes, B, J)
    integral = torch.trapezoid(log_joint(model, x, nodes).exp(), z, dim=0)
    assert_close(model.log_evidence(x), integral.log(), rtol=1e-10, atol=0)


@pytest.mark.equation("eq-linear-gaussian-evidence")
def test_evidence_equals_the_textbook_density_of_a_gaussian():
    model = make_model()
    x = model.sample(4)
    c, centred = covariance_of(model).numpy(), (x - model.mean).numpy()
    distance = (centred * np.linalg.solve(c, centred.T).T).sum(1)
    expected = -0.5 * (5 * math.log(2 * math.pi) + np.linalg.slogdet(c)[1] + distance)
    assert_close(model.log_evidence(x), torch.from_numpy(expected), rtol=1e-12, atol=0)


@pytest.mark.equation("eq-linear-gaussian-posterior", "eq-importance-weights")
def test_every_weight_under_the_exact_posterior_is_the_evidence():
    model = make_model()
    x = model.sample(4)
    q = MultivariateNormal(*model.posterior(x))
    z = q.sample((50,))
    log_w = log_joint(model, x, z) - q.log_prob(z)
    assert_close(log_w, model.log_evidence(x).expand(50, 4), rtol=0, atol=1e-10)


@pytest.mark.equation("eq-elbo", "eq-elbo-identity")
def test_elbo_is_the_evidence_minus_the_kl_to_the_posterior():
    model = make_model()
    x = model.sample(4)
    mu, logvar = bad_posterior(model, x)
    z = reparameterize(mu, logvar, n_samples=20_000)
    log_p = model.log_p_x_given_z(x, z)
    q = MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    gap = kl_divergence(q, MultivariateNormal(*model.posterior(x)))
    difference = elbo(log_p, gaussian_kl(mu, logvar)) - (model.log_evidence(x) - gap)
    error = log_p.std(0) / math.sqrt(len(z))
    assert gap.min() > 0.1 and (difference.abs() < 4 * error).all()


@pytest.mark.equation("eq-importance-weighted-bound")
def test_importance_weighted_bound_rises_to_the_evidence():
    """In expectation: means over 5,000 repeats, with their standard errors."""
    model = make_model()
    x = model.sample(1).expand(5000, 5)
    mu, logvar = bad_posterior(model, x)
    means, errors = [], []
    for k in (1, 8, 64):
        z = reparameterize(mu, logvar, n_samples=k)
        log_w = log_joint(model, x, z) - gaussian_log_prob(z, mu, logvar)
        gap = importance_weighted_bound(log_w) - model.log_evidence(x)
        means.append(float(gap.mean()))
        errors.append(float(gap.std()) / math.sqrt(5000))
    for i in range(2):
        assert means[i + 1] - means[i] > 4 * math.hypot(errors[i], errors[i + 1])
    assert -0.02 < means[-1] < 4 * errors[-1]


@pytest.mark.equation("eq-linear-gaussian")
def test_sample_has_the_moments_of_the_model():
    n, model = 50_000, make_model()
    x, c = model.sample(n, generator=torch.Generator()), covariance_of(model)
    assert torch.equal(x, model.sample(n, generator=torch.Generator()))
    variance = c.diagonal()
    assert ((x.mean(0) - model.mean).abs() < 4 * (variance / n).sqrt()).all()
    error = ((variance.outer(variance) + c**2) / n).sqrt()
    assert ((torch.cov(x.T) - c).abs() < 4 * error).all()


def test_fit_with_one_latent_less_than_pixels_is_exact():
    x = make_model(5, 3).sample(200)
    fitted = LinearGaussianModel.fit(x, 4)
    assert_close(fitted.mean, x.mean(0))
    assert_close(covariance_of(fitted), torch.cov(x.T, correction=0))


@pytest.mark.equation("eq-linear-gaussian-fit")
def test_fit_is_the_likeliest_model():
    x = make_model(6, 2).sample(300)
    best = LinearGaussianModel.fit(x, 2)
    weight, mean, noise_std = best.weight, best.mean, best.noise_std
    others = [(weight, mean, s * noise_std) for s in (0.95, 1.05)]
    others += [(s * weight, mean, noise_std) for s in (0.95, 1.05)]
    others += [(weight, mean + s, noise_std) for s in (-0.1, 0.1)]
    others += [(weight + 0.03 * torch.randn(6, 2), mean, noise_std) for _ in range(20)]
    for other in others:
        evidence = LinearGaussianModel(*other).log_evidence(x).mean()
        assert evidence < best.log_evidence(x).mean()


@pytest.mark.parametrize(
    "weight, mean, noise_std",
    [(5, 5, 1.0), ((5, 2), 2, 1.0), ((5, 2), 5, 0.0), ((5, 2), 5, math.nan)],
)
def test_bad_parameters_are_refused(weight, mean, noise_std, refuses):
    with refuses(ValueError, "expected", "got"):
        LinearGaussianModel(torch.zeros(weight), torch.zeros(mean), noise_std)


@pytest.mark.parametrize("shape, j", [(9, 1), ((1, 5), 2), ((9, 5), 0), ((9, 5), 5)])
def test_fit_refuses_bad_input(shape, j, refuses):
    with refuses(ValueError, "expected", "got"):
        LinearGaussianModel.fit(torch.rand(shape), j)


def test_a_score_at_the_mean_code_exceeds_the_evidence_by_half_a_nat_at_most():
    model = make_model(latent_dim=3)
    x = model.sample(4)
    mean, covariance = model.posterior(x)
    prior = MultivariateNormal(torch.zeros_like(mean), torch.eye(3).double())
    kl = kl_divergence(MultivariateNormal(mean, covariance), prior)
    excess = model.log_p_x_given_z(x, mean) - kl - model.log_evidence(x)
    sharp = torch.linalg.eigvalsh(model.weight.T @ model.weight) / model.noise_std**2
    assert_close(excess, (sharp / (sharp + 1)).sum().div(2).expand(4))
    assert bool((excess < 3 / 2).all())
