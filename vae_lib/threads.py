"""How many threads share out an operation while a model is trained."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def n_threads() -> int:
    """Threads in training: one core stays free where there are several.

    An operation is over when the last of its threads is, and the others spin meanwhile.
    Where each core has its thread, any other process that works delays one of them, and
    with it all: an epoch takes many times as long. Set OMP_NUM_THREADS to choose the
    number yourself: all cores pay on a machine that does nothing else.
    """
    chosen = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ:
        return chosen
    return max(1, min(chosen, n_cores() - 1))


def n_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container may have a part of them
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def leave_a_core() -> Iterator[None]:
    """Compute with ``n_threads``, and put back what was set."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)
