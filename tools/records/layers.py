"""The study "layers": two layers of codes in 40 and 20 dimensions, in either order.

Each run has the protocol of the study "priors", whose plain model and whose mixture of
the same seeds are what it is compared with: about four minutes of one core.
"""

import time
from typing import NamedTuple

import torch
from torch import Tensor

from tools.records.measures import RUNS, SEEDS
from tools.records.priors import (
    COLD,
    DIGITS,
    N_SAMPLES,
    WARM,
    WIDE,
    WIDE_RECIPE,
    WIDE_RUNS,
    kept,
    summary,
)
from vae_lib.checkpoints import load, save
from vae_lib.data import load_mnist
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.hierarchical import HierarchicalVAE, kl_by_layer
from vae_lib.layered_configs import HierarchicalConfig
from vae_lib.layers import NARROW
from vae_lib.runs import MODEL
from vae_lib.training import set_seed, train

DIMS, WIDTHS = (40, 20), (300, 150)
SPEAKS = 0.05  # nats: a dimension with less on average is silent
BASELINES = ("standard", "mixture")


class Run(NamedTuple):
    """What a run does otherwise than the first."""

    encoder: str = "bottom-up"
    betas: tuple[float, ...] = WARM  # weights of the KL in the first epochs
    free_bits: float = 0.0  # of each top dimension in these epochs
    bare: bool = False  # a ladder as it is without what keeps its gates open
    epochs: int = 34  # after the first


LAYERED_RUNS = {
    "bottom-up": Run(),
    "bottom-up, no warm-up": Run(betas=COLD),
    "ladder": Run("ladder", free_bits=0.2, epochs=31),
    "ladder, no free bits": Run("ladder", epochs=31),
    "ladder, bare": Run("ladder", bare=True, epochs=31),
}


def run() -> dict:
    """Each run against the plain model of its seed, digit by digit."""
    images = load_mnist("train").images
    test = WIDE_RECIPE.as_trained(load_mnist("test").images)
    first, rows = test[:DIGITS], []
    for seed in SEEDS:
        models = {
            name: kept(
                f"wide-{name}-{seed}", WIDE, WIDE_RECIPE, WIDE_RUNS[name], seed, images
            )
            for name in BASELINES
        }
        models |= {
            name: trained(f"{name}-{seed}", how, seed, images, first)
            for name, how in LAYERED_RUNS.items()
        }
        plain = None
        for name, model in models.items():
            log_p_x = log_likelihood(model, first, n_samples=N_SAMPLES)
            plain = log_p_x if plain is None else plain
            report = evaluate_elbo(model, test)._asdict()
            row = {"run": name, "seed": seed} | model.record
            del row["sha256"]
            row |= {key: round(value, 3) for key, value in report.items()}
            row |= {"log_p_x": summary(log_p_x), "lead": summary(log_p_x - plain)}
            rows.append(row)
            print("layers", row, flush=True)
    return {"runs": rows, "short": shortly(images, test)}


def trained(
    name: str, how: Run, seed: int, images: Tensor, some: Tensor
) -> HierarchicalVAE:
    """The model of this run, trained now or already, with its curves."""
    path, cls = RUNS / "layers" / name / MODEL, BareLadder if how.bare else None
    if not path.exists():
        began = time.process_time()
        set_seed(seed)
        config = HierarchicalConfig(DIMS, WIDTHS, encoder=how.encoder)
        model = (cls or HierarchicalVAE).from_data(config, images)
        curve: list[list[float]] = []

        def look(model: HierarchicalVAE) -> None:
            curve.append(rounded(kl_by_layer(model, some)))

        for beta in how.betas:
            options = {"beta": beta, "free_bits": how.free_bits, "save": look}
            train(model, images, WIDE_RECIPE, **options)
        options = {"epochs": how.epochs, "schedule": "cosine", "save": look}
        train(model, images, WIDE_RECIPE, **options)
        seconds = round(time.process_time() - began, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        speak = speaking(model, some)
        record = {"epochs": len(curve), "seconds": seconds, "speaking": speak}
        save(path, model, record | {"curve": curve})
    return load(path, cls=cls)


class BareLadder(HierarchicalVAE):
    """A ladder without the two things that keep its gates open."""

    def __init__(self, config: HierarchicalConfig):
        super().__init__(config)
        for up in self.up:
            del up[-1]  # which normalises
        for guess, J in zip(self.guess[:-1], config.latent_dims, strict=False):
            guess.bias.data[J:] += NARROW


def speaking(model: HierarchicalVAE, images: Tensor) -> list[int]:
    """How many dimensions of each layer cost more than SPEAKS nats on average."""
    fixed = torch.Generator().manual_seed(0)
    eps = torch.randn(len(images), model.noise_dim, generator=fixed)
    with torch.no_grad():
        layers = model.layers(images, eps)
    counts = []
    for z, q, p, _ in layers:
        each = log_density(z, *q) - log_density(z, *p)
        counts.append(int((each.mean(0) > SPEAKS).sum()))
    return counts


def log_density(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Of each dimension (B, J) of a diagonal Gaussian, but for a constant."""
    return -(logvar + (z - mu).square() * torch.exp(-logvar)) / 2


def rounded(values: Tensor) -> list[float]:
    """As a record has them."""
    return [round(value, 3) for value in values.tolist()]


def shortly(images: Tensor, test: Tensor) -> list[dict]:
    """The first two epochs of both orders, which a notebook trains as well."""
    rows = []
    for encoder in ("bottom-up", "ladder"):
        set_seed(SEEDS[0])
        config = HierarchicalConfig(DIMS, WIDTHS, encoder=encoder)
        model = HierarchicalVAE.from_data(config, images)
        train(model, images, WIDE_RECIPE, beta=0.5, free_bits=0.2)
        train(model, images, WIDE_RECIPE, schedule="cosine")
        kls = rounded(kl_by_layer(model, test[:DIGITS]))
        row = {"run": encoder, "elbo": evaluate_elbo(model, test).elbo, "kls": kls}
        rows.append(row)
    return rows
