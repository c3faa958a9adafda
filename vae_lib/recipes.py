"""How a model is trained: epochs, step size, objective and the rest, as one thing."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from vae_lib.data import binarize
from vae_lib.domains import number, one_of, require, whole

SCHEDULES, OBJECTIVES = ("constant", "cosine"), ("elbo", "iwae")
BITS, GRADIENTS = ("none", "sample"), ("total", "path")


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes how ``training.train`` trains a model.

    Args:
        epochs: passes over the images. Raise it first, while the validation ELBO rises.
        batch_size: images per step; an epoch's last batch may be smaller.
        lr: Adam's step size, at its highest. Lower it where the loss jumps or is NaN.
        schedule: "constant", or "cosine" for a fall to zero over the epochs, where
            their number is settled beforehand.
        warmup: epochs over which the step size first rises from zero, linearly; with
            more than epochs it does not reach lr. For a high lr.
        beta: weight of the KL in the "elbo" objective; "iwae" takes none.
        objective: "elbo", or "iwae" for the importance-weighted bound.
        n_samples: draws of z per image and step. More of them tighten the "iwae"
            bound; of the "elbo" they only quieten the gradient.
        binarization: "none", or "sample" for fresh random bits in each batch.
        clip_norm: upper limit on the gradient's norm; None for no limit. A guard
            against a rare wild batch where lr is high.
        free_bits: nats of KL that each dimension of z has for nothing in the "elbo"
            objective; see ``objectives.kl_beyond``. For a decoder that ignores z. Of
            several codes it is the top one that has them.
        gradient: "total", or "path" for an estimate of the same gradient that leaves
            out the score of q; see ``objectives.without_score``. It is quieter the
            nearer q is to the posterior, so for the later part of a long training.

    Numbers of numpy and torch become Python's own. Raises ValueError if a value is out
    of range, or if the objective ignores it.
    """

    epochs: int
    batch_size: int = 128
    lr: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.0
    beta: float = 1.0
    objective: str = "elbo"
    n_samples: int = 1
    binarization: str = "none"
    clip_norm: float | None = None
    free_bits: float = 0.0
    gradient: str = "total"

    def __post_init__(self) -> None:
        sound = {
            "epochs": whole("epochs", self.epochs),
            "batch_size": whole("batch_size", self.batch_size),
            "lr": number("lr", self.lr, above=0),
            "schedule": one_of("schedule", self.schedule, SCHEDULES),
            "warmup": number("warmup", self.warmup, least=0),
            "beta": number("beta", self.beta, least=0),
            "objective": one_of("objective", self.objective, OBJECTIVES),
            "n_samples": whole("n_samples", self.n_samples),
            "binarization": one_of("binarization", self.binarization, BITS),
            "free_bits": number("free_bits", self.free_bits, least=0),
            "gradient": one_of("gradient", self.gradient, GRADIENTS),
        }
        if self.clip_norm is not None:
            norm = number("clip_norm", self.clip_norm, above=0, or_else="None")
            sound["clip_norm"] = norm
        for name, plain in {"beta": 1, "free_bits": 0}.items():  # a bound without KL
            fits = sound["objective"] == "elbo" or sound[name] == plain
            require(fits, f"{name} = {plain} with the objective 'iwae'", sound[name])
        closed = sound["free_bits"] == 0 or sound["gradient"] == "total"
        require(closed, "free_bits = 0 with the gradient 'path'", self.free_bits)
        for name, value in sound.items():  # the class is frozen
            object.__setattr__(self, name, value)

    def step_size(self, position: float) -> float:
        """Adam's step size when so many epochs are done, in (0, epochs]."""
        if position < self.warmup:
            return self.lr * position / self.warmup
        if self.schedule == "constant" or self.epochs <= self.warmup:
            return self.lr
        above, course = position - self.warmup, self.epochs - self.warmup
        return self.lr / 2 * (1 + math.cos(math.pi * above / course))

    def noise_shape(self, n_images: int, latent_dim: int) -> tuple[int, ...]:
        """The shape of a batch's noise: (B, J), or (K, B, J) if a step draws K times.

        One draw for the "iwae" objective has the axis too: its bound is over weights.
        """
        one = self.objective == "elbo" and self.n_samples == 1
        return (n_images, latent_dim) if one else (self.n_samples, n_images, latent_dim)

    def as_trained(self, images: Tensor) -> Tensor:
        """The images as a model of this recipe is judged on: grey, or one draw of bits.

        The draw is the same each time, so that two models see the same bits.
        """
        if self.binarization == "none":
            return images
        return binarize(images, "sample", generator=torch.Generator().manual_seed(0))


def changed(recipe: Recipe | None, changes: dict) -> Recipe:
    """The recipe with these fields changed; of the changes alone if it is None.

    Raises TypeError if a name is no field, or if the changes alone name no epochs;
    ValueError if a value is out of range or recipe is something else.
    """
    require(recipe is None or isinstance(recipe, Recipe), "a Recipe or None", recipe)
    return Recipe(**changes) if recipe is None else replace(recipe, **changes)


def from_file(found: Any) -> Recipe:
    """The recipe that a file describes by name; what it leaves out has its default.

    Raises ValueError unless it is one.
    """
    require(isinstance(found, dict), "a recipe that is a dict", found)
    names = [field.name for field in fields(Recipe)]
    known = {"epochs"} <= found.keys() <= set(names)
    require(known, f"a recipe with epochs, of {', '.join(names)}", [*found])
    return Recipe(**found)
