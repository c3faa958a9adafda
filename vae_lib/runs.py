"""A run: a folder with a model in training, which goes on where it was stopped.

After each epoch, and after the step in which Ctrl-C stopped it, the model, Adam's
moments, the history and the state of the random numbers are saved in one file, in one
step. A run that was killed continues from there: N epochs in one go and in pieces give
the same bits on the same machine. A run that is done can be given more epochs.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vae_lib import recipes
from vae_lib.checkpoints import load, save, to_content
from vae_lib.distributed import process_group, rank
from vae_lib.files import try_to_write
from vae_lib.guards import pick_device, require
from vae_lib.kinds import class_for
from vae_lib.latent import LatentVariableModel
from vae_lib.plans import check_images_of, plan, plan_to_go_on, told
from vae_lib.recipes import Recipe
from vae_lib.states import restore, state_of
from vae_lib.training import set_seed, train

MODEL = "model.safetensors"
OPTIONS = ("device", "progress", "step", "validation")  # of train; no recipe has them
A_ROW, BESIDE = 500, 2**20  # bytes: of the history, and for files beside the model


def train_run(
    folder: str | Path,
    images: Tensor,
    config: Any = None,
    recipe: Recipe | None = None,
    *,
    labels: Tensor | None = None,
    seed: int = 0,
    resume: bool = False,
    start: LatentVariableModel | None = None,
    source: str | None = None,
    report: Callable[[dict], None] | None = None,
    **options,
) -> Any:
    """Train a model by this recipe in this folder, or go on with the one there.

    Before the first step it is tried whether all that is to be saved can be written.

    Args:
        folder: made if missing; holds ``model.safetensors`` from the first epoch on.
        images: training images (N, D), the same in each call; their number and the
            first of them are checked.
        config: the model's shape; None to go on with that of the run there.
        recipe: how the model is trained; None likewise.
        labels: what the model is told of the images, see its ``check_labels``: for a
            SequenceVAE with a head its properties (N, P), and the ELBO of the history
            is that of both. The same in each call; None if the model is told nothing.
        seed: of weights, order and noise; a run that goes on keeps its own.
        resume: go on if there is a model; it must have this config and recipe, but for
            more epochs. With a constant step size they give the bits of one go. A
            cosine ended at zero: once it has, it starts anew over the new epochs alone,
            warm-up included.
        start: a loaded model of this config whose weights to start from; None for new
            ones. Adam and its schedule start afresh.
        source: where the images come from, which a new run's file is to tell.
        report: called with the history's row after each epoch.
        options: further arguments of ``training.train`` that are no recipe's: device,
            progress, step and validation.

    Returns the model with its history. Raises ValueError if there is a model and resume
    is false, or if it was made otherwise; CheckpointError if its file is damaged, or
    no run saved it; OSError if the folder cannot be written.
    """
    path = Path(folder) / MODEL
    require(options.keys() <= set(OPTIONS), f"options among {OPTIONS}", [*options])
    with process_group():
        device = pick_device(options.get("device", "auto"))
        if os.path.lexists(path):  # also a link that leads nowhere
            require(resume, "a folder without a model", str(folder))
            model = load(path)
            made_by = plan_to_go_on(path, model, images, labels, config, recipe, start)
            model.to(device)  # before its moments
            restore(model)
            model.history.began = made_by["began"]
        else:
            made_by = plan(images, config, recipe, seed, start, source)
            set_seed(made_by["seed"])
            model = class_for(config).from_data(config, images)
            made_by["data"] |= told(model, images, labels)
            if start is not None:
                model.load_state_dict(start.state_dict())
        if options.get("validation") is not None:
            check_images_of(model.config, options["validation"])

        def save_run(model: LatentVariableModel) -> None:
            if rank() == 0:
                rows = model.history.rows
                save(path, model, made_by | {"rows": rows}, state_of(model))
                if report is not None and model.history.under_way is None:
                    report(rows[-1])

        recipe, resume = recipes.from_file(made_by["recipe"]), model.history is not None
        to_do = recipe.epochs - (len(model.history.rows) if resume else 0)
        if rank() == 0:
            prepare(path, model, made_by, len(images), will_train=to_do > 0)
        if to_do > 0:
            recipe = replace(recipe, epochs=recipe.epochs - made_by["began"])
            options |= {"labels": labels, "resume": resume, "save": save_run}
            train(model, images, recipe, **options)
    return model


def prepare(
    path: Path,
    model: LatentVariableModel,
    made_by: dict,
    n_images: int,
    *,
    will_train: bool,
) -> None:
    """Make the folder, and raise an error unless what training saves can be written.

    That is OSError for the folder and the room in it, ValueError for the model.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{MODEL}.*.tmp"):  # by a save that was killed
        left.unlink(missing_ok=True)
    if will_train:
        content, _ = to_content(model, made_by)
        # Adam's moments are twice the weights; an epoch under way has its order.
        size = 3 * len(content) + 8 * n_images + A_ROW * made_by["recipe"]["epochs"]
        n_files = 1 if path.exists() else 2  # an old one stays while a new one is made
        try_to_write(path, [size] * n_files + [BESIDE])
