"""What a reader of the book does not see of the exercises.

nbgrader's marks and the hidden tests stand in the notebooks' source only. With
VAE_SOLUTIONS=hide in the environment (`make book SOLUTIONS=hide`) the book has no
solution at all: neither the folded ones of the pages, nor those of the notebooks, nor
the sources that a page offers to download. Nothing is built for another value, which
may have been meant to hide them.
"""

import os
import re
import shutil
from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

from tools.course.editions import HIDDEN, SOLUTION, STUB

FOLDED = re.compile(r"^(```+)\{solution\} .*?^\1\n", re.MULTILINE | re.DOTALL)
PROMPTS = {
    "code_prompt_show": "Show a solution",
    "code_prompt_hide": "Hide the solution",
}
MARKS = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)


def hidden() -> bool:
    """Whether this build has no solutions."""
    wish = os.environ.get("VAE_SOLUTIONS", "")
    if wish not in ("", "hide"):
        raise ConfigError(f"expected VAE_SOLUTIONS=hide, or none, got {wish!r}")
    return wish == "hide"


def configure(app: Sphinx, config: Config) -> None:
    """Leave no sources in a site without solutions: they hold them all."""
    config.html_copy_source = not hidden()
    if hidden():
        shutil.rmtree(Path(app.outdir, "_sources"), ignore_errors=True)


def leave_out(app: Sphinx, document: str, content: list[str]) -> None:
    """Change the source of a page before it is read."""
    if document.startswith("notebooks/exercises/"):
        notebook = nbformat.reads(content[0], as_version=4)
        for cell in notebook.cells:
            source = HIDDEN.sub("", cell.source)
            source = SOLUTION.sub(STUB, source) if hidden() else source
            cell.source = MARKS.sub("", source).rstrip("\n")
            mark = cell.metadata.get("nbgrader", {})
            if mark.get("solution") and hidden():
                cell.metadata.tags.remove("hide-input")  # a stub need not be unfolded
            elif mark.get("solution"):
                cell.metadata.mystnb = cell.metadata.get("mystnb", {}) | PROMPTS
            elif mark.get("grade") and hidden():
                cell.outputs = []  # they say that the answer is right
        content[0] = nbformat.writes(notebook)
    elif hidden():
        content[0] = FOLDED.sub("", content[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("config-inited", configure)
    app.connect("source-read", leave_out)
    return {"parallel_read_safe": True}
