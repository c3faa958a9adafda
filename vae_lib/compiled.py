"""A step of training as one compiled function: the same arithmetic, often faster."""

import math
import os
import shutil
import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value

from vae_lib.distributed import n_processes
from vae_lib.domains import whole
from vae_lib.steps import bound_and_sums, take_step

COMPILERS = {"darwin": "clang++", "win32": "cl"}  # what torch looks for; else g++
MOST_COMPILED = 256  # versions in one process; torch itself refuses the ninth


def compile_step(batch_size: int) -> Callable[..., Tensor]:
    """A function with the arguments of ``take_step``, compiled for this batch size.

    Its first call takes half a minute, less where torch keeps the compiled code of an
    earlier run. Other batches, such as an epoch's last, go through ``take_step``.
    Frozen parameters stay as they are. Raises ValueError without a C++ compiler, or if
    several processes train.
    """
    batch_size = whole("batch_size", batch_size)
    if n_processes() > 1:  # their gradients are averaged in ``backward`` alone
        n = n_processes()
        raise ValueError(f"expected one process for step='compiled', got {n}")
    name = os.environ.get("CXX", COMPILERS.get(sys.platform, "g++"))
    if not (shutil.which(name) or shutil.which(name.partition(" ")[0])):  # "ccache c++"
        raise ValueError(
            f"expected a C++ compiler for step='compiled', got no {name!r}"
        )
    compiled = torch.compile(_whole_step, fullgraph=True, dynamic=False)

    def step(model, optimizer, x, eps, y=None, **options) -> Tensor:
        trained = {k: w for k, w in model.named_parameters() if w.requires_grad}
        states = [optimizer.state.get(weight) for weight in trained.values()]
        if len(x) != batch_size or not all(states):  # a first step fills the states
            return take_step(model, optimizer, x, eps, y, **options)
        (group,) = optimizer.param_groups
        lr = x.new_full((), group["lr"])  # a number would be compiled in
        constants = (lr, *group["betas"], group["eps"])
        with torch._dynamo.config.patch(recompile_limit=MOST_COMPILED):
            return compiled(model, trained, states, constants, x, eps, y, **options)

    return step


@torch.no_grad()
def _whole_step(
    model,
    named,
    states,
    constants,
    x,
    eps,
    y,
    *,
    n_images,
    clip_norm,
    beta,
    objective,
    free_bits=0.0,
) -> Tensor:
    """What ``take_step`` does, written without a tape and without ``.grad``."""

    def loss_and_sums(named):
        options = {"eps": eps, "weights": objective == "iwae"}
        output = functional_call(model, named, (x, y), options)
        bound, sums = bound_and_sums(output, beta, objective, free_bits)
        return -bound / n_images, sums

    lr, *rest = constants
    named_grads, (_, sums) = grad_and_value(loss_and_sums, has_aux=True)(named)
    grads = list(named_grads.values())
    if clip_norm is not None:
        norm = torch.stack([grad.square().sum() for grad in grads]).sum().sqrt()
        scale = (clip_norm / (norm + 1e-6)).clamp(max=1)  # as clip_grad_norm_ does
        grads = [grad * scale for grad in grads]
    for weight, grad, state in zip(named.values(), grads, states, strict=True):
        weight.sub_(lr * _adam(grad, state, *rest))
    return sums


def _adam(grad: Tensor, state: dict[str, Tensor], beta1, beta2, tiny) -> Tensor:
    """Adam's direction of descent; state goes on. Source: Kingma & Ba (2015)."""
    n = state["step"].add_(1).to(grad.dtype)
    mean = state["exp_avg"].lerp_(grad, 1 - beta1)
    square = state["exp_avg_sq"].lerp_(grad.square(), 1 - beta2)
    # 1 - beta^n through expm1: in float32 it would lose digits in the first steps.
    mean = mean / -torch.expm1(n * math.log(beta1))
    square = square / -torch.expm1(n * math.log(beta2))
    return mean / (square.sqrt() + tiny)
