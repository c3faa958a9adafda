"""A run in pieces, stopped anywhere, gives the bits of a run in one go."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from vae_lib.checkpoints import CheckpointError, load
from vae_lib.models import VAE, VAEConfig
from vae_lib.runs import MODEL, train_run

CONFIG = VAEConfig(latent_dim=2, hidden_dims=(8,), n_pixels=6)
RECIPE = {"epochs": 4, "batch_size": 16, "lr": 1e-2, "schedule": "cosine"}
RECIPE |= {"warmup": 0.5, "binarization": "sample"}
FOREVER = """
import torch
from vae_lib.models import VAEConfig
from vae_lib.runs import train_run
images = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
config = VAEConfig(latent_dim=2, hidden_dims=(8,), n_pixels=6)
recipe = {"epochs": 100_000, "batch_size": 16}
train_run(FOLDER, images, config, recipe, resume=True, device="cpu", progress=False)
"""


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(50, 6, generator=torch.Generator().manual_seed(0))


def run(folder, images, **changes) -> VAE:
    options = {"seed": 3, "device": "cpu", "progress": False} | changes
    recipe = RECIPE | options.pop("recipe", {})
    return train_run(folder, images, options.pop("config", CONFIG), recipe, **options)


def bits(model: VAE) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


def elbos(model: VAE) -> list[float]:
    return [row["elbo"] for row in model.history.rows]


@pytest.mark.parametrize("steps", [1, 4, 5, 8, 10, 15])  # an epoch has four
def test_a_run_stopped_at_any_step_gives_the_same_bits(
    steps, images, tmp_path, monkeypatch
):
    whole = run(tmp_path / "whole", images)
    calls, encode = [], VAE.encode

    def stop(self, x):
        calls.append(x)
        if len(calls) == steps + 1:
            raise KeyboardInterrupt
        return encode(self, x)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VAE, "encode", stop)
        run(tmp_path / "pieces", images)
    torch.manual_seed(99)  # another process would start elsewhere
    seed = 3 if steps < 4 else 4  # nothing saved before the first epoch's end
    pieces = run(tmp_path / "pieces", images, seed=seed, resume=True)
    assert torch.equal(bits(whole), bits(pieces)) and elbos(whole) == elbos(pieces)
    saved = load(tmp_path / "pieces" / MODEL)
    assert torch.equal(bits(saved), bits(whole)) and saved.record["seed"] == 3


def test_what_a_killed_save_left_is_swept_away(images, tmp_path):
    run(tmp_path, images)
    (tmp_path / f".{MODEL}.123.tmp").write_bytes(b"half a file")
    run(tmp_path, images, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == [MODEL]


def test_resume_with_nothing_there_starts_afresh(images, tmp_path):
    fresh = run(tmp_path / "a", images, resume=True)
    assert torch.equal(bits(fresh), bits(run(tmp_path / "b", images)))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({}, "without a model"),
        ({"resume": True, "recipe": {"lr": 0.5}}, "lr = 0.5, got lr = 0.01"),
        ({"resume": True, "recipe": {"beta": 2.0}}, "beta = 2.0, got beta = None"),
        ({"resume": True, "config": VAEConfig(3, (8,), n_pixels=6)}, "latent_dim = 3"),
    ],
)
def test_a_run_made_otherwise_is_refused_and_left_alone(
    changes, said, images, tmp_path, refuses
):
    run(tmp_path, images)
    before = (tmp_path / MODEL).read_bytes()
    with refuses(ValueError, said):
        run(tmp_path, images, **changes)
    assert (tmp_path / MODEL).read_bytes() == before


def test_a_damaged_run_is_refused_and_left_alone(images, tmp_path, refuses):
    run(tmp_path, images)
    damaged = (tmp_path / MODEL).read_bytes()[:-1]
    (tmp_path / MODEL).write_bytes(damaged)
    with refuses(CheckpointError, MODEL):
        run(tmp_path, images, resume=True)
    assert (tmp_path / MODEL).read_bytes() == damaged


def test_killed_at_random_moments_the_last_checkpoint_loads_and_goes_on(tmp_path):
    """SIGKILL, which no handler sees: the file is whole at every moment."""
    script = FOREVER.replace("FOLDER", json.dumps(str(tmp_path)))
    epochs = [0]
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", script])
        while not (tmp_path / MODEL).exists() or progress(tmp_path) <= epochs[-1]:
            time.sleep(0.01)
            assert process.poll() is None
        time.sleep(random.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        epochs.append(progress(tmp_path))
    assert sorted(set(epochs)) == epochs  # each piece went on from the one before


def progress(folder) -> int:
    return len(load(folder / MODEL).record["rows"])
