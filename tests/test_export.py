"""The exported networks, run with numpy alone, give the model's images and codes."""

import base64
import json
import os

import numpy as np
import pytest
import torch

from vae_lib import export
from vae_lib.checkpoints import load, load_pretrained, save
from vae_lib.export import DTYPES, export_network
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


def floats(text: str, dtype: str) -> np.ndarray:
    content = base64.b64decode(text, validate=True)
    return np.frombuffer(content, {"float32": "<f4", "float16": "<f2"}[dtype])


def last_layer(network: dict, a: np.ndarray) -> np.ndarray:
    """What the format promises a reader, layer by layer."""
    for number, layer in enumerate(network["layers"]):
        if number:
            a = ACTIVATE[network["activation"]](a)
        weight, bias = (
            floats(layer[name], network["dtype"]).astype("f8")
            for name in ("weight", "bias")
        )
        a = a @ weight.reshape(layer["n_out"], layer["n_in"]).T + bias
    return a


def draw(decoder: dict, z: np.ndarray) -> np.ndarray:
    return MEAN[decoder["likelihood"]](last_layer(decoder, z))


def read(encoder: dict, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mu, r = np.split(last_layer(encoder, x), 2, axis=-1)
    return mu, encoder["logvar_bound"] * np.tanh(r / encoder["logvar_bound"])


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
    export_network(model, path)
    decoder, z = json.loads(path.read_bytes()), torch.randn(8, 3)
    assert (decoder["latent_dim"], decoder["n_pixels"]) == (3, 6)
    found = draw(decoder, z.numpy().astype("f8"))
    assert np.abs(found - model.mean_image(z).numpy()).max() < 1e-5


@pytest.mark.parametrize("hidden_dims", [(), (5, 4)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numpy_alone_finds_the_posterior(activation, hidden_dims, path):
    images = torch.rand(20, 6)
    model = VAE.from_data(VAEConfig(3, hidden_dims, activation, n_pixels=6), images)
    with torch.no_grad():
        model.encoder[-1].weight.mul_(400 if hidden_dims else 40)  # the bound is felt
    export_network(model, path, part="encoder")
    encoder = json.loads(path.read_bytes())
    found = read(encoder, images.numpy().astype("f8"))
    with torch.no_grad():
        expected = model.encode(images)
    assert encoder["part"] == "encoder" and expected[1].abs().max() > 10
    for ours, theirs in zip(found, expected, strict=True):
        assert np.abs(ours - theirs.numpy()).max() < 1e-5 * np.abs(ours).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", ["decoder", "encoder"])
def test_weights_are_the_models_rounded_to_the_nearest(part, dtype, path):
    model = VAE(VAEConfig(2, (5,), n_pixels=6))
    export_network(model, path, part=part, dtype=dtype)
    network = json.loads(path.read_bytes())
    assert (network["part"], network["dtype"]) == (part, dtype)
    linear = getattr(model, part)[::2]
    for layer, ours in zip(network["layers"], linear, strict=True):
        for name in ("weight", "bias"):
            expected = getattr(ours, name).detach().to(getattr(torch, dtype))
            found = torch.tensor(floats(layer[name], dtype))
            assert torch.equal(found, expected.flatten())


def test_centring_is_folded_into_the_rounded_weights(path):
    """A constant image equal to the mean gives what zero gives the network."""
    model = VAE.from_data(VAEConfig(2, (), n_pixels=600), 0.5 + torch.rand(9, 600) / 2)
    # What float16 takes from these adds up, and the folded bias stays small.
    model.encoder[0].weight.data.copy_(torch.tensor([1 / 3, -0.3334]).repeat(4, 300))
    export_network(model, path, part="encoder", dtype="float16")
    encoder = json.loads(path.read_bytes())
    found = last_layer(encoder, model.input_mean.numpy().astype("f8"))
    bias = model.encoder[0].bias.detach().numpy()
    assert np.abs(found - bias).max() < 1e-3  # float16 of one number, not of 600


def test_float16_moves_no_pixel_of_the_shipped_model_by_much(path):
    model = load_pretrained("mnist-2d")
    export_network(model, path, dtype="float16")
    z = torch.cartesian_prod(*2 * [torch.linspace(-4, 4, 33)])
    found = draw(json.loads(path.read_bytes()), z.numpy().astype("f8"))
    assert np.abs(found - model.mean_image(z).numpy()).max() < 0.005  # 0.02 is promised
    assert path.stat().st_size < 700_000


def test_a_script_hands_the_same_object_to_the_page(path):
    model, script = VAE(VAEConfig(2, (5,), n_pixels=6)), path.with_name('a "b".js')
    export_network(model, path)
    export_network(model, script)
    assert script.read_text("ascii") == (
        'live.provide("a \\"b\\"", ' + path.read_text("ascii") + ");\n"
    )


@pytest.mark.parametrize(
    "given, said",
    [
        ({"part": "middle"}, "expected part in ('decoder', 'encoder'), got 'middle'"),
        ({"dtype": "int8"}, "expected dtype in ('float32', 'float16'), got 'int8'"),
        ({"dtype": "float16"}, "expected weights that are finite in float16, got"),
    ],
)
def test_what_cannot_be_written_is_refused(given, said, path, refuses):
    model = VAE(VAEConfig(1, (), n_pixels=2))
    with torch.no_grad():
        model.decoder[0].weight.fill_(1e5)
    with refuses(ValueError, said):
        export_network(model, path, **given)
    assert not path.exists()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("part", ["decoder", "encoder"])
def test_a_model_of_another_type_is_written_in_float32(part, dtype, path):
    model = VAE(VAEConfig(2, (5,), n_pixels=6)).to(dtype)
    export_network(model, path, part=part)
    network, z = json.loads(path.read_bytes()), torch.randn(8, 6)
    if part == "decoder":
        z = z[:, :2]
        found = draw(network, z.numpy().astype("f8"))
        expected = model.double().mean_image(z.double()).numpy()
    else:
        found, _ = read(network, z.numpy().astype("f8"))
        expected = model.double().encode(z.double())[0].detach().numpy()
    assert np.abs(found - expected).max() < 1e-5


def test_the_file_is_plain_json_of_the_stated_format(path):
    export_network(VAE(VAEConfig(2, (5, 4), n_pixels=6)), path)
    decoder = json.loads(path.read_text("ascii"))
    assert decoder.pop("format") == "vae_lib network 2"
    assert decoder.pop("sha256") is None  # it was never a checkpoint
    shapes = [(layer["n_in"], layer["n_out"]) for layer in decoder.pop("layers")]
    assert shapes == [(2, 4), (4, 5), (5, 6)]
    for name in ("format", "sha256", "layers", "n_in", "n_out", "weight", *decoder):
        assert f" {name} " in export.__doc__.replace(",", " ")


def test_the_file_names_the_checkpoint_it_was_made_of(path, tmp_path):
    sha256 = save(tmp_path / "model.safetensors", VAE(VAEConfig(1, (), n_pixels=2)))
    export_network(load(tmp_path / "model.safetensors"), path)
    assert json.loads(path.read_bytes())["sha256"] == sha256


def test_what_exists_is_never_overwritten(path, refuses):
    path.parent.mkdir()
    path.write_text("mine")
    for taken in (path, path.parent):
        with refuses(FileExistsError, "expected a new file, got", taken.name):
            export_network(VAE(VAEConfig(1, (), n_pixels=2)), taken)
    assert path.read_text() == "mine" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("target", ["nowhere", "decoder.json"])
def test_a_link_that_leads_nowhere_or_to_itself_stays(target, path, refuses):
    path.parent.mkdir()
    path.symlink_to(target)
    with refuses(FileExistsError, "expected a new file, got"):
        export_network(VAE(VAEConfig(1, (), n_pixels=2)), path)
    assert path.is_symlink() and list(path.parent.iterdir()) == [path]


def test_a_failed_export_leaves_nothing(path, monkeypatch):
    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        export_network(VAE(VAEConfig(1, (), n_pixels=2)), path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("part", ["decoder", "encoder"])
def test_layers_that_the_format_does_not_know_are_refused(part, tmp_path, refuses):
    sizes = {"n_pixels": 42, "shape": (1, 7, 6), "network": "conv"}
    model = VAE(VAEConfig(2, (4,), **sizes))
    with refuses(ValueError, f"a {part} of linear layers", "Conv"):
        export_network(model, tmp_path / "new.json", part=part)
    assert not list(tmp_path.iterdir())
