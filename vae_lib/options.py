"""The words that the command line takes, their types, and the help that teaches them.

Options of the network and the recipe have the names and defaults of the library.
"""

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial

from vae_lib.arguments import (
    DEVICES,
    Parser,
    device,
    integer,
    number_or_none,
    one_of,
    place,
    widths,
    yes_or_no,
)
from vae_lib.checkpoints import PRETRAINED
from vae_lib.data_sets import DATA_SETS, MNIST
from vae_lib.export import DTYPES, PARTS
from vae_lib.layered_configs import ORDERS as ENCODERS
from vae_lib.models import ACTIVATIONS, LIKELIHOODS, NETWORKS, POSTERIORS, PRIORS
from vae_lib.recipes import BITS, GRADIENTS, OBJECTIVES, SCHEDULES
from vae_lib.writers import DECODERS

STEPS = "autograd", "by-hand", "compiled"  # of training.train, which has no hyphen
GIVEN = argparse.SUPPRESS  # the arguments hold these only where they are given

PRESETS = f"{DATA_SETS[MNIST].preset}; for molecules {DATA_SETS['molecules'].preset}"
OWN = f"{', '.join(DATA_SETS)}, or a folder or .npz of your own"
# Options by their names in the library: type or choices, metavar, default, help.
# A bool is a switch; an option whose default is None must be given.
DATA = {
    "data": (str, "SET", GIVEN, f"images: {OWN}; if not given, the run's, or {MNIST}")
}
DEVICE = {"device": (device, "NAME", "auto", f"where to compute: {', '.join(DEVICES)}")}
TRAIN = {
    "out": (place, "RUN", None, "folder for the results, made if missing"),
    "preset": (PRETRAINED, "NAME", GIVEN, f"network and recipe (default: {PRESETS})"),
    "resume": (bool, "", False, "go on with the run in RUN as it is; afresh if none"),
    "seed": (integer, "N", GIVEN, "same seed, same bits on one machine (default: 0)"),
    "step": (STEPS, "NAME", "autograd", "how to compute steps; by-hand: fast on a CPU"),
    "json": (bool, "", False, "print the folder and the last epoch as JSON"),
}
NETWORK = {
    "latent_dim": (integer, "J", GIVEN, "dimensions of z"),
    "hidden_dims": (widths, "N,N", GIVEN, "widths of the hidden layers, or none"),
    "latent_dims": (widths, "J,J", GIVEN, "of several layers: dimensions of z1, z2"),
    "n_hidden": (integer, "N", GIVEN, "of several layers: hidden ones below a code"),
    "encoder": (ENCODERS, "NAME", GIVEN, "of several layers: the order of the codes"),
    "activation": (ACTIVATIONS, "NAME", GIVEN, "function between the layers"),
    "likelihood": (LIKELIHOODS, "NAME", GIVEN, "p(x|z) of a pixel"),
    "noise_std": (float, "STD", GIVEN, "standard deviation of gaussian pixels"),
    "learn_noise": (yes_or_no, "yes|no", GIVEN, "train that deviation as well"),
    "network": (NETWORKS, "NAME", GIVEN, "linear layers, or convolutions"),
    "prior": (PRIORS, "NAME", GIVEN, "p(z): N(0, I), or a learned one"),
    "n_components": (integer, "M", GIVEN, "Gaussians of a mixture, or images of vamp"),
    "posterior": (POSTERIORS, "NAME", GIVEN, "q(z|x): a Gaussian, or a flow behind it"),
    "n_flows": (integer, "N", GIVEN, "layers of that flow"),
    "n_couplings": (integer, "N", GIVEN, "layers of a flow as prior"),
    "flow_dim": (integer, "N", GIVEN, "width of the hidden layer in such a layer"),
    "hidden_dim": (integer, "N", GIVEN, "of strings: width of the layers"),
    "embedding_dim": (integer, "N", GIVEN, "of strings: numbers for a token"),
    "decoder": (DECODERS, "NAME", GIVEN, "of strings: what is known at a place"),
    "window": (integer, "N", GIVEN, "tokens that a decoder with a window knows"),
    "n_properties": (integer, "K", GIVEN, "of strings: the first K known, told from z"),
}
RECIPE = {
    "epochs": (integer, "N", GIVEN, "passes over the images"),
    "batch_size": (integer, "N", GIVEN, "images per step"),
    "lr": (float, "LR", GIVEN, "Adam's step size, at its highest"),
    "schedule": (SCHEDULES, "NAME", GIVEN, "course of the step size"),
    "warmup": (float, "N", GIVEN, "epochs in which the step size rises from zero"),
    "beta": (float, "BETA", GIVEN, "weight of the KL in the elbo objective"),
    "objective": (OBJECTIVES, "NAME", GIVEN, "bound that is raised"),
    "n_samples": (integer, "K", GIVEN, "draws of z per image and step"),
    "binarization": (BITS, "NAME", GIVEN, "bits for grey, anew in each batch"),
    "clip_norm": (number_or_none, "NORM", GIVEN, "greatest gradient norm, or none"),
    "free_bits": (float, "NATS", GIVEN, "KL that each dimension of z has for nothing"),
    "gradient": (GRADIENTS, "NAME", GIVEN, "with the score of q, or the path alone"),
}
GOING_ON = """
With --resume the options are those of the run; others may be given if they agree, and
--epochs N gives it more: a constant step size goes on, a cosine starts anew over the
new epochs when the run is done."""
OWN_FORM = """
A folder of your own holds pictures of one size, all grey or all RGB; an .npz holds
images (N, H, W) or (N, H, W, C) in uint8 or in [0, 1]. Folders in it named by labels,
or an array labels (N,), may say what they show; folders train and test, or arrays
train_images and test_images, which are for the test: every tenth if there are none."""
EVALUATE = {
    "n_samples": (integer, "K", 100, "draws of z per image for log p(x)"),
    "limit": (integer, "N", 1000, "log p(x) of the first N test images only"),
    "json": (bool, "", False, "print JSON"),
}
EXPORT = {
    "out": (place, "FILE", None, "new file: JSON, or a script for a page if named .js"),
    "part": (PARTS, "NAME", "decoder", "which of the two networks"),
    "dtype": (DTYPES, "NAME", "float32", "type of the numbers in the file"),
}


def make_parser() -> Parser:
    """All commands and their arguments, with examples."""
    parser = Parser("python -m vae_lib", description="Train and judge VAEs on images.")
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")

    about = "train a VAE on images, MNIST if no others are named, into a folder"
    examples = ["--out my-run", "--out my-run --resume", "--out own --data my-pictures"]
    command = add_command(commands, "train", about, examples)
    command.description += GOING_ON
    command.epilog += f"\n\npresets:\n{describe_presets()}"
    add_options(command, TRAIN | DATA | DEVICE)
    about = "The default of each option is the preset's, see below, or that of the run."
    for title, table in (("network", NETWORK), ("recipe", RECIPE)):
        add_options(command.add_argument_group(title, about), table)

    about = "print the ELBO and log p(x) of a model on test images, in nats"
    examples = ["my-run", "mnist-2d --n-samples 5000 --limit 100 --json"]
    command = add_command(commands, "evaluate", about, examples)
    command.description += " Trained on bits means judged on bits."
    command.description += "\nOf strings log p(x) alone, whatever a head tells of them."
    add_model(command)
    add_options(command, EVALUATE | DATA | DEVICE)

    about = "write a model's decoder or encoder as one file that a web page can read"
    examples = ["my-run --out decoder.json", "mnist-2d --part encoder --out encoder.js"]
    command = add_command(commands, "export", about, examples)
    add_model(command)
    add_options(command, EXPORT)

    about = "check a data set, the bundled digits or another, and count its images"
    examples = ["", "--data animals", "--data my-pictures"]
    command = add_command(commands, "data", about, examples)
    command.description += OWN_FORM
    add_options(command, DATA)
    return parser


def add_command(commands, name: str, about: str, examples: Iterable[str]) -> Parser:
    """A new command with its examples."""
    lines = [f"  python -m vae_lib {name} {words}".rstrip() for words in examples]
    return commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog="\n".join(["examples:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_model(command: Parser) -> None:
    """The argument that names a model."""
    about = "folder of a run, a checkpoint, a model's .json, or one of "
    command.add_argument("model", metavar="RUN", help=about + ", ".join(PRETRAINED))


def add_options(group, table: dict[str, tuple]) -> None:
    """Add the options of this table to a command or to a group of it."""
    for name, (kind, metavar, default, about) in table.items():
        option = as_option(name)
        if kind is bool:
            group.add_argument(option, action="store_true", help=about)
            continue
        if not callable(kind):
            about = f"{about}: {', '.join(kind)}"
            kind = partial(one_of, kind)
        if default not in (None, GIVEN):
            about += " (default: %(default)s)"
        values = {"type": kind, "metavar": metavar, "default": default, "help": about}
        group.add_argument(option, required=default is None, **values)


def as_option(name: str) -> str:
    """The option of this name in the library."""
    return f"--{name.replace('_', '-')}"


def describe_presets() -> str:
    """A table of what each preset stands for, in the words that the options take.

    What a preset's network has no use for is a dash.
    """
    columns = []
    for name, (config, recipe, *_) in PRETRAINED.items():
        values = asdict(config) | asdict(recipe)
        columns.append([name, *(as_text(values.get(k, "-")) for k in NETWORK | RECIPE)])
    rows = zip(["", *map(as_option, NETWORK | RECIPE)], *columns, strict=True)
    return "\n".join("  " + "".join(f"{x:17}" for x in row).rstrip() for row in rows)


def as_text(value: object) -> str:
    """A value as it is written after its option."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return {"None": "none", "True": "yes", "False": "no"}.get(str(value), str(value))
