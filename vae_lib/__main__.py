"""The command line: python -m vae_lib train | evaluate | data.

Bad input ends with one line that says what was expected and what came, and exit code 2.
"""

import argparse
import dataclasses
import json
import math
import shlex
import sys
from pathlib import Path

import torch

from vae_lib import plots
from vae_lib.checkpoints import PRETRAINED, load, load_pretrained
from vae_lib.data import load_mnist
from vae_lib.evaluation import evaluate_elbo, log_likelihood
from vae_lib.guards import NonFiniteLossError
from vae_lib.models import VAE
from vae_lib.runs import MODEL, train_run

HISTORY = "history.json"
PRESET = "mnist-2d"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are one line."""

    def error(self, message: str) -> None:
        """Leave with exit code 2 and one line."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0, or 2 after one line on standard error, or 130 for Ctrl-C."""
    arguments = make_parser().parse_args(argv)
    try:
        arguments.command(arguments)
    except (ValueError, OSError, NonFiniteLossError) as error:
        print(f"vae_lib: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        words = [*(argv or sys.argv[1:]), "--resume"]
        again = shlex.join(dict.fromkeys(words))
        print(f"stopped; to go on: python -m vae_lib {again}", file=sys.stderr)
        return 130
    return 0


def make_parser() -> Parser:
    """All commands and their arguments, with help that teaches."""
    parser = Parser("python -m vae_lib", description="Train and judge VAEs on MNIST.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser(
        "train",
        help="train a VAE on all 60,000 training digits into a folder",
        description=f"Train a VAE; write {MODEL}, {HISTORY} and two figures into RUN.",
    )
    command.set_defaults(command=run_train)
    command.add_argument("--out", metavar="RUN", type=Path, required=True)
    about = "network and recipe to start from (default: %(default)s)"
    command.add_argument("--preset", choices=PRETRAINED, default=PRESET, help=about)
    about = "passes over the digits (default: the preset's)"
    command.add_argument("--epochs", type=int, help=about)
    about = "latent dimensions (default: the preset's)"
    command.add_argument("--latent-dim", type=int, metavar="J", help=about)
    about = "the same seed gives the same bits on one machine (default: %(default)s)"
    command.add_argument("--seed", type=int, default=0, help=about)
    about = "go on with the model in RUN; start afresh if there is none"
    command.add_argument("--resume", action="store_true", help=about)
    about = "auto, cpu, cuda or mps (default: %(default)s)"
    command.add_argument("--device", default="auto", help=about)

    command = commands.add_parser(
        "evaluate",
        help="ELBO and importance-weighted log p(x) on the test digits",
        description="Judge a trained VAE on the test digits, in nats per image.",
    )
    command.set_defaults(command=run_evaluate)
    about = (
        f"a folder of train, a checkpoint, or a shipped model: {', '.join(PRETRAINED)}"
    )
    command.add_argument("model", metavar="RUN", help=about)
    about = "draws of z per image for log p(x) (default: %(default)s)"
    command.add_argument("--n-samples", type=int, default=100, metavar="K", help=about)
    about = "log p(x) of the first N test digits only (default: %(default)s)"
    command.add_argument("--limit", type=int, default=1000, metavar="N", help=about)
    command.add_argument("--json", action="store_true", help="print JSON")

    command = commands.add_parser("data", help="check the bundled digits")
    command.set_defaults(command=run_data)
    return parser


def run_train(arguments: argparse.Namespace) -> None:
    """Train from a preset into a folder, or go on with the run that is there."""
    config, recipe, _ = PRETRAINED[arguments.preset]
    if arguments.latent_dim is not None:
        config = dataclasses.replace(config, latent_dim=arguments.latent_dim)
    if arguments.epochs is not None:
        recipe = recipe | {"epochs": arguments.epochs}
    folder = arguments.out
    model = train_run(
        folder,
        load_mnist("train").images,
        config,
        recipe,
        seed=arguments.seed,
        resume=arguments.resume,
        device=arguments.device,
        progress=sys.stderr.isatty(),
    ).cpu()
    rows = model.history.rows
    (folder / HISTORY).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    plots.plot_history(rows).savefig(folder / "history.png", dpi=120)
    samples = model.sample(60, generator=torch.Generator().manual_seed(0))
    plots.plot_images(samples, n_columns=12).savefig(folder / "samples.png", dpi=120)
    print(f"{folder}: {len(rows)} epochs, training ELBO {rows[-1]['elbo']:.1f} nats")


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Print the test ELBO, and log p(x) with its standard error over the images."""
    for name in ("n_samples", "limit"):
        if getattr(arguments, name) < 1:
            option, got = name.replace("_", "-"), getattr(arguments, name)
            raise ValueError(f"expected --{option} >= 1, got {got}")
    model = find_model(arguments.model)
    images = load_mnist("test").images
    report = evaluate_elbo(model, images)
    few = images[: arguments.limit]
    log_p_x = log_likelihood(model, few, n_samples=arguments.n_samples).double()
    error = log_p_x.std(correction=0).item() / math.sqrt(len(few))
    result = report._asdict() | {"log_p_x": log_p_x.mean().item()}
    result |= {
        "standard_error": error,
        "images": len(few),
        "n_samples": arguments.n_samples,
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"ELBO      {report.elbo:9.2f}  (10,000 test digits)")
    print(f"  E[log p(x|z)] {report.log_p_x_given_z:.2f}, KL {report.kl:.2f}")
    about = f"{len(few):,} test digits, {arguments.n_samples} samples each"
    print(f"log p(x)  {result['log_p_x']:9.2f} +- {error:.2f}  ({about})")


def find_model(name: str) -> VAE:
    """The model of this run folder, checkpoint file or shipped name."""
    if name in PRETRAINED and not Path(name).exists():
        return load_pretrained(name)
    path = Path(name)
    return load(path / MODEL if path.is_dir() else path)


def run_data(arguments: argparse.Namespace) -> None:
    """Read both splits, which checks their sha256, and describe them."""
    for split in ("train", "test"):
        images, labels = load_mnist(split)
        digits = " ".join(str(n) for n in labels.bincount().tolist())
        print(f"{split:5} {len(images):,} digits, sound; of each kind: {digits}")


if __name__ == "__main__":
    sys.exit(main())
