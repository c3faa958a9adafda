"""Training: epochs of steps, with the arguments that published recipes need."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from tqdm.auto import tqdm

from vae_lib.compiled import compile_step
from vae_lib.data import check_images
from vae_lib.distributed import (
    connect,
    n_processes,
    process_group,
    rank,
    sum_over_processes,
)
from vae_lib.evaluation import ElboReport, evaluate_elbo
from vae_lib.guards import (
    check_finite,
    check_recipe,
    hold_interrupts,
    pick_device,
    require,
)
from vae_lib.models import VAE
from vae_lib.steps import Epoch, take_step, train_epoch


@dataclass
class TrainingHistory:
    """What training did: one dict an epoch in rows, and what it takes to go on.

    Each row has epoch, elbo, log_p_x_given_z, kl (averages over the epoch's training
    images, in nats, taken while the model was changing) and seconds; with validation
    images also valid_elbo, valid_log_p_x_given_z and valid_kl, taken after the epoch.
    began is the number of rows before the latest call of ``train``, under_way the
    epoch in which that call was stopped.
    """

    optimizer: torch.optim.Optimizer
    rows: list[dict] = field(default_factory=list)
    began: int = 0
    under_way: Epoch | None = None


def set_seed(seed: int) -> None:
    """Seed torch's random numbers: the same seed gives the same bits on one machine."""
    torch.manual_seed(seed)


def train(
    model: VAE,
    images: Tensor,
    *,
    epochs: int,
    batch_size: int = 128,
    lr: float = 1e-3,
    schedule: str = "constant",
    warmup: float = 0.0,
    beta: float = 1.0,
    objective: str = "elbo",
    n_samples: int = 1,
    binarization: str = "none",
    clip_norm: float | None = None,
    validation: Tensor | None = None,
    device: str = "auto",
    generator: torch.Generator | None = None,
    progress: bool = True,
    compile: bool = False,
    resume: bool = False,
    save: Callable[[VAE], None] | None = None,
) -> TrainingHistory:
    """Train the model in place with Adam and return its TrainingHistory.

    A second call goes on where the first one ended: weights, Adam's moments and the
    rows of the history continue; only the schedule starts anew, over the new epochs.
    Ctrl-C takes effect after the step under way (a second one at once); the same call
    with resume=True then goes on, and gives the bits of a call that was not stopped.
    Under torchrun all processes train one model; batches are shared out among them.

    Args:
        model: the VAE, left on the device where it was trained.
        images: training images (N, D), in [0, 1] unless the likelihood is Gaussian.
        epochs: passes over the images.
        batch_size: images per step; an epoch's last batch may be smaller.
        lr: Adam's step size, at its highest.
        schedule: "constant", or "cosine" for a fall to zero over this call's epochs.
        warmup: epochs over which the step size first rises from zero, linearly.
        beta: weight of the KL in the "elbo" objective.
        objective: "elbo", or "iwae" for the importance-weighted bound.
        n_samples: draws of z per image and step.
        binarization: "none", or "sample" for fresh random bits in each batch.
        clip_norm: upper limit on the gradient's norm; None for no limit.
        validation: images (M, D) whose ELBO is taken after each epoch, as they are.
        device: "auto" (CUDA, else MPS, else CPU) or the name of a torch device.
        generator: source of order, noise and bits; None for torch's global one.
        progress: show a progress bar over the epochs.
        compile: run each step as one compiled function; see ``compiled.compile_step``.
        resume: go on with the call that was stopped, of the same arguments.
        save: called with the model after each epoch, and when Ctrl-C stops it.

    Raises ValueError if an argument or the images are out of range,
    NonFiniteLossError if the loss becomes NaN or infinite.
    Book: eq-minibatch. Source: Kingma & Welling (2014), Algorithm 1.
    """
    check_recipe(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule,
        warmup=warmup,
        beta=beta,
        objective=objective,
        n_samples=n_samples,
        binarization=binarization,
        clip_norm=clip_norm,
    )
    unit_interval = model.config.likelihood != "gaussian" or binarization == "sample"
    for given in (images,) if validation is None else (images, validation):
        check_images(given, model.config.n_pixels, unit_interval=unit_interval)
        dtype = model.input_mean.dtype
        require(given.dtype == dtype, f"images of {dtype}, as the model", given.dtype)

    with process_group(), hold_interrupts() as interrupted:
        model.to(pick_device(device))
        images = images.to(model.input_mean.device)
        history = model.history = model.history or TrainingHistory(
            torch.optim.Adam(model.parameters(), lr=lr, fused=True)
        )
        if not resume:
            history.began, history.under_way = len(history.rows), None
        elif history.under_way is not None:
            n_images = len(history.under_way.order)
            require(len(images) == n_images, f"the same {n_images} images", len(images))
        connected = connect(model)
        run_epoch = partial(
            train_epoch,
            connected,
            images,
            history.optimizer,
            latent_dim=model.config.latent_dim,
            batch_size=batch_size,
            n_samples=None if objective == "elbo" and n_samples == 1 else n_samples,
            binarization=binarization,
            generator=generator,
            step=compile_step(batch_size) if compile else take_step,
            stop=interrupted,
            beta=beta,
            objective=objective,
            clip_norm=clip_norm,
        )
        silent = not progress or rank() > 0 or "TQDM_DISABLE" in os.environ
        todo = range(len(history.rows) - history.began, epochs)
        bar = tqdm(todo, unit="epoch", disable=silent)
        for number in bar:
            began = time.perf_counter()
            epoch = history.under_way = history.under_way or Epoch(
                torch.randperm(len(images), device=images.device, generator=generator)
            )
            step_size = partial(scheduled_lr, epochs, lr, schedule, warmup, number)
            sums = run_epoch(step_size, epoch)
            if len(sums) < math.ceil(len(images) / batch_size):
                check_finite(model, sums, epoch=len(history.rows) + 1)
                if save is not None and n_processes() == 1:  # else each has its share
                    save(model)
                raise KeyboardInterrupt
            sums = sum_over_processes(sums).cpu()
            check_finite(model, sums, epoch=len(history.rows) + 1)
            log_p_x_given_z, kl, _ = (sums.double().sum(0) / len(images)).tolist()
            report = ElboReport(log_p_x_given_z - kl, log_p_x_given_z, kl)
            row = {"epoch": len(history.rows) + 1, **report._asdict()}
            row["seconds"] = time.perf_counter() - began
            if validation is not None:
                report = evaluate_elbo(model, validation)
                row |= {f"valid_{key}": x for key, x in report._asdict().items()}
            history.rows.append(row)
            history.under_way = None
            bar.set_postfix(elbo=f"{report.elbo:.1f}")
            if save is not None:
                save(model)
            if interrupted():
                raise KeyboardInterrupt
    return history


def scheduled_lr(epochs, lr, schedule, warmup, epoch, done) -> float:
    """Step size when epoch + done of epochs epochs are done; done is in (0, 1]."""
    position = epoch + done
    if position < warmup:
        return lr * position / warmup
    if schedule == "constant" or epochs <= warmup:
        return lr
    return lr / 2 * (1 + math.cos(math.pi * (position - warmup) / (epochs - warmup)))
