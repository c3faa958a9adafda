"""Several processes that train one model: PyTorch's own engine, started by torchrun.

Each process holds the whole model and draws the same random numbers; of every batch it
computes its share, and DistributedDataParallel averages the gradients. So the number of
processes changes the time that a run takes, and its result by rounding alone.
"""

import atexit
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """The number of this process, 0 alone and without torchrun; 0 writes the files."""
    return int(os.environ["RANK"]) if dist.is_torchelastic_launched() else 0


def n_processes() -> int:
    """How many processes compute together: 1 outside of ``process_group``."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group() -> Iterator[None]:
    """Connect the processes that torchrun started: NCCL on GPUs, gloo on CPUs.

    They stay connected until they end; without torchrun nothing happens. Raises
    ConnectionError if another process ends before its work is done, or torchrun stops;
    ValueError if torchrun is to restart processes that could not find each other.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if shared and os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0":
        # Restarted processes would read the addresses of the dead (pytorch #135712).
        expected = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 before torchrun --max-restarts"
        raise ValueError(f"expected {expected}, got torchrun's shared store")
    if not dist.is_initialized():
        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if on_gpu else "gloo")
        atexit.register(dist.destroy_process_group)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        if not (isinstance(error, dist.DistError) or "onnection" in reason):
            raise
        _stop(reason)
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(reason: object, frame: object = None) -> None:
    """Raise ConnectionError: a lost connection, or torchrun's SIGTERM after a loss."""
    atexit.unregister(dist.destroy_process_group)  # it would wait for those who left
    why = "SIGTERM from torchrun" if reason == signal.SIGTERM else reason
    what = f"process {rank()} stops because another one did"
    raise ConnectionError(f"{what} ({why}): start again with --resume")


def connect(model: nn.Module) -> nn.Module:
    """The model with gradients averaged over all processes; itself if it is alone."""
    if n_processes() == 1:
        return model
    return DistributedDataParallel(model)


def share(batch: Tensor) -> Tensor:
    """This process's images of a batch (B, D), or their noise ((K,) B, J).

    Raises ValueError if there are fewer images than processes.
    """
    n_images, n = batch.shape[-2], n_processes()
    if n_images < n:
        raise ValueError(f"expected batches of at least {n} images, got {n_images}")
    return batch if n == 1 else batch[..., rank() :: n, :]


def share_rows(told: Tensor) -> Tensor:
    """This process's part of what is told of a batch: labels (B,), or rows (B, P)."""
    return share(told.reshape(len(told), -1)).reshape(-1, *told.shape[1:])


def sum_over_processes(sums: Tensor) -> Tensor:
    """The sum of each process's tensor, the same in all of them."""
    if n_processes() > 1:
        dist.all_reduce(sums)
    return sums
