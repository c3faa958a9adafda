"""Train a model that ships with the library anew, by its recipe, from its start.

    python -m tools.records.shipped mnist-2d

trains it in _build/runs on all training data, and the models that it starts from
before it; writes vae_lib/checkpoints/NAME.safetensors and prints the sha256 that
belongs into vae_lib.checkpoints.PRETRAINED. The recipe was chosen on a validation
split; the test set is read once, for the figure in the file's record.
"""

import argparse
import sys
from dataclasses import asdict
from statistics import median

import torch
from torch import Tensor

from tools.records.measures import RUNS
from vae_lib.checkpoints import FOLDER, PRETRAINED, load, save
from vae_lib.data_sets import DATA_SETS, DataSet, usual_for
from vae_lib.evaluation import evaluate_elbo
from vae_lib.latent import LatentVariableModel
from vae_lib.models import VAEConfig
from vae_lib.runs import MODEL, train_run
from vae_lib.threads import n_threads


def data_of(name: str) -> DataSet:
    """What a shipped model is trained on."""
    return DATA_SETS[usual_for(PRETRAINED[name].config)]


def examples_of(name: str, split: str) -> tuple[Tensor, Tensor | None]:
    """The x (N, D) of this split, and what the shipped model is told of them, if so."""
    return data_of(name).examples_for(PRETRAINED[name].config, split)


def trained(name: str) -> LatentVariableModel:
    """The shipped model of this name, trained anew in _build/runs, or already."""
    preset, run = PRETRAINED[name], RUNS / name
    start = trained(preset.start) if preset.start else None
    images, labels = examples_of(name, "train")
    step = "by hand" if isinstance(preset.config, VAEConfig) else "autograd"
    options = {"labels": labels, "resume": True, "start": start, "step": step}
    train_run(run, images, preset.config, preset.recipe, **options)
    return load(run / MODEL)


def ship(name: str, model: LatentVariableModel) -> dict:
    """Put a trained model where it ships, and return the record that it carries."""
    preset, data = PRETRAINED[name], data_of(name)
    images = preset.recipe.as_trained(data.load("test")[0])
    record = {
        "recipe": asdict(preset.recipe),
        "start": preset.start,
        "seed": model.record["seed"],
        "train_images": len(data.load("train")[0]),
        "train_seconds": round(undisturbed(model.record["rows"]), 1),
        "test_elbo": evaluate_elbo(model, images).elbo,
        "torch": torch.__version__,
        "threads": n_threads(),
    }
    sha256 = save(FOLDER / f"{name}.safetensors", model, record)
    print(f'{name}: sha256="{sha256}"', flush=True)
    return record


def undisturbed(rows: list[dict]) -> float:
    """Seconds of training, as if every epoch had taken what the median one took."""
    return len(rows) * median(row["seconds"] for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a model that ships.")
    parser.add_argument("name", choices=PRETRAINED)
    name = parser.parse_args().name
    print(ship(name, trained(name)))


if __name__ == "__main__":
    sys.exit(main())
