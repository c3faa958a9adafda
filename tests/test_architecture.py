"""What the library promises as a whole: imports, names, docstrings, references.

And which way the tools' imports run.
"""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from public_objects import public_objects

import vae_lib
from tools.book import BOOK, ROOT

FOLDER = Path(vae_lib.__file__).parent
# From the ground up: a module imports only what stands above its own line.
IMPORTS = {
    "domains": set(),
    "files": set(),
    "distributed": set(),
    "threads": set(),
    "arguments": set(),
    "console": set(),
    "guards": {"domains"},
    "distributions": {"domains"},
    "symbolic": {"domains"},
    "objectives": {"distributions", "domains"},
    "linear_gaussian": {"distributions", "domains"},
    "records": {"files"},
    "data": {"domains", "files", "guards"},
    "bundled": {"files"},
    "animals": {"bundled", "data", "domains", "guards"},
    "tokens": {"domains"},
    "molecules": {"bundled", "domains", "guards", "tokens"},
    "image_arrays": {"data", "domains", "files"},
    "image_folders": {"data", "domains", "files", "image_arrays"},
    "likelihoods": {"data", "distributions"},
    "networks": set(),
    "flows": {"domains"},
    "priors": {"distributions", "domains", "flows"},
    "posteriors": {"flows"},
    "writers": {"distributions", "tokens"},
    "configs": {
        *("data", "domains", "likelihoods", "networks", "posteriors", "priors"),
        "writers",
    },
    "layered_configs": {"configs", "data", "domains", "networks"},
    "data_sets": {
        *("animals", "arguments", "configs", "data", "domains", "image_arrays"),
        *("image_folders", "layered_configs", "molecules"),
    },
    "recipes": {"data", "domains"},
    "latent": {"configs", "domains"},
    "models": {
        *("configs", "distributions", "domains", "latent", "likelihoods", "networks"),
        *("posteriors", "priors"),
    },
    "autoencoder": {"domains", "models"},
    "sequences": {
        *("configs", "distributions", "domains", "latent", "models", "priors"),
        *("tokens", "writers"),
    },
    "doors": {"data", "domains", "latent", "priors", "recipes"},
    "layers": {"distributions", "models", "networks"},
    "hierarchical": {
        *("distributions", "domains", "doors", "latent", "layered_configs", "layers"),
        "likelihoods",
    },
    "diffusion": {
        *("data", "distributions", "domains", "latent", "layered_configs", "networks"),
    },
    "evaluation": {
        *("domains", "doors", "latent", "likelihoods", "models", "objectives"),
    },
    "steps": {"distributed", "domains", "latent", "objectives", "recipes"},
    "compiled": {"distributed", "domains", "steps"},
    "flat_adam": set(),
    "by_hand": {
        *("distributed", "domains", "flat_adam", "latent", "models", "networks"),
        *("priors", "recipes"),
    },
    "estimators": {"domains", "latent", "objectives", "steps"},
    "training": {
        *("by_hand", "compiled", "distributed", "domains", "doors", "estimators"),
        *("evaluation", "guards", "latent", "recipes", "steps", "threads"),
    },
    "containers": {"files"},
    "kinds": {
        *("autoencoder", "containers", "diffusion", "files", "guards"),
        *("hierarchical", "latent", "models", "sequences"),
    },
    "checkpoints": {
        *("configs", "containers", "files", "guards", "kinds", "latent"),
        *("layered_configs", "recipes"),
    },
    "states": {
        *("checkpoints", "guards", "latent", "models", "recipes", "steps", "training"),
    },
    "sources": {"data_sets", "domains", "kinds", "latent"},
    "plans": {
        *("checkpoints", "domains", "files", "guards", "kinds", "latent", "recipes"),
        *("sources", "states"),
    },
    "runs": {
        *("checkpoints", "distributed", "files", "guards", "kinds", "latent"),
        *("plans", "recipes", "states", "training"),
    },
    "style": set(),
    "tiles": {"domains"},
    "drawable": {"domains"},
    "plots": {"data", "domains", "drawable", "style", "tiles"},
    "export": {"files", "guards", "latent", "models", "priors"},
    "exchange": {
        *("checkpoints", "configs", "domains", "export", "files", "kinds", "models"),
        "priors",
    },
    "options": {
        *("arguments", "checkpoints", "data_sets", "export", "layered_configs"),
        *("models", "recipes", "writers"),
    },
    "presets": {
        *("checkpoints", "configs", "data", "data_sets", "guards", "latent"),
        *("networks", "options", "plans", "recipes", "sources"),
    },
    "results": {"files", "guards", "molecules", "plots", "sequences"},
    "__main__": {
        *("arguments", "autoencoder", "checkpoints", "console", "data_sets"),
        *("distributed", "evaluation", "exchange", "export", "files", "guards"),
        *("latent", "options", "presets", "recipes", "results", "runs", "sequences"),
        "sources",
    },
}
# The rooms of the tools, and those that each may enter, again from the ground up.
ROOMS = {
    "__init__": set(),
    "alone": set(),
    "resolve": set(),
    "book": set(),
    "configure": {"book"},
    "diagrams": {"book"},
    "live_models": {"book"},
    "live_molecules": {"book"},
    "live_lab": {"book"},
    "notebooks": {"book"},
    "numbers": {"book"},
    "register": {"book"},
    "site": {"book"},
    "lab_pictures": {"book", "site"},
    "course": {"book", "site"},
    "records": {"book"},
    "rhythm": {"book", "course"},
    "new_chapter": {"book", "course", "diagrams", "notebooks", "numbers", "register"},
}
COMMANDS = {"arguments", "console", "options", "presets", "results", "__main__"}
BELOW_CHECKS = set(IMPORTS) - {"drawable", "plots", "style", "tiles", *COMMANDS} | {
    "checks"
}
PROMISED = """
distributions.gaussian_kl distributions.gaussian_log_prob
distributions.bernoulli_log_prob distributions.continuous_bernoulli_log_prob
distributions.reparameterize objectives.elbo objectives.importance_weighted_bound
linear_gaussian.LinearGaussianModel.log_evidence linear_gaussian.LinearGaussianModel.fit
linear_gaussian.LinearGaussianModel.posterior linear_gaussian.LinearGaussianModel.sample
data.load_mnist data.binarize models.VAEConfig models.VAE.from_data models.VAE.encode
models.VAE.decode models.VAE.mean_image models.VAE.forward models.VAE.sample
training.train training.set_seed steps.train_epoch steps.take_step
checkpoints.save checkpoints.load
checkpoints.load_pretrained evaluation.evaluate_elbo evaluation.log_likelihood
evaluation.active_units evaluation.log_likelihood_by_quadrature
objectives.effective_beta autoencoder.AutoEncoder records.load_record
"""
IN_A_FRESH_PROCESS = """
import sys, vae_lib
assert not [name for name in sys.modules if name.startswith(("vae_lib.", "torch"))]
"""


def imported(path: Path) -> list[str]:
    """The dotted names that a module imports, each with what is taken from it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.names[0].name != "*"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda p: p.stem)
def test_modules_import_only_what_lies_below_them(path):
    names = imported(path)
    ours = {name.split(".")[1] for name in names if name.startswith("vae_lib.")}
    if path.parent.name == "checks":
        assert ours <= BELOW_CHECKS
    else:
        assert ours <= ({"__init__": set()} | IMPORTS)[path.stem]


def test_no_import_runs_up():
    above = set()
    for name, imported in IMPORTS.items():
        assert imported <= above, name
        above.add(name)
    assert above == {path.stem for path in FOLDER.glob("[!_]*.py")} | {"__main__"}


def test_no_import_of_the_tools_runs_up_or_in_a_circle():
    arrows, above = {}, set()
    for path in (ROOT / "tools").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        names = {name for name in imported(path) if name.startswith("tools.")}
        arrows[module] = names | {name.rpartition(".")[0] for name in names}
    assert arrows
    for module, names in arrows.items():
        names &= set(arrows)  # what is taken from a module is none itself
        room = module.split(".")[1]
        assert {name.split(".")[1] for name in names} <= ROOMS[room] | {room}, module
    TopologicalSorter(arrows).prepare()  # raises CycleError
    for room, entered in ROOMS.items():
        assert entered <= above, room
        above.add(room)


def test_importing_the_library_does_nothing_else():
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PROMISED.split())
def test_promised_names_are_callable(name):
    module_name, *parts = name.split(".")
    value = importlib.import_module(f"vae_lib.{module_name}")
    for part in parts:
        value = getattr(value, part)
    assert callable(value)


def test_docstrings_open_with_a_sentence():
    for name, value in public_objects().items():
        assert inspect.getdoc(value).splitlines()[0].endswith("."), name


def test_book_labels_in_docstrings_exist():
    pages = "".join(path.read_text("utf-8") for path in BOOK.glob("*.md"))
    defined = set(re.findall(r"^\$\$ \(([\w-]+)\)$", pages, re.MULTILINE))
    source = "".join(path.read_text("utf-8") for path in FOLDER.rglob("*.py"))
    named = ", ".join(re.findall(r"Book: ([\w, -]+)\.", source)).split(", ")
    assert "eq-elbo" in named and set(named) <= defined, set(named) - defined


def test_tests_import_no_tests():
    """What several need stands in conftest or in a module of its own."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert not re.search(r"\btest_\w+", " ".join(imported(path))), path.name
