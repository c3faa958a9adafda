"""The quieter gradients against integrals that are exact, and the plain gradient.

One latent dimension: z ~ N(0, 1), x | z ~ N(z, 1), and q(z|x) off the posterior or
equal to it. A Gauss-Hermite rule over the noise of K draws gives expectations.
"""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from vae_lib.distributions import gaussian_log_prob, reparameterize
from vae_lib.estimators import AlongThePath, take_path_step
from vae_lib.objectives import (
    doubly_reparameterized,
    importance_weighted_bound,
    without_score,
)
from vae_lib.recipes import Recipe
from vae_lib.steps import take_step
from vae_lib.training import train

X, WEIGHT = 1.2, 1.0
OFF = 0.2, -0.3  # mu and logvar of a q that is not the posterior
POSTERIOR = WEIGHT * X / (1 + WEIGHT**2), -np.log(1 + WEIGHT**2)
WAYS = {
    "total": lambda log_w, z, mu, logvar: log_w,
    "score dropped": without_score,
    "squared weights": doubly_reparameterized,
}


def rule(k: int, n: int = 80) -> tuple[Tensor, Tensor]:
    """Noise (n ** k, k) and masses of an expectation under N(0, I)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    grid = torch.tensor(list(product(nodes, repeat=k)))
    mass = torch.tensor(list(product(weights / weights.sum(), repeat=k))).prod(-1)
    return grid, mass


def log_weights(eps: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    """log w and z for noise (K, B, 1) and parameters (B, 1)."""
    z = reparameterize(mu, logvar, eps=eps)
    zero = torch.zeros_like(z)
    log_p_x = gaussian_log_prob(torch.full_like(z, X), WEIGHT * z, zero)
    log_w = log_p_x + gaussian_log_prob(z, zero, zero)
    return log_w - gaussian_log_prob(z, mu, logvar), z


def estimates(eps: Tensor, q: tuple, way: str) -> tuple[Tensor, Tensor]:
    """Bound (B,) and its derivative by (mu, logvar), (B, 2), for noise (B, K)."""
    mu, logvar = (
        torch.full((len(eps), 1), v, dtype=torch.float64, requires_grad=True) for v in q
    )
    log_w, z = log_weights(eps.T[..., None], mu, logvar)
    bound = importance_weighted_bound(WAYS[way](log_w, z, mu, logvar))
    return bound.detach(), torch.cat(torch.autograd.grad(bound.sum(), (mu, logvar)), 1)


def mean_and_spread(k: int, q: tuple, way: str) -> tuple[Tensor, Tensor]:
    eps, mass = rule(k)
    _, found = estimates(eps, q, way)
    mean = mass @ found
    return mean, (mass @ (found - mean).square()).sqrt()


def slope_of_the_bound(k: int, q: tuple, h: float = 1e-4) -> Tensor:
    """Derivative of the expected bound, by differences: no estimator stands in it."""
    eps, mass = rule(k)

    def expected(*at: float) -> Tensor:
        return mass @ estimates(eps, at, "total")[0]

    mu, logvar = q
    by_mu = expected(mu + h, logvar) - expected(mu - h, logvar)
    by_logvar = expected(mu, logvar + h) - expected(mu, logvar - h)
    return torch.stack((by_mu, by_logvar)) / (2 * h)


@pytest.mark.equation("eq-path-gradient", "eq-doubly-reparameterized")
@pytest.mark.parametrize("k", [1, 2])
def test_what_each_estimator_has_as_its_mean(k):
    exact = slope_of_the_bound(k, OFF)
    for way in WAYS:
        mean, _ = mean_and_spread(k, OFF, way)
        if way == "score dropped" and k > 1:
            assert (mean - exact).abs().max() > 0.1
        else:
            assert_close(mean, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.equation("eq-path-gradient")
def test_at_the_posterior_the_path_has_no_noise():
    for k, way in product((1, 2), ("score dropped", "squared weights")):
        mean, spread = mean_and_spread(k, POSTERIOR, way)
        assert torch.cat((mean, spread)).abs().max() < 1e-12
    _, plain = mean_and_spread(1, POSTERIOR, "total")
    assert plain.min() > 0.5


@pytest.mark.equation("eq-signal-to-noise")
def test_with_more_draws_one_signal_drowns_and_the_other_rises():
    """Over its spread the mean falls like 1 / sqrt(K), or rises like sqrt(K)."""
    torch.manual_seed(0)
    draws = torch.randn(10_000, 64, dtype=torch.float64)
    ratios = {}
    for way, k in product(("total", "squared weights"), (4, 16, 64)):
        _, found = estimates(draws[:, :k], OFF, way)
        ratios[way, k] = (found.mean(0) / found.std(0)).abs()[0]  # of mu
    rises = ratios["squared weights", 64] / ratios["squared weights", 16]
    falls = ratios["total", 16] / ratios["total", 4]
    assert 1.9 < rises < 2.1 and 0.35 < falls < 0.6


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_values_stay_and_so_does_the_decoders_gradient(make_vae, batch, objective):
    """Of each term; the decoder's has no score in it."""
    eps = torch.randn(3, 7, 2, dtype=torch.float64)
    grads = []
    for wrap in (lambda model: model, AlongThePath):
        model = make_vae()
        weights = objective == "iwae"
        output = wrap(model)(batch, eps=eps, weights=weights)
        if weights:
            bound = importance_weighted_bound(output.log_w)
        else:
            bound = output.log_p_x_given_z.mean(0) - output.kl
        bound.sum().backward()
        grads.append([w.grad for w in model.decoder.parameters()])
        grads[-1] += [bound.detach(), output.log_p_x_given_z.detach()]
    assert_close(*grads, rtol=1e-10, atol=1e-10)


def test_the_step_is_the_books_with_another_model(make_vae, batch):
    eps = torch.randn(7, 2, dtype=torch.float64)
    sums = []
    for step in (take_step, take_path_step):
        model = make_vae()
        still = torch.optim.SGD(model.parameters(), lr=0.0)
        sums.append(step(model, still, batch, eps, n_images=7.0))
    assert_close(*sums)


def test_a_learned_prior_learns_along_the_path_too(make_vae, batch):
    """Its gradient is that of the estimate of the KL, which has none in closed form."""
    eps = torch.randn(7, 2, dtype=torch.float64)
    grads = []
    for step in (take_step, take_path_step):
        torch.manual_seed(0)
        model = make_vae(prior="mixture", n_components=3)
        still = torch.optim.SGD(model.parameters(), lr=0.0)
        step(model, still, batch, eps, n_images=7.0)
        grads.append([weight.grad for weight in model.prior.parameters()])
    assert_close(*grads, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_model_trains_by_the_quieter_gradient(make_vae, batch, objective):
    recipe = Recipe(60, 7, 0.02, objective=objective, n_samples=3, gradient="path")
    rows = train(make_vae(), batch, recipe, device="cpu", progress=False).rows
    assert rows[-1]["elbo"] > rows[0]["elbo"] + 0.2


def test_what_cannot_be_quiet_is_refused(make_vae, batch, refuses):
    with refuses(ValueError, "expected free_bits = 0 with the gradient 'path'"):
        Recipe(1, gradient="path", free_bits=0.1)
    with refuses(ValueError, "the gradient 'total' with step='compiled'"):
        train(make_vae(), batch, epochs=1, gradient="path", step="compiled")
    one = torch.randn(3, 4)
    with refuses(ValueError, "expected log_w ((K,) B)"):
        without_score(one[0], one, one, one)
