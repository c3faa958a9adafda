"""Train a model that ships with the library, by its recipe, on all training digits.

    python tools/train_pretrained.py mnist-2d

writes vae_lib/checkpoints/NAME.safetensors and prints the sha256 that belongs into
vae_lib.checkpoints.PRETRAINED. The recipe was chosen on a validation split; the test
set is read once, for the figure in the file's record.
"""

import argparse
import sys

import torch

from vae_lib.checkpoints import FOLDER, PRETRAINED, save
from vae_lib.data import load_mnist
from vae_lib.evaluation import evaluate_elbo
from vae_lib.models import VAE
from vae_lib.runs import as_trained
from vae_lib.threads import n_threads
from vae_lib.training import set_seed, train


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a model that ships.")
    parser.add_argument("name", choices=PRETRAINED)
    name = parser.parse_args().name
    config, recipe, *_ = PRETRAINED[name]
    images = load_mnist("train").images
    set_seed(0)
    model = VAE.from_data(config, images)
    history = train(model, images, **recipe)
    report = evaluate_elbo(model, as_trained(load_mnist("test").images, recipe))
    record = {
        "recipe": recipe,
        "seed": 0,
        "train_images": len(images),
        "train_seconds": round(sum(row["seconds"] for row in history.rows), 1),
        "test_elbo": report.elbo,
        "test_kl": report.kl,
        "torch": torch.__version__,
        "threads": n_threads(),
    }
    sha256 = save(FOLDER / f"{name}.safetensors", model, record)
    print(record)
    print(f'sha256="{sha256}"')


if __name__ == "__main__":
    sys.exit(main())
