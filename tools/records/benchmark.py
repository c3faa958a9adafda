"""What an epoch of training costs, as ratios within one run: book/performance.json.

    python -m tools.records.benchmark [--rounds 5] [--json book/performance.json]

Ways through 60,000 digits in batches of 128, on the CPU:

products    the matrix products of the network alone, written into buffers: the floor
by hand     vae_lib's train with step="by hand": 784-400-20-400-784, Adam
jax         the same as one compiled function an epoch, see jax_epoch.py
compiled    vae_lib's train with step="compiled"
ours        vae_lib's train as it is, with all its guards
medium      the same with products in "medium" precision, for information
dataloader  the same network and loss fed by a plain torch DataLoader, as tutorials do

Rounds interleave them, so that a busy moment of the machine touches all; the first
round warms up and is not counted. Then the ways with one thread and with two, alone and
beside a busy process (--ways does this alone), how the cost grows with the size of the
task, where the time goes, how much memory training adds, how long compiling takes, and
what a busy process beside it costs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from tools.book import BOOK, ROOT
from tools.records.contestants import TASK, Ours, PlainLoop, products
from vae_lib.data import load_mnist

JSON = BOOK / "performance.json"
SMALL = TASK | {"images": 15_000}  # enough to see the growth in all but the images
GROWTH = {
    "images": (15_000, 30_000, 60_000),
    "latent_dim": (2, 20, 64, 256),
    "width": (100, 200, 400, 800, 1600),
    "batch_size": (32, 128, 512),
}
# An operation belongs to the group of the nearest of these that called it.
GROUPS = {
    "aten::mm": "matrix products",
    "aten::addmm": "matrix products",
    "Optimizer.step#Adam.step": "Adam",
    "Optimizer.zero_grad#Adam.zero_grad": "Adam",
    "aten::binary_cross_entropy_with_logits": "Bernoulli log-likelihood",
    "BinaryCrossEntropyWithLogitsBackward0": "Bernoulli log-likelihood",
    "aten::index": "gathering of batches",
    "aten::randn": "random numbers",
    "aten::randperm": "random numbers",
}


def measure(runs: dict, rounds: int) -> tuple[dict, dict]:
    """Seconds of every run in every counted round, and what its last call returned."""
    seconds, returned = {name: [] for name in runs}, {}
    for number in range(rounds + 1):
        print(f"round {number} of {rounds}: {', '.join(map(str, runs))}", flush=True)
        for name, run in runs.items():
            start = time.perf_counter()
            returned[name] = run()
            if number > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds, returned


def ratios(seconds: dict, reference) -> dict[str, dict[str, float]]:
    """Each run over the reference in the same round: median, min and max of rounds."""
    found = {}
    for name, values in seconds.items():
        r = [a / b for a, b in zip(values, seconds[reference], strict=True)]
        found[name] = {"median": statistics.median(r), "min": min(r), "max": max(r)}
    return found


def growth(images: torch.Tensor, axis: str, rounds: int) -> dict:
    """Time of an epoch along one axis of the task, over that of the task itself."""
    task = TASK if axis == "images" else SMALL
    runs = {value: Ours(images, task | {axis: value}) for value in GROWTH[axis]}
    seconds, bounds = measure(runs, rounds)
    found = ratios(seconds, task[axis])
    result = {"on_images": task["images"], "reference": task[axis]}
    result["rows"] = [
        {"value": v} | found[v] | {"train_elbo": bounds[v]} for v in found
    ]
    if axis in ("images", "width"):  # a straight line through the medians
        values, medians = np.array([(v, found[v]["median"]) for v in found]).T
        slope, fixed = np.polyfit(values, medians, 1)
        error = np.abs((fixed + slope * values) / medians - 1).max()
        result["line"] = {"fixed": fixed, "largest_error": error}
    return result


def shares(run: Callable[[], float]) -> dict[str, float]:
    """Which part of the CPU's time each group of operations takes."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        run()
    time_of = Counter(dict.fromkeys(GROUPS.values(), 0.0))
    for event in profiler.events():
        caller = event
        while caller is not None and caller.name not in GROUPS:
            caller = caller.cpu_parent
        group = "all the rest" if caller is None else GROUPS[caller.name]
        time_of[group] += event.self_cpu_time_total
    return {group: t / time_of.total() for group, t in time_of.most_common()}


def fresh_process(what: str, **variables: str) -> dict:
    """What fresh_process.py finds, with these variables in its environment."""
    command = [sys.executable, "-m", "tools.records.fresh_process", what]
    options = {"cwd": ROOT, "check": True, "stdout": subprocess.PIPE}
    done = subprocess.run(command, env=os.environ | variables, **options)
    return json.loads(done.stdout)


def beside_a_busy_process() -> dict[str, dict[str, float]]:
    """An epoch beside a busy process over one alone: with a core to spare, and not."""
    spare = fresh_process("busy")
    every = fresh_process("busy", OMP_NUM_THREADS=str(torch.get_num_threads()))
    found = {
        "a core to spare": ratios(spare, "alone")["beside"],
        "all cores": ratios(every, "alone")["beside"],
    }
    least = min(spare["alone"]) / min(every["alone"])
    return {"ratio_to_alone": found, "alone_with_a_core_to_spare": least}


def with_threads(rounds: int) -> dict[str, dict]:
    """The ways with one thread and with two, alone and beside a busy process."""
    found = {}
    for threads in (1, 2):
        for how in ("alone", "beside"):
            given = {"THREADS": str(threads), "HOW": how, "ROUNDS": str(rounds)}
            seconds = fresh_process("ways", OMP_NUM_THREADS=str(threads), **given)
            found[f"{threads}, {how}"] = ratios(seconds, "products")
    return found


def compiling(waits: dict[str, dict], result: dict) -> dict[str, dict]:
    """The wait for compiled code, new or kept, and how many epochs make up for it."""
    saved = 1 - result["ratio_to_ours"]["compiled"]["median"]
    saved *= result["seconds_per_epoch"]["ours"]
    for wait in waits.values():
        wait["pays_after_epochs"] = wait["seconds"] / saved if saved > 0 else None
    return waits


def environment() -> dict[str, str | int | float]:
    cpu = "unknown"
    if (info := Path("/proc/cpuinfo")).exists():
        lines = info.read_text("utf-8").splitlines()
        cpu = next((x.split(": ")[1] for x in lines if x.startswith("model name")), cpu)
    return {
        "device": "cpu",
        "cpu": cpu,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 2),
    }


def compare(images: torch.Tensor, rounds: int, device="cpu", task=TASK) -> dict:
    """The ways: ratios, seconds, and the bound after the same epochs."""
    on = {"device": device}
    rival = {}
    if device == "cpu" and find_spec("jax"):
        from tools.records.jax_epoch import Jax

        rival["jax"] = Jax(images, task)
    runs = {
        "products": partial(products, task, **on),
        "by hand": Ours(images, task, step="by hand", **on),
        **rival,
        "compiled": Ours(images, task, step="compiled", **on),
        "ours": Ours(images, task, **on),
        "medium": Ours(images, task, products="medium", **on),
        "dataloader": PlainLoop(images, task, **on),
    }
    seconds, bounds = measure(runs, rounds)
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    return {
        "ratio_to_products": ratios(seconds, "products"),
        "ratio_to_ours": ratios(seconds, "ours"),
        "seconds_per_epoch": {n: statistics.median(s) for n, s in seconds.items()},
        "epochs": rounds + 1,
        "train_elbo_of_last_epoch": bounds,
        "largest_difference_of_elbo": max(bounds.values()) - min(bounds.values()),
    }


def say(setting: str, found: dict) -> None:
    """The ratios to the products, a line for each way."""
    for name, ratio in found.items():
        spread = f"{ratio['min']:.2f} to {ratio['max']:.2f}"
        what = f"{ratio['median']:5.2f} x the bare products ({spread})"
        print(f"{setting:10} {name:12} {what}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=JSON)
    parser.add_argument("--ways", action="store_true", help="ratios by threads alone")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"expected --rounds of 1 or more, got {arguments.rounds}")
    if not find_spec("jax"):
        parser.error("expected jax beside the book's environment: pip install jax")
    if arguments.ways:
        for setting, found in with_threads(arguments.rounds).items():
            say(setting, found)
        return

    result = {"task": TASK, "rounds": arguments.rounds, "environment": environment()}
    if result["environment"]["load"] > 1:
        print("this machine is busy: load average", result["environment"]["load"])
    result["memory"] = fresh_process("memory")
    result["busy"] = beside_a_busy_process()
    result["threads"] = with_threads(arguments.rounds)
    # All that follows runs on an idle machine, and so on all its cores.
    os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    images = load_mnist("train").images
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # compiled code, none yet
        waits = {code: fresh_process("compile") for code in ("new", "kept")}
        result |= compare(images, arguments.rounds)
    profiled = Ours(images, SMALL)
    profiled()  # warms up
    result["profile_of_ours"] = shares(profiled)
    result["compiling"] = compiling(waits, result)
    result["growth"] = {axis: growth(images, axis, arguments.rounds) for axis in GROWTH}
    say("all cores", result["ratio_to_products"])
    print(f"compiling, seconds: {result['compiling']}")
    arguments.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    page = "python -m tools.records.performance makes the page of it"
    print(f"written to {arguments.json}; {page}")


if __name__ == "__main__":
    sys.exit(main())
