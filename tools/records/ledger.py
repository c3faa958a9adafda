"""The ledger: numbers that others state for MNIST, trained and measured anew.

    python -m tools.records.ledger           run all rows, for hours; write the page
    python -m tools.records.ledger NAME ...  run these rows
    python -m tools.records.ledger --page    write book/ledger.md from the records

A row's result goes into vae_lib/records/ledger-NAME.json. The runs of models that ship
go on from _build/runs after a stop. Everything is trained on the 60,000 training
digits; the test digits are read for the numbers that are printed.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev

import torch
from torch import Tensor

from tools.book import BOOK, Template
from tools.records.measures import write_record
from tools.records.shipped import ship, trained, undisturbed
from vae_lib.checkpoints import PRETRAINED
from vae_lib.data import load_mnist
from vae_lib.evaluation import log_likelihood
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.records import load_record
from vae_lib.training import set_seed, train

PAGE = BOOK / "ledger.md"
TEMPLATE = Path(__file__).with_name("ledger.template.md")
SEEDS = (0, 1, 2)
N_SAMPLES = 5000  # K of Burda, Grosse & Salakhutdinov (2016)
# What notebook 9 repeats live: so many digits, and so many samples for each.
CHECK = {"images": 1000, "n_samples": 100}


FEWER = (
    "the published run has 3,280 epochs of batches of 20, 9.8 million steps; ours takes"
    " {} million, with another schedule"
)


# Where a number stands: in a paper, or in a log or a figure of a program's users.
PUBLISHED, REPORTED = "published", "reported"


@dataclass(frozen=True)
class Row:
    """One number of others, and the run of ours that answers it.

    theirs is in nats and, like ours, a log-likelihood or a bound on one: negative.
    shipped names the model that the row trains by its preset; other rows train config
    by recipe for each of SEEDS, without centring, as the published code does.
    """

    title: str
    source: str
    theirs: float
    printed: str
    tolerance: float
    status: str = PUBLISHED
    shipped: str | None = None
    config: VAEConfig = field(default_factory=VAEConfig)
    recipe: Recipe | None = None
    remark: str = ""


USER = "https://github.com/kampta/pytorch-distributions/blob"
LOG = f"{USER}/d6020d6c50ef7357116726e37c7b855fee53d0a1/README.md"
CODE = f"{USER}/f9e3858264c48151ecc1d901585915baf2dc1d06/vae.py"
PYRO = "https://github.com/pyro-ppl/pyro/blob"
TUTORIAL = f"{PYRO}/05d27a14ccc17a1502ab46644fee9540174c7c12/tutorial/source/vae.ipynb"
FIGURE = (
    f"{PYRO}/a138b8490e7af895db498733c7b8fb9d8ef67229/tutorial/source/"
    "_static/img/vae_plots/test_elbo_vae.png"
)

ROWS = {
    "pytorch-examples": Row(
        title="pytorch/examples, `vae/main.py`",
        source=f"a user's log of that program ([its page]({LOG}), [its code]({CODE}))",
        theirs=-105.59,
        printed="105.5890 (test loss, epoch 10)",
        tolerance=0.5,
        status=REPORTED,
        config=VAEConfig(20, (400,), "relu"),
        recipe=Recipe(epochs=10),
    ),
    "pyro": Row(
        title="Pyro, tutorial on the VAE",
        source=(
            f"the [tutorial]({TUTORIAL}); the number is read off its [figure]({FIGURE})"
            " of the test ELBO, ± 0.3"
        ),
        theirs=-107.8,
        printed="a curve (−107.8 at epoch 10, counted from 0)",
        tolerance=0.8,
        status=REPORTED,
        config=VAEConfig(50, (400,), "softplus"),
        recipe=Recipe(epochs=11, batch_size=256),
    ),
    "burda-vae": Row(
        title="Burda et al., VAE",
        source="{cite:t}`burda2016`, Table 1, one stochastic layer, $k = 1$",
        theirs=-86.76,
        printed="86.76 (negative log-likelihood)",
        tolerance=0.3,
        shipped="mnist-burda",
        remark=FEWER.format(0.2),
    ),
    "burda-iwae-5": Row(
        title="Burda et al., IWAE with 5 samples",
        source="{cite:t}`burda2016`, Table 1, one stochastic layer, $k = 5$",
        theirs=-85.54,
        printed="85.54 (negative log-likelihood)",
        tolerance=0.3,
        shipped="mnist-iwae-5",
        remark=FEWER.format(0.3) + " and the quieter gradient of the path",
    ),
    "burda-iwae-50": Row(
        title="Burda et al., IWAE with 50 samples",
        source="{cite:t}`burda2016`, Table 1, one stochastic layer, $k = 50$",
        theirs=-84.78,
        printed="84.78 (negative log-likelihood)",
        tolerance=0.3,
        shipped="mnist-iwae-50",
        remark=FEWER.format(0.34) + ", most of them those of the row above it, from"
        " whose weights it starts; the gradient is that of the path",
    ),
}


def run_row(name: str) -> None:
    """Train and measure this row; write its record, and the model that it ships."""
    row = ROWS[name]
    result = run_shipped(row) if row.shipped else run_seeds(row)
    value = mean(result["values"])
    command = f"python -m tools.records.ledger {name}"
    write_record(f"ledger-{name}", about(row) | {"value": value} | result, command)
    print(name, value, row.status, row.theirs, flush=True)


def about(row: Row) -> dict:
    """What a record repeats of its row."""
    return {
        "title": row.title,
        "source": row.source,
        "status": row.status,
        "theirs": row.theirs,
        "printed": row.printed,
        "tolerance": row.tolerance,
        "checkpoint": row.shipped,
    }


def run_seeds(row: Row) -> dict:
    """The test ELBO of a network as published, for each seed."""
    images, test = (load_mnist(split).images for split in ("train", "test"))
    values, errors, seconds = [], [], []
    for seed in SEEDS:
        set_seed(seed)
        model = VAE(row.config)
        history = train(model, images, row.recipe)
        bounds = elbo_of_each(model, test)
        values.append(bounds.mean().item())
        errors.append(standard_error(bounds))
        seconds.append(undisturbed(history.rows))
    return {
        "quantity": "test ELBO",
        **setup(row.config, row.recipe),
        "K": None,
        "seeds": SEEDS,
        "values": values,
        "standard_error": mean(errors),
        "seconds": round(mean(seconds), 1),
        "check": None,
    }


def run_shipped(row: Row) -> dict:
    """log p(x) on all test digits of a model that ships, which is trained first."""
    preset = PRETRAINED[row.shipped]
    model = trained(row.shipped)
    images = preset.recipe.as_trained(load_mnist("test").images)
    checked = check(model, images)
    record = ship(row.shipped, model)
    model.compile(dynamic=False)  # the same arithmetic in a third of the time
    began = time.perf_counter()
    log_p_x = log_likelihood(model, images, n_samples=N_SAMPLES).double()
    judging = time.perf_counter() - began
    return {
        "quantity": "log p(x)",
        **setup(preset.config, preset.recipe),
        "start": preset.start,
        "K": N_SAMPLES,
        "seeds": [0],
        "values": [log_p_x.mean().item()],
        "standard_error": standard_error(log_p_x),
        "seconds": record["train_seconds"],
        "judging_seconds": round(judging, 1),
        "test_elbo": record["test_elbo"],
        "check": CHECK | {"value": checked},
    }


@torch.no_grad()
def elbo_of_each(model: VAE, images: Tensor) -> Tensor:
    """The ELBO of each image (N,), with one draw of z: the same ones every time."""
    output = model.cpu()(images, generator=torch.Generator().manual_seed(0))
    return (output.log_p_x_given_z - output.kl).double()


def check(model: VAE, images: Tensor) -> float:
    """What notebook 9 computes again: log p(x) of few images with few samples."""
    few = images[: CHECK["images"]]
    return log_likelihood(model, few, n_samples=CHECK["n_samples"]).mean().item()


def setup(config: VAEConfig, recipe: Recipe) -> dict:
    """Config and recipe, and their words for the table."""
    widths = (config.n_pixels, *config.hidden_dims, config.latent_dim)
    bits = recipe.binarization == "sample"
    return {
        "config": asdict(config),
        "recipe": asdict(recipe),
        "architecture": "-".join(map(str, widths)) + f", {config.activation}",
        "likelihood": "Bernoulli",
        "binarization": "dynamic" if bits else "grey",
        "epochs": recipe.epochs,
    }


def page() -> str:
    """The text of book/ledger.md, from the template and the records."""
    records = {name: load_record(f"ledger-{name}") for name in ROWS}
    study = load_record("latent-dimensions")
    bounds = by_dimension(study)
    best = max(map(mean, bounds.values()))
    runs = [run["seconds"] for run in study["runs"]]
    trainings = [r["seconds"] * len(r["seeds"]) for r in records.values()]
    judging = [r.get("judging_seconds", 0) for r in records.values()]
    seen = study["runs"][0]["recipe"]["epochs"] * len(load_mnist("train").images)
    lost = best - mean(bounds[max(bounds)])
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        rows=table(
            (
                *("row", "quantity", "theirs", "ours", "± over digits"),
                *("± over seeds", "tolerance"),
            ),
            [line(name, record) for name, record in records.items()],
        ),
        verdicts="\n".join(
            f"- {verdict(record | {'remark': ROWS[name].remark})}"
            for name, record in records.items()
        ),
        reached=count_of_papers(records),
        **bits(),
        setups="\n\n".join(described(*item) for item in records.items()),
        threads=" or ".join(sorted({threads(r) for r in records.values()})),
        kw_images=f"{seen / 1e6:.1f} million",
        dimensions=table(
            ("$J$", "test ELBO, mean of three seeds", "standard deviation"),
            [
                (str(dim), nats(mean(found)), f"{stdev(found):.2f}")
                for dim, found in bounds.items()
            ],
        ),
        dimensions_verdict=(
            f"With {max(bounds)} dimensions the bound is {lost:.1f} nats below the best"
            " of the table, after these epochs; what of it is due to superfluous"
            " dimensions was not tried."
        ),
        **pairs(load_record("priors")["wide"]),
        hours=f"{sum(runs + trainings + judging) / 3600:.1f}",
    )


# By what is richer: log p(x) of others without and with it, and the run of ours.
PAIRS = {
    "VampPrior": (-84.45, -82.43, "vamp"),
    "inverse autoregressive flow": (-97.10, -95.33, "iaf"),
}


def pairs(runs: list[dict]) -> dict[str, str]:
    """Richer priors and answers: theirs, and ours of the study "priors"."""

    def ours(run: str, what: str = "log_p_x") -> float:
        return mean(row[what][0] for row in runs if row["run"] == run)

    lines, found = [], {}
    plain = ours("standard")
    for title, (without, with_it, run) in PAIRS.items():
        theirs = nats(without), nats(with_it), nats(with_it - without)
        lead = nats(ours(run, "lead"))
        lines.append((title, *theirs, nats(plain), nats(ours(run)), lead))
        found[f"{run}_lead"] = lead
    head = ("what is richer", "theirs, plain", "with it", "lead")
    epochs = sorted({row["epochs"] for row in runs if row["run"] in {"vamp", "iaf"}})
    return found | {
        "pairs": table((*head, "ours, plain", "with it", "lead"), lines),
        "pair_epochs": " or ".join(map(str, epochs)),
        "short": f"{PAIRS['VampPrior'][0] - plain:.1f}",
    }


def line(name: str, record: dict) -> tuple[str, ...]:
    """The row of the first table."""
    values = record["values"]
    return (
        f"[{record['title']}](#ledger-{name})",
        record["quantity"] + (f", $K = {k}$" if (k := record["K"]) else ""),
        f"{nats(record['theirs'])} {record['status']}",
        nats(record["value"]),
        f"{record['standard_error']:.2f}",
        f"{stdev(values):.2f}" if len(values) > 1 else "one run",
        f"{record['tolerance']}",
    )


def verdict(record: dict) -> str:
    """One sentence: whether the row holds, and by how much."""
    above = record["value"] - record["theirs"]
    title, tolerance, status = record["title"], record["tolerance"], record["status"]
    if above > tolerance:
        return f"{title}: better than {status}, by {above:.2f} nats."
    if above >= -tolerance:
        held = "reached" if status == PUBLISHED else "agrees with what was reported"
        if record.get("remark"):
            held += ", by a shorter way; see the remark in its setup"
        return f"{title}: {held}; the difference is {nats(above)} nats."
    return f"{title}: falls short by {-above:.2f} nats; see the remark in its setup."


def count_of_papers(records: dict) -> str:
    """One sentence: how many of the numbers in papers are reached."""
    papers = [r for r in records.values() if r["status"] == PUBLISHED]
    short = [r["theirs"] - r["value"] for r in papers]
    missed = [
        f"{by:.2f}" for by, r in zip(short, papers, strict=True) if by > r["tolerance"]
    ]
    n_reached = len(papers) - len(missed)
    said = (
        f"Of the {len(papers)} numbers that stand in a paper, {n_reached}"
        f" {'is' if n_reached == 1 else 'are'} reached within the row's tolerance"
    )
    return f"{said}; short by {' and '.join(missed)} nats." if missed else f"{said}."


def bits() -> dict[str, str]:
    """What other draws of the bits do to the test ELBO of the models that ship."""
    runs = {run["run"]: run["elbo"] for run in load_record("bits")["runs"]}
    first, second, _ = runs.values()
    lead = [b - a for a, b in zip(first, second, strict=True)]
    below = [mean(elbos) - elbos[0] for elbos in runs.values()]
    return {
        "draws": str(len(first)),
        "bits": ", ".join(f"{stdev(elbos):.2f} (`{n}`)" for n, elbos in runs.items()),
        "below": f"{min(below):.2f} to {max(below):.2f}",
        "paired": f"{stdev(lead):.3f}",
    }


def described(name: str, record: dict) -> str:
    """What the row is, field by field."""
    pixels = {
        "grey": "grey levels as they are",
        "dynamic": "bits, drawn anew for each batch; one fixed draw to judge",
    }
    kind = f"{record['likelihood']}; pixels: {pixels[record['binarization']]}"
    recipe, start = record["recipe"], record.get("start")
    words = ", ".join(f"{key} {value}" for key, value in recipe.items())
    fields = {
        "source": f"{record['source']}; printed there: {record['printed']}",
        "network": record["architecture"] + "; the decoder mirrors the encoder",
        "likelihood": kind,
        "recipe": words,
        "start": f"the weights of `{start}`" if start else "",
        "seeds": ", ".join(map(str, record["seeds"])),
        "values": ", ".join(map(nats, record["values"])),
        "minutes": f"{record['seconds'] / 60:.1f}",
        "test ELBO": nats(record["test_elbo"]) if "test_elbo" in record else "",
        "model": f"`{record['checkpoint']}`" if record["checkpoint"] else "",
        "command": f"`{record['command']}`",
        "made with": f"torch {record['torch']}, {threads(record)}",
        "remark": ROWS[name].remark,
    }
    lines = [(key, value) for key, value in fields.items() if value]
    return f"(ledger-{name})=\n### {record['title']}\n\n{table(('', ''), lines)}"


def threads(record: dict) -> str:
    """How many there were, in words."""
    n = record["threads"]
    return f"{n} thread" + "s" * (n > 1)


def by_dimension(study: dict) -> dict[int, list[float]]:
    """Test ELBOs of the seeds, by the number of latent dimensions."""
    found: dict[int, list[float]] = {}
    for run in study["runs"]:
        found.setdefault(run["config"]["latent_dim"], []).append(run["elbo"])
    return found


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def nats(value: float) -> str:
    """With two decimals and a true minus."""
    return f"{value:.2f}".replace("-", "−")


def standard_error(values: Tensor) -> float:
    """Of the mean over images."""
    return (values.std() / len(values) ** 0.5).item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--page", action="store_true", help="write the page alone")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ROWS):
        parser.error(f"expected names among {', '.join(ROWS)}, got {unknown.pop()!r}")
    if not arguments.page:
        for name in arguments.names or ROWS:
            run_row(name)
    if arguments.page or not arguments.names:
        PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
