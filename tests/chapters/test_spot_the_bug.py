"""What the page of bugs says of one of them: weights without their detach."""

import prose
import torch
from torch import Tensor
from torch.testing import assert_close

from vae_lib.objectives import importance_weighted_bound

says = prose.says("spot-the-bug")


def undetached(log_w: Tensor) -> Tensor:
    """The sum of normalised weights times log weights (K,), both with gradients."""
    return (log_w.softmax(0) * log_w).sum()


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
    says("the second derivative is #", grad[1].item())
    says("where the bound's is $+#$", torch.softmax(two, 0)[1].item())


def test_the_program_has_its_minimum_where_a_second_draw_is_a_nat_below_the_average():
    low, high = torch.tensor([-8.0, 0.0], dtype=torch.float64)
    for _ in range(60):  # the slope changes its sign between these
        middle = (low + high) / 2
        two = torch.stack([torch.zeros_like(middle), middle]).requires_grad_()
        (grad,) = torch.autograd.grad(undetached(two), two)
        low, high = (middle, high) if grad[1] < 0 else (low, middle)
    says("every second one below about #,", low.item())
    assert_close(low, undetached(torch.stack([torch.zeros_like(low), low])) - 1)
