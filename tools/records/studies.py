"""Studies of many runs whose results ship: one JSON record each, in vae_lib/records.

    python -m tools.records.studies latent-dimensions beta

Each run is trained on the 60,000 training digits and judged on the test digits. A study
that was stopped goes on with the runs in _build/runs, which `make clean` forgets;
loss-scale, kl-warm-up and the short ones keep none there and begin anew.
"""

import argparse
import json
import math
import platform
import sys
from dataclasses import asdict, replace

import torch
from torch import Tensor

from tools.book import BUILD
from tools.records import bits, densities, gap, uses
from vae_lib import recipes
from vae_lib.checkpoints import load, write_atomically
from vae_lib.data import binarize, load_mnist
from vae_lib.distributions import reparameterize
from vae_lib.evaluation import active_units, evaluate_elbo
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.records import FOLDER
from vae_lib.runs import MODEL, train_run
from vae_lib.threads import n_threads
from vae_lib.training import set_seed, train

RUNS = BUILD / "runs"
SEEDS = (0, 1, 2)

# The network of Kingma & Welling (2014), Figure 2: one hidden layer of 500 tanh units.
ONE_LAYER = {"hidden_dims": (500,), "activation": "tanh"}
RECIPE = Recipe(epochs=20, lr=4e-3, schedule="cosine", warmup=0.5, clip_norm=30.0)
# By study: the runs' names, and what config and recipe change in each.
STUDIES = {
    "latent-dimensions": {
        f"J{dim}": ({"latent_dim": dim}, {}) for dim in (2, 3, 5, 10, 20, 200)
    },
    # One of these over fewer epochs, short enough to be trained again in a notebook.
    "latent-dimensions-short": {"J10": ({"latent_dim": 10}, {"epochs": 4})},
    "beta": {
        f"beta{beta}": ({"latent_dim": 20}, {"beta": beta})
        for beta in (0.1, 0.3, 3.0, 10.0)  # 1 is J20 above
    },
}

# By run, the weight of the KL in each of the first epochs; so many more have weight 1.
WARM_UP = {"constant": [1.0] * 5, "warm-up": [k / 6 for k in range(1, 6)]}
FULL_EPOCHS = (5, 10, 25)
WARM_UP_RECIPE = Recipe(epochs=1, lr=2e-3, clip_norm=30.0)

# The network and the recipe of the VAE in github.com/pytorch/examples, half as long.
EXAMPLE = {"latent_dim": 20, "hidden_dims": (400,)}
EXAMPLE_RECIPE = Recipe(epochs=5, lr=1e-3)
# What each network of "binarizations" is trained on; "dynamic" draws bits anew.
PIXELS = ("grey", "threshold", "static", "dynamic")
LIKELIHOODS = {  # by run, what the config changes
    "gaussian-half": {"likelihood": "gaussian", "noise_std": math.sqrt(0.5)},
    "gaussian-learned": {
        "likelihood": "gaussian",
        "learn_noise": True,
        "noise_std": 0.2,
    },
    "continuous-bernoulli": {"likelihood": "continuous_bernoulli"},
}
# The network and the recipe of github.com/vilhess/codes, folder vae.
PLANE = {"latent_dim": 2, "hidden_dims": (512, 256)}
PLANE_RECIPE = Recipe(epochs=20, lr=3e-4)


def run_study(name: str) -> None:
    """Train and judge every run of this study for each seed; write its record."""
    results = []
    for run, (network, changes) in STUDIES[name].items():
        for seed in SEEDS:
            config = VAEConfig(**ONE_LAYER | network)
            recipe = replace(RECIPE, **changes)
            model = trained(f"{name}/{run}-seed{seed}", config, recipe, seed)
            results.append({"run": run, **judge(model)})
            print(name, run, seed, round(results[-1]["elbo"], 2), flush=True)
    write_record(name, {"runs": results})


def trained(
    folder: str,
    config: VAEConfig,
    recipe: Recipe,
    seed: int,
    images: Tensor | None = None,
) -> VAE:
    """The model of this run, trained now or already, with its record.

    images are the training digits, grey, unless they are given.
    """
    images = load_mnist("train").images if images is None else images
    run = RUNS / folder
    train_run(run, images, config, recipe, seed=seed, resume=True)
    return load(run / MODEL)


@torch.no_grad()
def judge(model: VAE) -> dict:
    """Setup and result of a trained run: test ELBO, KL by dimension, active units."""
    recipe = recipes.from_file(model.record["recipe"])
    images = recipe.as_trained(load_mnist("test").images)
    mu, logvar = model.encode(images)
    kl = 0.5 * (mu.square() + torch.expm1(logvar) - logvar).mean(0)  # (J,)
    return {
        "config": asdict(model.config),
        "recipe": asdict(recipe),
        "seed": model.record["seed"],
        **evaluate_elbo(model, images)._asdict(),
        "kl_per_dimension": [round(x, 5) for x in kl.tolist()],
        "active_units": active_units(model, images),
        "seconds": round(sum(row["seconds"] for row in model.record["rows"]), 1),
    }


def run_binarizations() -> None:
    """One network trained on each kind of pixels and judged on each kind."""
    grey, test, results = load_mnist("train").images, load_mnist("test").images, []
    for seed in SEEDS:
        for kind in PIXELS:
            dynamic = {"binarization": "sample"} if kind == "dynamic" else {}
            images = grey if dynamic else pixels_as(kind, grey)
            recipe = replace(EXAMPLE_RECIPE, **dynamic)
            folder = f"binarizations/{kind}-seed{seed}"
            model = trained(folder, VAEConfig(**EXAMPLE), recipe, seed, images)
            seen = pixels_as(kind, grey[:10_000])
            judged = {on: pixels_as(on, test) for on in ("grey", "threshold", "static")}
            results.append(
                {"run": kind, "seed": seed, **shared(model)}
                | {"test": {on: report(model, x) for on, x in judged.items()}}
                | {"train": report(model, seen)}
                | {"squared_error": squared_error(model, test)}
                | {"active_units": active_units(model, test)}
            )
            print("binarizations", results[-1], flush=True)
        write_record("binarizations", {"runs": results})


def pixels_as(kind: str, images: Tensor) -> Tensor:
    """Images as they are, over a threshold, or one draw of bits, always the same."""
    if kind == "grey":
        return images
    if kind == "threshold":
        return binarize(images)
    return binarize(images, "sample", generator=torch.Generator().manual_seed(0))


def run_likelihoods() -> None:
    """One network under several likelihoods of grey pixels."""
    test, results = load_mnist("test").images, []
    for seed in SEEDS:
        for run, network in LIKELIHOODS.items():
            config = VAEConfig(**EXAMPLE | network)
            model = trained(
                f"likelihoods/{run}-seed{seed}", config, EXAMPLE_RECIPE, seed
            )
            results.append(
                {"run": run, "seed": seed, **shared(model), "test": report(model, test)}
                | {"levels": level_bound(model, test), "noise_std": noise_std(model)}
                | {"squared_error": squared_error(model, test)}
                | {"active_units": active_units(model, test)}
            )
            print("likelihoods", results[-1], flush=True)
        write_record("likelihoods", {"runs": results})


def run_loss_scale() -> None:
    """A plane of codes with the KL at its weight, and divided by the batch size."""
    digits, test, results = load_mnist("train"), load_mnist("test").images, []
    of_each = [(digits.labels == digit).nonzero()[:100, 0] for digit in range(10)]
    drawn = digits.images[torch.cat(of_each)]  # (1000, D), a hundred of each digit
    for seed in SEEDS:
        for beta in (1.0, 1 / 128):
            set_seed(seed)
            model = VAE(VAEConfig(**PLANE))
            train(model, digits.images, PLANE_RECIPE, beta=beta)
            mu, logvar = (part.detach() for part in model.encode(drawn))
            z = reparameterize(mu, logvar, generator=torch.Generator().manual_seed(0))
            codes = [[round(x, 2) for x in code] for code in z.tolist()]
            results.append(
                {"run": f"beta{beta:g}", "beta": beta, "seed": seed, **shared(model)}
                | {"test": report(model, test)}
                | {"median_std": logvar.div(2).exp().median().item()}
                | {"codes": codes if seed == 0 else codes[::10]}
            )
            print("loss-scale", results[-1] | {"codes": 0}, flush=True)
        write_record("loss-scale", {"runs": results})


def shared(model: VAE) -> dict:
    """What training itself reports: a row for each epoch, rounded, and the seconds."""
    rows = model.history.rows if model.history else model.record["rows"]
    kept = ("elbo", "log_p_x_given_z", "kl")
    by_epoch = [[round(row[key], 3) for key in kept] for row in rows]
    seconds = round(sum(row["seconds"] for row in rows), 1)
    return {"by_epoch": by_epoch, "seconds": seconds}


def report(model: VAE, images: Tensor) -> dict:
    """The ELBO and its parts on these images, rounded to a hundredth of a nat."""
    terms = evaluate_elbo(model, images)._asdict()
    return {key: round(value, 2) for key, value in terms.items()}


def noise_std(model: VAE) -> float | None:
    """Standard deviation s of a Gaussian likelihood."""
    return getattr(model.likelihood, "noise_std", None)


@torch.no_grad()
def squared_error(model: VAE, images: Tensor) -> float:
    """Mean over pixels of the squared error of E[x|z] at the mean code."""
    errors = images - model.mean_image(model.encode(images)[0])
    return errors.square().mean().item()


def level_bound(model: VAE, images: Tensor) -> float:
    """ELBO of the 256 grey levels instead of a density, in nats per image."""
    return round(level_bounds(model, images).mean().item(), 2)


@torch.no_grad()
def level_bounds(model: VAE, images: Tensor) -> Tensor:
    """The same of each image, (N,)."""
    generator, found = torch.Generator().manual_seed(0), []
    for x in images.split(1000):
        output = model(x, generator=generator)
        log_p = level_log_prob(x, output.x_params, noise_std(model))
        found.append(log_p - output.kl)
    return torch.cat(found)


def level_log_prob(x: Tensor, x_params: Tensor, std: float | None) -> Tensor:
    """Log probability of the cells of [0, 1], 256 of equal width, that hold x (B, D).

    Under a Gaussian of this std, whose outermost cells are open, or for std None under
    the continuous Bernoulli.
    """
    level, x_params = (255 * x.double()).round(), x_params.double()
    if std is None:
        # The distribution function is expm1(l x) / expm1(l); it is mirrored for l < 0.
        level = torch.where(x_params > 0, level, 255 - level)
        size = x_params.abs().clamp(min=1e-6)
        log_cell = torch.expm1(size / 256).log() - size - torch.log1p(-torch.exp(-size))
        return (size * level / 256 + log_cell).sum(-1)
    low, high = (level / 256 - x_params) / std, ((level + 1) / 256 - x_params) / std
    low = torch.where(level == 0, -torch.inf, low)
    high = torch.where(level == 255, torch.inf, high)
    # In the lower tail, where differences keep their digits.
    low, high = (
        torch.where(low + high > 0, -high, low),
        torch.where(low + high > 0, -low, high),
    )
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    return (log_high + torch.log1p(-torch.exp(log_low - log_high))).sum(-1)


def run_warm_up() -> None:
    """The same steps with the KL at its weight from the start, and with a warm-up."""
    results = []
    for seed in SEEDS:
        for epochs in FULL_EPOCHS:
            for run, betas in WARM_UP.items():
                judged = judge(warmed_up(betas, epochs, seed))
                results.append({"run": f"{run}, 5 + {epochs}", "betas": betas} | judged)
                print("kl-warm-up", seed, run, epochs, judged["elbo"], flush=True)
        write_record("kl-warm-up", {"runs": results})


def warmed_up(betas: list[float], epochs: int, seed: int) -> VAE:
    """A VAE with 50 latent dimensions whose KL has these weights, then weight 1."""
    images, recipe = load_mnist("train").images, WARM_UP_RECIPE
    set_seed(seed)
    model = VAE.from_data(VAEConfig(**ONE_LAYER, latent_dim=50), images)
    for beta in betas:  # a further call goes on with the same weights and moments
        train(model, images, recipe, beta=beta)
    train(model, images, recipe, epochs=epochs, schedule="cosine")
    whole = replace(recipe, epochs=len(betas) + epochs)
    model.record = {"recipe": asdict(whole), "seed": seed, "rows": model.history.rows}
    return model


def run_animals() -> None:
    """What holds of digits, tried on other pictures."""
    from tools.records import animals  # which builds on this module

    animals.run()


OTHERS = {
    "animals": run_animals,
    "kl-warm-up": run_warm_up,
    "loss-scale": run_loss_scale,
    "binarizations": run_binarizations,
    "likelihoods": run_likelihoods,
    "code-densities": lambda: write_record("code-densities", {"runs": densities.run()}),
    "gap": lambda: write_record("gap", gap.run()),
    "bits": lambda: write_record("bits", {"runs": bits.run()}),
    "uses": lambda: write_record("uses", {"runs": uses.run()}),
}


def write_record(name: str, result: dict, command: str = "") -> None:
    """Write vae_lib/records/NAME.json: the result and what it came from."""
    made_by = {
        "command": command or f"python -m tools.records.studies {name}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": n_threads(),
    }
    content = json.dumps(made_by | result, indent=1) + "\n"
    write_atomically(FOLDER / f"{name}.json", content.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*STUDIES, *OTHERS], metavar="NAME")
    for name in parser.parse_args().names or [*STUDIES, *OTHERS]:
        OTHERS[name]() if name in OTHERS else run_study(name)


if __name__ == "__main__":
    sys.exit(main())
