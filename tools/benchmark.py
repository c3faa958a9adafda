"""One training epoch against its limits, as ratios within one run.

    python tools/benchmark.py [--rounds 5] [--json _build/benchmark.json]

Three ways through 60,000 digits in batches of 128, one epoch of each per round:

products    the matrix products of the network alone, written into buffers: the floor
ours        vae_lib's train_epoch: 784-400-20-400-784, Adam, with all its guards
dataloader  the same network and loss fed by a plain torch DataLoader, as tutorials do

Rounds interleave the three, so that a busy moment of the machine touches all of them.
The first round warms up and is not counted.
"""

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

from vae_lib.data import load_mnist
from vae_lib.models import VAE, VAEConfig
from vae_lib.objectives import elbo
from vae_lib.training import set_seed, train

BATCH = 128
CONFIG = VAEConfig(latent_dim=20, hidden_dims=(400,))


def products(images: torch.Tensor) -> None:
    """Forward, weight-gradient and input-gradient products of every layer, no more.

    They always run at "highest" precision, whatever the training loops are given.
    """
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    layers = [(784, 400), (400, 40), (20, 400), (400, 784)]
    work = []
    for n_in, n_out in layers:
        x, g = torch.randn(BATCH, n_in), torch.randn(BATCH, n_out)
        w = torch.randn(n_in, n_out)
        work.append((x, w, torch.empty(BATCH, n_out)))  # y = x w
        work.append((x.T, g, torch.empty(n_in, n_out)))  # dw = x' g
        if n_in != 784:  # no gradient with respect to the image
            work.append((g, w.T, torch.empty(BATCH, n_in)))  # dx = g w'
    for _ in range(len(images) // BATCH):
        for a, b, out in work:
            torch.mm(a, b, out=out)
    torch.set_float32_matmul_precision(precision)


class DataLoaderLoop:
    """A plain loop: DataLoader, default Adam, `.item()` at every step."""

    def __init__(self, images: torch.Tensor):
        set_seed(0)
        self.model = VAE(CONFIG)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.loader = DataLoader(TensorDataset(images), BATCH, shuffle=True)

    def epoch(self) -> float:
        total = 0.0
        for (x,) in self.loader:
            output = self.model(x)
            loss = -elbo(output.log_p_x_given_z, output.kl).mean()
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            total += loss.item() * len(x)
        return total / len(self.loader.dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path("_build/benchmark.json"))
    arguments = parser.parse_args()

    images = load_mnist("train").images
    set_seed(0)
    ours, plain = VAE(CONFIG), DataLoaderLoop(images)
    contestants = {
        "products": lambda: products(images),
        "ours": lambda: train(ours, images, epochs=1, batch_size=BATCH, progress=False),
        "dataloader": plain.epoch,
    }
    seconds = {name: [] for name in contestants}
    for number in range(arguments.rounds + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if number > 0:
                seconds[name].append(time.perf_counter() - start)
    ratios = {
        name: [a / b for a, b in zip(values, seconds["products"], strict=True)]
        for name, values in seconds.items()
    }
    result = {
        "ratio_to_products": {
            name: {
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
            }
            for name, values in ratios.items()
        },
        "seconds_per_epoch": {n: statistics.median(v) for n, v in seconds.items()},
        "train_elbo_last_epoch": ours.history.rows[-1]["elbo"],
        "rounds": arguments.rounds,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "data_mb": images.numel() * images.element_size() / 1e6,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
    for name, ratio in result["ratio_to_products"].items():
        spread = f"{ratio['min']:.2f} to {ratio['max']:.2f}"
        print(f"{name:12} {ratio['median']:5.2f} x the bare products ({spread})")
    print(
        f"peak memory {result['peak_memory_mb']:.0f} MB, data {result['data_mb']:.0f}"
    )
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(f"written to {arguments.json}")


if __name__ == "__main__":
    sys.exit(main())
