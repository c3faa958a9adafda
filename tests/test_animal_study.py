"""What the study of the animals measures, on cases whose answer is known."""

import math

import torch

from tools.records import animals, measures
from vae_lib.animals import load_animals
from vae_lib.models import VAE, VAEConfig

CONFIG = VAEConfig(latent_dim=2, hidden_dims=(4,), n_pixels=6)


def test_the_error_is_that_of_the_mean():
    assert animals.mean_and_error(torch.tensor([1.0, 2.0, 3.0])) == [2.0, 0.577]


def test_the_nearest_code_is_another_one():
    codes = torch.tensor([[0.0, 0], [0, 1], [9, 9], [9, 8]])
    same = animals.of_one_kind(codes, torch.tensor([3, 3, 1, 2]))
    assert same.tolist() == [1, 1, 0, 0]


def test_bounds_are_those_of_the_same_draws_each_time():
    model, x = VAE(CONFIG), torch.rand(5, 6)
    found = animals.bounds(model, x)
    assert found.shape == (5,) and torch.equal(found, animals.bounds(model, x))
    wide = torch.cat([x] * 4000)  # many draws of each: the mean bound of the image
    means = animals.bounds(model, wide).reshape(4000, 5)
    spread = means.std(0) / math.sqrt(len(means))
    with torch.no_grad():
        output = model(x, n_samples=4000)
    expected = (output.log_p_x_given_z.mean(0) - output.kl).double()
    assert ((means.mean(0) - expected).abs() < 6 * spread).all()


def test_the_bound_of_levels_is_the_mean_over_the_images():
    config = VAEConfig(2, hidden_dims=(4,), n_pixels=6, likelihood="gaussian")
    model, x = VAE(config), (255 * torch.rand(7, 6)).round() / 255
    levels = measures.level_bounds(model, x)
    assert levels.shape == (7,) and (levels < 0).all()
    assert measures.level_bound(model, x) == round(levels.mean().item(), 2)


def test_prices_of_the_dimensions_add_up_to_the_divergence():
    model, x = VAE(CONFIG), torch.rand(50, 6)
    prices = measures.kl_per_dimension(model, x)
    assert len(prices) == 2 and min(prices) >= 0
    assert math.isclose(sum(prices), model(x).kl.mean().item(), abs_tol=1e-4)


def test_equal_steps_are_nearly_those_of_the_digits():
    """An epoch of digits has 469 steps, with batches of 256 of the first 50,000 196."""
    n_images = len(load_animals().images)
    assert abs(animals.LONG_EPOCHS * math.ceil(n_images / 128) / (20 * 469) - 1) < 0.02
    few = animals.EPOCHS * math.ceil(n_images / 128)
    assert few == 1220
    assert animals.MOST_EPOCHS * math.ceil(animals.MOST_DIGITS / 128) == few + 1
    steps = animals.PLANE_EPOCHS["animals"] * math.ceil(n_images / 256)
    assert abs(steps / (animals.PLANE_EPOCHS["digits"] * 196) - 1) < 0.02
