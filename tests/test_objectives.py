"""The two bounds against literal formulas, and what is no loss."""

import math

import pytest
import torch
from torch.testing import assert_close

from vae_lib.objectives import effective_beta, elbo, importance_weighted_bound


@pytest.mark.equation("eq-elbo", "eq-estimator-b")
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_elbo_subtracts_the_weighted_kl_from_the_mean_over_samples(beta):
    log_p, kl = torch.randn(5, 4), torch.rand(4)
    literal = [sum(log_p[:, b].tolist()) / 5 - beta * float(kl[b]) for b in range(4)]
    assert_close(elbo(log_p, kl, beta=beta), torch.tensor(literal))
    for one in (log_p[0], log_p[:1]):
        assert_close(elbo(one, kl, beta=beta), log_p[0] - beta * kl)


@pytest.mark.equation("eq-importance-weighted-bound")
@pytest.mark.parametrize("k", [1, 2, 50])
def test_importance_weighted_bound_is_the_log_of_the_mean_weight(k):
    log_w = torch.randn(k, 4, dtype=torch.float64, requires_grad=True)
    bound = importance_weighted_bound(log_w)
    assert_close(bound, log_w.exp().mean(0).log(), rtol=1e-12, atol=1e-12)
    far = importance_weighted_bound(log_w - 800)  # exp(-800) underflows
    assert_close(far, bound - 800, rtol=1e-12, atol=0)
    (grad,) = torch.autograd.grad(bound.sum(), log_w)
    assert_close(grad, log_w.exp() / log_w.exp().sum(0), rtol=1e-12, atol=0)


def test_importance_weighted_bound_of_one_sample_is_its_weight():
    log_w = 1000 * torch.randn(1, 4)
    assert torch.equal(importance_weighted_bound(log_w), log_w[0])


def test_shapes_that_do_not_match_are_refused(refuses):
    for log_p, kl in ((3, 4), ((2, 3), 2), (3, (1, 3)), ((2, 2, 3), 3), (3, ())):
        with refuses(ValueError, "expected", "got"):
            elbo(torch.zeros(log_p), torch.zeros(kl))
    for shape in ((0, 4), ()):
        with refuses(ValueError, "expected", "got"):
            importance_weighted_bound(torch.zeros(shape))


def test_effective_beta_refuses_what_it_does_not_know(refuses):
    sizes = {"batch_size": 4, "n_pixels": 6, "latent_dim": 2}
    with refuses(ValueError, "expected a reduction among", "'none'"):
        effective_beta("sum", "none", **sizes)
    wrong = {
        "batch_size >= 1, got 0": {"batch_size": 0},
        "finite kl_weight > 0, got -1.0": {"kl_weight": -1.0},
        "n_pixels to be a whole number, got inf": {"n_pixels": math.inf},
    }
    for said, change in wrong.items():
        with refuses(ValueError, f"expected {said}"):
            effective_beta("sum", "sum", **sizes | change)
