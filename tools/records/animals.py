"""The study "animals": what the book finds on digits, tried on other pictures.

The networks and recipes are those of the chapters. There are 7,716 training animals
and 60,000 training digits, so that an epoch has 61 steps instead of 469: the study of
dimensions is made for as many epochs as with digits, and for as many steps.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from tools.records import measures
from vae_lib.animals import load_animals
from vae_lib.data import load_mnist
from vae_lib.evaluation import active_units
from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import elbo
from vae_lib.recipes import Recipe
from vae_lib.training import set_seed

DIMS, EPOCHS = (2, 5, 10, 20, 50, 200), 20  # 1,220 steps
SHORT_DIMS, SHORT_EPOCHS = (20,), 5  # short enough to be trained again in a notebook
FEW_DIMS = (20, 200)
MOST_DIGITS, MOST_EPOCHS = 52_096, 3  # 1,221 steps: nearly seven times the pictures
LONG_EPOCHS, LONG_SEEDS = 154, (0,)  # 9,394 steps; digits have 9,380
BETAS = (0.1, 0.3, 3.0, 10.0)  # 1 is the run with 20 dimensions
# 1,220 steps as well, about half of those of the digits.
EXAMPLE_RECIPE = replace(measures.EXAMPLE_RECIPE, epochs=EPOCHS)
EARLY = 8  # epochs; the step size is constant, so these runs begin as longer ones do
# The plane of chapter 7, early: 980 steps with digits, 992 with animals.
PLANE = VAEConfig(2, hidden_dims=(192, 128, 128, 128), activation="silu")
PLANE_RECIPE = Recipe(5, 256, 3e-3, schedule="cosine", warmup=0.5, clip_norm=30.0)
PLANE_EPOCHS = {"digits": 5, "animals": 32}
N_KEPT = 1000  # codes of the plane that the record holds


def run() -> None:
    """Every part of the study, for three seeds; the record grows part by part."""
    parts = {
        "dimensions": lambda seed: dimensions(seed, DIMS, EPOCHS),
        "short": lambda seed: dimensions(seed, SHORT_DIMS, SHORT_EPOCHS),
        "beta": betas,
        "few-digits": lambda seed: dimensions(seed, FEW_DIMS, EPOCHS, "digits"),
        "plane": planes,
        "long": long,
        "binarizations": binarizations,
        "likelihoods": likelihoods,
    }
    result = {}
    for name, part in parts.items():
        result[name] = []
        for seed in LONG_SEEDS if name == "long" else measures.SEEDS:
            result[name] += [{"seed": seed, **row} for row in part(seed)]
            print("animals", name, seed, result[name][-1] | {"codes": 0}, flush=True)
        measures.write_record("animals", result)


def trained(run: str, network: dict, recipe: Recipe, seed: int, images: Tensor) -> VAE:
    """The model of this run, trained now or already."""
    folder, config = f"animals/{run}-seed{seed}", VAEConfig(**network)
    return measures.trained(folder, config, recipe, seed, images)


def pictures(kind: str) -> tuple[Tensor, Tensor]:
    """Training and test images, of digits as many as of animals, or most of them."""
    seen, test = load_animals().images, load_animals("test").images
    if kind == "animals":
        return seen, test
    n_seen = MOST_DIGITS if kind == "most-digits" else len(seen)
    digits, test_digits = load_mnist("train").images, load_mnist("test").images
    return digits[:n_seen], test_digits[: len(test)]


def one_layer(
    latent_dim: int, seed: int, epochs: int, beta: float = 1.0, kind: str = "animals"
) -> VAE:
    """The network of the study of dimensions, trained on these pictures."""
    network = measures.ONE_LAYER | {"latent_dim": latent_dim}
    recipe = replace(measures.RECIPE, epochs=epochs, beta=beta)
    run = f"{kind}-J{latent_dim}-beta{beta:g}-epochs{epochs}"
    return trained(run, network, recipe, seed, pictures(kind)[0])


def dimensions(
    seed: int, dims: tuple[int, ...], epochs: int, kind: str = "animals"
) -> list[dict]:
    """By the number of dimensions; leads are over twenty."""
    seen, test = pictures(kind)
    reference = bounds(one_layer(20, seed, epochs, kind=kind), test)
    rows = []
    for dim in dims:
        model = one_layer(dim, seed, epochs, kind=kind)
        rows.append({"run": f"J{dim}", **judge(model, seen, test, reference)})
    return rows


def few_steps() -> list[dict]:
    """What each dimension costs after some 1,220 steps, and in one run after 9,394.

    Only the runs on most digits are not in the record "animals", which has no prices.
    """
    trainings = {"animals": EPOCHS, "digits": EPOCHS, "most-digits": MOST_EPOCHS}
    runs = [
        (seed, kind, dim, epochs)
        for seed in measures.SEEDS
        for kind, epochs in trainings.items()
        for dim in FEW_DIMS
    ]
    runs += [(seed, "animals", 200, LONG_EPOCHS) for seed in LONG_SEEDS]
    return [priced(*run) for run in runs]


def priced(seed: int, kind: str, dim: int, epochs: int) -> dict:
    """Setup and result of a run; its lead is over 20 dimensions after few steps."""
    seen, test = pictures(kind)
    twenty = one_layer(20, seed, min(epochs, EPOCHS), kind=kind)
    model = one_layer(dim, seed, epochs, kind=kind)
    set_seed(seed)
    start = VAE.from_data(model.config, seen)
    row = {
        "run": f"{kind}, J{dim}",
        "seed": seed,
        "n_images": len(seen),
        "steps": epochs * math.ceil(len(seen) / measures.RECIPE.batch_size),
        **judge(model, seen, test, bounds(twenty, test)),
        "kl_per_dimension": measures.kl_per_dimension(model, test),
        "active_at_start": active_units(start, test),
    }
    print("few-steps", row | {"kl_per_dimension": 0}, flush=True)
    return row


def long(seed: int) -> list[dict]:
    """200 dimensions for as many steps as digits; the lead is over as many epochs."""
    seen, test = pictures("animals")
    reference = bounds(one_layer(200, seed, EPOCHS), test)
    model = one_layer(200, seed, LONG_EPOCHS)
    return [{"run": "J200", **judge(model, seen, test, reference)}]


def betas(seed: int) -> list[dict]:
    """By the weight of the KL, with 20 dimensions; leads are over weight 1."""
    seen, test = pictures("animals")
    reference, rows = bounds(one_layer(20, seed, EPOCHS), test), []
    for beta in BETAS:
        model = one_layer(20, seed, EPOCHS, beta)
        rows.append({"run": f"beta{beta}", **judge(model, seen, test, reference)})
    return rows


def binarizations(seed: int) -> list[dict]:
    """One network trained on each kind of pixels, judged on each; leads over static."""
    grey, test = load_animals().images, load_animals("test").images
    models = {}
    for kind in measures.PIXELS:
        dynamic = {"binarization": "sample"} if kind == "dynamic" else {}
        images = grey if dynamic else measures.pixels_as(kind, grey)
        recipe = replace(EXAMPLE_RECIPE, **dynamic)
        models[kind] = trained(kind, measures.EXAMPLE, recipe, seed, images)
    rows = []
    for kind, model in models.items():
        row = {"run": kind, "test": {}, "lead": {}}
        for on in ("grey", "threshold", "static"):
            pixels = measures.pixels_as(on, test)
            found = bounds(model, pixels)
            row["test"][on] = mean_and_error(found)
            row["lead"][on] = mean_and_error(found - bounds(models["static"], pixels))
        seen = bounds(model, measures.pixels_as(kind, grey[: len(test)]))
        row |= {"seen": mean_and_error(seen)[0], **early(model)}
        rows.append(row | {"active_units": active_units(model, test)})
    return rows


def likelihoods(seed: int) -> list[dict]:
    """One network under several likelihoods; leads in levels are over fixed noise."""
    grey, test, rows, first = load_animals().images, load_animals("test").images, [], 0
    for run, network in measures.LIKELIHOODS.items():
        model = trained(run, measures.EXAMPLE | network, EXAMPLE_RECIPE, seed, grey)
        levels = measures.level_bounds(model, test)
        first = levels if not rows else first
        row = {"density": mean_and_error(bounds(model, test))}
        row |= {"levels": mean_and_error(levels), "kl": mean_kl(model, test)}
        row |= {"lead": mean_and_error(levels - first)}
        row |= {"squared_error": measures.squared_error(model, test)}
        row |= {"noise_std": measures.noise_std(model)}
        row |= {"active_units": active_units(model, test), **early(model)}
        rows.append({"run": run, **row})
    return rows


def planes(seed: int) -> list[dict]:
    """How often the nearest code of the plane is of the same kind, 2,000 test images.

    Of the animals the record keeps some codes and labels as well.
    """
    rows = []
    for name, load in (("digits", load_mnist), ("animals", load_animals)):
        images = load("train").images[:50_000]
        recipe = replace(PLANE_RECIPE, epochs=PLANE_EPOCHS[name])
        folder = f"animals/plane-{name}-seed{seed}"
        model = measures.trained(folder, PLANE, recipe, seed, images)
        test, labels = (part[:2000] for part in load("test"))
        codes = model.encode(test)[0].detach()
        same = of_one_kind(codes, labels)
        row = {"run": name, "same_kind": mean_and_error(same)}
        row |= {"elbo": mean_and_error(bounds(model, test))}
        row |= {"pixels_same_kind": mean_and_error(of_one_kind(test, labels))}
        if name == "animals" and seed == 0:
            row["codes"] = [[round(x, 2) for x in z] for z in codes[:N_KEPT].tolist()]
        rows.append(row)
    return rows


def of_one_kind(codes: Tensor, labels: Tensor) -> Tensor:
    """Whether the nearest of the other codes has the same label, (N,)."""
    distances = torch.cdist(codes, codes).fill_diagonal_(torch.inf)
    return (labels[distances.argmin(1)] == labels).double()


def judge(model: VAE, seen: Tensor, test: Tensor, reference: Tensor) -> dict:
    """Test ELBO with its error, lead over the reference, ELBO on images seen, KL."""
    found = bounds(model, test)
    return {
        "elbo": mean_and_error(found),
        "lead": mean_and_error(found - reference),
        "seen": mean_and_error(bounds(model, seen[: len(test)]))[0],
        "kl": mean_kl(model, test),
        "active_units": active_units(model, test),
        "seconds": round(sum(row["seconds"] for row in model.record["rows"]), 1),
    }


def early(model: VAE) -> dict:
    """The training ELBO of the epoch up to which notebooks train it again."""
    return {"early_elbo": round(model.record["rows"][EARLY - 1]["elbo"], 3)}


@torch.no_grad()
def bounds(model: VAE, images: Tensor) -> Tensor:
    """The ELBO of each image (N,), from the same draws each time."""
    generator = torch.Generator().manual_seed(0)
    outputs = [model(x, generator=generator) for x in images.split(1000)]
    return torch.cat([elbo(o.log_p_x_given_z, o.kl) for o in outputs]).double()


@torch.no_grad()
def mean_kl(model: VAE, images: Tensor) -> float:
    """The KL in nats, averaged over the images."""
    return round(model(images).kl.mean().item(), 2)


def mean_and_error(values: Tensor) -> list[float]:
    """The mean of the values (N,) and its standard error."""
    error = values.std().item() / math.sqrt(len(values))
    return [round(values.mean().item(), 3), round(error, 3)]
