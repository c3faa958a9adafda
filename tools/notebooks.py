"""Execute the stale notebooks and write them back in a normal form.

A notebook is stale when the code that made its outputs has changed: its own code cells
(the setup cell apart) or the vae_lib modules that it reaches by import, comments and
docstrings left out. A hash of both is kept in the notebook's metadata.

    python -m tools.notebooks [--all] [notebooks/NN-slug.ipynb ...]
    python -m tools.notebooks --list exact|other      executes none, for make execute
"""

import argparse
import ast
import base64
import hashlib
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from tools.book import EXERCISES, LIBRARY, NOTEBOOKS, ROOT, derivations

# Of each kernel: outputs without bars, and the same bits however many cores there are.
CALM = {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}


def fingerprint(notebook: nbformat.NotebookNode) -> str:
    """sha256 over the notebook's code and the library modules that it reaches."""
    cells = [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])
    ]
    digest = hashlib.sha256()
    for source in cells:
        digest.update(source.encode() + b"\0")
    for name in sorted(reached_modules("\n".join(cells))):
        code = (LIBRARY / f"{name}.py").read_text(encoding="utf-8")
        digest.update(f"{name}\n{code_only(code)}\n".encode())
    return digest.hexdigest()


def reached_modules(source: str) -> set[str]:
    """Names of the vae_lib modules that this code imports, directly or not."""
    found, to_read = {"__init__"}, [source]
    while to_read:
        new = imported_modules(to_read.pop()) - found
        found |= new
        to_read += [(LIBRARY / f"{name}.py").read_text("utf-8") for name in new]
    return found


def imported_modules(source: str) -> set[str]:
    """Names of the vae_lib modules in this code's own import statements."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts = [name.split(".") for name in names]
        found |= {"/".join(part[1:3]) for part in parts if part[0] == "vae_lib"}
        found |= {part[1] for part in parts if part[0] == "vae_lib" and part[1:]}
    found |= {"checks/__init__" for name in found if name.startswith("checks")}
    return {name for name in found if (LIBRARY / f"{name}.py").exists()}


def code_only(source: str) -> str:
    """The code in a normal form: without comments, docstrings and layout."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def execute(path: Path) -> None:
    """Run the notebook in a clean kernel, as a reader would, and write it back."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # lines that came late belong to the same output
        resources={"metadata": {"path": str(path.parent)}},
    ).execute(env=os.environ | CALM)
    normalise(notebook)
    nbformat.write(notebook, path)
    print(f"{path.relative_to(ROOT)}: {time.perf_counter() - start:.0f} s")


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Keep what a reader needs: no machine, no time and no software version."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
            "vae_lib": {"fingerprint": fingerprint(notebook)},
        }
    )
    for cell in notebook.cells:
        kept = {
            key: cell.metadata[key]
            for key in ("mystnb", "nbgrader", "tags")
            if key in cell.metadata
        }
        if "check" in kept.get("tags", []):  # folded in JupyterLab too
            kept["jupyter"] = {"source_hidden": True}
        cell.metadata = nbformat.from_dict(kept)
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = {}
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = plain_png(output.data["image/png"])


def plain_png(encoded: str) -> str:
    """The same picture with 128 colours and without the stamp of what drew it."""
    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    buffer = io.BytesIO()
    picture.quantize(128).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def is_stale(path: Path) -> bool:
    """Whether the outputs in this file come from other code than is there now."""
    notebook = nbformat.read(path, as_version=4)
    recorded = notebook.metadata.get("vae_lib", {}).get("fingerprint")
    return recorded != fingerprint(notebook)


def main() -> None:
    parser = argparse.ArgumentParser(description="Execute stale notebooks.")
    parser.add_argument("paths", nargs="*", type=Path, help="default: all of them")
    parser.add_argument("--all", action="store_true", help="also those up to date")
    about = "print those that yield the same bits anywhere, or the other ones"
    parser.add_argument("--list", choices=["exact", "other"], help=about)
    arguments = parser.parse_args()
    paths = [path.resolve() for path in arguments.paths]
    every = sorted([*NOTEBOOKS.glob("*.ipynb"), *EXERCISES.glob("*.ipynb")])
    if arguments.list:
        exact = set(derivations())
        wanted = [p for p in every if (p in exact) == (arguments.list == "exact")]
        print(*(path.relative_to(ROOT) for path in wanted))
        return
    for path in paths or every:
        if arguments.all or is_stale(path):
            execute(path)
        else:
            print(f"{path.relative_to(ROOT)}: up to date")


if __name__ == "__main__":
    sys.exit(main())
