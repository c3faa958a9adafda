"""Studies of many runs whose results ship: one JSON record each, in vae_lib/records.

    python -m tools.records.studies latent-dimensions beta

Each run is trained on the 60,000 training digits and judged on the test digits. A study
that was stopped goes on with the runs in _build/runs, which `make clean` forgets;
loss-scale, kl-warm-up and the short ones keep none there and begin anew.
"""

import argparse
import sys
from dataclasses import asdict, replace

import torch

from tools.records import (
    animals,
    bits,
    densities,
    gap,
    layers,
    molecule_search,
    molecules,
    priors,
    rivals,
    uses,
)
from tools.records.measures import (
    EXAMPLE,
    EXAMPLE_RECIPE,
    LIKELIHOODS,
    ONE_LAYER,
    PIXELS,
    RECIPE,
    SEEDS,
    judge,
    level_bound,
    noise_std,
    pixels_as,
    report,
    shared,
    squared_error,
    trained,
    write_record,
)
from vae_lib.data import load_mnist
from vae_lib.distributions import reparameterize
from vae_lib.evaluation import active_units
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.training import set_seed, train

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
# The pairs in which no dimension is surplus: how many there are, and the seed.
FEWER = ((20, 0), (10, 0), (10, 1))
WARM_UP_RECIPE = Recipe(epochs=1, lr=2e-3, clip_norm=30.0)

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


def run_warm_up() -> None:
    """The same steps with the KL at its weight from the start, and with a warm-up."""
    results = []
    for seed in SEEDS:
        for epochs in FULL_EPOCHS:
            for run, betas in WARM_UP.items():
                judged = judge(warmed_up(betas, epochs, seed))
                results.append({"run": f"{run}, 5 + {epochs}", "betas": betas} | judged)
                print("kl-warm-up", seed, run, epochs, judged["elbo"], flush=True)
    fewer = [with_fewer(*pair, run) for pair in FEWER for run in WARM_UP]
    write_record("kl-warm-up", {"runs": results, "fewer dimensions": fewer})


def with_fewer(latent_dim: int, seed: int, run: str) -> dict:
    """The shortest run of an arm with so many latent dimensions."""
    epochs, betas = FULL_EPOCHS[0], WARM_UP[run]
    judged = judge(warmed_up(betas, epochs, seed, latent_dim))
    print("kl-warm-up", latent_dim, seed, run, judged["elbo"], flush=True)
    return {"run": f"{run}, 5 + {epochs}", "betas": betas} | judged


def warmed_up(betas: list[float], epochs: int, seed: int, latent_dim: int = 50) -> VAE:
    """A VAE whose KL has these weights in the first epochs, then weight 1."""
    images, recipe = load_mnist("train").images, WARM_UP_RECIPE
    set_seed(seed)
    model = VAE.from_data(VAEConfig(**ONE_LAYER, latent_dim=latent_dim), images)
    for beta in betas:  # a further call goes on with the same weights and moments
        train(model, images, recipe, beta=beta)
    train(model, images, recipe, epochs=epochs, schedule="cosine")
    whole = replace(recipe, epochs=len(betas) + epochs)
    model.record = {"recipe": asdict(whole), "seed": seed, "rows": model.history.rows}
    return model


OTHERS = {
    "animals": animals.run,
    "few-steps": lambda: write_record("few-steps", {"runs": animals.few_steps()}),
    "kl-warm-up": run_warm_up,
    "loss-scale": run_loss_scale,
    "binarizations": run_binarizations,
    "likelihoods": run_likelihoods,
    "code-densities": lambda: write_record("code-densities", {"runs": densities.run()}),
    "few-digits": lambda: write_record(
        "few-digits",
        {"runs": densities.few_digits(), "other digits": densities.other_digits()}
        | {"other thousands": densities.other_thousands()}
        | {"other steps": densities.other_steps()},
    ),
    "gap": lambda: write_record("gap", gap.run()),
    "bits": lambda: write_record("bits", {"runs": bits.run()}),
    "uses": lambda: write_record(
        "uses",
        {"runs": uses.run(), "more holes": uses.more_holes()}
        | {"more planes": uses.more_planes(), "thousands": uses.thousands()}
        | {"more pairs": uses.more_pairs(), "left over": uses.left_overs()}
        | {"more middles": uses.more_middles()},
    ),
    "molecules": lambda: write_record("molecules", {"runs": molecules.run()}),
    "molecule-search": lambda: write_record("molecule-search", molecule_search.run()),
    "priors": lambda: write_record("priors", priors.run()),
    "layers": lambda: write_record("layers", layers.run()),
    "rivals": lambda: write_record("rivals", rivals.run()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*STUDIES, *OTHERS], metavar="NAME")
    for name in parser.parse_args().names or [*STUDIES, *OTHERS]:
        OTHERS[name]() if name in OTHERS else run_study(name)


if __name__ == "__main__":
    sys.exit(main())
