"""The command line: what it writes and prints, and one clear line on bad input."""

import json
import shlex
import subprocess
import sys

import pytest
import torch

from vae_lib import __main__ as command_line
from vae_lib import checkpoints
from vae_lib.checkpoints import load
from vae_lib.data import ImageSet
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.models import VAE, VAEConfig


@pytest.fixture(autouse=True)
def few_digits(monkeypatch) -> torch.Tensor:
    images = torch.rand(40, 784)
    few = ImageSet(images, torch.arange(40) % 10)
    monkeypatch.setattr(command_line, "load_mnist", lambda split: few)
    return images


@pytest.fixture
def run(capsys):
    """Run a command: its exit code, standard output and standard error."""

    def call(*words) -> tuple[int, str, str]:
        try:
            code = command_line.main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def test_train_writes_a_model_of_its_preset_a_history_and_figures(run, tmp_path):
    folder = tmp_path / "new" / "run"
    code, out, err = run("train", "--out", folder, "--epochs", 2, "--latent-dim", 3)
    assert code == 0 and str(folder) in out and err == ""
    model, preset = (
        load(folder / "model.safetensors"),
        checkpoints.PRETRAINED["mnist-2d"],
    )
    assert model.config.hidden_dims == preset.config.hidden_dims
    assert model.config.latent_dim == 3
    assert model.record["recipe"] == preset.recipe | {"epochs": 2}
    rows = json.loads((folder / "history.json").read_text("utf-8"))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {"history.png", "samples.png"} < {path.name for path in folder.iterdir()}


def test_the_same_seed_trains_the_same_model(run, tmp_path):
    hashes = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        run("train", "--out", tmp_path / name, "--epochs", 1, "--seed", seed)
        weights = load(tmp_path / name / "model.safetensors").state_dict().values()
        hashes.append(torch.cat([tensor.flatten() for tensor in weights]))
    assert torch.equal(*hashes[:2]) and not torch.equal(*hashes[1:])


def test_train_never_overwrites_a_model(run, tmp_path):
    run("train", "--out", tmp_path, "--epochs", 1)
    before = (tmp_path / "model.safetensors").read_bytes()
    code, out, err = run("train", "--out", tmp_path, "--epochs", 1)
    assert code == 2 and "without a model" in err and err.count("\n") == 1
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_evaluate_prints_what_the_library_computes(run, tmp_path, few_digits):
    model = VAE(VAEConfig(latent_dim=2, hidden_dims=(4,)))
    checkpoints.save(tmp_path / "model.safetensors", model)
    words = ("--limit", 10, "--n-samples", 7)
    for name in (tmp_path, tmp_path / "model.safetensors"):
        code, out, _ = run("evaluate", name, *words, "--json")
        found = json.loads(out)
        log_p_x = log_likelihood(model, few_digits[:10], n_samples=7)
        assert code == 0 and found["images"] == 10 and found["n_samples"] == 7
        assert found["elbo"] == pytest.approx(evaluate_elbo(model, few_digits).elbo)
        assert found["log_p_x"] == pytest.approx(log_p_x.mean().item(), rel=1e-6)
        error = log_p_x.std(correction=0).item() / 10**0.5
        assert found["standard_error"] == pytest.approx(error, rel=1e-4)
    code, out, _ = run("evaluate", tmp_path, *words)
    assert code == 0 and f"{found['elbo']:.2f}" in out and f"{error:.2f}" in out


def test_a_shipped_model_is_found_by_its_name(run):
    code, out, _ = run("evaluate", "mnist-2d", "--limit", 2, "--n-samples", 2)
    assert code == 0 and "log p(x)" in out


@pytest.mark.parametrize(
    "words, said",
    [
        (["train"], "--out"),
        (["fly"], "invalid choice"),
        (["train", "--out", "RUN", "--epochs", "0"], "epochs"),
        (["train", "--out", "RUN", "--epochs", "many"], "many"),
        (["train", "--out", "RUN", "--latent-dim", "0"], ">= 1"),
        (["train", "--out", "RUN", "--preset", "mnist-3d"], "mnist-2d"),
        (["train", "--out", "RUN", "--device", "abacus"], "abacus"),
        (["evaluate", "nowhere"], "nowhere"),
        (["evaluate", "mnist-2d", "--n-samples", "0"], "--n-samples >= 1"),
        (["evaluate", "mnist-2d", "--limit", "-3"], "--limit >= 1, got -3"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, said, run, tmp_path):
    folder = tmp_path / "run"
    code, out, err = run(*[folder if word == "RUN" else word for word in words])
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err
    assert not (folder / "model.safetensors").exists()


def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(run, tmp_path, monkeypatch):
    words = ("train", "--out", tmp_path / "my run", "--epochs", "2")
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
    monkeypatch.setattr(VAE, "encode", encode)
    assert run(*again)[0] == 0
    rows = json.loads((tmp_path / "my run" / "history.json").read_text("utf-8"))
    assert [row["epoch"] for row in rows] == [1, 2]


def test_resume_refuses_another_model_and_names_both_sides(run, tmp_path):
    run("train", "--out", tmp_path, "--epochs", 1)
    before = (tmp_path / "model.safetensors").read_bytes()
    words = ("train", "--out", tmp_path, "--epochs", 1, "--resume")
    code, _, err = run(*words, "--latent-dim", 20)
    assert code == 2 and "latent_dim = 20" in err and "latent_dim = 2" in err
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert run(*words)[0] == 0  # nothing left to do


@pytest.mark.parametrize("words, code", [(["data"], 0), (["evaluate", "nope"], 2)])
def test_the_module_runs_as_a_program(words, code):
    command = [sys.executable, "-m", "vae_lib", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code and "Traceback" not in done.stderr
    assert ("60,000 digits" in done.stdout) == (code == 0)
