"""Two processes under torchrun against one: same gradients, one writer, a clear end."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from vae_lib.checkpoints import load
from vae_lib.distributed import process_group, share
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.runs import MODEL, train_run
from vae_lib.steps import take_step

pytestmark = pytest.mark.long

CONFIG = VAEConfig(latent_dim=2, hidden_dims=(8,), n_pixels=6)
RICH = {
    "vamp": replace(CONFIG, prior="vamp", n_components=3, posterior="planar"),
    "flow": replace(CONFIG, prior="flow", posterior="iaf"),
}
RECIPE = Recipe(3, 16, 1e-2, "cosine", binarization="sample", clip_norm=1.0)
SEEN = {"device": "cpu", "progress": False}


def images() -> torch.Tensor:
    return torch.rand(53, 6, generator=torch.Generator().manual_seed(0))


def gradient(objective: str, config: VAEConfig = CONFIG) -> torch.Tensor:
    """Of a batch of seven, which two processes cannot share evenly."""
    from vae_lib.distributed import connect, n_processes

    torch.manual_seed(1)
    model = VAE(config).double()
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    x, eps = images()[:7].double(), torch.randn(3, 7, 2).double()
    step = {"n_images": 7 / n_processes(), "objective": objective}
    step["beta"] = 0.5 if objective == "elbo" else 1.0
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    take_step(connect(model), sgd, share(x), share(eps), **step)
    return before - torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def work(folder: Path) -> None:
    """What each process of torchrun does; the arguments come as JSON."""
    from vae_lib import runs

    wrote, save = folder / f"wrote-{os.environ['RANK']}", runs.save
    last_words = folder / f"said-{os.environ['RANK']}"
    dies = os.environ["RANK"] == "1" and (folder / "dies").exists()

    def noted(path, model, *rest) -> None:
        save(path, model, *rest)
        wrote.write_text(str(len(model.history.rows)))

    def end_in_the_second_epoch(self, x, calls=[]):  # noqa: B006
        calls.append(x)
        if len(calls) == 12:  # four gradients, one of two calls, four steps an epoch
            (folder / "dies").unlink()
            os._exit(1)
        return encode(self, x)

    runs.save, encode = noted, VAE.encode
    if dies:
        VAE.encode = end_in_the_second_epoch
    try:
        with process_group():
            for objective in ("elbo", "iwae"):
                torch.save(gradient(objective), folder / f"{objective}-{runs.rank()}")
            for name, config in RICH.items():
                torch.save(gradient("iwae", config), folder / f"{name}-{runs.rank()}")
        train_run(folder, images(), CONFIG, RECIPE, resume=True, **SEEN)
    except ConnectionError as error:
        last_words.write_text(str(error))
        raise


def torchrun(folder: Path, *options: str, **variables) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--standalone", *options, __file__, str(folder)]
    path = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | variables
    options = {"capture_output": True, "text": True, "timeout": 120}
    return subprocess.run(command, env=environment, **options)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    done = torchrun(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_two_processes_have_the_gradient_of_one(two, objective):
    for rank in (0, 1):
        found = torch.load(two / f"{objective}-{rank}", weights_only=True)
        assert_close(found, gradient(objective), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", RICH)
def test_they_have_it_for_learned_priors_and_flows_too(two, name):
    for rank in (0, 1):
        found = torch.load(two / f"{name}-{rank}", weights_only=True)
        expected = gradient("iwae", RICH[name])
        assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_two_processes_train_the_model_of_one(two, tmp_path):
    alone = train_run(tmp_path, images(), CONFIG, RECIPE, **SEEN)
    together = load(two / MODEL)
    for name, weight in alone.state_dict().items():
        assert_close(together.state_dict()[name], weight, rtol=1e-4, atol=1e-5)
    for row, found in zip(alone.history.rows, together.record["rows"], strict=True):
        assert found["elbo"] == pytest.approx(row["elbo"], abs=1e-4)


def test_only_the_first_process_writes(two):
    assert (two / "wrote-0").read_text() == "3" and not (two / "wrote-1").exists()


def test_a_process_that_dies_ends_the_run_with_a_clear_line(two, tmp_path):
    (tmp_path / "dies").touch()
    assert torchrun(tmp_path).returncode != 0
    said = (tmp_path / "said-0").read_text()
    assert "another one did" in said and "--resume" in said and "\n" not in said
    assert len(load(tmp_path / MODEL).record["rows"]) == 1


def test_an_elastic_restart_goes_on_from_the_last_checkpoint(two, tmp_path):
    (tmp_path / "dies").touch()
    own_store = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    done = torchrun(tmp_path, "--max-restarts=1", **own_store)
    assert done.returncode == 0, done.stderr
    found, whole = load(tmp_path / MODEL), load(two / MODEL)
    assert (tmp_path / "said-0").exists() and len(found.record["rows"]) == 3
    for name, weight in whole.state_dict().items():
        assert torch.equal(found.state_dict()[name], weight)


def test_a_run_goes_on_with_another_number_of_processes(tmp_path):
    """Two processes, one of which dies in the second epoch; then one alone."""
    (tmp_path / "dies").touch()
    assert torchrun(tmp_path).returncode != 0
    assert len(load(tmp_path / MODEL).record["rows"]) == 1
    model = train_run(tmp_path, images(), CONFIG, RECIPE, resume=True, **SEEN)
    whole = train_run(tmp_path / "alone", images(), CONFIG, RECIPE, **SEEN)
    assert_close(model.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-5)


def test_restarts_that_could_hang_are_refused(monkeypatch, refuses):
    for name, value in (("RUN_ID", "1"), ("USE_AGENT_STORE", "True")):
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    with refuses(ValueError, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"), process_group():
        pass


def test_a_batch_smaller_than_the_group_is_refused(monkeypatch, refuses):
    monkeypatch.setattr("vae_lib.distributed.n_processes", lambda: 3)
    with refuses(ValueError, "at least 3 images", "got 2"):
        share(torch.rand(2, 6))


if __name__ == "__main__":
    work(Path(sys.argv[1]))
