"""What the library promises as a whole: imports, names, docstrings, references."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vae_lib

FOLDER = Path(vae_lib.__file__).parent
BOOK = Path(__file__).parents[1] / "book"
IMPORTS = {
    "distributions": set(),
    "objectives": set(),
    "data": set(),
    "linear_gaussian": {"distributions"},
    "models": {"distributions"},
    "evaluation": {"data", "models", "objectives"},
    "training": {"data", "evaluation", "models", "objectives"},
    "checkpoints": {"models"},
    "plots": set(),
}
NAMES = {
    "distributions": "gaussian_kl gaussian_log_prob bernoulli_log_prob"
    " continuous_bernoulli_log_prob reparameterize",
    "objectives": "elbo importance_weighted_bound",
    "linear_gaussian": "LinearGaussianModel LinearGaussianModel.log_evidence"
    " LinearGaussianModel.posterior LinearGaussianModel.sample LinearGaussianModel.fit",
    "data": "load_mnist binarize",
    "models": "VAE VAEConfig VAE.from_data VAE.encode VAE.decode VAE.mean_image"
    " VAE.forward VAE.sample",
    "training": "train set_seed train_epoch",
    "checkpoints": "save load load_pretrained",
    "evaluation": "evaluate_elbo log_likelihood active_units",
}
IN_A_FRESH_PROCESS = """
import sys, vae_lib, torch
assert not [name for name in sys.modules if name.startswith("vae_lib.")]
for n in (1, 1_000_000):  # one thread, and all of them
    assert not (torch.full((n,), 1e-38) / 10).any()
"""


def public_objects() -> list[tuple[str, object]]:
    """Public functions and classes of the library, and the methods of these."""
    found = []
    for module_name in IMPORTS:
        module = importlib.import_module(f"vae_lib.{module_name}")
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", "") != (
                module.__name__
            ):
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                found.append((f"{module_name}.{name}", value))
            if inspect.isclass(value):
                found += [
                    (f"{module_name}.{name}.{key}", method)
                    for key, method in vars(value).items()
                    if not key.startswith("_")
                    and isinstance(
                        method, property | classmethod | type(public_objects)
                    )
                ]
    return found


def test_every_module_is_listed():
    assert {path.stem for path in FOLDER.glob("*.py")} == {"__init__", *IMPORTS}


@pytest.mark.parametrize("name", IMPORTS)
def test_modules_import_only_what_lies_below_them(name):
    found = set()
    for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and "*" not in {alias.name for alias in node.names}
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        found |= {m.split(".")[1] for m in modules if m.startswith("vae_lib.")}
    assert found <= IMPORTS[name]


def test_importing_the_library_only_flushes_denormals():
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module_name", NAMES)
def test_promised_names_are_callable(module_name):
    for name in NAMES[module_name].split():
        value = importlib.import_module(f"vae_lib.{module_name}")
        for part in name.split("."):
            value = getattr(value, part)
        assert callable(value)


@pytest.mark.parametrize("name, value", public_objects())
def test_docstrings_open_with_a_sentence(name, value):
    assert re.search(r"[.:]$", inspect.getdoc(value).splitlines()[0]), name


def test_book_labels_in_docstrings_exist():
    pages = "".join(path.read_text("utf-8") for path in BOOK.glob("*.md"))
    defined = set(re.findall(r"^\$\$ \(([\w-]+)\)$", pages, re.MULTILINE))
    source = "".join(path.read_text("utf-8") for path in FOLDER.glob("*.py"))
    named = re.findall(r"Book: ([\w-]+)", source)
    assert len(named) >= 5 and set(named) <= defined
