"""What only a new process can show, as one line of JSON.

    python -m tools.records.fresh_process memory     how much memory training adds
    python -m tools.records.fresh_process compile    seconds until a compiled step runs
    python -m tools.records.fresh_process busy       seconds of epochs, alone and not

memory reads /proc, so it needs Linux.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch
import torchvision  # noqa: F401  part of the framework whose memory is set apart

from tools.records.contestants import TASK, Ours
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


MEASURES = {"memory": memory, "compile": compile_step, "busy": busy}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=MEASURES)
    print(json.dumps(MEASURES[parser.parse_args().what]()))
