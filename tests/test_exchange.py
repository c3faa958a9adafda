"""A whole VAE as one JSON file: it comes back as it was, and nothing else comes in."""

import base64
import copy
import json
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from vae_lib import exchange
from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import CheckpointError, load, load_pretrained, save
from vae_lib.evaluation import evaluate_elbo
from vae_lib.exchange import MOST_BYTES, export_model, read_model
from vae_lib.export import DTYPES, export_network
from vae_lib.kinds import MOST_LAYERS
from vae_lib.models import ACTIVATIONS, LIKELIHOODS, VAE, VAEConfig

CONFIG = VAEConfig(2, (5, 4), n_pixels=6)
NOISES = {
    **{name: {"likelihood": name} for name in LIKELIHOODS},
    "another noise": {"likelihood": "gaussian", "noise_std": 0.17},
    "learned noise": {"likelihood": "gaussian", "noise_std": 0.4, "learn_noise": True},
}
MISSING = object()
DEEP = "deep"


def in_base64(*numbers: float, dtype: str = "<f4") -> str:
    return base64.b64encode(np.array(numbers, dtype).tobytes()).decode()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "model.json"


@pytest.fixture
def images():
    return torch.rand(20, 6)


def assert_agree(ours: VAE, theirs: VAE, x: torch.Tensor) -> None:
    """Both yield the same codes, likelihoods and bound, to 1e-5."""
    with torch.no_grad():
        z = 2 * torch.randn(len(x), ours.config.latent_dim)
        found, expected = (
            (*m.encode(x), m.mean_image(z), m.log_p_x_given_z(x, m.decode(z)))
            for m in (ours, theirs)
        )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    report = evaluate_elbo(theirs, x)
    assert evaluate_elbo(ours, x) == pytest.approx(report, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("hidden_dims", [(), (5,), (5, 4)])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_model_comes_back_as_it_was(activation, noise, hidden_dims, path, images):
    config = VAEConfig(3, hidden_dims, activation, n_pixels=6, **NOISES[noise])
    model = VAE.from_data(config, images)
    with torch.no_grad():
        for parameter in (*model.encoder.parameters(), *model.decoder.parameters()):
            parameter.mul_(2)  # far from the origin, where activations differ
        for parameter in model.likelihood.parameters():
            parameter.add_(0.7)
    export_model(model, path)
    found = read_model(path)
    assert type(found) is VAE and found.input_mean.abs().max() == 0
    assert {str(value.device) for value in found.state_dict().values()} == {"cpu"}
    assert all(value.dtype == torch.float32 for value in found.state_dict().values())
    noise_std = getattr(model.likelihood, "noise_std", 1.0)
    assert found.config.noise_std == pytest.approx(noise_std, rel=1e-6)
    assert replace(found.config, noise_std=config.noise_std) == config
    assert_agree(found, model, images)
    names = [name for name, _ in model.named_parameters()]
    assert [name for name, p in found.named_parameters() if p.requires_grad] == names


def test_what_an_optimizer_made_of_it_comes_back_twice(path, images):
    """Read, trained on, written and read again: nothing adds up."""
    model = VAE.from_data(replace(CONFIG, **NOISES["learned noise"]), images)
    export_model(model, path)
    found = read_model(path)
    optimizer = torch.optim.SGD(found.parameters(), lr=1e-3)
    output = found(images, generator=torch.Generator().manual_seed(0))
    (output.kl - output.log_p_x_given_z).mean().backward()
    optimizer.step()
    export_model(found, path.with_name("again.json"))
    again = read_model(path.with_name("again.json"))
    for name, weight in found.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], weight, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_those_of_the_type_in_the_file(dtype, path):
    model = VAE(CONFIG)
    export_model(model, path, dtype=dtype)
    found = read_model(path).state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(found[name], weight.to(getattr(torch, dtype)).float())


def test_float16_keeps_the_mean_image_out_of_its_rounding(path, images):
    model = VAE.from_data(CONFIG, images)
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    export_model(model, path, dtype="float16")
    found = read_model(path)
    first = found.encoder[0].bias - model.encoder[0].bias
    expected = -model.encoder[0].weight @ model.input_mean
    torch.testing.assert_close(first, expected, rtol=1e-3, atol=1e-3)
    found.encoder[0].bias.data = (model.encoder[0].bias + expected).detach()
    assert_agree(found, model, images)


@pytest.mark.parametrize(
    "config",
    [
        VAEConfig(2, (4,)),  # what MNIST's presets are like
        VAEConfig(2, (4,), shape=(1, 784, 1)),
        replace(CONFIG, shape=(1, 2, 3)),
        replace(CONFIG, activation="silu", likelihood="gaussian", noise_std=1e-3),
    ],
)
def test_the_configuration_comes_back(config, path):
    export_model(VAE(config), path)
    assert read_model(path).config == config


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_model_of_another_type_comes_back_in_float32(dtype, path, images):
    model = VAE(replace(CONFIG, **NOISES["learned noise"])).to(dtype)
    export_model(model, path)
    assert_agree(read_model(path), model.float(), images)


def test_a_default_type_changes_nothing(path, images):
    model = VAE(replace(CONFIG, **NOISES["learned noise"]))
    export_model(model, path)
    torch.set_default_dtype(torch.float64)
    found = read_model(path)
    torch.set_default_dtype(torch.float32)
    assert_agree(found, model, images)


@pytest.mark.parametrize("dtype", DTYPES)
def test_its_parts_are_the_networks_that_pages_read(dtype, path, tmp_path):
    save(tmp_path / "model.safetensors", VAE(CONFIG))
    model = load(tmp_path / "model.safetensors")  # its sha256 is told, too
    export_model(model, path, dtype=dtype)
    content = json.loads(path.read_text("ascii"))
    assert content["format"] == "vae_lib model 1"
    assert content["noise_std"] == 1.0 and content["learn_noise"] is False
    for part in ("encoder", "decoder"):
        export_network(model, tmp_path / f"{part}.json", part=part, dtype=dtype)
        assert content.pop(part) == json.loads((tmp_path / f"{part}.json").read_bytes())
    for name in ("encoder", "decoder", *content):
        assert f"\n    {name} " in exchange.__doc__


def test_a_script_hands_the_same_object_to_the_page(path):
    model, script = VAE(CONFIG), path.with_name('a "b".js')
    export_model(model, path)
    export_model(model, script)
    assert script.read_text("ascii") == (
        'live.provide("a \\"b\\"", ' + path.read_text("ascii") + ");\n"
    )


def by_hand() -> dict:
    """A model of two pixels and one code whose every number is chosen here."""
    shared = {"dtype": "float32", "latent_dim": 1, "n_pixels": 2, "shape": None}
    shared |= {"activation": "tanh", "likelihood": "gaussian", "logvar_bound": 20}
    shared |= {"format": "vae_lib network 2", "sha256": None}
    encoder = [
        {
            "n_in": 2,
            "n_out": 3,
            "weight": in_base64(1, 2, 3, 4, 5, 6),
            "bias": in_base64(-1, 0, 1),
        },
        {
            "n_in": 3,
            "n_out": 2,
            "weight": in_base64(1, 0, 0.5, 30, 0, 0),
            "bias": in_base64(0.25, 0),
        },
    ]
    decoder = [
        {
            "n_in": 1,
            "n_out": 3,
            "weight": in_base64(1, -1, 2),
            "bias": in_base64(0, 1, 0),
        },
        {
            "n_in": 3,
            "n_out": 2,
            "weight": in_base64(1, 2, 3, 4, 5, 6),
            "bias": in_base64(0.5, -0.5),
        },
    ]
    return {
        "format": "vae_lib model 1",
        "noise_std": 0.5,
        "learn_noise": True,
        "encoder": shared | {"part": "encoder", "layers": encoder},
        "decoder": shared | {"part": "decoder", "layers": decoder},
    }


def test_a_file_from_elsewhere_means_what_the_format_says(tmp_path):
    (tmp_path / "page.json").write_text(json.dumps(by_hand() | {"made_by": "a page"}))
    model = read_model(tmp_path / "page.json")
    x, z, tanh = torch.tensor([[0.1, -0.2]]), torch.tensor([[0.3]]), math.tanh
    with torch.no_grad():
        (mu, logvar), x_params = model.encode(x), model.decode(z)
        log_p = model.log_p_x_given_z(x, x_params).item()
    h = [tanh(0.1 - 0.4 - 1), tanh(0.3 - 0.8), tanh(0.5 - 1.2 + 1)]
    assert mu.item() == pytest.approx(h[0] + 0.5 * h[2] + 0.25, abs=1e-6)
    assert logvar.item() == pytest.approx(20 * tanh(1.5 * h[0]), abs=1e-5)
    h = [tanh(0.3), tanh(0.7), tanh(0.6)]
    mean = [h[0] + 2 * h[1] + 3 * h[2] + 0.5, 4 * h[0] + 5 * h[1] + 6 * h[2] - 0.5]
    assert x_params[0].tolist() == pytest.approx(mean, abs=1e-5)
    squares = (0.1 - mean[0]) ** 2 + (-0.2 - mean[1]) ** 2
    expected = -2 * squares - math.log(2 * math.pi * 0.25)
    assert log_p == pytest.approx(expected, rel=1e-5)


def test_the_shipped_model_is_judged_alike_by_the_command_line(run, path, few_digits):
    export_model(load_pretrained("mnist-2d"), path)
    words = ("--n-samples", 3, "--limit", 5, "--json")
    found, expected = (
        json.loads(run("evaluate", name, *words)[1]) for name in (path, "mnist-2d")
    )
    assert found.pop("pixels") == expected.pop("pixels") == "grey"
    assert found == pytest.approx(expected, rel=1e-4)
    assert run("export", path, "--out", path.with_name("decoder.json"))[0] == 0
    decoder = json.loads(path.with_name("decoder.json").read_bytes())
    again = json.loads(path.read_bytes())["decoder"]
    assert decoder == again | {"sha256": None}
    path.write_bytes(path.read_bytes()[:-1])
    code, out, err = run("evaluate", path)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert f"{path} is not a readable model: expected JSON, got" in err


class OwnVAE(VAE):
    pass


def with_noise(logvar: float) -> VAE:
    model = VAE(replace(CONFIG, **NOISES["learned noise"]))
    model.likelihood.noise_logvar.data.fill_(logvar)
    return model


def with_decoder_of(config: VAEConfig) -> VAE:
    model = VAE(CONFIG)
    model.decoder = VAE(config).decoder
    return model


def with_weight(value: float) -> VAE:
    model = VAE(CONFIG)
    model.decoder[0].weight.data[0, 0] = value
    return model


CONV = {"shape": (1, 2, 3), "network": "conv"}
UNFIT = {
    "no model": (
        lambda: "mnist-2d",
        "expected a VAE and no other class, got 'mnist-2d'",
    ),
    "an auto-encoder": (lambda: AutoEncoder(CONFIG), "and no other class, got AutoEnc"),
    "a subclass": (
        lambda: OwnVAE(CONFIG),
        "expected a VAE and no other class, got OwnVAE",
    ),
    "a mixture": (
        lambda: VAE(replace(CONFIG, prior="mixture", n_components=3)),
        "expected a VAE with the prior 'standard', got 'mixture'",
    ),
    "convolutions": (
        lambda: VAE(replace(CONFIG, **CONV)),
        "encoder of linear layers, got",
    ),
    "NaN": (lambda: with_weight(math.nan), "weights that are finite in float32"),
    "loud noise": (lambda: with_noise(2000), "expected finite noise_std > 0, got inf"),
    "no noise": (lambda: with_noise(-2000), "finite noise_std > 0, got 0.0"),
    "noise of NaN": (lambda: with_noise(math.nan), "finite noise_std > 0, got nan"),
    "another decoder": (
        lambda: with_decoder_of(replace(CONFIG, hidden_dims=(5, 3))),
        "of the decoder to be [(2, 4), (4, 5), (5, 6)], got [(2, 3), (3, 5), (5, 6)]",
    ),
    "many layers": (
        lambda: VAE(replace(CONFIG, hidden_dims=(1,) * (MOST_LAYERS + 1))),
        "a list of 1 to 1001 layers of the encoder, got 1002",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_would_not_come_back_is_not_written(what, path, refuses):
    make, said = UNFIT[what]
    with refuses(ValueError, said):
        export_model(make(), path)
    assert not path.parent.exists()


def test_numbers_too_large_for_their_type_or_the_file_are_not_written(
    path, refuses, monkeypatch
):
    with refuses(ValueError, "dtype in ('float32', 'float16'), got 'int8'"):
        export_model(VAE(CONFIG), path, dtype="int8")
    with refuses(ValueError, "expected weights that are finite in float16, got"):
        export_model(with_weight(1e5), path, dtype="float16")
    monkeypatch.setattr(exchange, "MOST_BYTES", 1000)
    with refuses(ValueError, "expected at most 1,000 bytes, got"):
        export_model(VAE(CONFIG), path)
    assert not path.parent.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link that leads nowhere"])
def test_what_exists_is_never_overwritten(kind, path, refuses):
    path.parent.mkdir()
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with refuses(FileExistsError, "expected a new file, got", path.name):
        export_model(VAE(CONFIG), path)
    assert list(path.parent.iterdir()) == [path]
    assert kind != "file" or path.read_text() == "mine"


def changed(content: dict, where: str, value: object) -> dict:
    """A copy with another value at this place, or without it."""
    content = copy.deepcopy(content)
    *places, last = (int(k) if k.isdigit() else k for k in where.split("."))
    inside = content
    for place in places:
        inside = inside[place]
    if value is MISSING:
        del inside[last]
    else:
        inside[last] = value
    return content


def places(value: object, where: str = "") -> list[str]:
    """Every place in an object, to its leaves."""
    if not isinstance(value, dict | list):
        return [where]
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    inside = [p for k, v in pairs for p in places(v, f"{where}.{k}".lstrip("."))]
    return [where, *inside] if where else inside


HUGE = 2**32 - 1
FIRST, LAST = "encoder.layers.0", "decoder.layers.1"
BAD = [
    ("format", MISSING, "a model of the format 'vae_lib model 1', got None"),
    ("format", "vae_lib model 2", "'vae_lib model 1', got 'vae_lib model 2'"),
    ("noise_std", MISSING, "a model with noise_std, got ['format', 'learn_noise'"),
    ("noise_std", None, "finite noise_std > 0, a number, got None"),
    ("noise_std", True, "finite noise_std > 0, a number, got True"),
    ("noise_std", "0.1", "finite noise_std > 0, a number, got '0.1'"),
    ("noise_std", 0, "finite noise_std > 0, got 0"),
    ("noise_std", math.inf, "finite noise_std > 0, got inf"),
    ("noise_std", 10**400, "finite noise_std > 0, got int"),
    ("learn_noise", 1, "learn_noise to be True or False, got 1"),
    ("encoder", MISSING, "a model with encoder, got"),
    ("decoder", [], "the decoder that is an object, got []"),
    ("encoder.format", "vae_lib network 1", "the encoder of the format 'vae_lib netw"),
    ("encoder.part", "decoder", "part 'encoder' of the encoder, got 'decoder'"),
    ("decoder.part", MISSING, "the decoder with part, got"),
    ("decoder.dtype", "float64", "dtype of the decoder among 'float32', 'float16'"),
    ("decoder.dtype", "float16", "6 bytes in weight of layer 0 of the decoder, got 12"),
    ("encoder.logvar_bound", 10, "logvar_bound 20, got 10"),
    ("encoder.logvar_bound", "20", "logvar_bound 20, got '20'"),
    ("encoder.sha256", 7, "sha256 of the encoder to be a string or null, got 7"),
    ("encoder.latent_dim", 2, "latent_dim 2 in the decoder as in the encoder, got 1"),
    ("decoder.latent_dim", 2, "latent_dim 1 in the decoder as in the encoder, got 2"),
    ("decoder.latent_dim", 1.0, "latent_dim 1 in the decoder as in the encoder, got 1"),
    ("encoder.latent_dim", True, "latent_dim to be a whole number, got True"),
    ("encoder.n_pixels", "2", "n_pixels to be a whole number, got '2'"),
    ("encoder.n_pixels", 0, "every layer's width >= 1, got"),
    ("decoder.n_pixels", HUGE, "n_pixels 2 in the decoder as in the encoder, got"),
    ("encoder.shape", [1, 1, 3], "shape (C, H, W) of 2 pixels, got (1, 1, 3)"),
    ("encoder.shape", "12", "shape to be a list or tuple of whole numbers, got '12'"),
    ("decoder.shape", [1, 1, 2], "shape None in the decoder as in the encoder"),
    ("encoder.activation", "gelu", "activation among 'relu', 'silu', 'softplus', 't"),
    ("decoder.activation", "relu", "activation 'tanh' in the decoder as in the enc"),
    ("encoder.likelihood", "poisson", "likelihood among 'bernoulli', 'gaussian', 'c"),
    ("decoder.likelihood", ["gaussian"], "likelihood 'gaussian' in the decoder as"),
    ("encoder.layers", MISSING, "the encoder with layers, got"),
    ("encoder.layers", {}, "a list of 1 to 1001 layers of the encoder, got {}"),
    ("encoder.layers", [], "a list of 1 to 1001 layers of the encoder, got 0"),
    ("encoder.layers", [1] * 1002, "a list of 1 to 1001 layers of the encoder, got 10"),
    ("encoder.layers.0", 3, "layer 0 of the encoder that is an object, got 3"),
    (f"{LAST}.n_in", MISSING, "layer 1 of the decoder with n_in, got"),
    (f"{FIRST}.n_in", 2.0, "n_in of layer 0 of the encoder to be a whole number"),
    (f"{FIRST}.n_in", 0, "n_in of layer 0 of the encoder >= 1, got 0"),
    (f"{FIRST}.n_in", 10**30, f"n_in of layer 0 of the encoder < {2**32}, got 10000"),
    (f"{FIRST}.n_in", HUGE, "51,539,607,540 bytes in weight of layer 0 of the encod"),
    (f"{FIRST}.n_out", HUGE, "bytes in weight of layer 0 of the encoder, got 24"),
    (f"{FIRST}.weight", 1, "weight of layer 0 of the encoder in base64, got 1"),
    (f"{FIRST}.weight", "Q" * 33, "weight of layer 0 of the encoder in base64, got"),
    (f"{FIRST}.weight", "Q\n" * 16, "weight of layer 0 of the encoder in base64, got"),
    (f"{FIRST}.weight", "é" * 32, "weight of layer 0 of the encoder in base64, got"),
    (f"{FIRST}.weight", "", "24 bytes in weight of layer 0 of the encoder, got 0"),
    (f"{FIRST}.bias", in_base64(1, 2), "12 bytes in bias of layer 0 of the encoder"),
    (f"{FIRST}.bias", in_base64(*range(4)), "layer 0 of the encoder, got 16"),
    (f"{LAST}.bias", in_base64(0, math.nan), "finite numbers in bias of layer 1"),
    (f"{LAST}.bias", in_base64(-math.inf, 0), "finite numbers in bias of layer 1"),
]


@pytest.mark.parametrize("where, value, said", BAD)
def test_what_is_malformed_is_refused_before_a_model_is_made(
    where, value, said, tmp_path, refuses, monkeypatch
):
    file = tmp_path / "page.json"
    file.write_text(json.dumps(changed(by_hand(), where, value)))
    monkeypatch.setattr(exchange, "VAE", None)
    with refuses(CheckpointError, f"{file} is not a readable model: expected ", said):
        read_model(file)


def fits_not(content: dict, **layers: dict) -> dict:
    """The same with other layers that are sound in themselves."""
    for where, sizes in layers.items():
        part, number = where.split("_")
        n_in, n_out = sizes
        layer = {"n_in": n_in, "n_out": n_out, "bias": in_base64(*[0] * n_out)}
        layer["weight"] = in_base64(*[0] * n_in * n_out)
        content[part]["layers"][int(number)] = layer
    return content


@pytest.mark.parametrize(
    "layers, said",
    [
        ({"encoder_1": (4, 2)}, "encoder to be [(2, 3), (3, 2)], got [(2, 3), (4, 2)]"),
        ({"encoder_1": (3, 3)}, "encoder to be [(2, 3), (3, 2)], got [(2, 3), (3, 3)]"),
        ({"encoder_0": (5, 3)}, "encoder to be [(2, 3), (3, 2)], got [(5, 3), (3, 2)]"),
        ({"decoder_1": (3, 4)}, "decoder to be [(1, 3), (3, 2)], got [(1, 3), (3, 4)]"),
        (
            {"decoder_0": (1, 4), "decoder_1": (4, 2)},
            "of the decoder to be [(1, 3), (3, 2)], got [(1, 4), (4, 2)]",
        ),
        ({"decoder_2": (2, 2)}, "got [(1, 3), (3, 2), (2, 2)]"),
    ],
)
def test_layers_that_do_not_fit_each_other_are_refused(
    layers, said, tmp_path, refuses, monkeypatch
):
    content = by_hand()
    content["decoder"]["layers"] += [None] * ("decoder_2" in layers)
    (tmp_path / "page.json").write_text(json.dumps(fits_not(content, **layers)))
    monkeypatch.setattr(exchange, "VAE", None)
    with refuses(CheckpointError, "expected layers (n_in, n_out) of the ", said):
        read_model(tmp_path / "page.json")


def test_noise_is_of_the_gaussian_likelihood_alone(tmp_path, refuses):
    content, file = by_hand(), tmp_path / "page.json"
    for part in ("encoder", "decoder"):
        content[part]["likelihood"] = "bernoulli"
    for noise, said in (((0.5, False), "noise_std"), ((1.0, True), "learn_noise")):
        content["noise_std"], content["learn_noise"] = noise
        file.write_text(json.dumps(content))
        with refuses(CheckpointError, f"likelihood 'gaussian' for {said}, got 'bern"):
            read_model(file)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "expected JSON, got other text: "),
        (b'live.provide("a", {});\n', "expected JSON, got other text: "),
        (b"\x80\x00\x00\x00\x00\x00\x00\x00{}", "expected JSON, got other text: "),
        (json.dumps(by_hand()).encode()[:-1], "expected JSON, got other text: "),
        (b"[" * 100_000, "expected JSON of a few levels, got too many"),
        (b"[" + b"0," * 3_000_000 + b"0]", "expected JSON of at most 3,000,000 values"),
        (b"[]", "expected a model that is an object, got []"),
        (b"null", "expected a model that is an object, got None"),
        (
            json.dumps(by_hand()["decoder"]).encode(),
            "expected a model of the format 'vae_lib model 1', got 'vae_lib network 2'",
        ),
    ],
    ids=lambda value: str(value)[:20],
)
def test_other_texts_are_refused(content, said, tmp_path, refuses):
    (tmp_path / "page.json").write_bytes(content)
    with refuses(CheckpointError, "page.json is not a readable model: ", said):
        read_model(tmp_path / "page.json")


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device", "too long"])
def test_only_plain_files_of_some_length_are_read(kind, tmp_path, refuses):
    """A pipe would keep the reader waiting, a device would never end."""
    file, said = tmp_path / "page.json", "expected a plain file, got"
    if kind == "missing":
        said = "No such file"
    elif kind == "folder":
        file.mkdir()
    elif kind == "too long":
        said = f"expected at most 100,000,000 bytes in {file}, got 100,000,001"
        with file.open("wb") as empty:
            empty.truncate(MOST_BYTES + 1)
    elif os.name == "nt":
        pytest.skip("needs pipes and devices with names")
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with refuses(CheckpointError, f"{file} is not a readable model: ", said):
        read_model(file)


ODD = [
    *(None, True, -1, 0, 1, 1.5, 2, 3, HUGE, 2**62, 2**70, 1e308, math.nan, math.inf),
    *("", "x", "bernoulli", "float16", "relu", "AAAA", "é\n\x1b[2J", "\ud800"),
    *([], {}, [1], [1, 1, 2], [[[[]]]], {"a": 1}, [HUGE, HUGE, HUGE], "1" * 5000, DEEP),
]


def test_no_odd_value_anywhere_gets_in(tmp_path):
    """A model whose numbers are finite, or one line of the library's own."""
    content, file, taken = by_hand(), tmp_path / "page.json", 0
    every = places(content)
    assert len(every) > 40
    for where in every:
        for value in (MISSING, *ODD):
            text = json.dumps(changed(content, where, value))
            deep, long = "[" * 50_000 + "]" * 50_000, "1" * 5000
            text = text.replace('"deep"', deep).replace(f'"{long}"', long)
            file.write_text(text)
            try:
                model = read_model(file)
            except CheckpointError as error:
                message = str(error)
                assert message.startswith(f"{file} is not a readable model: ")
                assert message.isprintable() and len(message) < 1200
                continue
            taken += 1
            assert model.encode(torch.rand(4, 2))[0].isfinite().all()
            assert model.sample(4).isfinite().all()
    assert 0 < taken < len(every)  # another noise_std, activation, sha256
