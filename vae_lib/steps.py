"""One epoch and one step of training: the loop that the book shows.

The data stay on the device, shuffled by index; nothing in the loop waits for the host.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vae_lib.distributed import n_processes, share, share_rows
from vae_lib.domains import check_generator, number, require, whole
from vae_lib.latent import VAEOutput
from vae_lib.objectives import elbo, importance_weighted_bound, kl_beyond
from vae_lib.recipes import OBJECTIVES, Recipe

NEGLIGIBLE, STEPS_BETWEEN = 1e-30, 100


@dataclass
class Epoch:
    """An epoch under way: the order of its images, and the sums of the steps done."""

    order: Tensor  # (N,), int64
    sums: list[Tensor] = field(default_factory=list)  # each (3,)


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


def take_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    eps: Tensor,
    y: Tensor | None = None,
    *,
    n_images: float,
    beta: float = 1.0,
    objective: str = "elbo",
    clip_norm: float | None = None,
    free_bits: float = 0.0,
) -> Tensor:
    """One optimizer step up the mean bound of a batch.

    Args:
        model: a VAE, alone or inside DistributedDataParallel.
        optimizer: of the model's parameters, its step size set.
        x: images (B, D), or what else the model takes.
        eps: standard normal noise (B, J), or (K, B, J) for K samples.
        y: labels (B,), or what else a model is told.
        n_images: what the sum of the bounds is divided by: B for their mean.
        beta, objective, clip_norm, free_bits: see ``recipes.Recipe``.

    Returns sums over the batch, (3,), in nats, of log p(x|z), the KL and the bound.
    Raises ValueError if an argument is out of range, or if the objective ignores beta.
    Book: eq-minibatch. Source: Kingma & Welling (2014), Algorithm 1.
    """
    sound = n_images > 0 and (clip_norm is None or clip_norm > 0)
    require(sound, "n_images > 0 and clip_norm > 0 or None", (n_images, clip_norm))
    output = model(x, y, eps=eps, weights=objective == "iwae")
    bound, sums = bound_and_sums(output, beta, objective, free_bits)
    loss = -bound / n_images
    optimizer.zero_grad()
    loss.backward()
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return sums


def bound_and_sums(
    output: VAEOutput, beta: float, objective: str, free_bits: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The bound summed over the batch, and the sums (3,) that ``take_step`` returns.

    Raises ValueError if the objective is unknown, or if it ignores beta or free_bits.
    """
    plain = objective == "iwae" and (beta, free_bits) == (1, 0)
    if objective not in OBJECTIVES or not (plain or objective == "elbo"):
        got = f"beta = {beta} and free_bits = {free_bits} with {objective!r}"
        expected = "objective 'elbo', or 'iwae' with beta 1 and no free bits"
        raise ValueError(f"expected {expected}, got {got}")
    if objective == "iwae":
        bound = importance_weighted_bound(output.log_w)  # (B,)
    else:
        kl = output.kl
        if number("free_bits", free_bits, least=0) > 0:
            mu, logvar = (each.flatten(0, -2) for each in (output.mu, output.logvar))
            kl = kl_beyond(mu, logvar, free_bits).view(-1, len(kl)).mean(0)  # (B,)
            if output.kl_below is not None:
                kl = kl + output.kl_below
        bound = elbo(output.log_p_x_given_z, kl, beta=beta)  # (B,)
    log_p_x_given_z = output.log_p_x_given_z.view(-1, len(output.kl)).mean(0)  # (B,)
    terms = torch.stack((log_p_x_given_z, output.kl, bound)).detach()  # (3, B)
    return bound.sum(), terms.sum(1)


def train_epoch(
    model: nn.Module,
    images: Tensor,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    epoch: Epoch,
    n_done: int = 0,
    *,
    latent_dim: int,
    labels: Tensor | None = None,
    generator: torch.Generator | None = None,
    step: Callable[..., Tensor] = take_step,
    stop: Callable[[], bool] = lambda: False,
) -> Tensor:
    """One pass over the images (N, D), and labels (N,) if any, in the epoch's order.

    The step size is the recipe's after n_done epochs and the part of this one that is
    done; step is ``take_step`` or its like. Row k of the result (n_steps, 3) has step
    k's sums over its batch, in nats, of log p(x|z), the KL and the objective.
    It has fewer rows if stop() became true; the epoch knows how to go on.
    Book: eq-minibatch.
    """
    _check_epoch(images, recipe, n_done, latent_dim, generator)
    dtype = next(model.parameters()).dtype
    batches = epoch.order.split(recipe.batch_size)
    for index in batches[len(epoch.sums) :]:
        if len(epoch.sums) % STEPS_BETWEEN == 0:
            forget_negligible(optimizer)
        x = images[index]  # (B, D)
        if recipe.binarization == "sample":
            x = torch.bernoulli(x, generator=generator)
        shape = recipe.noise_shape(len(x), latent_dim)  # (B, J) or (K, B, J)
        eps = torch.randn(shape, dtype=dtype, device=x.device, generator=generator)
        done = n_done + (len(epoch.sums) + 1) / len(batches)
        optimizer.param_groups[0]["lr"] = recipe.step_size(done)
        sums = step(
            model,
            optimizer,
            share(x),
            share(eps),
            None if labels is None else share_rows(labels[index]),
            n_images=len(x) / n_processes(),
            beta=recipe.beta,
            objective=recipe.objective,
            clip_norm=recipe.clip_norm,
            free_bits=recipe.free_bits,
        )
        epoch.sums.append(sums)
        if stop():
            break
    return torch.stack(epoch.sums)


def _check_epoch(images, recipe, n_done, latent_dim, generator) -> None:
    """Raise ValueError unless these are what ``train_epoch`` takes."""
    sort = isinstance(images, Tensor) and images.dim() == 2 and not images.is_complex()
    require(sort, "images (N, D)", images)
    check_generator(generator, images.device)
    require(isinstance(recipe, Recipe), "a Recipe", recipe)
    grey = images.is_floating_point() or recipe.binarization == "none"
    require(grey, "images of floats to draw bits of", images.dtype)
    whole("n_done", n_done, 0)
    whole("latent_dim", latent_dim)


@torch.no_grad()
def forget_negligible(optimizer: torch.optim.Optimizer) -> None:
    """Set moments to zero that have all but vanished, before they slow down each step.

    The mean gradient of a weight behind a pixel that is hardly ever lit shrinks with
    each step and ends as a denormal number, with which many processors are slow. From
    1e-30 Adam's takes 170 steps to get there; beside Adam's eps of 1e-8 it is nothing.
    Raises ValueError unless it is an optimizer.
    """
    sort = isinstance(optimizer, torch.optim.Optimizer)
    require(sort, "a torch.optim.Optimizer", optimizer)
    for state in optimizer.state.values():
        for moment in state.values():
            if isinstance(moment, Tensor):
                moment.masked_fill_(moment.abs() < NEGLIGIBLE, 0)
