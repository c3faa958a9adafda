"""The numbers of the page that writes the gradient out."""

import itertools

import prose
import pytest
import torch

from vae_lib.by_hand import StepByHand
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe

says = prose.says("gradient-by-hand")
WIDTHS = (784, 400, 40), (20, 400, 784)


def test_what_a_step_multiplies():
    """Counted from the shapes: forward, both ways back, less the first input's."""
    pairs = [pair for widths in WIDTHS for pair in itertools.pairwise(widths)]
    forward = sum(a * b for a, b in pairs)
    step = 3 * forward - 784 * 400
    says("784, cost # multiplications", forward)
    says("derivative: # in all", step)
    assert step / forward == pytest.approx(2.5, abs=0.05)


def test_the_products_that_are_counted_are_those_of_the_step(monkeypatch):
    """Every matrix product of a step by hand passes through one of three functions."""
    found = []

    def noted(function, *shapes_of):
        def call(*given, **rest):
            a, b = (given[place] for place in shapes_of)
            found.append(len(a) * a.shape[1] * b.shape[1])
            return function(*given, **rest)

        return call

    model = VAE(VAEConfig(20, (400,)))
    step = StepByHand(model, torch.optim.Adam(model.parameters()), Recipe(1))
    monkeypatch.setattr(torch, "addmm", noted(torch.addmm, 1, 2))
    monkeypatch.setattr(torch, "mm", noted(torch.mm, 0, 1))
    product = noted(torch.Tensor.__matmul__, 0, 1)
    monkeypatch.setattr(torch.Tensor, "__matmul__", product)
    with torch.no_grad():
        step.fill_gradients(model, torch.rand(3, 784), torch.randn(3, 20), n_images=3)
    assert sum(found) == 3 * 1_640_000
