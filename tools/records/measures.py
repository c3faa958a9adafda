"""What several studies share: networks, recipes, runs, and how a model is judged."""

import json
import math
import platform
from dataclasses import asdict

import torch
from torch import Tensor

from tools.book import BUILD
from vae_lib import recipes
from vae_lib.checkpoints import load, write_atomically
from vae_lib.data import binarize, load_mnist
from vae_lib.domains import require
from vae_lib.doors import check_gaussian
from vae_lib.evaluation import active_units, evaluate_elbo
from vae_lib.models import VAE, VAEConfig
from vae_lib.priors import StandardNormal
from vae_lib.recipes import Recipe
from vae_lib.records import FOLDER
from vae_lib.runs import MODEL, train_run
from vae_lib.threads import n_threads

RUNS = BUILD / "runs"
SEEDS = (0, 1, 2)
# The network of Kingma & Welling (2014), Figure 2: one hidden layer of 500 tanh units.
ONE_LAYER = {"hidden_dims": (500,), "activation": "tanh"}
RECIPE = Recipe(epochs=20, lr=4e-3, schedule="cosine", warmup=0.5, clip_norm=30.0)
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


def judge(model: VAE) -> dict:
    """Setup and result of a trained run: test ELBO, KL by dimension, active units."""
    recipe = recipes.from_file(model.record["recipe"])
    images = recipe.as_trained(load_mnist("test").images)
    return {
        "config": asdict(model.config),
        "recipe": asdict(recipe),
        "seed": model.record["seed"],
        **evaluate_elbo(model, images)._asdict(),
        "kl_per_dimension": kl_per_dimension(model, images),
        "active_units": active_units(model, images),
        "seconds": round(sum(row["seconds"] for row in model.record["rows"]), 1),
    }


@torch.no_grad()
def kl_per_dimension(model: VAE, images: Tensor) -> list[float]:
    """What each dimension costs, in nats, averaged over the images.

    Raises ValueError unless q is the encoder's Gaussian and the prior N(0, I).
    """
    check_gaussian(model, "the KL of each dimension")
    standard = isinstance(model.prior, StandardNormal)
    require(
        standard, "the prior 'standard' for the KL of each dimension", type(model.prior)
    )
    mu, logvar = model.encode(images)
    kl = 0.5 * (mu.square() + torch.expm1(logvar) - logvar).mean(0)  # (J,)
    return [round(x, 5) for x in kl.tolist()]


def pixels_as(kind: str, images: Tensor) -> Tensor:
    """Images as they are, over a threshold, or one draw of bits, always the same."""
    if kind == "grey":
        return images
    if kind == "threshold":
        return binarize(images)
    return binarize(images, "sample", generator=torch.Generator().manual_seed(0))


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
