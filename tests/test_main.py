"""The command line: what it writes and prints, and one clear line on bad input."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vae_lib import __main__ as command_line
from vae_lib import checkpoints
from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import PRETRAINED, Pretrained, load, load_pretrained, save
from vae_lib.configs import SequenceConfig
from vae_lib.data import ImageSet, binarize, load_mnist
from vae_lib.data_sets import DATA_SETS
from vae_lib.diffusion import Diffusion
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.hierarchical import HierarchicalVAE
from vae_lib.layered_configs import DiffusionConfig, HierarchicalConfig
from vae_lib.models import VAE, VAEConfig
from vae_lib.molecules import DEVIATIONS, MEANS, MoleculeSet, read_smiles, standardized
from vae_lib.presets import fitted
from vae_lib.recipes import Recipe, from_file
from vae_lib.runs import train_run
from vae_lib.sources import sha256_of

TINY = ("--hidden-dims", "4", "--epochs", "1")


def forty_digits(split: str) -> ImageSet:
    images = torch.rand(40, 784, generator=torch.Generator().manual_seed(0))
    return ImageSet(images, torch.arange(40) % 10)


@pytest.fixture(autouse=True)
def few_molecules(monkeypatch) -> MoleculeSet:
    """Forty strings, which the command line takes for each split of the molecules."""
    tokens = read_smiles([("C" * (k % 7 + 1) + "O" * (k % 3)) for k in range(40)])
    noise = torch.randn(40, 5, generator=torch.Generator().manual_seed(1))
    few = MoleculeSet(tokens, torch.tensor(MEANS) + torch.tensor(DEVIATIONS) * noise)
    others = DATA_SETS["molecules"]._replace(load=lambda split: few)
    monkeypatch.setitem(DATA_SETS, "molecules", others)
    return few


@pytest.fixture(autouse=True)
def few_digits(mnist_is) -> torch.Tensor:
    mnist_is(forty_digits)
    return forty_digits("test").images


def test_train_writes_a_model_of_its_preset_a_history_and_figures(run, tmp_path):
    folder = tmp_path / "new" / "run"
    code, out, err = run("train", "--out", folder, "--epochs", 2, "--latent-dim", 3)
    assert code == 0 and str(folder) in out and err == ""
    model, preset = load(folder / "model.safetensors"), PRETRAINED["mnist-2d"]
    assert model.config == replace(preset.config, latent_dim=3)
    assert from_file(model.record["recipe"]) == replace(preset.recipe, epochs=2)
    rows = json.loads((folder / "history.json").read_text("utf-8"))
    assert [row["epoch"] for row in rows] == [1, 2] and rows == model.record["rows"]
    figures = {"history.png", "samples.png"}
    written = {path.name for path in folder.iterdir()}
    assert written == figures | {"history.json", "model.safetensors"}


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_preset_is_a_network_and_a_recipe(name, run, tmp_path):
    words = ("--preset", name, "--out", tmp_path, "--epochs", 1)
    assert run("train", *words)[0] == 0
    model, preset = load(tmp_path / "model.safetensors"), PRETRAINED[name]
    assert model.config == preset.config
    assert from_file(model.record["recipe"]) == replace(preset.recipe, epochs=1)
    start = preset.start and load_pretrained(preset.start).record["sha256"]
    assert model.record["data"].get("start") == start


FLOWS = {"prior": "flow", "n_couplings": 3, "flow_dim": 5}
FLOWS |= {"posterior": "iaf", "n_flows": 1}
PARTS = {
    "beta": ({"beta": 0.5}, {"prior": "mixture", "n_components": 4}),
    "iwae": ({"objective": "iwae"}, {"prior": "vamp", "n_components": 4}),
    "flows": ({"beta": 2.0}, FLOWS),
}


@pytest.mark.parametrize(("goal", "parts"), PARTS.values(), ids=PARTS)
def test_each_option_reaches_the_network_or_the_recipe(goal, parts, run, tmp_path):
    network = {"latent_dim": 3, "hidden_dims": (6, 5), "activation": "softplus"}
    network |= {"likelihood": "gaussian", "noise_std": 0.25, "learn_noise": True}
    network |= {"network": "conv"} | parts
    recipe = {"epochs": 1, "batch_size": 60_001, "lr": 0.002, "schedule": "constant"}
    recipe |= {"warmup": 0.25, "n_samples": 3, "binarization": "sample"}
    recipe |= {"clip_norm": None} | goal
    words = ["train", "--preset", "mnist-20d", "--out", tmp_path]
    for name, value in (network | recipe).items():
        text = {"hidden_dims": "6,5", "learn_noise": "yes"}.get(
            name, str(value).lower()
        )
        words += [f"--{name.replace('_', '-')}", text]
    assert run(*words)[0] == 0
    model = load(tmp_path / "model.safetensors")
    assert model.config == VAEConfig(**network, shape=(1, 28, 28))
    assert from_file(model.record["recipe"]) == Recipe(**recipe)


STRINGS = ("--latent-dim", "2", "--hidden-dim", "5", "--epochs", "1")


def test_strings_are_trained_judged_and_written(run, tmp_path, few_molecules):
    words = ("--decoder", "window", "--window", 2, "--embedding-dim", 3)
    words += ("--free-bits", 0.5, *STRINGS)
    code, out, err = run("train", "--data", "molecules", "--out", tmp_path, *words)
    assert code == 0 and err == "" and "1 epochs" in out
    model = load(tmp_path / "model.safetensors")
    assert model.config == SequenceConfig(2, 5, 3, decoder="window", window=2)
    assert model.record["recipe"]["free_bits"] == 0.5
    assert model.record["data"]["source"] == "molecules"
    written = {path.name for path in tmp_path.iterdir()}
    tables = {"history.json", "history.png", "samples.txt"}
    assert written == tables | {"model.safetensors"}
    samples = (tmp_path / "samples.txt").read_text("utf-8").split("\n")[:-1]
    assert len(samples) == 60
    code, out, _ = run("evaluate", tmp_path, "--n-samples", 7, "--json")
    found = json.loads(out)
    assert code == 0 and found["strings"] == 40 and "pixels" not in found
    elbo = evaluate_elbo(model, few_molecules.tokens).elbo
    assert found["elbo"] == pytest.approx(elbo)
    code, out, _ = run("evaluate", tmp_path, "--n-samples", 2)
    assert code == 0 and "(40 test strings)" in out
    again = ("train", "--out", tmp_path, "--resume", "--epochs", 2)
    assert run(*again)[0] == 0
    assert len(load(tmp_path / "model.safetensors").record["rows"]) == 2


@pytest.mark.parametrize(
    "words, said",
    [
        (["train", "--out", "NEW", "--data", "molecules", "--likelihood", "gaussian"],
         "expected options among --decoder"),
        (["train", "--out", "NEW", "--decoder", "gru"], "expected options among --act"),
        (["train", "--out", "NEW", "--n-properties", "1"], "got '--n-properties'"),
        (["train", "--out", "NEW", "--data", "molecules", "--n-properties", "6"],
         "n_properties <= 5, of gap, dipole, polarizability, logp, tpsa, got 6"),
        (["train", "--out", "NEW", "--data", "molecules", "--n-properties", "-1"],
         "n_properties >= 0, got -1"),
        (["train", "--out", "RUN", "--resume", "--n-properties", "1"],
         "n_properties = 1, got n_properties = 0"),
        (["train", "--out", "NEW", "--data", "molecules", "--preset", "mnist-2d"],
         "a preset or a run of SequenceConfig for molecules, got 'VAEConfig'"),
        (["train", "--out", "NEW", "--data", "mnist", "--preset", "molecules"],
         "a preset or a run of VAEConfig or HierarchicalConfig for mnist, got 'Seq"),
        (["train", "--out", "RUN", "--resume", "--data", "mnist"],
         "VAEConfig or HierarchicalConfig for mnist, got 'SequenceConfig'"),
        (["evaluate", "RUN", "--data", "mnist"],
         "expected a model of mnist: VAE or HierarchicalVAE, got 'SequenceVAE'"),
        (["evaluate", "mnist-2d", "--data", "molecules"],
         "expected a model of molecules: SequenceVAE, got 'VAE'"),
        (["export", "RUN", "--out", "NEW"],
         "expected a VAE of images, which a page can read, got SequenceVAE"),
        (["train", "--out", "NEW", "--data", "molecules", "--binarization", "sample"],
         "expected finite float images"),
    ],
)  # fmt: skip
def test_strings_and_images_are_not_taken_for_each_other(words, said, run, tmp_path):
    own = tmp_path / "RUN"
    assert run("train", "--data", "molecules", "--out", own, *STRINGS)[0] == 0
    before = (own / "model.safetensors").read_bytes()
    places = {"RUN": own, "NEW": tmp_path / "NEW"}
    code, out, err = run(*[places.get(word, word) for word in words])
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err
    assert (own / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "NEW" / "model.safetensors").exists()


LAYERS = ("--latent-dims", "20,10", "--hidden-dims", "60,30", "--encoder", "ladder")


@pytest.fixture
def of_two_layers(monkeypatch) -> Recipe:
    """A preset "two" of two layers, and its recipe."""
    recipe = Recipe(epochs=1, batch_size=20, binarization="sample")
    preset = Pretrained(HierarchicalConfig((4, 3), (8, 6), 1), recipe, "")
    monkeypatch.setitem(PRETRAINED, "two", preset)
    return recipe


def test_several_layers_are_trained_judged_and_gone_on_with(
    run, tmp_path, of_two_layers, few_digits
):
    words = ("train", "--preset", "two", "--out", tmp_path, *LAYERS)
    code, out, err = run(*words)
    assert code == 0 and err == "" and "1 epochs" in out
    model = load(tmp_path / "model.safetensors")
    config = HierarchicalConfig((20, 10), (60, 30), 1, encoder="ladder")
    assert type(model) is HierarchicalVAE and model.config == config
    assert (tmp_path / "samples.png").exists()
    assert from_file(model.record["recipe"]) == of_two_layers
    again = run("train", "--out", tmp_path, "--resume", "--epochs", 2, "--json")
    assert again[0] == 0 and json.loads(again[1])["epoch"] == 2
    code, out, _ = run("evaluate", tmp_path, "--n-samples", 7, "--json")
    bits = of_two_layers.as_trained(few_digits)
    found = load(tmp_path / "model.safetensors")
    assert code == 0 and found.config == config
    elbo = evaluate_elbo(found, bits).elbo
    assert json.loads(out)["elbo"] == pytest.approx(elbo)


def test_several_layers_are_fitted_to_pictures_of_another_size():
    data = DATA_SETS["mnist"]._replace(shape=(3, 4, 5))
    asked = {"latent_dims": (2, 1), "n_hidden": 0}
    config = fitted(HierarchicalConfig((4, 3), (8, 6)), data, asked)
    expected = HierarchicalConfig((2, 1), (8, 6), 0, n_pixels=60, shape=(3, 4, 5))
    assert config == expected and config.picture == (3, 4, 5)


@pytest.mark.parametrize(
    "words, said",
    [
        (["--latent-dims", "20"], "expected a width >= 1 for each layer's latents"),
        (["--latent-dims", "20,0"], "expected a width >= 1 for each layer's latents"),
        (["--latent-dim", "20"], "options among --activation, --encoder, --hidden-d"),
        (["--prior", "mixture"], "got '--prior'"),
        (["--n-hidden", "200"], "expected at most 100 layers, got 400"),
        (["--gradient", "path"], "for the gradient 'path', got 'HierarchicalVAE'"),
        (["--step", "by-hand"], "for step='by hand', got HierarchicalVAE"),
        (["--data", "molecules"], "SequenceConfig for molecules, got 'Hierarchical"),
    ],
)
def test_what_several_layers_cannot_be_is_one_line(
    words, said, run, tmp_path, of_two_layers
):
    code, out, err = run("train", "--preset", "two", "--out", tmp_path / "new", *words)
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err
    assert not (tmp_path / "new" / "model.safetensors").exists()


def test_one_layer_has_no_options_of_several(run, tmp_path):
    code, _, err = run("train", "--out", tmp_path / "new", *LAYERS)
    assert code == 2 and "expected options among --activation" in err


def test_files_of_layers_and_steps_are_no_networks_of_a_page(run, tmp_path):
    for model in (
        HierarchicalVAE(HierarchicalConfig((4, 3), (8, 6))),
        Diffusion(DiffusionConfig()),
    ):
        save(tmp_path / "model", model)
        code, _, err = run("export", tmp_path / "model", "--out", tmp_path / "page.js")
        assert code == 2 and f"a page can read, got {type(model).__name__}" in err
    code, _, err = run("evaluate", tmp_path / "model")
    assert code == 2 and err.count("\n") == 1 and "of images or of strings, got" in err


@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_head_is_told_the_first_properties_of_the_training_set(
    k, run, tmp_path, few_molecules
):
    """As in Python, goes on knowing them, and is judged on the strings alone."""
    tokens, known = few_molecules
    words = ("--data", "molecules", "--n-properties", k, *STRINGS)
    assert run("train", *words, "--out", tmp_path / "a")[::2] == (0, "")
    model = load(tmp_path / "a" / "model.safetensors")
    assert model.config == SequenceConfig(2, 5, n_properties=k)
    labels = standardized(known)[:, :k]
    assert model.record["data"]["labels"] == sha256_of(labels)
    recipe = from_file(model.record["recipe"])
    options = {"labels": labels, "device": "cpu", "progress": False}
    other = train_run(tmp_path / "b", tokens, model.config, recipe, **options)
    for name, weight in other.state_dict().items():
        assert torch.equal(weight, model.state_dict()[name]), name
    code, out, _ = run("evaluate", tmp_path / "a", "--n-samples", 7, "--json")
    found = json.loads(out)
    assert code == 0 and found["elbo"] == pytest.approx(
        evaluate_elbo(model, tokens).elbo
    )
    log_p_x = log_likelihood(model, tokens, n_samples=7).mean().item()
    assert found["log_p_x"] == pytest.approx(log_p_x, rel=1e-6)
    again = ("train", "--out", tmp_path / "a", "--resume", "--epochs", 2)
    assert run(*again)[::2] == (0, "")
    assert len(load(tmp_path / "a" / "model.safetensors").record["rows"]) == 2
    code, _, err = run(*again, "--n-properties", k - 1)
    assert code == 2 and f"n_properties = {k - 1}" in err and err.count("\n") == 1


def test_a_shipped_model_of_strings_is_judged_on_strings(run, few_molecules):
    code, out, _ = run("evaluate", "molecules", "--limit", 3, "--n-samples", 2)
    elbo = evaluate_elbo(load_pretrained("molecules"), few_molecules.tokens).elbo
    assert code == 0 and f"{elbo:.2f}  (40 test strings)" in out


def test_the_data_command_counts_the_strings(run):
    code, out, _ = run("data", "--data", "molecules")
    line = (
        "40 strings of at most 22 tokens; of each: gap dipole polarizability logp tpsa"
    )
    assert code == 0 and out.splitlines() == [f"train {line}", f"test  {line}"]


def test_json_is_the_last_row_of_the_history(run, tmp_path):
    code, out, err = run("train", "--out", tmp_path, *TINY, "--epochs", 2, "--json")
    assert code == 0 and err == ""
    last = json.loads((tmp_path / "history.json").read_text("utf-8"))[-1]
    assert json.loads(out) == last | {"folder": str(tmp_path)} and last["epoch"] == 2


def test_the_same_seed_trains_the_same_model(run, tmp_path):
    hashes = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        # A run that is not there is started afresh.
        words = ("--seed", seed, *(["--resume"] if name == "b" else []))
        assert run("train", "--out", tmp_path / name, *TINY, *words)[0] == 0
        weights = load(tmp_path / name / "model.safetensors").state_dict().values()
        hashes.append(torch.cat([tensor.flatten() for tensor in weights]))
    assert torch.equal(*hashes[:2]) and not torch.equal(*hashes[1:])


def test_train_never_overwrites_a_model(run, tmp_path):
    run("train", "--out", tmp_path, *TINY)
    before = (tmp_path / "model.safetensors").read_bytes()
    code, out, err = run("train", "--out", tmp_path, *TINY)
    assert code == 2 and "without a model, or --resume" in err and err.count("\n") == 1
    assert (tmp_path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("trained_on", ["grey", "bits", None])
def test_evaluate_prints_what_the_library_computes(
    trained_on, run, tmp_path, few_digits
):
    """On pixels of the kind that the model was trained on, the same bits each time."""
    model, record = VAE(VAEConfig(latent_dim=2, hidden_dims=(4,))), {}
    if trained_on is not None:
        recipe = {"binarization": "sample" if trained_on == "bits" else "none"}
        record = {"recipe": recipe}
    images, pixels = few_digits, trained_on or "grey"
    if trained_on == "bits":
        images = binarize(images, "sample", generator=torch.Generator().manual_seed(0))
    checkpoints.save(tmp_path / "model.safetensors", model, record)
    words = ("--limit", 10, "--n-samples", 7)
    for name in (tmp_path, tmp_path / "model.safetensors"):
        code, out, _ = run("evaluate", name, *words, "--json")
        found = json.loads(out)
        log_p_x = log_likelihood(model, images[:10], n_samples=7)
        assert code == 0 and found["images"] == 10 and found["n_samples"] == 7
        assert found["elbo"] == pytest.approx(evaluate_elbo(model, images).elbo)
        assert found["log_p_x"] == pytest.approx(log_p_x.mean().item(), rel=1e-6)
        error = log_p_x.std(correction=0).item() / 10**0.5
        assert found["standard_error"] == pytest.approx(error, rel=1e-4)
        assert found["pixels"] == pixels
    code, out, _ = run("evaluate", tmp_path, *words)
    assert code == 0 and f"{found['elbo']:.2f}" in out and f"{error:.2f}" in out
    assert f"test images in {pixels})" in out


def test_a_shipped_model_is_found_by_its_name(run):
    code, out, _ = run("evaluate", "mnist-2d", "--limit", 2, "--n-samples", 2)
    assert code == 0 and "log p(x)" in out


def test_export_writes_the_decoder_once(run, tmp_path):
    model, out = VAE(VAEConfig(latent_dim=3, hidden_dims=(5, 4))), tmp_path / "d.json"
    sha256 = checkpoints.save(tmp_path / "model.safetensors", model)
    code, said, _ = run("export", tmp_path, "--out", out)
    assert code == 0 and str(out) in said
    decoder = json.loads(out.read_text("utf-8"))
    assert decoder["sha256"] == sha256
    assert [layer["n_in"] for layer in decoder["layers"]] == [3, 4, 5]
    words = ("--part", "encoder", "--dtype", "float16", "--out", tmp_path / "e.js")
    assert run("export", "mnist-2d", *words)[0] == 0
    script = (tmp_path / "e.js").read_text("utf-8")
    assert script.startswith('live.provide("e", {') and '"dtype": "float16"' in script
    before = out.read_bytes()
    code, said, err = run("export", "mnist-2d", "--out", out)
    assert code == 2 and said == "" and "new file" in err and err.count("\n") == 1
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    "words, said",
    [
        (["train"], "--out"),
        (["fly"], "invalid choice"),
        (["train", "--out", "RUN", "--epochs", "0"], "epochs >= 1, got 0"),
        (["train", "--out", "RUN", "--epochs", "many"], "many"),
        (["train", "--out", "RUN", "--batch-size", "0"], "batch_size >= 1, got 0"),
        (["train", "--out", "RUN", "--n-samples", "0"], "n_samples >= 1, got 0"),
        (["train", "--out", "RUN", "--lr", "0"], "lr > 0, got 0"),
        (["train", "--out", "RUN", "--lr", "nan"], "lr > 0, got nan"),
        (["train", "--out", "RUN", "--beta", "-0.5"], "beta >= 0, got -0.5"),
        (["train", "--out", "RUN", "--beta", "nan"], "beta >= 0, got nan"),
        (["train", "--out", "RUN", "--warmup", "-1"], "warmup >= 0, got -1"),
        (["train", "--out", "RUN", "--clip-norm", "0"], "clip_norm > 0"),
        (["train", "--out", "RUN", "--latent-dim", "0"], ">= 1"),
        (["train", "--out", "RUN", "--hidden-dims", "8,0"], ">= 1"),
        (["train", "--out", "RUN", "--noise-std", "0"], "noise_std > 0, got 0"),
        (["train", "--out", "RUN", "--preset", "mnist-3d"], "did you mean mnist-2d?"),
        (["train", "--out", "RUN", "--device", "abacus"], "abacus"),
        (["train", "--out", "RUN", "--device", "cpu:7.5"], "cpu:7.5"),
        (["evaluate", "nowhere"], "nowhere"),
        (["evaluate", "mnist-2b"], "did you mean mnist-2d?"),
        (["evaluate", "RUN"], "RUN"),
        (["evaluate", "mnist-2d", "--device", "abacus"], "abacus"),
        (["evaluate", "mnist-2d", "--n-samples", "0"], "--n-samples >= 1, got 0"),
        (["evaluate", "mnist-2d", "--limit", "-3"], "--limit >= 1, got -3"),
        (["export", "mnist-2d"], "--out"),
        (["export", "nowhere", "--out", "RUN"], "nowhere"),
        (["export", "mnist-2d", "--out", "RUN", "--part", "half"], "decoder, encoder"),
        (["export", "mnist-2d", "--out", "RUN", "--dtype", "int8"], "float32, float16"),
    ],
)
def test_bad_input_is_one_line_before_data_are_read(
    words, said, run, tmp_path, mnist_is
):
    mnist_is(None)
    folder = tmp_path / "RUN"
    code, out, err = run(*[folder if word == "RUN" else word for word in words])
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err
    assert not folder.exists()


NO_MEMORY = {
    "gpu": torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate ..."),
    "Windows": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough"
        " memory: you tried to allocate 3136000000 bytes."
    ),
    "MPS": RuntimeError("MPS backend out of memory (MPS allocated: 18.12 GB, ...)."),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."),
    "C++": RuntimeError("std::bad_alloc"),
    "Python": MemoryError(),
}


@pytest.mark.parametrize("where", ["cpu", *NO_MEMORY])
def test_too_little_memory_is_one_line_of_advice(where, run, tmp_path, monkeypatch):
    def full(self, x):
        if where in NO_MEMORY:
            raise NO_MEMORY[where]
        return torch.empty(2**58)  # more bytes than any address space has

    monkeypatch.setattr(VAE, "encode", full)
    code, out, err = run("train", "--out", tmp_path, *TINY)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "out of memory" in err and "smaller --batch-size" in err


def test_an_error_of_the_library_itself_is_not_hidden(run, tmp_path, monkeypatch):
    monkeypatch.setattr(VAE, "encode", lambda self, x: x @ x)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run("train", "--out", tmp_path, *TINY)


def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(run, tmp_path, monkeypatch):
    words = ("train", "--out", tmp_path / "my run", *TINY)
    words += ("--epochs", "2", "--latent-dim", "2")  # a value that comes twice
    encode, calls = VAE.encode, []

    def interrupted(self, x):
        calls.append(x)
        if len(calls) == 2:  # in the second epoch: forty digits are one batch
            raise KeyboardInterrupt
        return encode(self, x)

    monkeypatch.setattr(VAE, "encode", interrupted)
    code, out, err = run(*words)
    assert code == 130 and out == "" and err.count("\n") == 1
    again = shlex.split(err.split("python -m vae_lib ")[1])
    assert again == [*map(str, words), "--resume"]
    del calls[1:]
    assert run(*again)[2] == err  # no second --resume
    monkeypatch.setattr(VAE, "encode", encode)
    assert run(*again)[0] == 0
    rows = json.loads((tmp_path / "my run" / "history.json").read_text("utf-8"))
    assert [row["epoch"] for row in rows] == [1, 2]


def test_ctrl_c_elsewhere_promises_nothing(run, tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "evaluate_elbo", interrupted)
    assert run("evaluate", "mnist-2d") == (130, "", "stopped\n")


def test_resume_refuses_another_model_and_names_both_sides(run, tmp_path):
    run("train", "--out", tmp_path, *TINY)
    before = (tmp_path / "model.safetensors").read_bytes()
    words = ("train", "--out", tmp_path, *TINY, "--resume")
    code, _, err = run(*words, "--latent-dim", 20)
    assert code == 2 and "latent_dim = 20" in err and "latent_dim = 2" in err
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert run(*words)[0] == 0  # nothing left to do


def test_resume_alone_takes_the_options_of_the_run(run, tmp_path):
    words = ("train", "--out", tmp_path, "--hidden-dims", 4, "--epochs", 2)
    run(*words, "--schedule", "constant", "--seed", 5)
    before = (tmp_path / "model.safetensors").read_bytes()
    again = ("train", "--out", tmp_path, "--resume")
    assert run(*again)[0] == 0
    assert (tmp_path / "model.safetensors").read_bytes() == before
    agreeing = ("--seed", 5, "--hidden-dims", 4, "--preset", "mnist-2d", "--beta", 1)
    assert run(*again, *agreeing, "--schedule", "constant")[0] == 0
    for words, said in (
        (("--seed", 6), "seed = 6, got 'seed = 5'"),
        (("--schedule", "cosine"), "schedule = 'cosine'"),
        (("--preset", "mnist-20d"), "hidden_dims = [224, 160], got hidden_dims = [4]"),
        (("--epochs", 1), "epochs = 1 or fewer"),
    ):
        code, out, err = run(*again, *words)
        assert code == 2 and out == "" and said in err and err.count("\n") == 1
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert run(*again, "--epochs", 3)[0] == 0
    assert run(*again)[0] == 0  # now it is a run of three
    model = load(tmp_path / "model.safetensors")
    assert model.record["recipe"]["epochs"] == len(model.record["rows"]) == 3
    assert model.record["seed"] == 5 and model.config.hidden_dims == (4,)


def test_a_shipped_model_in_the_place_of_a_run_is_none(run, tmp_path):
    shipped = checkpoints.FOLDER / "mnist-2d.safetensors"
    (tmp_path / "model.safetensors").write_bytes(shipped.read_bytes())
    code, out, err = run("train", "--out", tmp_path, "--resume")
    assert code == 2 and "no run saved" in err and err.count("\n") == 1
    assert (tmp_path / "model.safetensors").read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize("words", [["train", "--out"], ["export", "mnist-2d", "--out"]])
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_name_is_no_place(words, empty, run, tmp_path, monkeypatch):
    """As an empty variable of the shell leaves it."""
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words, empty)
    assert code == 2 and "--out: expected a name, got" in err
    assert list(tmp_path.iterdir()) == []
    assert run("evaluate", empty)[0] == 2


@pytest.mark.parametrize("n_pixels", [784, 20])
def test_a_run_of_other_data_is_not_judged_on_the_digits(n_pixels, run, tmp_path):
    config = VAEConfig(latent_dim=2, hidden_dims=(4,), n_pixels=n_pixels)
    images = torch.rand(40, n_pixels, generator=torch.Generator().manual_seed(1))
    options = {"device": "cpu", "progress": False}
    train_run(tmp_path, images, config, Recipe(epochs=1), **options)
    code, out, err = run("evaluate", tmp_path)
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "not trained on MNIST" in err and "evaluate_elbo" in err


def test_a_run_of_some_digits_is_judged_and_so_is_one_of_before(
    run, tmp_path, few_digits
):
    config = VAEConfig(latent_dim=2, hidden_dims=(4,))
    options = {"device": "cpu", "progress": False}
    model = train_run(tmp_path, few_digits[7:9], config, Recipe(epochs=1), **options)
    few = ("--limit", 2, "--n-samples", 2)
    assert run("evaluate", tmp_path, *few)[0] == 0
    checkpoints.save(tmp_path / "old", model, {"data": {"n_images": 60_000}})
    assert run("evaluate", tmp_path / "old", *few)[0] == 0


def test_an_auto_encoder_is_not_judged_and_is_exported(run, tmp_path):
    checkpoints.save(tmp_path / "ae", AutoEncoder(VAEConfig(2, (4,))))
    code, out, err = run("evaluate", tmp_path / "ae")
    assert code == 2 and "AutoEncoder" in err and err.count("\n") == 1
    assert run("export", tmp_path / "ae", "--out", tmp_path / "ae.json")[0] == 0


def test_a_result_that_is_no_number_is_not_printed(run, tmp_path):
    model = VAE(VAEConfig(2, (4,)))
    for weight in model.parameters():
        weight.data.fill_(3e38)  # finite, as weights go
    checkpoints.save(tmp_path / "huge", model)
    code, out, err = run("evaluate", tmp_path / "huge", "--json", "--limit", 2)
    assert code == 2 and out == "" and "finite elbo" in err and err.count("\n") == 1


def test_without_a_terminal_each_epoch_is_a_line_on_standard_error(
    run, tmp_path, monkeypatch
):
    monkeypatch.delenv("TQDM_DISABLE")  # which ``run`` sets
    code, out, err = run("train", "--out", tmp_path, *TINY, "--epochs", 3, "--json")
    assert code == 0 and json.loads(out)["epoch"] == 3
    assert [line[:12] for line in err.splitlines()] == [
        f"epoch {k} of 3" for k in (1, 2, 3)
    ]


@pytest.mark.parametrize("name", ["history.json", "history.png", "samples.png"])
def test_names_that_are_taken_are_told_before_the_first_step(
    name, run, tmp_path, monkeypatch
):
    (tmp_path / "run" / name).mkdir(parents=True)
    monkeypatch.setattr(VAE, "encode", None)
    code, out, err = run("train", "--out", tmp_path / "run", *TINY)
    assert code == 2 and out == "" and name in err and err.count("\n") == 1


STREAMS = {  # what the shell does with the command, and its exit code
    "an ascii terminal": ("PYTHONIOENCODING=ascii {}", 0),
    "a western terminal": ("PYTHONIOENCODING=cp1252 {}", 0),
    "no backend of that name": ("MPLBACKEND=nonsense {}", 0),
    "a full standard output": ("{} > /dev/full", 2),
    "a full standard error": ("{} 2> /dev/full", 0),
    "no standard output": ("{} >&-", 0),
    "no standard error": ("{} 2>&-", 0),
    "neither": ("{} >&- 2>&-", 0),
    "a reader who left": ("{} | true; exit ${{PIPESTATUS[0]}}", 2),
}


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux and its shell")
@pytest.mark.parametrize("stream", STREAMS)
def test_training_ends_whole_wherever_its_words_go(stream, tmp_path):
    pattern, code = STREAMS[stream]
    words = [sys.executable, __file__, "train", "--out", "Übung 李", *TINY]
    variables = {"PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "dumb"}
    variables |= {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    options = {"capture_output": True, "cwd": tmp_path, "env": variables}
    command = ["bash", "-c", pattern.format(shlex.join(words))]
    done = subprocess.run(command, text=True, errors="replace", **options)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    written = {path.name for path in (tmp_path / "Übung 李").iterdir()}
    assert written >= {"model.safetensors", "history.json", "samples.png"}
    if code == 2:
        assert "standard output takes no result" in done.stderr.splitlines()[-1]


def test_data_describes_the_bundled_digits(run, mnist_is):
    mnist_is(load_mnist)
    code, out, err = run("data")
    assert code == 0 and err == ""
    assert "60,000 images" in out and "10,000 images" in out


def test_data_describes_the_bundled_animals(run):
    code, out, err = run("data", "--data", "animals")
    assert code == 0 and err == ""
    assert "train 7,716 images" in out and "test  2,000 images" in out
    code, out, err = run("data", "--data", "animal")
    assert (code, out) == (2, "") and "did you mean animals?" in err


def test_the_module_runs_as_a_program():
    command = [sys.executable, "-m", "vae_lib", "evaluate", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("vae_lib: expected") and done.stderr.count("\n") == 1


def test_a_second_process_is_silent_but_for_errors(run, tmp_path, monkeypatch):
    """It may be the first to meet one, and torchrun then ends the others."""
    monkeypatch.setattr(command_line, "rank", lambda: 1)
    assert run("train", "--out", tmp_path / "run", *TINY) == (0, "", "")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.safetensors"]
    code, out, err = run("train", "--out", tmp_path, "--lr", "0")
    assert code == 2 and out == "" and err.count("\n") == 1


@pytest.mark.long
def test_under_torchrun_one_process_writes_and_prints(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--standalone", __file__, "train", "--out", str(tmp_path / "run")]
    variables = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    options = {"capture_output": True, "text": True, "env": os.environ | variables}
    done = subprocess.run([*command, *TINY, "--device", "cpu", "--json"], **options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epoch"] == 1  # of both it would be no JSON
    assert len(list((tmp_path / "run").iterdir())) == 4


if __name__ == "__main__":
    DATA_SETS["mnist"] = DATA_SETS["mnist"]._replace(load=forty_digits)
    sys.exit(command_line.main())


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
def test_too_little_memory_to_start_is_said_in_one_line():
    limited = 'ulimit -v 400000 && exec "$0" -m vae_lib data'
    command, root = ["sh", "-c", limited, sys.executable], Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"vae_lib: torch cannot be loaded: .+\n", done.stderr)
