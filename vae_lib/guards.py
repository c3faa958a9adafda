"""What training guards against: unknown devices, Ctrl-C, losses that are not finite."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vae_lib.domains import require

OUT_OF_MEMORY = (  # as torch says it on CUDA and MPS, Linux, Windows, in C++
    *("out of memory", "allocate memory", "not enough memory", "bad_alloc"),
    *("alloc_failed", "bad allocation"),
)
TERMS = ("log p(x|z)", "KL", "objective")


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the message names epoch, step and term."""


def pick_device(name: str) -> torch.device:
    """The torch device of this name; "auto" takes CUDA, else MPS, else the CPU."""
    named = isinstance(name, str | torch.device) and str(name) != "meta"
    require(named, "the name of a device of this machine", name)
    if name == "auto":
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"expected a device of this machine, got {name!r}") from error


@contextmanager
def hold_interrupts() -> Iterator[Callable[[], bool]]:
    """Hold the first Ctrl-C back; yields a function that tells whether it came.

    The second one acts at once. Only Python's main thread can hold it back. Where it
    is ignored, as in the background of a script, it stays ignored.
    """
    came = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def hold(number: int, frame: object) -> None:
        came.set()
        signal.signal(signal.SIGINT, before)

    elsewhere = threading.current_thread() is not threading.main_thread()
    if elsewhere or before in (None, signal.SIG_IGN):
        yield came.is_set
        return
    signal.signal(signal.SIGINT, hold)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this says that there is too little memory, here or on a device."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error).lower() for words in OUT_OF_MEMORY)
    )


def check_finite(model: nn.Module, sums: Tensor, epoch: int) -> None:
    """Raise NonFiniteLossError: asked once an epoch, so that no step waits for it."""
    advice = "try a smaller lr, or clip_norm"
    for step, term in (~sums.isfinite()).nonzero().tolist():
        what = f"the {TERMS[term]} became {sums[step, term].item()}"
        where = f"in step {step + 1} of epoch {epoch}"
        raise NonFiniteLossError(f"{what} {where}: {advice}")
    if not all(p.isfinite().all() for p in model.parameters()):
        raise NonFiniteLossError(f"the last step of epoch {epoch} overflowed: {advice}")
