"""Adam for weights that lie one behind the other in memory, and all that is theirs.

One long vector is read and written in one go where a dozen tensors take a dozen.
"""

import torch
from torch import Tensor
from torch.optim.adam import adam


class FlatAdam:
    """The steps of this optimizer, whose state goes on, of all its weights at once.

    Its weights, their gradients and its moments become views of four vectors; whoever
    holds the optimizer or the model finds the same tensors as before, with the same
    values. Gradients are set in place from then on. Source: Kingma & Ba (2015).
    """

    def __init__(self, optimizer: torch.optim.Optimizer):
        (self.group,) = optimizer.param_groups
        weights, state = self.group["params"], optimizer.state
        for weight in weights:
            if not state[weight]:
                state[weight] = {
                    "step": weight.new_zeros((), dtype=torch.float32),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }
        self.weights, places = one_behind_the_other([w.detach() for w in weights])
        self.grads, slopes = one_behind_the_other(
            [torch.zeros_like(w) for w in weights]
        )
        for weight, place, slope in zip(weights, places, slopes, strict=True):
            weight.data, weight.grad = place, slope
        self.moments = {}
        for name in ("step", "exp_avg", "exp_avg_sq"):
            parts = [state[weight][name] for weight in weights]
            self.moments[name], places = one_behind_the_other(parts)
            for weight, place in zip(weights, places, strict=True):
                state[weight][name] = place

    def step(self, clip_norm: float | None) -> None:
        """One step down the gradients, shortened to this norm if they are longer."""
        if clip_norm is not None:
            norm = torch.linalg.vector_norm(self.grads)
            self.grads *= (clip_norm / (norm + 1e-6)).clamp(max=1)
        n_steps = self.moments["step"]  # a number for each weight, all the same
        adam(
            [self.weights],
            [self.grads],
            [self.moments["exp_avg"]],
            [self.moments["exp_avg_sq"]],
            [],
            [n_steps[0]],
            fused=True,
            amsgrad=False,
            beta1=self.group["betas"][0],
            beta2=self.group["betas"][1],
            lr=self.group["lr"],
            weight_decay=self.group["weight_decay"],
            eps=self.group["eps"],
            maximize=self.group["maximize"],
        )
        n_steps[1:] += 1


def one_behind_the_other(parts: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """A vector (n,) of all their numbers, and the parts as views of it."""
    flat = torch.cat([part.flatten() for part in parts])
    places = flat.split([part.numel() for part in parts])
    return flat, [v.view_as(part) for v, part in zip(places, parts, strict=True)]
