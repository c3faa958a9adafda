"""Train a model that ships with the library anew, by its recipe, from its start.

    python -m tools.records.shipped mnist-2d

trains it in _build/runs on all training digits, and the models that it starts from
before it; writes vae_lib/checkpoints/NAME.safetensors and prints the sha256 that
belongs into vae_lib.checkpoints.PRETRAINED. The recipe was chosen on a validation
split; the test set is read once, for the figure in the file's record.
"""

import argparse
import sys
from dataclasses import asdict
from statistics import median

import torch

from tools.records.measures import RUNS
from vae_lib.checkpoints import FOLDER, PRETRAINED, load, save
from vae_lib.data import load_mnist
from vae_lib.evaluation import evaluate_elbo
from vae_lib.models import VAE
from vae_lib.runs import MODEL, train_run
from vae_lib.threads import n_threads


def trained(name: str) -> VAE:
    """The shipped model of this name, trained anew in _build/runs, or already."""
    preset, run = PRETRAINED[name], RUNS / name
    start = trained(preset.start) if preset.start else None
    images = load_mnist("train").images
    options = {"resume": True, "start": start, "compile": True}
    train_run(run, images, preset.config, preset.recipe, **options)
    return load(run / MODEL)


def ship(name: str, model: VAE) -> dict:
    """Put a trained model where it ships, and return the record that it carries."""
    preset, digits = PRETRAINED[name], load_mnist("train").images
    images = preset.recipe.as_trained(load_mnist("test").images)
    record = {
        "recipe": asdict(preset.recipe),
        "start": preset.start,
        "seed": model.record["seed"],
        "train_images": len(digits),
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
