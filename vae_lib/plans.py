"""How a run is made, as its file says it, and whether what is asked now agrees.

A plan is a dict of JSON: config, recipe, data, seed, and began, the number of epochs
before those over which the schedule of the step size runs.
"""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from vae_lib.checkpoints import CheckpointError
from vae_lib.data import check_images
from vae_lib.domains import described
from vae_lib.files import one_line, parse_json, to_json
from vae_lib.guards import check_recipe, require
from vae_lib.models import VAE, VAEConfig
from vae_lib.states import check_rows
from vae_lib.training import train

MOST_EPOCHS = 100_000  # of which a file can hold the rows
PARTS = {"recipe", "data", "seed", "rows"}  # of a run's record
NO_RUN = "expected a model that a run saved, but no run saved"


def plan(
    images: Tensor,
    config: VAEConfig | None,
    recipe: dict | None,
    seed: int,
    start: VAE | None,
) -> dict:
    """The plan of a new run; its numbers are Python's own, as when it goes on.

    Raises ValueError if something is missing, out of range or cannot be saved.
    """
    missing = [k for k, v in {"config": config, "recipe": recipe}.items() if v is None]
    require(not missing, "a config and a recipe for a new run", f"no {missing}")
    check_images_of(config, images)
    data = describe(images)
    if start is not None:
        require(start.config == config, f"a start like {config}", start.config)
        data["start"] = start.record["sha256"]
    made_by = {"config": asdict(config), "data": data, "seed": seed, "began": 0}
    return as_json(made_by) | {"recipe": check_run_recipe(recipe)}


def plan_to_go_on(
    path: Path,
    model: VAE,
    images: Tensor,
    config: VAEConfig | None,
    recipe: dict | None,
    start: VAE | None,
) -> dict:
    """The plan of the run that saved this model, with the epochs that are asked now.

    Raises CheckpointError if no run saved it, ValueError if it was made otherwise.
    """
    made_by = plan_of(path, model)
    check_images_of(model.config, images)
    check_same({"n_images": len(images)}, made_by["data"])
    first = made_by["data"].get("first_image")  # an earlier version does not know it
    same = first in (None, sha256_of(images[0]))
    require(same, "the images of this run", "others: their first is another")
    if start is not None:
        check_same({"start": start.record["sha256"]}, made_by["data"])
    if config is not None:
        check_same(as_json(asdict(config)), made_by["config"])
    if recipe is not None:
        recipe, own = check_run_recipe(recipe), made_by["recipe"]
        epochs, n_rows = recipe["epochs"], len(model.record["rows"])
        parameters = inspect.signature(train).parameters
        defaults = {key: parameters[key].default for key in own | recipe}
        check_same(defaults | recipe | {"epochs": own["epochs"]}, own, defaults)
        if epochs != own["epochs"]:
            made_by["began"] = more_epochs(epochs, own, n_rows, made_by["began"])
            made_by["recipe"] = own | {"epochs": epochs}
    return made_by


def more_epochs(epochs: int, recipe: dict, n_rows: int, began: int) -> int:
    """Where the schedule of a run begins that is given more epochs than its recipe.

    A constant step size goes on. A cosine has fallen to zero when its epochs are done,
    and begins again over the new ones; before, it could not keep its course. Raises
    ValueError then, or if there would be fewer epochs.
    """
    own, there = recipe["epochs"], f"epochs = {recipe['epochs']}"
    require(epochs > own, f"a run with epochs = {epochs} or fewer", there)
    if recipe.get("schedule", "constant") == "constant":
        return began
    expected = f"{there} until they are done, for its step size falls to zero over them"
    require(n_rows == own, expected, f"epochs = {epochs} after {n_rows}")
    return n_rows


def plan_of(path: Path, model: VAE) -> dict:
    """The plan in the record of a model; raises CheckpointError if there is none."""
    record, began = model.record, model.record.get("began", 0)
    try:
        require(type(model) is VAE, "a VAE", type(model).__name__)
        require(record.keys() >= PARTS, f"a record of {sorted(PARTS)}", sorted(record))
        require(isinstance(record["data"], dict), "data by name", record["data"])
        require(type(record["seed"]) is int, "a seed", record["seed"])
        recipe = check_run_recipe(record["recipe"])
        check_rows(record["rows"], began, recipe["epochs"])
    except ValueError as error:
        raise CheckpointError(f"{NO_RUN} {path}: {one_line(error)}") from error
    # The model's own: an older file lacks what VAEConfig has gained since.
    config = as_json(asdict(model.config))
    made_by = {"config": config, "data": record["data"], "seed": record["seed"]}
    return made_by | {"recipe": recipe, "began": began}


def check_run_recipe(recipe: dict) -> dict:
    """The recipe as JSON has it; raises ValueError unless it is one, with epochs."""
    require(isinstance(recipe, dict), "a recipe that is a dict", recipe)
    names = inspect.signature(check_recipe).parameters
    known = {"epochs"} <= recipe.keys() <= names.keys()
    require(known, f"a recipe with epochs, of {', '.join(names)}", [*recipe])
    recipe = as_json(recipe)
    try:
        check_recipe(**recipe)
    except TypeError as error:
        raise ValueError(f"expected a recipe of numbers, got {recipe}") from error
    epochs = recipe["epochs"]
    fits = type(epochs) is int and epochs <= MOST_EPOCHS
    require(fits, f"epochs <= {MOST_EPOCHS:,}, for a file holds no more", epochs)
    return recipe


def check_images_of(config: VAEConfig, images: Tensor) -> None:
    """Raise ValueError unless a model of this configuration can learn these images."""
    gaussian = config.likelihood == "gaussian"
    check_images(images, config.n_pixels, unit_interval=not gaussian)


def describe(images: Tensor) -> dict:
    """What a run remembers of its images (N, D): how many, and which is the first."""
    return {"n_images": len(images), "first_image": sha256_of(images[0])}


def sha256_of(image: Tensor) -> str:
    """The sha256 of an image (D,) in float32."""
    return hashlib.sha256(image.detach().float().cpu().numpy().tobytes()).hexdigest()


def is_known_among(data: object, images: Callable[[], Tensor]) -> bool:
    """Whether the first image that this data describe is one of these (N, D).

    So it is for all that an earlier version described, which did not know it.
    """
    first = data.get("first_image") if isinstance(data, dict) else None
    return first is None or first in map(sha256_of, images())


def check_same(asked: dict, own: dict, defaults: dict | None = None) -> None:
    """Raise ValueError with both sides where what is asked is not the run's own.

    What the run leaves to a default is that.
    """
    for key, want in asked.items():
        got = own.get(key)
        if want != own.get(key, (defaults or {}).get(key)):
            want, got = described(want), described(got)
            raise ValueError(f"expected a run with {key} = {want}, got {key} = {got}")


def as_json(value: dict) -> dict:
    """The value as it is read again from a file; raises ValueError if it cannot be."""
    return parse_json(to_json(value, "a recipe, configuration and seed"))
