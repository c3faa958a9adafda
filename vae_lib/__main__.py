"""The command line: python -m vae_lib train | evaluate | export | data.

Bad input ends with one line that says what was expected and what came, and exit code 2.
Under torchrun the first process alone writes files and prints results.
"""

import dataclasses
import io
import json
import math
import shlex
import sys
from argparse import Namespace
from pathlib import Path

import torch

from vae_lib.checkpoints import PRETRAINED, load, load_pretrained, write_atomically
from vae_lib.data import load_mnist
from vae_lib.distributed import process_group, rank
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.export import export_network
from vae_lib.guards import NonFiniteLossError, check_recipe, pick_device, require
from vae_lib.models import VAE
from vae_lib.options import NETWORK, RECIPE, make_parser, unknown
from vae_lib.runs import MODEL, as_trained, train_run

HISTORY = "history.json"


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0, or 2 after one line on standard error, or 130 for Ctrl-C."""
    words = sys.argv[1:] if argv is None else argv
    arguments = make_parser().parse_args(words)
    try:
        COMMANDS[arguments.command](arguments)
    except (ValueError, OSError, NonFiniteLossError) as error:
        # Each process says so: torchrun ends the others as soon as one has ended.
        print(f"vae_lib: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        on_gpu = isinstance(error, torch.OutOfMemoryError)
        if not (on_gpu or "can't allocate memory" in str(error)):
            raise
        advice = "try a smaller --batch-size, --n-samples or network"
        print(f"vae_lib: out of memory: {advice}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if rank() == 0:
            print(f"stopped{how_to_go_on(arguments, words)}", file=sys.stderr)
        return 130
    return 0


def how_to_go_on(arguments: Namespace, words: list[str]) -> str:
    """The command that goes on with a training; nothing after other commands."""
    if arguments.command != "train":
        return ""
    again = words if arguments.resume else [*words, "--resume"]
    return f"; to go on: python -m vae_lib {shlex.join(again)}"


def run_train(arguments: Namespace) -> None:
    """Train from a preset into a folder, or go on with the run that is there."""
    given, preset = vars(arguments), PRETRAINED[arguments.preset]
    network = {name: given[name] for name in NETWORK if name in given}
    config = dataclasses.replace(preset.config, **network)
    recipe = preset.recipe | {name: given[name] for name in RECIPE if name in given}
    check_recipe(**recipe)
    folder = arguments.out
    free = arguments.resume or not (folder / MODEL).exists()
    require(free, "a folder without a model, or --resume", str(folder))
    require(not folder.is_file(), "a folder for --out", f"the file {folder}")
    with process_group():
        pick_device(arguments.device)  # before the digits are read
        model = train_run(
            folder,
            load_mnist("train").images,
            config,
            recipe,
            seed=arguments.seed,
            resume=arguments.resume,
            start=preset.start and load_pretrained(preset.start),
            device=arguments.device,
            compile=arguments.compile,
            progress=sys.stderr.isatty(),
        ).cpu()
    if rank() > 0:
        return
    from vae_lib import plots  # seconds that the other commands do without

    rows = model.history.rows
    write_atomically(folder / HISTORY, (json.dumps(rows, indent=1) + "\n").encode())
    write_figure(plots.plot_history(rows), folder / "history.png")
    samples = model.sample(60, generator=torch.Generator().manual_seed(0))
    write_figure(plots.plot_images(samples, n_columns=12), folder / "samples.png")
    if arguments.json:
        print(json.dumps({"folder": str(folder)} | rows[-1]))
        return
    print(f"{folder}: {len(rows)} epochs, training ELBO {rows[-1]['elbo']:.1f} nats")


def write_figure(figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, dpi=120)
    write_atomically(path, content.getvalue())


def run_evaluate(arguments: Namespace) -> None:
    """Print the test ELBO, and log p(x) with its standard error over the images."""
    for name in ("n_samples", "limit"):
        value = getattr(arguments, name)
        require(value >= 1, f"--{name.replace('_', '-')} >= 1", value)
    device = pick_device(arguments.device)
    model = find_model(arguments.model)
    recipe = model.record.get("recipe", {})
    images = as_trained(load_mnist("test").images, recipe)
    report = evaluate_elbo(model.to(device), images)
    few = images[: arguments.limit]
    log_p_x = log_likelihood(model, few, n_samples=arguments.n_samples).double()
    error = log_p_x.std(correction=0).item() / math.sqrt(len(few))
    result = report._asdict() | {
        "log_p_x": log_p_x.mean().item(),
        "standard_error": error,
        "images": len(few),
        "n_samples": arguments.n_samples,
        "pixels": "bits" if recipe.get("binarization") == "sample" else "grey",
    }
    if arguments.json:
        print(json.dumps(result))
        return
    about = f"{len(images):,} test digits in {result['pixels']}"
    print(f"ELBO      {report.elbo:9.2f}  ({about})")
    print(f"  E[log p(x|z)] {report.log_p_x_given_z:.2f}, KL {report.kl:.2f}")
    about = f"{len(few):,} test digits, {arguments.n_samples} samples each"
    print(f"log p(x)  {result['log_p_x']:9.2f} +- {error:.2f}  ({about})")


def run_export(arguments: Namespace) -> None:
    """Write one network of a model to a new file."""
    given = {"part": arguments.part, "dtype": arguments.dtype}
    export_network(find_model(arguments.model), arguments.out, **given)
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


def find_model(name: str) -> VAE:
    """The model of this run folder, checkpoint file or shipped name."""
    path = Path(name)
    if path.exists():
        return load(path / MODEL if path.is_dir() else path)
    if name in PRETRAINED:
        return load_pretrained(name)
    raise ValueError(unknown(name, ("a run", "a checkpoint", *PRETRAINED)))


def run_data(arguments: Namespace) -> None:
    """Read both splits, which checks their sha256, and describe them."""
    for split in ("train", "test"):
        images, labels = load_mnist(split)
        digits = " ".join(str(n) for n in labels.bincount().tolist())
        print(f"{split:5} {len(images):,} digits, sound; of each kind: {digits}")


COMMANDS = {
    "train": run_train,
    "evaluate": run_evaluate,
    "export": run_export,
    "data": run_data,
}

if __name__ == "__main__":
    sys.exit(main())
