"""Adam over one long vector against torch's own, weight by weight."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from vae_lib.flat_adam import FlatAdam


def new_model() -> tuple[nn.Sequential, torch.optim.Adam]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return model, torch.optim.Adam(model.parameters(), lr=0.05, fused=True)


def set_gradients(model: nn.Module, number: int) -> None:
    """In place, where there are any: the same for each model of this number."""
    draws = torch.Generator().manual_seed(number)
    for weight in model.parameters():
        grad = torch.randn(weight.shape, generator=draws, dtype=weight.dtype)
        if weight.grad is None:
            weight.grad = grad
        else:
            weight.grad.copy_(grad)


def all_of(model: nn.Module, adam: torch.optim.Adam) -> list:
    return [*model.state_dict().values(), *adam.state_dict()["state"].values()]


@pytest.mark.parametrize("clip_norm", [None, 0.3, 1e6])
@pytest.mark.parametrize("began", [0, 2], ids=["new", "under way"])
def test_steps_are_those_of_adam_and_the_state_goes_on(clip_norm, began):
    """Begun by torch's, gone on by this, ended by torch's again."""
    found = []
    for flat in (False, True):
        model, adam = new_model()
        for number in range(6):
            if flat and number == began:
                faster = FlatAdam(adam)
            set_gradients(model, number)
            if flat and began <= number < 4:
                faster.step(clip_norm)
            else:
                if clip_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
                adam.step()
        found.append(all_of(model, adam))
    assert_close(*found, rtol=1e-12, atol=1e-12)


def test_what_was_there_keeps_its_values_and_lies_in_one_piece():
    model, adam = new_model()
    set_gradients(model, 0)
    adam.step()
    before = [x.clone() for x in model.state_dict().values()]
    flat = FlatAdam(adam)
    assert_close([*model.state_dict().values()], before, rtol=0, atol=0)
    weights = [*model.parameters()]
    assert len(flat.weights) == sum(w.numel() for w in weights) == 26
    flat.weights.zero_()
    flat.grads.fill_(1)
    assert all((w == 0).all() and (w.grad == 1).all() for w in weights)


def test_a_change_of_the_step_size_is_heard():
    """Schedules set it in the optimizer, before each step."""
    model, adam = new_model()
    flat = FlatAdam(adam)
    flat.grads.fill_(1)
    adam.param_groups[0]["lr"] = 0.0
    before = flat.weights.clone()
    flat.step(None)
    assert torch.equal(flat.weights, before)
