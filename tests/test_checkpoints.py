"""Checkpoints: exact round trips, atomic writes, and no damage goes unnoticed."""

import os
import pickle

import pytest
import safetensors.torch
import torch

from vae_lib import checkpoints
from vae_lib.checkpoints import PRETRAINED, CheckpointError, load, load_pretrained, save
from vae_lib.data import load_mnist
from vae_lib.evaluation import evaluate_elbo
from vae_lib.models import VAE, VAEConfig

TINY = VAEConfig(latent_dim=1, hidden_dims=(), n_pixels=2)
RECORD = {"recipe": {"lr": 1e-3, "warmup": 0.5}, "test_elbo": -1.25, "names": ["é"]}


def same_weights(a: VAE, b: VAE) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "config", [TINY, VAEConfig(3, (5, 4), "tanh", "gaussian", 6, noise_std=0.3)]
)
def test_a_round_trip_keeps_every_bit(config, dtype, tmp_path):
    model = VAE(config).to(dtype)
    model.input_mean.uniform_()
    sha256 = save(tmp_path / "model.safetensors", model, RECORD)
    loaded = load(str(tmp_path / "model.safetensors"))
    assert same_weights(model, loaded)
    assert loaded.config == config and loaded.history is None
    assert loaded.record == {**RECORD, "sha256": sha256}
    assert load_again(loaded, tmp_path).record["sha256"] != ""


def load_again(model: VAE, folder) -> VAE:
    save(folder / "again.safetensors", model)
    return load(folder / "again.safetensors")


@pytest.mark.parametrize(
    "module, function", [(checkpoints, "to_bytes"), (os, "fsync"), (os, "replace")]
)
def test_a_failed_save_leaves_the_old_file(module, function, tmp_path, monkeypatch):
    path, old = tmp_path / "model.safetensors", VAE(TINY)
    save(path, old)
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, function, full)
        with pytest.raises(OSError, match="no space left"):
            save(path, VAE(TINY))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    save(path, VAE(TINY))
    assert path.read_bytes() != before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
def test_every_flipped_byte_is_noticed(flip, tmp_path, refuses):
    path = tmp_path / "model.safetensors"
    save(path, VAE(TINY), RECORD)
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= flip
        path.write_bytes(damaged)
        with refuses(CheckpointError, path.name):
            load(path)


def test_every_truncated_file_is_noticed(tmp_path, refuses):
    path = tmp_path / "model.safetensors"
    save(path, VAE(TINY), RECORD)
    content = path.read_bytes()
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        with refuses(CheckpointError, path.name):
            load(path)


@pytest.mark.parametrize("kind", ["pickle", "torch", "foreign", "missing", "folder"])
def test_what_is_no_checkpoint_is_refused(kind, tmp_path, refuses):
    path = tmp_path / "model.safetensors"
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


def test_a_checkpoint_of_another_version_is_refused(tmp_path, refuses, monkeypatch):
    """Its sha256 is right, but this library knows no such configuration or weight."""
    path, asdict = tmp_path / "model.safetensors", checkpoints.dataclasses.asdict
    for change in ({"n_flows": 3}, {"activation": "gelu"}, {"n_pixels": 3}):
        with monkeypatch.context() as patch:
            patch.setattr(
                checkpoints.dataclasses,
                "asdict",
                lambda config, change=change: asdict(config) | change,
            )
            save(path, VAE(TINY))
        with refuses(CheckpointError, path.name):
            load(path)


def test_an_unknown_name_is_refused(refuses):
    with refuses(ValueError, "expected", "mnist-2d", "got 'mnist-3d'"):
        load_pretrained("mnist-3d")


def test_a_file_that_is_not_the_one_shipped_is_refused(tmp_path, monkeypatch, refuses):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    save(tmp_path / "mnist-2d.safetensors", VAE(TINY))
    with refuses(CheckpointError, "mnist-2d", "sha256"):
        load_pretrained("mnist-2d")


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_shipped_model_is_as_good_as_its_record_says(name):
    model = load_pretrained(name)
    assert model.config == PRETRAINED[name].config
    assert model.record["recipe"] == PRETRAINED[name].recipe
    assert (checkpoints.FOLDER / f"{name}.safetensors").stat().st_size < 2e6
    report = evaluate_elbo(model, load_mnist("test").images)
    assert report.elbo == pytest.approx(model.record["test_elbo"], abs=0.05)
    assert report.elbo > -150  # nats; the mean image alone reaches -206
