"""The exported decoder, read and run with numpy alone, draws the model's images."""

import base64
import json

import numpy as np
import pytest
import torch

from vae_lib import checkpoints, export
from vae_lib.checkpoints import load, save
from vae_lib.export import export_decoder
from vae_lib.models import ACTIVATIONS, LIKELIHOODS, VAE, VAEConfig

ACTIVATE = {
    "relu": lambda a: np.maximum(a, 0),
    "silu": lambda a: a / (1 + np.exp(-a)),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "tanh": np.tanh,
}


def continuous_bernoulli(a: np.ndarray) -> np.ndarray:
    """The density C exp(a x) on [0, 1], averaged by the midpoint rule."""
    x = (np.arange(2000) + 0.5) / 2000
    density = np.exp(a[..., None] * x)
    return (density * x).sum(-1) / density.sum(-1)


MEAN = {
    "bernoulli": lambda a: 1 / (1 + np.exp(-a)),
    "gaussian": lambda a: np.clip(a, 0, 1),
    "continuous_bernoulli": continuous_bernoulli,
}


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype("f8")


def draw(decoder: dict, z: np.ndarray) -> np.ndarray:
    """What the format promises a reader, layer by layer."""
    a = z
    for number, layer in enumerate(decoder["layers"]):
        if number:
            a = ACTIVATE[decoder["activation"]](a)
        weight = floats(layer["weight"]).reshape(layer["n_out"], layer["n_in"])
        a = a @ weight.T + floats(layer["bias"])
    return MEAN[decoder["likelihood"]](a)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "decoder.json"


@pytest.mark.parametrize("hidden_dims", [(), (5, 4)])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numpy_alone_draws_the_mean_images(activation, likelihood, hidden_dims, path):
    model = VAE(VAEConfig(3, hidden_dims, activation, likelihood, n_pixels=6))
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(4)  # far from the origin, where activations differ
    export_decoder(model, path)
    decoder, z = json.loads(path.read_bytes()), torch.randn(8, 3)
    assert (decoder["latent_dim"], decoder["n_pixels"]) == (3, 6)
    found = draw(decoder, z.numpy().astype("f8"))
    assert np.abs(found - model.mean_image(z).numpy()).max() < 1e-5


def test_a_float64_model_is_written_in_float32(path):
    model = VAE(VAEConfig(2, (5,), n_pixels=6)).double()
    export_decoder(model, path)
    z = torch.randn(8, 2).double()
    found = draw(json.loads(path.read_bytes()), z.numpy())
    assert np.abs(found - model.mean_image(z).numpy()).max() < 1e-5


def test_the_file_is_plain_json_of_the_stated_format(path):
    export_decoder(VAE(VAEConfig(2, (5, 4), n_pixels=6)), path)
    decoder = json.loads(path.read_text("ascii"))
    assert decoder.pop("format") == "vae_lib decoder 1"
    assert decoder.pop("sha256") is None  # it was never a checkpoint
    shapes = [(layer["n_in"], layer["n_out"]) for layer in decoder.pop("layers")]
    assert shapes == [(2, 4), (4, 5), (5, 6)]
    for name in ("format", "sha256", "layers", "n_in", "n_out", "weight", *decoder):
        assert f" {name} " in export.__doc__.replace(",", " ")


def test_the_file_names_the_checkpoint_it_was_made_of(path, tmp_path):
    sha256 = save(tmp_path / "model.safetensors", VAE(VAEConfig(1, (), n_pixels=2)))
    export_decoder(load(tmp_path / "model.safetensors"), path)
    assert json.loads(path.read_bytes())["sha256"] == sha256


def test_what_exists_is_never_overwritten(path, refuses):
    path.parent.mkdir()
    path.write_text("mine")
    for taken in (path, path.parent):
        with refuses(FileExistsError, "expected a new file, got", taken.name):
            export_decoder(VAE(VAEConfig(1, (), n_pixels=2)), taken)
    assert path.read_text() == "mine" and list(path.parent.iterdir()) == [path]


def test_a_failed_export_leaves_nothing(path, monkeypatch):
    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        export_decoder(VAE(VAEConfig(1, (), n_pixels=2)), path)
    assert list(path.parent.iterdir()) == []
