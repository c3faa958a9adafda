"""The study "priors": richer priors in the plane, posteriors too in 40 dimensions.

In 40 dimensions each model has as many epochs as take it about the same processor time,
and is judged by importance weighting on a thousand test digits; in the plane all have
the same epochs. The KL is warmed up alike in all of them, for where it is drawn it may
die at once; the plain model is trained without that, too.
"""

import math
import time
from dataclasses import asdict

from torch import Tensor

from tools.records.measures import RUNS, SEEDS
from vae_lib.checkpoints import PRETRAINED, load, save
from vae_lib.data import load_mnist
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.runs import MODEL
from vae_lib.training import set_seed, train

PLAIN, DIGITS, N_SAMPLES = "standard", 1000, 1000
WARM, COLD = (1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6), (1.0,) * 5  # weights of the KL

Run = tuple[dict, tuple[float, ...], int]
# By run: what the config changes, the weights of the KL in the first epochs, and how
# many epochs follow: about 240 seconds of one core in all.
WIDE = VAEConfig(latent_dim=40, hidden_dims=(300, 300))
WIDE_RECIPE = Recipe(epochs=1, lr=2e-3, clip_norm=30.0, binarization="sample")
WIDE_RUNS: dict[str, Run] = {
    PLAIN: ({}, WARM, 37),
    "standard, no warm-up": ({}, COLD, 37),
    "mixture": ({"prior": "mixture", "n_components": 100}, WARM, 37),
    "vamp": ({"prior": "vamp", "n_components": 100}, WARM, 28),
    "flow": ({"prior": "flow"}, WARM, 34),
    "planar": ({"posterior": "planar"}, WARM, 32),
    "iaf": ({"posterior": "iaf"}, WARM, 34),
}
SHORT = (PLAIN, "mixture")  # two epochs of each, which a notebook trains as well

PLANE = PRETRAINED["mnist-2d"].config
PLANE_RECIPE = Recipe(epochs=1, batch_size=256, lr=3e-3, clip_norm=30.0)
PLANE_RUNS: dict[str, Run] = {
    PLAIN: ({}, WARM, 15),
    "mixture": ({"prior": "mixture", "n_components": 50}, WARM, 15),
    "vamp": ({"prior": "vamp", "n_components": 50}, WARM, 15),
    "flow": ({"prior": "flow", "n_couplings": 8}, WARM, 15),
}


def run() -> dict:
    """Both comparisons, and the first epochs of two models."""
    images = load_mnist("train").images
    short = [shortly(name, images) for name in SHORT]
    return {"wide": wide(images), "plane": plane(images), "short": short}


def wide(images: Tensor) -> list[dict]:
    """Each model of 40 dimensions, against the plain one of its seed.

    "log_p_x" and "lead", digit by digit, are means with their standard errors; "gap" is
    what the bound leaves out on the same digits.
    """
    test = WIDE_RECIPE.as_trained(load_mnist("test").images)
    rows = []
    for seed in SEEDS:
        plain = None
        for name, run in WIDE_RUNS.items():
            model = kept(f"wide-{name}-{seed}", WIDE, WIDE_RECIPE, run, seed, images)
            first = test[:DIGITS]
            log_p_x = log_likelihood(model, first, n_samples=N_SAMPLES)
            plain = log_p_x if plain is None else plain
            row = judged(name, run, seed, model, test)
            row |= {"log_p_x": summary(log_p_x), "lead": summary(log_p_x - plain)}
            row["gap"] = round(row["log_p_x"][0] - evaluate_elbo(model, first).elbo, 3)
            rows.append(row)
            print("priors", row, flush=True)
    return rows


def plane(images: Tensor) -> list[dict]:
    """Each model of the plane, with its bound and its farthest code.

    Not with log p(x): a sum over a grid as wide as these codes reach takes hours.
    """
    test, rows = load_mnist("test").images, []
    for seed in SEEDS:
        for name, run in PLANE_RUNS.items():
            model = kept(f"plane-{name}-{seed}", PLANE, PLANE_RECIPE, run, seed, images)
            row = judged(name, run, seed, model, test)
            row["farthest"] = round(model.encode(test)[0].abs().max().item(), 1)
            rows.append(row)
            print("priors", row, flush=True)
    return rows


def judged(name: str, run: Run, seed: int, model: VAE, test: Tensor) -> dict:
    """What was trained, for how long, and the bound's parts on all test digits."""
    _, betas, epochs = run
    terms = {k: round(v, 3) for k, v in evaluate_elbo(model, test)._asdict().items()}
    trained = {"epochs": len(betas) + epochs, "seconds": model.record["seconds"]}
    return {"run": name, "seed": seed} | trained | terms


def summary(values: Tensor) -> list[float]:
    """Mean and its standard error."""
    error = values.std().item() / math.sqrt(len(values))
    return [round(values.mean().item(), 3), round(error, 3)]


def kept(
    name: str, base: VAEConfig, recipe: Recipe, run: Run, seed: int, images: Tensor
) -> VAE:
    """The model of this run, trained now or already, with its processor seconds."""
    path, (changes, betas, epochs) = RUNS / "priors" / name / MODEL, run
    if not path.exists():
        began = time.process_time()
        config = VAEConfig(**asdict(base) | changes)
        model = made(config, recipe, betas, epochs, seed, images)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, model, {"seconds": round(time.process_time() - began, 1)})
    return load(path)


def shortly(name: str, images: Tensor) -> dict:
    """The bound of this model after two epochs, the KL at half weight in the first."""
    config = VAEConfig(**asdict(WIDE) | WIDE_RUNS[name][0])
    model = made(config, WIDE_RECIPE, (0.5,), 1, SEEDS[0], images)
    test = WIDE_RECIPE.as_trained(load_mnist("test").images)
    return {"run": name, "seed": SEEDS[0]} | evaluate_elbo(model, test)._asdict()


def made(
    config: VAEConfig,
    recipe: Recipe,
    betas: tuple[float, ...],
    epochs: int,
    seed: int,
    images: Tensor,
) -> VAE:
    """A model whose KL has these weights in the first epochs, then weight 1.

    The step size falls along a cosine over those that follow.
    """
    set_seed(seed)
    model = VAE.from_data(config, images)
    for beta in betas:  # a further call goes on with the same weights and moments
        train(model, images, recipe, beta=beta)
    train(model, images, recipe, epochs=epochs, schedule="cosine")
    return model
