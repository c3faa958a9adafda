"""The command line: python -m vae_lib train | evaluate | export | data.

Bad input ends with one line that says what was expected and what came, and exit code 2.
Under torchrun the first process alone writes files and prints results.
"""

import json
import math
import os
import shlex
import sys
from argparse import Namespace
from pathlib import Path

try:
    import torch  # noqa: F401  the first to need much memory
except (ImportError, MemoryError, OSError) as error:
    print(f"vae_lib: torch cannot be loaded: {error}", file=sys.stderr)
    sys.exit(2)

from vae_lib import console, recipes
from vae_lib.arguments import unknown
from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import PRETRAINED, load, load_pretrained
from vae_lib.console import has_terminal, line_per_epoch, say, show
from vae_lib.data_sets import MNIST, describe, find_data_set, usual_for
from vae_lib.distributed import process_group, rank
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.exchange import read_model
from vae_lib.export import export_network
from vae_lib.files import one_line
from vae_lib.guards import NonFiniteLossError, is_out_of_memory, pick_device, require
from vae_lib.latent import LatentVariableModel
from vae_lib.options import make_parser
from vae_lib.presets import asked
from vae_lib.results import try_to_draw, write_results
from vae_lib.runs import MODEL, train_run
from vae_lib.sequences import SequenceVAE
from vae_lib.sources import check_trained_on, source_of


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0, or 2 after one line on standard error, or 130 for Ctrl-C."""
    console.take_any_letter()
    try:
        return run_command(sys.argv[1:] if argv is None else argv)
    finally:
        console.let_go()


def run_command(words: list[str]) -> int:
    """The exit code of one command."""
    arguments = make_parser().parse_args(words)
    try:
        COMMANDS[arguments.command](arguments)
    except (ValueError, OSError, NonFiniteLossError, ImportError) as error:
        # Each process says so: torchrun ends the others as soon as one has ended.
        say(f"vae_lib: {one_line(error)}")
        return 2
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        advice = "try a smaller --batch-size, --n-samples or network"
        say(f"vae_lib: out of memory: {advice}")
        return 2
    except KeyboardInterrupt:
        if rank() == 0:
            say(f"stopped{how_to_go_on(arguments, words)}")
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
    folder = arguments.out
    require(not folder.is_file(), "a folder for --out", f"the file {folder}")
    there = os.path.lexists(folder / MODEL)
    fits = arguments.resume or not there
    require(fits, "a folder without a model, or --resume", str(folder))
    wanted = asked(vars(arguments), folder / MODEL, there)
    if rank() == 0:
        try_to_draw(folder)
    with process_group():
        pick_device(arguments.device)  # before the digits are read
        own = wanted.source != MNIST  # files of MNIST are as they always were
        images, labels = wanted.data.examples_for(wanted.config, "train")
        model = train_run(
            folder,
            images,
            wanted.config,
            wanted.recipe,
            labels=labels,
            seed=wanted.seed,
            resume=arguments.resume,
            start=wanted.start,
            source=wanted.source if own else None,
            report=line_per_epoch(wanted.recipe.epochs),
            device=arguments.device,
            step=arguments.step.replace("-", " "),
            progress=has_terminal(),
        ).cpu()
    if rank() > 0:
        return
    rows = model.history.rows
    write_results(folder, model, ink=wanted.data.ink)
    if arguments.json:
        show(json.dumps({"folder": str(folder)} | rows[-1]))
        return
    show(f"{folder}: {len(rows)} epochs, training ELBO {rows[-1]['elbo']:.1f} nats")


def run_evaluate(arguments: Namespace) -> None:
    """Print the test ELBO, and log p(x) with its standard error over the images."""
    for name in ("n_samples", "limit"):
        value = getattr(arguments, name)
        require(value >= 1, f"--{name.replace('_', '-')} >= 1", value)
    device = pick_device(arguments.device)
    model = find_model(arguments.model)
    require(not isinstance(model, AutoEncoder), "a VAE", "an AutoEncoder: no log p(x)")
    recipe = model.record.get("recipe", {})
    require(isinstance(recipe, dict), "a recipe that is a dict", recipe)
    recipe = recipes.from_file(
        {"epochs": 1} | recipe
    )  # a record of your own may lack it
    trained_on = model.record.get("data")
    own = source_of(trained_on) if trained_on else usual_for(model.config)
    source = getattr(arguments, "data", own)
    data = find_data_set(source)
    check_trained_on(model, data, source)
    images = recipe.as_trained(data.load("test")[0])
    report = evaluate_elbo(model.to(device), images)
    few = images[: arguments.limit]
    log_p_x = log_likelihood(model, few, n_samples=arguments.n_samples).double()
    error = log_p_x.std(correction=0).item() / math.sqrt(len(few))
    result = report._asdict() | {
        "log_p_x": log_p_x.mean().item(),
        "standard_error": error,
        "images": len(few),
        "n_samples": arguments.n_samples,
        "pixels": "bits" if recipe.binarization == "sample" else "grey",
    }
    what = f"test images in {result['pixels']}"
    if isinstance(model, SequenceVAE):
        result["strings"], what = result.pop("images"), "test strings"
        del result["pixels"]
    for name, value in result.items():
        finite = isinstance(value, str) or math.isfinite(value)
        require(finite, f"weights that give a finite {name}", value)
    if arguments.json:
        show(json.dumps(result))
        return
    about = f"{len(images):,} {what}"
    show(f"ELBO      {report.elbo:9.2f}  ({about})")
    show(f"  E[log p(x|z)] {report.log_p_x_given_z:.2f}, KL {report.kl:.2f}")
    about = f"{len(few):,} {what.split(' in ')[0]}, {arguments.n_samples} samples each"
    show(f"log p(x)  {result['log_p_x']:9.2f} +- {error:.2f}  ({about})")


def run_export(arguments: Namespace) -> None:
    """Write one network of a model to a new file."""
    model, out = find_model(arguments.model), arguments.out
    export_network(model, out, part=arguments.part, dtype=arguments.dtype)
    show(f"{out}: {out.stat().st_size:,} bytes")


def find_model(name: str) -> LatentVariableModel:
    """The model of this run folder, checkpoint, JSON file or shipped name."""
    path = Path(name)
    if name.strip() and path.exists():
        path = path / MODEL if path.is_dir() else path
        return (read_model if path.suffix == ".json" else load)(path)
    if name in PRETRAINED:
        return load_pretrained(name)
    raise ValueError(unknown(name, ("a run", "a checkpoint", *PRETRAINED)))


def run_data(arguments: Namespace) -> None:
    """Read both splits, which checks their sha256 if it is known, and describe them."""
    data = find_data_set(getattr(arguments, "data", MNIST))
    for split in ("train", "test"):
        show(f"{split:5} {describe(data, split)}")


COMMANDS = {
    "train": run_train,
    "evaluate": run_evaluate,
    "export": run_export,
    "data": run_data,
}

if __name__ == "__main__":
    sys.exit(main())
