"""What each ingredient of the presets is worth, on a validation split.

    python -m tools.records.recipes [--epochs 5]

Each preset of digits that maximises the ELBO is trained as it is and with one thing
changed, on the first 50,000 training digits, and judged on the last 10,000; the test
set is not touched. The result goes into book/recipes.json, from which performance.py
makes a table.
"""

import argparse
import dataclasses
import json
import sys

from tools.book import BOOK
from vae_lib.checkpoints import PRETRAINED
from vae_lib.data import load_mnist
from vae_lib.evaluation import evaluate_elbo
from vae_lib.guards import NonFiniteLossError
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.training import set_seed, train

RESULT = BOOK / "recipes.json"
N_TRAIN = 50_000
OF_THE_START = {"centred", "seed"}  # what is no argument of train


def changes(config: VAEConfig, recipe: Recipe) -> dict[str, dict]:
    """One change at a time, by its name in the table; none that changes nothing."""
    other = "relu" if config.activation != "relu" else "silu"
    named = {
        "another seed": {"seed": 1},
        "batches of 128": {"batch_size": 128},
        "batches of 512": {"batch_size": 512},
        "half the step size": {"lr": recipe.lr / 2},
        "twice the step size": {"lr": recipe.lr * 2},
        "constant step size": {"schedule": "constant"},
        "no warm-up": {"warmup": 0.0},
        "no clipping": {"clip_norm": None},
        "not centred": {"centred": False},
        f"{other} instead of {config.activation}": {"activation": other},
        "one hidden layer": {"hidden_dims": config.hidden_dims[:1]},
    }
    if recipe.clip_norm is None:
        del named["no clipping"]
    return named


def of_digits_by_the_elbo() -> list[str]:
    """The presets that are tried: five epochs tell little of a tighter bound."""
    return [
        name
        for name, (config, recipe, _, start) in PRETRAINED.items()
        if isinstance(config, VAEConfig) and recipe.objective == "elbo" and not start
    ]


def validation_elbo(preset: str, change: dict, epochs: int) -> float | None:
    """After so many epochs, in nats; None if the loss became infinite or NaN."""
    config, recipe, *_ = PRETRAINED[preset]
    names = {field.name for field in dataclasses.fields(config)}
    config = dataclasses.replace(
        config, **{key: change[key] for key in change.keys() & names}
    )
    rest = {key: change[key] for key in change.keys() - names - OF_THE_START}
    images = load_mnist("train").images
    set_seed(change.get("seed", 0))
    make = VAE.from_data if change.get("centred", True) else lambda c, _: VAE(c)
    model = make(config, images[:N_TRAIN])
    try:
        train(model, images[:N_TRAIN], recipe, **{"epochs": epochs} | rest)
    except NonFiniteLossError:
        return None
    return evaluate_elbo(model, recipe.as_trained(images[N_TRAIN:])).elbo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    epochs = parser.parse_args().epochs
    n_validation = len(load_mnist("train").images) - N_TRAIN
    result = {"train_images": N_TRAIN, "validation_images": n_validation}
    result |= {"epochs": epochs, "presets": {}}
    for preset in of_digits_by_the_elbo():
        config, recipe, *_ = PRETRAINED[preset]
        best, worse_by = validation_elbo(preset, {}, epochs), {}
        for name, change in changes(config, recipe).items():
            found = validation_elbo(preset, change, epochs)
            worse_by[name] = found and best - found
            print(preset, name, worse_by[name], flush=True)
        result["presets"][preset] = {"validation_elbo": best, "worse_by": worse_by}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
