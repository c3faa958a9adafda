"""A run: a folder with a model in training, which goes on where it was stopped.

After each epoch, and after the step in which Ctrl-C stopped it, the model, Adam's
moments, the history and the state of the random numbers are saved in one file, in one
step. A run that was killed continues from there: N epochs in one go and in pieces give
the same bits on the same machine.
"""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from vae_lib.checkpoints import load, save
from vae_lib.data import binarize
from vae_lib.distributed import process_group, rank
from vae_lib.guards import pick_device, require
from vae_lib.models import VAE, VAEConfig
from vae_lib.steps import Epoch
from vae_lib.training import TrainingHistory, set_seed, train

MODEL = "model.safetensors"


def train_run(
    folder: str | Path,
    images: Tensor,
    config: VAEConfig,
    recipe: dict,
    *,
    seed: int = 0,
    resume: bool = False,
    start: VAE | None = None,
    **options,
) -> VAE:
    """Train a model by this recipe in this folder, or go on with the one there.

    Args:
        folder: made if missing; holds ``model.safetensors`` from the first epoch on.
        images: training images (N, D), the same in each call; their number is checked.
        config: the model's shape.
        recipe: arguments of ``training.train``, epochs among them.
        seed: of weights, order and noise; a run that goes on keeps its own.
        resume: go on if there is a model; it must have this config and recipe.
        start: a loaded model of this config whose weights to start from; None for new
            ones. Adam and its schedule start afresh.
        options: further arguments of ``training.train`` that change no bit.

    Returns the model with its history. Raises ValueError if there is a model and resume
    is false, or if it was made otherwise; CheckpointError if its file is damaged.
    """
    path = Path(folder) / MODEL
    made_by = {"config": asdict(config), "recipe": recipe}
    data = {"n_images": len(images)}
    if start is not None:
        require(start.config == config, f"a start like {config}", start.config)
        data["start"] = start.record["sha256"]
    made_by = json.loads(json.dumps(made_by | {"data": data}))
    with process_group():
        if path.exists():
            if not resume:
                got = repr(str(folder))
                raise ValueError(f"expected a folder without a model, got {got}")
            model = load(path)
            # The model's own: an older file lacks what VAEConfig has gained since.
            own = json.loads(json.dumps(asdict(model.config)))
            check_same(made_by, model.record | {"config": own})
            made_by["seed"] = model.record["seed"]
            model.to(pick_device(options.get("device", "auto")))  # before its moments
            restore(model)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            set_seed(seed)
            model = VAE.from_data(config, images)
            if start is not None:
                model.load_state_dict(start.state_dict())
            made_by["seed"] = seed
        for left in path.parent.glob(f".{MODEL}.*.tmp"):  # by a save that was killed
            left.unlink(missing_ok=True)

        def save_run(model: VAE) -> None:
            if rank() == 0:
                record = made_by | {"rows": model.history.rows}
                save(path, model, record, state_of(model))

        if model.history is None or len(model.history.rows) < recipe["epochs"]:
            resume = model.history is not None
            train(model, images, **recipe, resume=resume, save=save_run, **options)
    return model


def as_trained(images: Tensor, recipe: dict) -> Tensor:
    """The images as a model of this recipe is judged on: grey, or one draw of bits.

    The draw is the same each time, so that two models see the same bits.
    """
    if recipe.get("binarization") != "sample":
        return images
    return binarize(images, "sample", generator=torch.Generator().manual_seed(0))


def check_same(asked: dict, record: dict) -> None:
    """Raise ValueError with both sides where the run there was made differently."""
    for part in ("config", "recipe", "data"):
        for key in asked[part] | record.get(part, {}):
            want, got = asked[part].get(key), record.get(part, {}).get(key)
            if want != got:
                what = f"expected a run with {key} = {want}, got {key} = {got}"
                raise ValueError(what)


def state_of(model: VAE) -> dict[str, Tensor]:
    """Adam's moments and the random numbers' state: what else a run goes on from."""
    device = model.input_mean.device.type
    state = {"rng.cpu": torch.get_rng_state()}
    if device != "cpu":
        state[f"rng.{device}"] = getattr(torch, device).get_rng_state()
    for number, moments in model.history.optimizer.state_dict()["state"].items():
        state |= {f"adam.{number}.{name}": value for name, value in moments.items()}
    if (epoch := model.history.under_way) is not None:
        state |= {"epoch.order": epoch.order, "epoch.sums": torch.stack(epoch.sums)}
    return state


def restore(model: VAE) -> None:
    """Undo ``state_of`` with what was saved beside the model."""
    moments: dict[int, dict] = {}
    epoch: dict[str, Tensor] = {}
    for name, value in model.extra.items():
        kind, *rest = name.split(".")
        if kind == "adam":
            moments.setdefault(int(rest[0]), {})[rest[1]] = value
        elif kind == "epoch":
            epoch[rest[0]] = value.to(model.input_mean.device)
        elif rest == ["cpu"]:
            torch.set_rng_state(value)
        elif rest == [model.input_mean.device.type]:  # else it goes on elsewhere
            getattr(torch, rest[0]).set_rng_state(value)
    adam = torch.optim.Adam(model.parameters(), fused=True)
    adam.load_state_dict(adam.state_dict() | {"state": moments})
    under_way = Epoch(epoch["order"], list(epoch["sums"])) if epoch else None
    model.history = TrainingHistory(adam, model.record["rows"], under_way=under_way)
