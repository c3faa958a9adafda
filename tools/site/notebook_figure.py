"""Sphinx extension: a page shows what a cell of a notebook has drawn.

    ```{notebook-figure} 03-elbo show-prefer
    :name: fig-prefer

    The caption.
    ```

is a figure like any other, made of the picture and the alt text that this cell of
notebooks/03-elbo.ipynb holds; one of the exercises is named exercises/03-elbo. The
caption ends with a link to the cell: each code cell of a notebook has an identifier,
and ../notebooks/03-elbo.ipynb#cell-show-prefer is a link to it from anywhere.
"""

import hashlib
import os
from pathlib import Path

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.directives.patches import Figure
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from tools.book import Picture, picture

FROM_THE_CELL = ("alt", "target")  # options of a figure that are not the page's to set


class NotebookFigure(SphinxDirective, Figure):
    """A figure whose picture is the output of a notebook's cell."""

    required_arguments = 2  # the notebook, and the identifier of its cell
    final_argument_whitespace = False
    option_spec = {
        name: kind
        for name, kind in Figure.option_spec.items()
        if name not in FROM_THE_CELL
    }

    def run(self) -> list[nodes.Node]:
        """The figure, or nothing and a warning that fails the build."""
        name, cell = self.arguments
        notebook = Path(self.env.srcdir, "notebooks", f"{name}.ipynb")
        self.env.note_dependency(str(notebook))
        try:
            if not any(self.content):
                raise ValueError(f"expected a caption below cell {cell}, got none")
            shown = picture(notebook, cell)
        except ValueError as error:
            logger = logging.getLogger(__name__)
            logger.warning(f"notebook-figure: {error}", location=self.get_location())
            return []
        self.arguments = [self.address(shown)]
        self.options["alt"] = shown.alt
        found = super().run()
        for caption in found[0].findall(nodes.caption):
            caption += self.origin(notebook, cell, shown)
        found[0]["classes"].append("notebook-figure")
        return found

    def address(self, shown: Picture) -> str:
        """The address of the picture's file, the same as on the notebook's page."""
        name = f"{hashlib.sha256(shown.png).hexdigest()}.png"  # as myst_nb names it
        path = Path(self.env.mystnb_config.output_folder, name)
        if not path.exists() or path.read_bytes() != shown.png:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(shown.png)
        return "/" + Path(os.path.relpath(path, self.env.srcdir)).as_posix()

    def origin(self, notebook: Path, cell: str, shown: Picture) -> list[nodes.Node]:
        """What a caption ends with: where the figure was made."""
        page = Path(self.env.doc2path(self.env.docname))
        address = Path(os.path.relpath(notebook, page.parent)).as_posix()
        link = f"[Made in the notebook: *{shown.section}*]({address}#cell-{cell})."
        parsed, _ = self.state.inline_text(link, self.lineno)
        return [nodes.Text(" "), *parsed]


def name_cells(app: Sphinx, page: nodes.document) -> None:
    """Give each code cell of a notebook's page an identifier that links may name."""
    containers = [
        node
        for node in page.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    ]
    if not containers:
        return
    name = app.env.docname
    cells = nbformat.read(app.env.doc2path(name), as_version=4).cells
    targets = app.env.metadata[name].setdefault("myst_slugs", {})
    for node in containers:
        anchor = f"cell-{cells[node['cell_index']].id}"
        node["ids"].append(anchor)
        targets[anchor] = (0, anchor, anchor)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("notebook-figure", NotebookFigure)
    app.connect("doctree-read", name_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
