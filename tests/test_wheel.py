"""The wheel, installed alone: whole, pure Python, enough for a notebook to start."""

import json
import os
import re
import shutil
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import nbformat
import pytest

import vae_lib
from tools.book import EXERCISES, LIBRARY, NOTEBOOKS, ROOT
from tools.configure import configure
from tools.course.editions import student_edition
from vae_lib.checkpoints import PRETRAINED

pytestmark = pytest.mark.book

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
EXERCISE_PATHS = sorted(EXERCISES.glob("*.ipynb"))
NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.__new__", "socket.getaddrinfo"):
        raise OSError("a notebook's start needs no network")

sys.addaudithook(refuse)
"""
FROM_THE_WHEEL = """
from pathlib import Path
import vae_lib
assert Path(vae_lib.__file__).is_relative_to(sys.argv[1]), vae_lib.__file__
"""
EVERYTHING_LOADS = """
from vae_lib.checkpoints import PRETRAINED, load_pretrained
from vae_lib.animals import load_animals
from vae_lib.data import load_mnist
from vae_lib.molecules import load_molecules
assert len(load_animals("train").images) == 7_716
assert len(load_mnist("train").images) == 60_000
assert len(load_mnist("test").images) == 10_000
assert len(load_molecules("test").tokens) == 30_165
for name in PRETRAINED:
    load_pretrained(name)
"""
# One process for all notebooks, each with names of its own: a process for each would
# spend its time on loading torch.
CELLS = """
import json
import torch
from pathlib import Path
notebooks = json.loads(Path("cells.json").read_text("utf-8"))
"""
THE_START = """
for name, sources in notebooks.items():
    names = {}
    torch.set_default_dtype(torch.float32)  # derivations change it
    for source in sources:
        exec(compile(source, name, "exec"), names)
    assert Path(names["vae_lib"].__file__).is_relative_to(sys.argv[1]), name
"""
TO_THE_FIRST_STUB = """
for name, sources in notebooks.items():
    names = {}
    torch.set_default_dtype(torch.float32)  # derivations change it
    for source in sources:
        try:
            exec(compile(source, name, "exec"), names)
        except NotImplementedError:
            break
        except AssertionError as error:
            assert "replace the stub" in str(error), name
            break
    else:
        raise AssertionError(f"no stub was met: {name}")
"""
PIP = """
import json, os, sys, zipfile
with open(os.environ["ASKED"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
zipfile.ZipFile(os.environ["WHEEL"]).extractall(os.environ["SITE"])
os.utime(os.environ["SITE"], (0, 0))  # as on a disk with coarse time stamps
"""
IS_THERE = """
origin = importlib.util.find_spec("vae_lib").origin
assert origin.startswith(sys.argv[1]), origin
"""


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--no-index"]
    options = ["--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run(command + options, check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built of a copy, where no earlier build has left anything."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in (*ROOT.glob("LICENSE*"), ROOT / "pyproject.toml", ROOT / "README.md"):
        shutil.copy(path, folder)
    unwanted = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(LIBRARY, folder / "vae_lib", ignore=unwanted)
    pip("wheel", folder, "--no-build-isolation", "--wheel-dir", folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """The folder where the wheel is installed, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", wheel, "--target", folder)
    return folder


def metadata(wheel: Path):
    with ZipFile(wheel) as file:
        (name,) = (n for n in file.namelist() if n.endswith(".dist-info/METADATA"))
        return Parser().parsestr(file.read(name).decode())


def run(code: str, folder: Path, *flags: str, site: Path, **variables: object) -> None:
    """Run the code in a bare folder; sys.argv[1] is the site that it sees first."""
    script = folder / "script.py"
    script.write_text(code, "utf-8")
    environment = {"PYTHONPATH": str(site)} | {k: str(v) for k, v in variables.items()}
    command = [sys.executable, *flags, script, site]
    options = {"capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, **options)
    assert done.returncode == 0, done.stderr


def code_cells(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def start(path: Path) -> list[str]:
    """A notebook's code up to the first cell that imports vae_lib."""
    sources = code_cells(nbformat.read(path, 4))
    imports = re.compile(r"^(from|import) vae_lib", re.MULTILINE)
    last = next(n for n, source in enumerate(sources) if imports.search(source))
    assert last > 0, "the setup cell comes first"
    return sources[: last + 1] + ["import vae_lib"]


def test_the_wheel_holds_the_library_whole_and_nothing_else(wheel):
    assert wheel.name == f"vae_lib-{vae_lib.__version__}-py3-none-any.whl"
    kinds = {".py", ".gz", ".safetensors", ".json"}
    files = [path for path in LIBRARY.rglob("[!.]*") if path.suffix in kinds]
    expected = {path.relative_to(ROOT).as_posix() for path in files}
    names = set(ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == expected
    shipped = {f"vae_lib/checkpoints/{name}.safetensors" for name in PRETRAINED}
    assert shipped <= names and sum(name.endswith(".gz") for name in names) == 7
    assert sum("dist-info/licenses/LICENSE" in name for name in names) == 2


def test_an_installation_replaces_no_package_that_is_there(wheel):
    """Lower bounds alone: so Colab keeps its torch and numpy."""
    needed = metadata(wheel).get_all("Requires-Dist")
    assert {"torch", "numpy"} <= {re.split("[^a-z]", line)[0] for line in needed}
    for line in (*needed, "python" + metadata(wheel)["Requires-Python"]):
        bound = r'[a-z]+ ?>=[\d.]+(; extra == "(grading|bench)")?'
        assert re.fullmatch(bound, line), line


def test_data_and_trained_models_load_from_the_wheel(site, tmp_path):
    run(NO_NETWORK + FROM_THE_WHEEL + EVERYTHING_LOADS, tmp_path, site=site)


def run_cells(notebooks: dict, code: str, folder: Path, site: Path) -> None:
    """In a bare folder, outside of the repository, without a network."""
    (folder / "cells.json").write_text(json.dumps(notebooks), "utf-8")
    run(NO_NETWORK + FROM_THE_WHEEL + CELLS + code, folder, site=site, MPLBACKEND="agg")


def test_a_notebook_starts_anywhere_with_the_wheel(site, tmp_path):
    assert PATHS
    run_cells({p.stem: start(p) for p in PATHS}, THE_START, tmp_path, site)


def test_a_students_notebook_runs_to_its_first_stub(site, tmp_path):
    """There a check asks for an answer."""
    editions = {p.stem: student_edition(nbformat.read(p, 4)) for p in EXERCISE_PATHS}
    assert editions
    cells = {name: code_cells(edition) for name, edition in editions.items()}
    run_cells(cells, TO_THE_FIRST_STUB, tmp_path, site)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_configured_notebook_installs_vae_lib_once_and_nothing_else(
    path, wheel, tmp_path
):
    """As on Colab: no vae_lib, and a pip that notes what it is asked for."""
    for folder in ("notebooks", "pip", "site"):
        (tmp_path / folder).mkdir()
    shutil.copy(path, tmp_path / "notebooks")
    shutil.copy(ROOT / "_config.yml", tmp_path)
    configure(tmp_path, "owner/name")
    notebook = nbformat.read(tmp_path / "notebooks" / path.name, 4)
    (setup,) = (c for c in notebook.cells if "setup" in c.metadata.get("tags", []))
    site, asked = tmp_path / "site", tmp_path / "asked"
    (tmp_path / "pip" / "pip.py").write_text(PIP, "utf-8")
    path = os.pathsep.join((str(site), str(tmp_path / "pip")))
    seen = {"PYTHONPATH": path, "WHEEL": wheel, "SITE": site, "ASKED": asked}
    os.utime(site, (0, 0))
    for _ in range(2):  # the second time vae_lib is there; -S hides the book's own
        run(setup.source + IS_THERE, tmp_path, "-S", site=site, **seen)
    (arguments,) = map(json.loads, asked.read_text().splitlines())
    archive = "https://github.com/owner/name/archive/HEAD.zip"
    assert arguments == ["install", "-qq", archive]
