"""The step written out against the step of the book, and what it refuses."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import PRETRAINED
from vae_lib.configs import VAEConfig
from vae_lib.data import load_mnist
from vae_lib.models import VAE
from vae_lib.networks import ACTIVATIONS, SLOPES
from vae_lib.recipes import Recipe
from vae_lib.runs import train_run
from vae_lib.training import set_seed, step_for, train

WAYS = {
    "elbo": {},
    "three draws": {"n_samples": 3, "beta": 0.7},
    "free bits": {"free_bits": 0.4, "beta": 0.7},
    "weights": {"objective": "iwae", "n_samples": 4},
    "one weight": {"objective": "iwae"},
    "path": {"gradient": "path", "n_samples": 2, "beta": 0.7},
    "squared weights": {"gradient": "path", "objective": "iwae", "n_samples": 4},
}
LIKELIHOODS = {
    "bernoulli": {},
    "gaussian": {"likelihood": "gaussian", "noise_std": 0.6},
    "continuous": {"likelihood": "continuous_bernoulli"},
}
IMAGES = {name: p for name, p in PRETRAINED.items() if isinstance(p.config, VAEConfig)}
DEPTHS = {"none": (), "one": (5,), "two": (5, 4)}


def gradients(model: VAE, x: Tensor, recipe: Recipe, how: str) -> tuple[Tensor, list]:
    """The sums of one step, and the derivative by each weight, which stays."""
    eps = torch.randn(
        recipe.noise_shape(len(x), model.config.latent_dim),
        dtype=x.dtype,
        generator=torch.Generator().manual_seed(3),
    )
    still = torch.optim.Adam(model.parameters(), lr=0.0)
    terms = {"beta": recipe.beta, "objective": recipe.objective}
    terms |= {"free_bits": recipe.free_bits, "n_images": 5.0}
    sums = step_for(model, still, recipe, how)(model, still, x, eps, **terms)
    return sums, [weight.grad.clone() for weight in model.parameters()]


def assert_same_gradients(model: VAE, x: Tensor, recipe: Recipe) -> None:
    """By hand and by autograd, to ten digits of numbers of order 1."""
    taped, written = (
        gradients(model, x, recipe, how) for how in ("autograd", "by hand")
    )
    assert any(part.abs().max() > 1e-3 for part in taped[1])
    assert_close(written, taped, rtol=1e-10, atol=1e-10)


@pytest.mark.equation("eq-layer-gradient", "eq-output-gradient", "eq-code-gradient")
@pytest.mark.equation("eq-weighted-gradient")
@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", DEPTHS.values(), ids=DEPTHS)
def test_every_derivative_is_that_of_autograd(
    make_vae, batch, likelihood, activation, depth
):
    network = {"activation": activation, "hidden_dims": depth, "latent_dim": 3}
    model = make_vae(**network, **likelihood)
    model.input_mean += batch.mean(0)
    with torch.no_grad():  # variances that differ, some of them where they bend
        model.encoder[-1].bias[3:] += torch.tensor([-2.0, 1.0, 4.0])
    for way in WAYS.values():
        assert_same_gradients(model, batch, Recipe(1, **way))


@pytest.mark.parametrize("preset", IMAGES.values(), ids=IMAGES)
def test_every_preset_of_images_has_its_derivatives_by_hand(preset):
    x = torch.rand(4, preset.config.n_pixels, dtype=torch.float64)
    model = VAE.from_data(preset.config, x.float()).double()
    assert_same_gradients(model, x, preset.recipe)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_slope_of_an_activation_is_its_derivative(name):
    assert SLOPES.keys() == ACTIVATIONS.keys()
    a = torch.linspace(-4, 4, 18, dtype=torch.float64, requires_grad=True)
    h = ACTIVATIONS[name]()(a)
    (expected,) = torch.autograd.grad(h.sum(), a)
    with torch.no_grad():
        assert_close(SLOPES[name](a, h).to(a), expected, rtol=1e-12, atol=1e-12)


def trained(model: VAE, images: Tensor, *calls: str, **recipe) -> VAE:
    """After a call of train by each of these steps; batches of 3, 3 and 1."""
    set_seed(5)
    recipe = {"batch_size": 3, "lr": 1e-2, "device": "cpu", "progress": False} | recipe
    for step in calls:
        train(model, images, epochs=2, step=step, **recipe)
    return model


def assert_same(model: VAE, expected: VAE, within: float) -> None:
    """Weights, Adam's state and the history's rows agree."""
    close = partial(assert_close, rtol=within, atol=within)
    close(model.state_dict(), expected.state_dict())
    mine, known = (m.history.optimizer.state_dict()["state"] for m in (model, expected))
    close(mine, known)
    for row, other in zip(model.history.rows, expected.history.rows, strict=True):
        for key in ("epoch", "elbo", "log_p_x_given_z", "kl"):
            assert row[key] == pytest.approx(other[key], rel=within)


RECIPES = {"clipped": {"clip_norm": 0.1, "schedule": "cosine"}, **WAYS}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_training_by_hand_is_training(make_vae, batch, recipe):
    """And a run may change from one to the other, and back."""
    expected = trained(make_vae(), batch, *3 * ["autograd"], **recipe)
    mixed = "by hand", "autograd", "by hand"
    assert_same(trained(make_vae(), batch, *mixed, **recipe), expected, 1e-9)


def test_in_single_precision_an_epoch_agrees_to_rounding(images_of_digits):
    models = []
    for step in ("autograd", "by hand"):
        set_seed(0)
        config = VAEConfig(2, (40,))
        models.append(VAE.from_data(config, images_of_digits))
        train(models[-1], images_of_digits, epochs=1, step=step, progress=False)
    taped, written = (model.history.rows[0]["elbo"] for model in models)
    assert written == pytest.approx(taped, rel=1e-5)


@pytest.fixture
def images_of_digits() -> Tensor:
    return load_mnist("train").images[:2000]


def test_a_run_by_hand_goes_on_with_the_same_bits(tmp_path):
    """In two calls or in one: same weights, same moments."""
    images, config = torch.rand(20, 6), VAEConfig(2, (4,), n_pixels=6)
    options = {"step": "by hand", "device": "cpu", "progress": False, "resume": True}
    whole = train_run(tmp_path / "a", images, config, Recipe(4, 8), **options)
    train_run(tmp_path / "b", images, config, Recipe(2, 8), **options)
    parts = train_run(tmp_path / "b", images, config, Recipe(4, 8), **options)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)


REFUSED = {
    "an auto-encoder": (lambda make: AutoEncoder(VAEConfig(2)).double(), "AutoEncoder"),
    "convolutions": (
        lambda make: make(network="conv", shape=(1, 2, 3), hidden_dims=(2,)),
        "got 'Unflatten'",
    ),
    "a learned prior": (lambda make: make(prior="mixture"), "got 'Mixture'"),
    "learned noise": (
        lambda make: make(likelihood="gaussian", learn_noise=True),
        "all of them trained, got 'likelihood.noise_logvar'",
    ),
    "frozen weights": (
        lambda make: make().requires_grad_(False).eval(),
        "parameters that are trained",
    ),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_formula_here_is_refused(make, said, make_vae, batch, refuses):
    model = make(make_vae)
    x = batch if model.config.n_pixels == 6 else torch.rand(3, 784).double()
    before = [weight.clone() for weight in model.parameters()]
    with refuses(ValueError, "expected", said):
        trained(model, x, "by hand")
    assert all(map(torch.equal, model.parameters(), before))


def test_some_frozen_weights_are_refused(make_vae, batch, refuses):
    model = make_vae()
    model.encoder.requires_grad_(False)
    with refuses(ValueError, "all of them trained, got 'encoder.0.weight'"):
        trained(model, batch, "by hand")


def test_shorter_numbers_around_it_are_refused(make_vae, batch, refuses):
    with torch.autocast("cpu"), refuses(ValueError, "no autocast around"):
        trained(make_vae(), batch, "by hand")


def test_several_processes_are_refused(make_vae, monkeypatch, refuses):
    monkeypatch.setattr("vae_lib.by_hand.n_processes", lambda: 2)
    with refuses(ValueError, "expected one process for step='by hand', got 2"):
        step_for(make_vae(), None, Recipe(1), "by hand")


def test_a_subclass_may_compute_something_else(make_vae, refuses):
    class Other(VAE):
        pass

    with refuses(ValueError, "got Other"):
        step_for(Other(make_vae().config), None, Recipe(1), "by hand")
