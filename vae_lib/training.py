"""Training: epochs of steps, with the arguments that published recipes need."""

import math
import os
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from vae_lib.by_hand import StepByHand
from vae_lib.compiled import compile_step
from vae_lib.distributed import (
    connect,
    n_processes,
    process_group,
    rank,
    sum_over_processes,
)
from vae_lib.domains import (
    check_generator,
    check_switches,
    one_of,
    require,
    whole,
)
from vae_lib.doors import check_given, check_trainable, place_moments, with_labels
from vae_lib.estimators import take_path_step
from vae_lib.evaluation import ElboReport, evaluate_elbo
from vae_lib.guards import check_finite, hold_interrupts, pick_device
from vae_lib.latent import LatentVariableModel
from vae_lib.recipes import Recipe, changed
from vae_lib.steps import Epoch, TrainingHistory, take_step, train_epoch
from vae_lib.threads import leave_a_core

if find_spec("ipywidgets"):
    from tqdm.auto import tqdm
else:  # where tqdm.auto would warn of it in a notebook
    from tqdm import tqdm

STEPS = ("autograd", "by hand", "compiled")


def set_seed(seed: int) -> None:
    """Seed torch's random numbers: the same seed gives the same bits on one machine.

    Raises ValueError unless -2**63 <= seed < 2**64, a whole number.
    """
    torch.manual_seed(whole("seed", seed, -(2**63), 2**64))


def step_for(
    model: LatentVariableModel,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    how: str = "autograd",
) -> Callable[..., Tensor]:
    """``take_step``, or the function in its place that the arguments ask for."""
    if how == "by hand":
        return StepByHand(model, optimizer, recipe)
    if how == "compiled":
        total = recipe.gradient == "total"
        require(total, "the gradient 'total' with step='compiled'", recipe.gradient)
        return compile_step(recipe.batch_size)
    return take_step if recipe.gradient == "total" else take_path_step


def train(
    model: LatentVariableModel,
    images: Tensor,
    recipe: Recipe | None = None,
    *,
    labels: Tensor | None = None,
    validation: Tensor | tuple[Tensor, Tensor] | None = None,
    device: str = "auto",
    generator: torch.Generator | None = None,
    progress: bool = True,
    step: str = "autograd",
    resume: bool = False,
    save: Callable[[LatentVariableModel], None] | None = None,
    **changes,
) -> TrainingHistory:
    """Train the model in place with Adam and return its TrainingHistory.

    How it is trained is the recipe's, or named one by one: train(model, images,
    epochs=5, lr=2e-3). A second call goes on where the first one ended: weights, Adam's
    moments and the rows of the history continue; only the schedule starts anew, over
    the new epochs. Ctrl-C takes effect after the step under way (a second one at once);
    the same call with resume=True then goes on, and gives the bits of a call that was
    not stopped. Under torchrun all processes train one model; batches are shared out.

    Args:
        model: the VAE, left on the device where it was trained.
        images: training images (N, D), in [0, 1] unless the likelihood is Gaussian.
        recipe: a Recipe; None for one of the changes alone.
        labels: of the images, (N,) int64, for a model that is told them; or what its
            ``check_labels`` asks for.
        validation: images (M, D) whose ELBO is taken after each epoch, as they are; or
            a pair of images and labels.
        device: "auto" (CUDA, else MPS, else CPU) or the name of a torch device.
        generator: source of order, noise and bits; None for torch's global one.
        progress: show a progress bar over the epochs.
        step: "autograd" for ``steps.take_step``; "by hand" for the same sooner on a
            CPU, by the formulas of ``by_hand.StepByHand``, which knows fewer models;
            "compiled" for one compiled function, which pays on a GPU, see
            ``compiled.compile_step``.
        resume: go on with the call that was stopped, of the same arguments.
        save: called with the model after each epoch, and when Ctrl-C stops it.
        changes: fields of ``recipes.Recipe`` that differ from the recipe's: epochs,
            batch_size, lr, schedule, warmup, beta, objective, n_samples, binarization,
            clip_norm, free_bits, gradient.

    Raises ValueError before the first step if an argument, the model or the images are
    out of range, NonFiniteLossError if the loss becomes NaN or infinite.
    Book: eq-minibatch. Source: Kingma & Welling (2014), Algorithm 1.
    """
    recipe = changed(recipe, changes)
    check_switches(progress=progress, resume=resume)
    one_of("step", step, STEPS)
    require(save is None or callable(save), "save to be a function or None", save)
    check_trainable(model, recipe)
    bits = recipe.binarization == "sample"
    check_given(model, images, labels, bits=bits)
    if validation is not None:
        validation = with_labels(validation)
        check_given(model, *validation, bits=bits)

    gradients = torch.inference_mode(False)  # whatever mode is on around this call
    calm = leave_a_core()
    with process_group(), hold_interrupts() as interrupted, gradients, calm:
        on = pick_device(device)
        check_generator(generator, on)
        images = images.detach().to(on)
        labels = None if labels is None else labels.to(on)
        model.to(on)
        history = model.history = model.history or TrainingHistory(
            torch.optim.Adam(model.parameters(), lr=recipe.lr, fused=True)
        )
        if not resume:
            history.began, history.under_way = len(history.rows), None
        elif history.under_way is not None:
            n_images = len(history.under_way.order)
            require(len(images) == n_images, f"the same {n_images} images", len(images))
        place_moments(history.optimizer)
        connected = connect(model)
        run_epoch = partial(
            train_epoch,
            connected,
            images,
            history.optimizer,
            recipe,
            latent_dim=model.noise_dim,
            labels=labels,
            generator=generator,
            step=step_for(model, history.optimizer, recipe, step),
            stop=interrupted,
        )
        silent = not progress or rank() > 0 or "TQDM_DISABLE" in os.environ
        todo = range(len(history.rows) - history.began, recipe.epochs)
        bar = tqdm(todo, unit="epoch", disable=silent)
        for number in bar:
            began = time.perf_counter()
            epoch = history.under_way = history.under_way or Epoch(
                torch.randperm(len(images), device=images.device, generator=generator)
            )
            sums = run_epoch(epoch, number)
            if len(sums) < math.ceil(len(images) / recipe.batch_size):
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
                report = evaluate_elbo(model, *validation)
                row |= {f"valid_{key}": x for key, x in report._asdict().items()}
            history.rows.append(row)
            history.under_way = None
            bar.set_postfix(elbo=f"{report.elbo:.1f}")
            if save is not None:
                save(model)
            if interrupted():
                raise KeyboardInterrupt
    return history
