"""What training refuses: bad arguments, unknown devices, losses that are not finite."""

import torch
from torch import Tensor, nn

TERMS = ("log p(x|z)", "KL", "objective")


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the message names epoch, step and term."""


def require(holds: bool, expected: str, got: object) -> None:
    """Raise ValueError with what was expected and what came, unless it holds."""
    if not holds:
        raise ValueError(f"expected {expected}, got {got!r}")


def pick_device(name: str) -> torch.device:
    """The torch device of this name; "auto" takes CUDA, else MPS, else the CPU."""
    if name == "auto":
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"expected a device, got {name!r}") from error


def check_finite(model: nn.Module, sums: Tensor, epoch: int) -> None:
    """Raise NonFiniteLossError: asked once an epoch, so that no step waits for it."""
    advice = "try a smaller lr, or clip_norm"
    for step, term in (~sums.isfinite()).nonzero().tolist():
        what = f"the {TERMS[term]} became {sums[step, term].item()}"
        where = f"in step {step + 1} of epoch {epoch}"
        raise NonFiniteLossError(f"{what} {where}: {advice}")
    if not all(p.isfinite().all() for p in model.parameters()):
        raise NonFiniteLossError(f"the last step of epoch {epoch} overflowed: {advice}")
