"""What a run goes on from besides its weights, as tensors and rows in its file.

They are Adam's moments, the state of the random numbers, the epoch under way and the
history. A file may hold anything: what comes back is held against the model first.
"""

import math
from typing import Any

import torch
from torch import Tensor

from vae_lib import recipes
from vae_lib.checkpoints import CheckpointError
from vae_lib.guards import require
from vae_lib.latent import LatentVariableModel
from vae_lib.models import VAE
from vae_lib.steps import Epoch
from vae_lib.training import TrainingHistory

OF_A_ROW = ("elbo", "log_p_x_given_z", "kl", "seconds")
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # Adam's, for each weight


def state_of(model: LatentVariableModel) -> dict[str, Tensor]:
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
    """Undo ``state_of`` with what was saved beside the model, whose record is checked.

    Raises CheckpointError, before anything is changed, if it cannot be this model's.
    """
    rows, began = model.record["rows"], model.record.get("began", 0)
    try:
        moments = moments_of(model)
        epoch = epoch_under_way(model)
        set_random_numbers(model)
    except (ValueError, RuntimeError, TypeError) as error:
        what = f"expected the state of a run beside its model, but {error}"
        raise CheckpointError(what) from error
    adam = torch.optim.Adam(model.parameters(), fused=True)
    adam.load_state_dict(adam.state_dict() | {"state": moments})
    model.history = TrainingHistory(adam, rows, began, epoch)


def check_rows(rows: Any, began: Any, epochs: int) -> None:
    """Raise ValueError unless rows is a history and began a number of rows in it."""
    require(isinstance(rows, list), "rows", type(rows).__name__)
    for number, row in enumerate(rows, 1):
        values = row.values() if isinstance(row, dict) else ("no numbers",)
        numbers = all(isinstance(value, int | float) for value in values)
        require(numbers, "rows of names and numbers", row)
        sound = all(math.isfinite(row.get(name, math.nan)) for name in OF_A_ROW)
        require(sound, f"finite {', '.join(OF_A_ROW)} in a row", row)
        require(row.get("epoch") == number, f"epoch {number} in its row", row)
    require(type(began) is int and 0 <= began <= len(rows), "began in rows", began)
    require(len(rows) <= epochs, f"at most {epochs} rows", len(rows))


def moments_of(model: VAE) -> dict[int, dict[str, Tensor]]:
    """Adam's moments by the number of the weight; there are none without gradient."""
    moments: dict[int, dict] = {}
    left = {name for name in model.extra if name.startswith("adam.")}
    for number, weight in enumerate(model.parameters()):
        found = {kind: model.extra.get(f"adam.{number}.{kind}") for kind in MOMENTS}
        left -= {f"adam.{number}.{kind}" for kind in MOMENTS}
        if any(value is not None for value in found.values()):
            for kind, value in found.items():
                check_moment(f"adam.{number}.{kind}", value, weight)
            moments[number] = found
    require(
        not left and len(moments) > 0, "Adam's moments of the weights", sorted(left)
    )
    return moments


def check_moment(name: str, value: Tensor | None, weight: Tensor) -> None:
    """Raise ValueError unless this can be one of Adam's moments of this weight."""
    step = name.endswith("step")
    shape, dtype = ((), torch.float32) if step else (weight.shape, weight.dtype)
    require(value is not None, name, "none")
    fits = value.shape == shape and value.dtype == dtype
    got = f"{value.dtype} {tuple(value.shape)}"
    require(fits, f"{name} of {dtype} {tuple(shape)}", got)
    low = -math.inf if name.endswith("exp_avg") else 0
    sound = value.isfinite().all() and (value >= low).all()
    require(bool(sound), f"{name} finite, and no square below 0", "others")


def epoch_under_way(model: VAE) -> Epoch | None:
    """The epoch in which the run was stopped, if it was."""
    order, sums = (model.extra.get(f"epoch.{name}") for name in ("order", "sums"))
    if order is None and sums is None:
        return None
    require(order is not None and sums is not None, "an order and its sums", "one")
    n_images = model.record["data"]["n_images"]
    fits = order.dtype == torch.int64 and order.shape == (n_images,)
    fits = fits and order.sort().values.equal(torch.arange(n_images))
    got = f"{order.dtype} {tuple(order.shape)}"
    require(fits, f"{n_images} images, each once, in their order", got)
    batch_size = recipes.from_file(model.record["recipe"]).batch_size
    n_steps = math.ceil(n_images / batch_size)
    fits = sums.dtype == model.input_mean.dtype and sums.shape[1:] == (3,)
    fits = fits and 0 < len(sums) < n_steps
    got = f"{sums.dtype} {tuple(sums.shape)}"
    require(fits, f"sums (n, 3) of fewer than {n_steps} steps", got)
    device = model.input_mean.device
    return Epoch(order.to(device), list(sums.to(device)))


def set_random_numbers(model: VAE) -> None:
    """Put the random numbers back, unless they are of a device that is not here."""
    states = {name: v for name, v in model.extra.items() if name.startswith("rng.")}
    require("rng.cpu" in states, "a state of the random numbers", sorted(states))
    torch.set_rng_state(states["rng.cpu"])
    device = model.input_mean.device.type
    if f"rng.{device}" in states and device != "cpu":  # else it goes on elsewhere
        getattr(torch, device).set_rng_state(states[f"rng.{device}"])
