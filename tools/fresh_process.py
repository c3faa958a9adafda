"""What only a new process can show, as one line of JSON.

    python -m tools.fresh_process memory    how much memory training adds
    python -m tools.fresh_process compile   seconds until a compiled step is ready

memory reads /proc, so it needs Linux.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torchvision  # noqa: F401  part of the framework whose memory is set apart

from tools.contestants import TASK, Ours
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
    """Seconds of a first call with compile=True, on so few images that all is wait."""
    images = load_mnist("test").images[:384]
    Ours(images, TASK)()
    compiled = Ours(images, TASK, compile=True)
    start = time.perf_counter()
    compiled()
    return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["memory", "compile"])
    what = parser.parse_args().what
    print(json.dumps(memory() if what == "memory" else compile_step()))
