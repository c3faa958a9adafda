"""What only a new process can show, as one line of JSON.

    python -m tools.records.fresh_process memory     how much memory training adds
    python -m tools.records.fresh_process compile    seconds until a compiled step runs
    python -m tools.records.fresh_process busy       seconds of epochs, alone and not
    python -m tools.records.fresh_process ways       seconds of each way by THREADS, HOW

memory reads /proc, so it needs Linux.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch
import torchvision  # noqa: F401  part of the framework whose memory is set apart

from tools.records.contestants import TASK, Ours, PlainLoop, products
from vae_lib.data import load_mnist


def memory() -> dict[str, float]:
    """Megabytes of the framework alone, at the peak of training, and of the images."""
    torch.optim.Adam([torch.zeros(1)])  # the first optimizer imports more of torch
    framework = megabytes("VmRSS")
    images = load_mnist("train").images
    Ours(images, TASK)()
    peak = megabytes("VmHWM")
    return {
        "framework_mb": framework,
        "peak_mb": peak,
        "images_mb": images.nbytes / 1e6,
        "added_over_images": (peak - framework) / (images.nbytes / 1e6),
    }


def megabytes(field: str) -> float:
    """Memory of this process: VmRSS is what it holds now, VmHWM the most so far.

    getrusage would not do: after a fork its maximum is the parent's.
    """
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024 * int(value.removesuffix("kB")) / 1e6
    raise OSError(f"expected {field} in /proc/self/status, got no such line")


def compile_step() -> dict[str, float]:
    """Seconds of a first call with step="compiled", on so few images: all is wait."""
    images = load_mnist("test").images[:384]
    Ours(images, TASK)()
    compiled = Ours(images, TASK, step="compiled")
    start = time.perf_counter()
    compiled()
    return {"seconds": time.perf_counter() - start}


def busy() -> dict[str, list[float]]:
    """Epochs alone and beside a process that does nothing but work, in turn."""
    ours = Ours(load_mnist("train").images, TASK | {"images": 15_000})
    ours()  # warms up
    seconds = {"alone": [], "beside": []}
    for _ in range(5):
        for how, found in seconds.items():
            code = "while True: pass" if how == "beside" else ""
            with subprocess.Popen([sys.executable, "-c", code]) as other:
                time.sleep(0.5)  # until it works, or is gone
                start = time.perf_counter()
                ours()
                found.append(time.perf_counter() - start)
                other.kill()
    return seconds


def ways() -> dict[str, list[float]]:
    """Epochs of each way in turn: THREADS of them, HOW "alone" or "beside" another.

    With one thread the process stays on one core; the other process has the other.
    """
    threads, how = int(os.environ["THREADS"]), os.environ["HOW"]
    if threads == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(threads)
    from tools.records.jax_epoch import Jax  # counts the cores when it is imported

    task = TASK | {"images": 15_000}
    images = load_mnist("train").images
    runs = {
        "products": partial(products, task),
        "by hand": Ours(images, task, step="by hand"),
        "jax": Jax(images, task),
        "ours": Ours(images, task),
        "dataloader": PlainLoop(images, task),
    }
    seconds = {name: [] for name in runs}
    code = "while True: pass" if how == "beside" else ""
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        for number in range(int(os.environ["ROUNDS"]) + 1):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if number > 0:  # the first one warms up
                    seconds[name].append(time.perf_counter() - start)
        other.kill()
    return seconds


MEASURES = {"memory": memory, "compile": compile_step, "busy": busy, "ways": ways}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=MEASURES)
    print(json.dumps(MEASURES[parser.parse_args().what]()))
