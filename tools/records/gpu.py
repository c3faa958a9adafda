"""What a GPU does with the book's models, in ten minutes at most: book/gpu.json.

    python -m tools.records.gpu [--json book/gpu.json]

It runs the tests marked gpu; then, on the GPU, an epoch of each preset, steps of the
dense and of the convolutional network of chapter 12, and the ways through an epoch of
`make bench`. performance.py makes a table of the file; without it the page says nothing
of GPUs. Needs CUDA, and a C++ compiler. A machine without a GPU is told so.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tools.book import BOOK, ROOT
from tools.records import benchmark
from tools.records.shipped import examples_of
from vae_lib.checkpoints import PRETRAINED, load_pretrained
from vae_lib.data import load_mnist
from vae_lib.kinds import class_for
from vae_lib.models import VAE, VAEConfig
from vae_lib.steps import take_step
from vae_lib.training import set_seed, train

JSON = BOOK / "gpu.json"
ROUNDS, STEPS = 3, 20
SECONDS_OF_TESTS = 300  # at most
# The networks of the plans in chapter 12.
NETWORKS = {
    "dense": VAEConfig(20, (400,)),
    "convolutional": VAEConfig(
        128, (128, 256, 512, 1024), network="conv", shape=(3, 64, 64), n_pixels=12288
    ),
}
# Two sizes of a batch, so large that the device and not its host sets the pace: more
# where one step of the dense network takes as long as another.
BATCHES = {"dense": (8192, 65_536), "convolutional": (256, 1024)}


def environment() -> dict[str, str]:
    """Names and versions of what computes."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    return {
        "gpu": torch.cuda.get_device_name(),
        "driver": said.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def tests() -> dict[str, int]:
    """How many of the tests marked gpu passed, failed and were skipped."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu"]
    options = {"capture_output": True, "text": True, "timeout": SECONDS_OF_TESTS}
    said = subprocess.run(command, cwd=ROOT, **options).stdout
    print(said)
    return counts(said)


def counts(said: str) -> dict[str, int]:
    """Tests passed, failed and skipped, by pytest's last line; errors have failed."""
    last = said.strip().splitlines()[-1]
    found = {word: int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", last)}
    failed = sum(found.get(word, 0) for word in ("failed", "error", "errors"))
    return {
        "passed": found.get("passed", 0),
        "failed": failed,
        "skipped": found.get("skipped", 0),
    }


def an_epoch(
    preset: str, images: Tensor, labels: Tensor | None, device: str
) -> dict[str, float]:
    """Seconds and bound of this preset's second epoch; the first one warms up."""
    config, recipe, _, start = PRETRAINED[preset]
    set_seed(0)
    new = class_for(config).from_data
    model = load_pretrained(start) if start else new(config, images)
    options = {"labels": labels, "epochs": 2, "device": device, "progress": False}
    row = train(model, images, recipe, **options).rows[-1]
    return {"seconds": row["seconds"], "train_elbo": row["elbo"]}


def steps(config: VAEConfig, batch: int, device: str, n: int = STEPS) -> dict:
    """Seconds of a step, the median of n, and what an image needs and gets of it."""
    set_seed(0)
    model = VAE(config).to(device)
    adam = torch.optim.Adam(model.parameters(), fused=True)
    x = torch.rand(batch, config.n_pixels, device=device)
    eps = torch.randn(batch, config.latent_dim, device=device)

    def step() -> None:
        take_step(model, adam, x, eps, n_images=batch).sum().item()  # waits for it

    with FlopCounterMode(display=False) as counter:
        step()
    step()
    return {
        "batch": batch,
        "parameters": sum(p.numel() for p in model.parameters()),
        "operations_per_image": counter.get_total_flops() / batch,
        "seconds": median(seconds_of(step) for _ in range(n)),
    }


def seconds_of(act: Callable[[], None]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def line(small: dict, large: dict) -> dict[str, float]:
    """Fixed part t_0 and time of an image t_1 of a step, from two sizes of a batch."""
    images = large["batch"] - small["batch"]
    t1 = (large["seconds"] - small["seconds"]) / images
    t0 = small["seconds"] - small["batch"] * t1
    speed = large["operations_per_image"] / t1
    return {"t0_ms": 1e3 * t0, "t1_us": 1e6 * t1, "tera_operations": 1e-12 * speed}


def measured(device: str) -> dict:
    """All that is measured on this device."""
    images = load_mnist("train").images
    presets = {
        name: an_epoch(name, *examples_of(name, "train"), device) for name in PRETRAINED
    }
    networks = {}
    for name, config in NETWORKS.items():
        both = [steps(config, batch, device) for batch in BATCHES[name]]
        networks[name] = {"steps": both} | line(*both)
    ways = benchmark.compare(images, ROUNDS, device)
    return {"presets": presets, "networks": networks, "ways": ways}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=JSON)
    path = parser.parse_args().json
    if not torch.cuda.is_available():
        parser.exit(2, "expected a GPU that torch reaches by CUDA, got none\n")
    began = time.perf_counter()
    result = {"environment": environment(), "tests": tests()} | measured("cuda")
    result["seconds"] = time.perf_counter() - began
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    page = "python -m tools.records.performance makes the page of it"
    print(f"written to {path}; {page}")
    return int(result["tests"]["failed"] > 0 or result["tests"]["passed"] == 0)


if __name__ == "__main__":
    sys.exit(main())
