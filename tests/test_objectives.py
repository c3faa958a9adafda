"""The two bounds against literal formulas."""

import math

import pytest
import torch
from torch.testing import assert_close

from vae_lib.objectives import elbo, importance_weighted_bound


def test_elbo_subtracts_the_kl_from_the_mean_over_samples():
    log_p, kl = torch.randn(5, 4), torch.rand(4)
    literal = [sum(log_p[:, b].tolist()) / 5 - float(kl[b]) for b in range(4)]
    assert_close(elbo(log_p, kl), torch.tensor(literal))
    assert_close(elbo(log_p[0], kl), log_p[0] - kl)
    assert_close(elbo(log_p[:1], kl), log_p[0] - kl)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 4.0])
def test_beta_weighs_the_kl_alone(beta):
    log_p, kl = torch.randn(4), torch.rand(4)
    assert_close(elbo(log_p, kl, beta=beta), log_p - beta * kl)


@pytest.mark.parametrize(
    "log_p, kl", [((3,), (4,)), ((2, 3), (2,)), ((3,), (1, 3)), ((2, 2, 3), (3,))]
)
def test_elbo_refuses_shapes_that_do_not_match(log_p, kl, refuses):
    with refuses(ValueError, "expected", "got"):
        elbo(torch.zeros(log_p), torch.zeros(kl))


@pytest.mark.parametrize("k", [1, 2, 50])
def test_importance_weighted_bound_is_the_log_of_the_mean_weight(k):
    log_w = torch.randn(k, 4, dtype=torch.float64)
    bound = importance_weighted_bound(log_w)
    assert_close(bound, log_w.exp().mean(0).log(), rtol=1e-12, atol=1e-12)
    far = importance_weighted_bound(log_w - 800)  # exp(-800) underflows
    assert_close(far, bound - 800, rtol=1e-12, atol=0)
    assert (bound >= log_w.mean(0) - 1e-12).all()  # Jensen's inequality


def test_importance_weighted_bound_of_one_sample_is_its_weight():
    log_w = torch.randn(1, 4) * 1000
    assert torch.equal(importance_weighted_bound(log_w), log_w[0])


def test_importance_weighted_bound_has_normalized_weights_as_gradient():
    log_w = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(importance_weighted_bound(log_w).sum(), log_w)
    weights = log_w.exp() / log_w.exp().sum(0)
    assert_close(grad, weights, rtol=1e-12, atol=0)


def test_one_heavy_weight_among_k_costs_log_k():
    log_w = torch.full((10, 1), -1e5).index_fill(0, torch.tensor(3), -5.0)
    assert float(importance_weighted_bound(log_w)) == pytest.approx(-5 - math.log(10))


@pytest.mark.parametrize("shape", [(0, 4), ()])
def test_importance_weighted_bound_refuses_no_samples(shape, refuses):
    with refuses(ValueError, "expected", "got"):
        importance_weighted_bound(torch.zeros(shape))
