"""The two bounds against literal formulas."""

import pytest
import torch
from torch.testing import assert_close

from vae_lib.checks.spot_the_bug import undetached
from vae_lib.objectives import elbo, importance_weighted_bound


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


def test_without_a_detach_the_weighted_objective_rewards_unequal_weights():
    log_w = torch.randn(6, 1, dtype=torch.float64).mul(2).requires_grad_()
    value = undetached(log_w)
    weights = torch.softmax(log_w, 0)
    unequal = (weights * (6 * weights).log()).sum()  # KL from equal weights
    assert_close(value, importance_weighted_bound(log_w)[0] + unequal)
    (grad,) = torch.autograd.grad(value, log_w, retain_graph=True)
    assert_close(grad, (weights * (1 + log_w - value)).detach())
    two = torch.tensor([[0.0], [-3.0]], requires_grad=True)
    (grad,) = torch.autograd.grad(undetached(two), two)
    assert_close(grad[1].item(), -0.088, atol=5e-4, rtol=0)
    assert_close(torch.softmax(two, 0)[1].item(), 0.047, atol=5e-4, rtol=0)


def test_shapes_that_do_not_match_are_refused(refuses):
    for log_p, kl in ((3, 4), ((2, 3), 2), (3, (1, 3)), ((2, 2, 3), 3), (3, ())):
        with refuses(ValueError, "expected", "got"):
            elbo(torch.zeros(log_p), torch.zeros(kl))
    for shape in ((0, 4), ()):
        with refuses(ValueError, "expected", "got"):
            importance_weighted_bound(torch.zeros(shape))
