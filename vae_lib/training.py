"""One visible training loop, and the arguments that published recipes need.

The data stay on the device, shuffled by index; nothing in the loop waits for the host.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from tqdm.auto import tqdm

from vae_lib.data import binarize, check_images
from vae_lib.evaluation import ElboReport, evaluate_elbo
from vae_lib.guards import check_finite, pick_device, require
from vae_lib.models import VAE
from vae_lib.objectives import elbo, importance_weighted_bound

SCHEDULES, OBJECTIVES = ("constant", "cosine"), ("elbo", "iwae")
BITS = ("none", "sample")


@dataclass
class TrainingHistory:
    """What training did: one dict an epoch in rows, and the optimizer to go on with.

    Each row has epoch, elbo, log_p_x_given_z, kl (averages over the epoch's training
    images, in nats, taken while the model was changing) and seconds; with validation
    images also valid_elbo, valid_log_p_x_given_z and valid_kl, taken after the epoch.
    """

    optimizer: torch.optim.Optimizer
    rows: list[dict] = field(default_factory=list)


def set_seed(seed: int) -> None:
    """Seed torch's random numbers: the same seed gives the same bits on one machine."""
    torch.manual_seed(seed)


def train_epoch(
    model: VAE,
    images: Tensor,
    optimizer: torch.optim.Optimizer,
    learning_rate: Callable[[float], float],
    *,
    batch_size: int = 128,
    beta: float = 1.0,
    objective: str = "elbo",
    n_samples: int | None = None,
    binarization: str = "none",
    clip_norm: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """One pass over the images in random order; ``train`` explains the arguments.

    learning_rate maps the part of the epoch that is done to a step size. Row k of the
    result (n_steps, 3) has step k's sums over its batch, in nats, of log p(x|z), the KL
    and the objective. Book: eq-minibatch.
    """
    order = torch.randperm(len(images), device=images.device, generator=generator)
    batches = order.split(batch_size)
    sums = []
    for step, index in enumerate(batches, start=1):
        x = images[index]  # (B, D)
        if binarization == "sample":
            x = binarize(x, "sample", generator=generator)
        output = model(x, n_samples=n_samples, generator=generator)
        if objective == "iwae":
            bound = importance_weighted_bound(output.log_w)  # (B,)
        else:
            bound = elbo(output.log_p_x_given_z, output.kl, beta=beta)  # (B,)
        loss = -bound.mean()
        optimizer.zero_grad()
        loss.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.param_groups[0]["lr"] = learning_rate(step / len(batches))
        optimizer.step()
        with torch.no_grad():
            log_p_x_given_z = output.log_p_x_given_z.view(-1, len(x)).mean(0)  # (B,)
            sums.append(torch.stack((log_p_x_given_z, output.kl, bound)).sum(1))
    return torch.stack(sums)


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
    start: int = 0,
    after_epoch: Callable[[VAE], None] | None = None,
) -> TrainingHistory:
    """Train the model in place with Adam and return its TrainingHistory.

    A second call goes on where the first one stopped: weights, Adam's moments and the
    rows of the history continue; only the schedule starts anew, over the new epochs.

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
        start: epochs of this call's schedule that an earlier, stopped call has done.
        after_epoch: called with the model after each epoch, to save it for instance.

    Raises ValueError if an argument or the images are out of range,
    NonFiniteLossError if the loss becomes NaN or infinite.
    Book: eq-minibatch. Source: Kingma & Welling (2014), Algorithm 1.
    """
    require(schedule in SCHEDULES, f"schedule in {SCHEDULES}", schedule)
    require(objective in OBJECTIVES, f"objective in {OBJECTIVES}", objective)
    require(binarization in BITS, f"binarization in {BITS}", binarization)
    counts = (epochs, batch_size, n_samples)
    require(min(counts) >= 1, "epochs, batch_size and n_samples >= 1", counts)
    require(0 <= start < epochs, f"start in [0, epochs = {epochs})", start)
    require(0 < lr < math.inf, "finite lr > 0", lr)
    require(0 <= warmup < math.inf, "finite warmup >= 0", warmup)
    require(0 <= beta < math.inf, "finite beta >= 0", beta)
    require(clip_norm is None or clip_norm > 0, "clip_norm > 0 or None", clip_norm)
    unit_interval = model.config.likelihood != "gaussian" or binarization == "sample"
    for given in (images,) if validation is None else (images, validation):
        check_images(given, model.config.n_pixels, unit_interval=unit_interval)

    model.to(pick_device(device))
    images = images.to(model.input_mean.device)
    if model.history is None:
        adam = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
        model.history = TrainingHistory(adam)
    rows = model.history.rows

    silent = not progress or "TQDM_DISABLE" in os.environ
    bar = tqdm(range(start, epochs), unit="epoch", disable=silent)
    for epoch in bar:
        began = time.perf_counter()
        sums = train_epoch(
            model,
            images,
            model.history.optimizer,
            partial(scheduled_lr, epochs, lr, schedule, warmup, epoch),
            batch_size=batch_size,
            beta=beta,
            objective=objective,
            n_samples=None if objective == "elbo" and n_samples == 1 else n_samples,
            binarization=binarization,
            clip_norm=clip_norm,
            generator=generator,
        ).cpu()
        check_finite(model, sums, epoch=len(rows) + 1)
        log_p_x_given_z, kl, _ = (sums.double().sum(0) / len(images)).tolist()
        report = ElboReport(log_p_x_given_z - kl, log_p_x_given_z, kl)
        row = {"epoch": len(rows) + 1, **report._asdict()}
        row["seconds"] = time.perf_counter() - began
        if validation is not None:
            report = evaluate_elbo(model, validation)
            row |= {f"valid_{name}": value for name, value in report._asdict().items()}
        rows.append(row)
        bar.set_postfix(elbo=f"{report.elbo:.1f}")
        if after_epoch is not None:
            after_epoch(model)
    return model.history


def scheduled_lr(epochs, lr, schedule, warmup, epoch, done) -> float:
    """Step size when epoch + done of epochs epochs are done; done is in (0, 1]."""
    position = epoch + done
    if position < warmup:
        return lr * position / warmup
    if schedule == "constant" or epochs <= warmup:
        return lr
    return lr / 2 * (1 + math.cos(math.pi * (position - warmup) / (epochs - warmup)))
