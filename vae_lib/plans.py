"""How a run is made, as its file says it, and whether what is asked now agrees.

A plan is a dict of JSON: config, recipe, data, seed, and began, the number of epochs
before those over which the schedule of the step size runs. Its data say what the model
was told of the images, too.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from vae_lib import recipes
from vae_lib.checkpoints import CheckpointError
from vae_lib.domains import check_text, described
from vae_lib.files import one_line, parse_json, to_json
from vae_lib.guards import require
from vae_lib.kinds import class_for
from vae_lib.latent import LatentVariableModel
from vae_lib.recipes import Recipe
from vae_lib.sources import describe, sha256_of
from vae_lib.states import check_rows

MOST_EPOCHS = 100_000  # of which a file can hold the rows
PARTS = {"recipe", "data", "seed", "rows"}  # of a run's record
NO_RUN = "expected a model that a run saved, but no run saved"


def plan(
    images: Tensor,
    config: Any,
    recipe: Recipe | None,
    seed: int,
    start: LatentVariableModel | None,
    source: str | None,
) -> dict:
    """The plan of a new run; its numbers are Python's own, as when it goes on.

    Raises ValueError if something is missing, out of range or cannot be saved.
    """
    missing = [k for k, v in {"config": config, "recipe": recipe}.items() if v is None]
    require(not missing, "a config and a recipe for a new run", f"no {missing}")
    check_images_of(config, images)
    data = describe(images)
    if source is not None:
        check_text(source=source)
        data["source"] = source
    if start is not None:
        check_same(asdict(config), asdict(start.config), "start")
        require(start.config == config, "a start of the run's kind", start.config)
        data["start"] = saved_as(start)
    made_by = {"config": asdict(config), "data": data, "seed": seed, "began": 0}
    return as_json(made_by | {"recipe": asdict(savable(recipe))})


def plan_to_go_on(
    path: Path,
    model: LatentVariableModel,
    images: Tensor,
    labels: Tensor | None,
    config: Any,
    recipe: Recipe | None,
    start: LatentVariableModel | None,
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
        check_same({"start": saved_as(start)}, made_by["data"])
    if config is not None:
        check_same(as_json(asdict(config)), made_by["config"])
    own, now = made_by["data"].get("labels"), told(model, images, labels).get("labels")
    expected = "the labels of this run" if own else "no labels, as in this run so far"
    require(now == own, expected, "none" if now is None else "others")
    if recipe is not None:
        own, n_rows = made_by["recipe"], len(model.record["rows"])
        epochs = savable(recipe).epochs
        check_same(asdict(recipe) | {"epochs": own["epochs"]}, own)
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
    if recipe["schedule"] == "constant":
        return began
    expected = f"{there} until they are done, for its step size falls to zero over them"
    require(n_rows == own, expected, f"epochs = {epochs} after {n_rows}")
    return n_rows


def plan_of(path: Path, model: LatentVariableModel) -> dict:
    """The plan in the record of a model; raises CheckpointError if there is none."""
    record, began = model.record, model.record.get("began", 0)
    try:
        made = class_for(model.config)
        require(type(model) is made, f"a {made.__name__}", type(model).__name__)
        require(record.keys() >= PARTS, f"a record of {sorted(PARTS)}", sorted(record))
        require(isinstance(record["data"], dict), "data by name", record["data"])
        require(type(record["seed"]) is int, "a seed", record["seed"])
        recipe = savable(recipes.from_file(record["recipe"]))
        check_rows(record["rows"], began, recipe.epochs)
    except ValueError as error:
        raise CheckpointError(f"{NO_RUN} {path}: {one_line(error)}") from error
    # The objects' own: an older file lacks what the two classes have gained since.
    made_by = as_json({"config": asdict(model.config), "recipe": asdict(recipe)})
    return made_by | {"data": record["data"], "seed": record["seed"], "began": began}


def savable(recipe: Recipe) -> Recipe:
    """The recipe; raises ValueError unless a file can hold the rows of its epochs."""
    require(isinstance(recipe, Recipe), "a Recipe", recipe)
    expected = f"epochs <= {MOST_EPOCHS:,}, for a file holds no more"
    require(recipe.epochs <= MOST_EPOCHS, expected, recipe.epochs)
    return recipe


def saved_as(start: LatentVariableModel) -> str:
    """The sha256 of a start's file; raises ValueError if it was not loaded from one."""
    sha256 = start.record.get("sha256")
    require(sha256 is not None, "a start that was loaded", "a model without a file")
    return sha256


def check_images_of(config: Any, images: Tensor) -> None:
    """Raise ValueError unless a model of this configuration can learn these images."""
    class_for(config).check_data(config, images)


def told(model: LatentVariableModel, images: Tensor, labels: Tensor | None) -> dict:
    """What the data of a plan say of the labels: the sha256 of all, if there are any.

    Raises ValueError unless a run of this model can tell it these of the images.
    """
    n = len(images)
    model.check_labels(labels, n)
    expected = f"labels of the {n:,} images, which this {type(model).__name__} is told"
    require(labels is not None or not model.is_told, expected, labels)
    return {} if labels is None else {"labels": sha256_of(labels)}


def check_same(asked: dict, own: dict, whose: str = "run") -> None:
    """Raise ValueError with both sides where what is asked is not the run's own."""
    for key, want in asked.items():
        if want != (got := own.get(key)):
            want, got = described(want), described(got)
            raise ValueError(
                f"expected a {whose} with {key} = {want}, got {key} = {got}"
            )


def as_json(value: dict) -> dict:
    """The value as it is read again from a file; raises ValueError if it cannot be."""
    return parse_json(to_json(value, "a recipe, configuration and seed"))
