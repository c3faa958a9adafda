"""A recipe is one thing, however it is spelt, and files of before still have theirs."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parameters_to_vector
from torch.testing import assert_close

from vae_lib import recipes
from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import PRETRAINED, load
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.runs import MODEL, train_run
from vae_lib.training import set_seed, train

BEFORE = Path(__file__).parent / "before"  # files that earlier versions wrote
CALM = {"device": "cpu", "progress": False}
CONFIG = VAEConfig(2, (4,), n_pixels=6)
ODD = Recipe(2, 3, 0.01, "cosine", 0.5, 2.0, "elbo", 3, "sample", 1.0)


def images() -> torch.Tensor:
    return torch.rand(50, 6, generator=torch.Generator().manual_seed(0))


def trained(*recipe: Recipe, **changes) -> torch.Tensor:
    """The weights after training with this seed."""
    set_seed(0)
    model = VAE(CONFIG)
    train(model, images(), *recipe, **changes, **CALM)
    return parameters_to_vector(model.parameters())


def test_a_recipe_and_its_fields_one_by_one_give_the_same_bits():
    weights = trained(ODD)
    assert torch.equal(weights, trained(**asdict(ODD)))
    other = replace(ODD, lr=1.0, epochs=9)
    assert torch.equal(weights, trained(other, lr=0.01, epochs=2))
    assert not torch.equal(weights, trained(ODD, beta=1.0))


def test_a_misspelt_name_is_told():
    with pytest.raises(TypeError, match="epoch'"):
        trained(epoch=3)
    with pytest.raises(TypeError, match="learning_rate"):
        trained(ODD, learning_rate=0.1)
    with pytest.raises(TypeError, match="epochs"):
        trained(lr=0.1)


@pytest.mark.parametrize(
    "objective, n_samples, shape",
    [
        ("elbo", 1, (5, 2)),
        ("elbo", 3, (3, 5, 2)),
        ("iwae", 1, (1, 5, 2)),
        ("iwae", 3, (3, 5, 2)),
    ],
)
def test_the_samples_come_first_where_there_are_several(objective, n_samples, shape):
    recipe = Recipe(1, objective=objective, n_samples=n_samples)
    assert recipe.noise_shape(5, 2) == shape


def test_who_is_trained_on_bits_is_judged_on_one_draw_of_them():
    grey = torch.rand(50, 6, generator=torch.Generator().manual_seed(1))
    assert Recipe(1).as_trained(grey) is grey
    bits = ODD.as_trained(grey)
    assert set(bits.unique().tolist()) == {0, 1} and bits.equal(ODD.as_trained(grey))
    assert (bits.mean() - grey.mean()).abs() < 0.15  # five standard errors


def test_a_file_that_knows_fewer_fields_has_the_defaults():
    assert recipes.from_file({"epochs": 3, "lr": 0.5}) == Recipe(3, lr=0.5)
    for preset in PRETRAINED.values():
        assert recipes.from_file(asdict(preset.recipe)) == preset.recipe


@pytest.mark.parametrize("spelt", [None, {}, {"beta": 1.0, "warmup": 0.0}])
def test_a_run_of_before_goes_on_and_ends_as_it_did(spelt, tmp_path):
    """It was stopped in its second epoch, and learns the noise of its pixels."""
    shutil.copy(BEFORE / "stopped-run.safetensors", tmp_path / MODEL)
    own = Recipe(3, 16, 1e-2, "cosine")
    recipe = None if spelt is None else replace(own, **spelt)
    model = train_run(tmp_path, images(), recipe=recipe, resume=True, **CALM)
    before = load(BEFORE / "finished-run.safetensors")
    for name, weight in before.state_dict().items():
        assert_close(model.state_dict()[name], weight, rtol=1e-4, atol=1e-6)
    assert model.history.rows[0] == before.record["rows"][0]
    assert recipes.from_file(load(tmp_path / MODEL).record["recipe"]) == own


def test_what_a_run_of_before_left_to_a_default_is_told_by_its_value(tmp_path, refuses):
    shutil.copy(BEFORE / "stopped-run.safetensors", tmp_path / MODEL)
    other = Recipe(3, 16, 1e-2, "cosine", beta=2.0)
    with refuses(ValueError, "expected a run with beta = 2.0, got beta = 1.0"):
        train_run(tmp_path, images(), recipe=other, resume=True, **CALM)


def test_an_auto_encoder_of_before_is_one():
    model = load(BEFORE / "auto-encoder.safetensors")
    assert type(model) is AutoEncoder and model.record["note"] == "before"
