"""Checkpoints: exact round trips, atomic writes, and no damage goes unnoticed."""

import dataclasses
import json
import os
import pickle

import pytest
import safetensors.torch
import torch

from vae_lib import checkpoints, containers, recipes
from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import PRETRAINED, CheckpointError, load, load_pretrained, save
from vae_lib.containers import pack
from vae_lib.data_sets import DATA_SETS, usual_for
from vae_lib.distributions import reparameterize
from vae_lib.evaluation import evaluate_elbo
from vae_lib.models import VAE, VAEConfig

TINY = VAEConfig(latent_dim=1, hidden_dims=(), n_pixels=2)
RECORD = {"recipe": {"lr": 1e-3, "warmup": 0.5}, "test_elbo": -1.25, "names": ["é"]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "config", [TINY, VAEConfig(3, (5, 4), "tanh", "gaussian", 6, noise_std=0.3)]
)
def test_a_round_trip_keeps_every_bit(config, dtype, path):
    model = VAE(config).to(dtype)
    model.input_mean.uniform_()
    sha256 = save(path, model, RECORD)
    loaded = load(str(path))
    assert loaded.config == config and loaded.history is None
    assert loaded.record == {**RECORD, "sha256": sha256}
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        found = loaded.state_dict()[name]
        assert found.dtype == dtype and torch.equal(found, tensor)


@pytest.mark.parametrize(
    "module, function", [(containers, "to_bytes"), (os, "fsync"), (os, "replace")]
)
def test_a_failed_save_leaves_the_old_file(module, function, path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("no space left on device")

    save(path, VAE(TINY))
    before = path.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(module, function, full)
        save(path, VAE(TINY))
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
    save(path, VAE(TINY))
    assert path.read_bytes() != before and list(path.parent.iterdir()) == [path]


class Own(VAE):
    """A model with one layer more than its configuration says."""

    def __init__(self, config):
        super().__init__(config)
        self.more = torch.nn.Linear(3, 3)


class Tied(VAE):
    """A model with a weight of two names."""

    def __init__(self, config):
        super().__init__(config)
        self.again = self.encoder


def test_each_class_comes_back_as_itself_or_is_refused(path, refuses):
    save(path, AutoEncoder(TINY))
    assert type(load(path)) is AutoEncoder is type(load(path, cls=AutoEncoder))
    with refuses(CheckpointError, "a model of class VAE, got 'AutoEncoder'"):
        load(path, cls=VAE)
    save(path, VAE(TINY))
    with refuses(CheckpointError, "a model of class AutoEncoder, got 'VAE'"):
        load(path, cls=AutoEncoder)
    for own in (Own, Tied):
        model = own(TINY)
        save(path, model)
        with refuses(CheckpointError, f"Diffusion, got '{own.__name__}'"):
            load(path)
        found = load(path, cls=own)
        assert type(found) is own
        for name, weight in model.state_dict().items():
            assert torch.equal(found.state_dict()[name], weight)


def test_a_file_without_a_name_holds_a_vae_and_a_stolen_name_is_refused(path, refuses):
    save(path, VAE(TINY))
    assert b"kind" not in path.read_bytes() and type(load(path)) is VAE
    thief = type("AutoEncoder", (VAE,), {})
    with refuses(ValueError, "another name than AutoEncoder"):
        save(path, thief(TINY))


def changed(**layers) -> VAE:
    model = VAE(TINY)
    for name, layer in layers.items():
        setattr(model, name, layer)
    return model


@pytest.mark.parametrize(
    "model, record, said",
    [
        (changed(decoder=torch.nn.Sequential(torch.nn.Linear(1, 3))), {}, "(3, 1)"),
        (changed(more=torch.nn.Linear(1, 1)), {}, "more.weight"),
        (changed(encoder=VAE(TINY).encoder.half()), {}, "encoder.0.weight of torch."),
        (changed(input_mean=torch.zeros(2, dtype=torch.complex64)), {}, "complex64"),
        (VAE(VAEConfig(1, (1,) * 1001, n_pixels=2)), {}, "1000 hidden layers"),
        (torch.nn.Linear(1, 1), {}, "a VAE, got 'Linear'"),
        (VAE(TINY), [1], "a record that is a dict"),
        (VAE(TINY), {"names": {1}}, "a record that JSON can hold, got a set"),
        (VAE(TINY), {"rows": [0] * 3_000_001}, "values"),
    ],
    ids=[*("wider", "more layers", "two types", "complex", "deep"), "no VAE", "a list"]
    + ["a set", "long"],
)
def test_what_could_not_be_loaded_again_is_not_saved(
    model, record, said, path, refuses
):
    save(path, VAE(TINY))
    before = path.read_bytes()
    with refuses(ValueError, "expected", said):
        save(path, model, record)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("flip", [*(1 << bit for bit in range(8)), 0xFF, None])
def test_every_flipped_byte_and_every_cut_is_noticed(flip, path, refuses):
    save(path, VAE(TINY), RECORD)
    content = path.read_bytes()
    for position in range(len(content)):
        if flip is None:
            damaged = content[:position]
        else:
            damaged = bytearray(content)
            damaged[position] ^= flip
        path.write_bytes(damaged)
        with refuses(CheckpointError, path.name):
            load(path)


@pytest.mark.parametrize("kind", ["pickle", "torch", "foreign", "missing", "folder"])
def test_what_is_no_checkpoint_is_refused(kind, path, refuses):
    weights = VAE(TINY).state_dict()
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"weights": [1.0]}))
    elif kind == "torch":
        torch.save(weights, path)
    elif kind == "foreign":
        safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    elif kind == "folder":
        path.mkdir()
    with refuses(CheckpointError, path.name):
        load(path)


@pytest.mark.parametrize(
    "change", [{"n_flows": 3}, {"activation": "gelu"}, {"n_pixels": 3}]
)
def test_a_checkpoint_of_another_version_is_refused(change, path, refuses):
    """Its sha256 is right, but the library knows no such configuration or weights."""
    foreign = json.dumps(dataclasses.asdict(TINY) | change)
    path.write_bytes(pack(foreign, "{}", VAE(TINY).state_dict())[0])
    with refuses(CheckpointError, path.name):
        load(path)


def test_other_names_and_files_than_those_shipped_are_refused(
    path, monkeypatch, refuses
):
    with refuses(ValueError, "expected", "mnist-2d", "got 'mnist-3d'"):
        load_pretrained("mnist-3d")
    monkeypatch.setattr(checkpoints, "FOLDER", path.parent)
    save(path.with_name("mnist-2d.safetensors"), VAE(TINY))
    with refuses(CheckpointError, "mnist-2d", "sha256"):
        load_pretrained("mnist-2d")


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_shipped_model_is_small_and_as_good_as_its_record_says(name):
    assert (checkpoints.FOLDER / f"{name}.safetensors").stat().st_size < 2 * 2**20
    model = load_pretrained(name)
    assert model.config == PRETRAINED[name].config
    recipe = PRETRAINED[name].recipe
    assert recipes.from_file(model.record["recipe"]) == recipe
    data = DATA_SETS[usual_for(model.config)]
    images = recipe.as_trained(data.load("test")[0])
    report = evaluate_elbo(model, images)
    assert report.elbo == pytest.approx(model.record["test_elbo"], abs=0.05)


def test_the_shipped_head_tells_the_gap_of_molecules_that_it_has_not_seen():
    """At the mean of q(z|x); at draws of z, as far off as its own noise says."""
    model = load_pretrained("molecules-gap")
    told = DATA_SETS["molecules"].examples_for(model.config, "test")
    x, y = (rows[:3000] for rows in told)
    with torch.no_grad():
        mu, logvar = model.encode(x)
        z = reparameterize(mu, logvar)
        at_mean, at_z = ((y - model.head.mean(c)).square().mean() for c in (mu, z))
        noise = (model.head.logvar / 2).exp()
    assert y.shape == (3000, 1) and 1 - at_mean / y.var() > 0.75
    assert at_z.sqrt().item() == pytest.approx(noise.item(), rel=0.05)
