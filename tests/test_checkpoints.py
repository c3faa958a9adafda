"""Checkpoints: exact round trips, atomic writes, and no damage goes unnoticed."""

import dataclasses
import os
import pickle

import pytest
import safetensors.torch
import torch

from vae_lib import checkpoints, containers
from vae_lib.checkpoints import PRETRAINED, CheckpointError, load, load_pretrained, save
from vae_lib.data import load_mnist
from vae_lib.evaluation import evaluate_elbo
from vae_lib.models import VAE, VAEConfig
from vae_lib.runs import as_trained

TINY = VAEConfig(latent_dim=1, hidden_dims=(), n_pixels=2)
RECORD = {"recipe": {"lr": 1e-3, "warmup": 0.5}, "test_elbo": -1.25, "names": ["é"]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
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
def test_a_checkpoint_of_another_version_is_refused(change, path, refuses, monkeypatch):
    """Its sha256 is right, but the library knows no such configuration or weights."""
    foreign = dataclasses.asdict(TINY) | change
    monkeypatch.setattr(dataclasses, "asdict", lambda config: foreign)
    save(path, VAE(TINY))
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
    assert (checkpoints.FOLDER / f"{name}.safetensors").stat().st_size < 2e6
    model = load_pretrained(name)
    assert model.config == PRETRAINED[name].config
    assert model.record["recipe"] == PRETRAINED[name].recipe
    images = as_trained(load_mnist("test").images, model.record["recipe"])
    report = evaluate_elbo(model, images)
    assert report.elbo == pytest.approx(model.record["test_elbo"], abs=0.05)
