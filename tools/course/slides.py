"""Make the slides of the lecture from book/slides/lecture.md: one page, no network.

    python -m tools.course.slides

What the book holds is not typed again. The lecture names it in double braces:
{{eq-elbo}}                the formula with this label
{{elbo-gap.svg}}           a figure of a page
{{07-vae#show-manifold}}   the picture that this cell of a notebook has drawn
{{mnist-2d.test_elbo}}     a number in the record of a shipped model
"""

import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.docutils import docutils_namespace

from tools import book
from tools.book import BOOK, BUILD, NOTEBOOKS, STATIC, all_equations, figures
from tools.site.files import guarded, tidy
from vae_lib.checkpoints import PRETRAINED, load_pretrained

LECTURE = BOOK / "slides" / "lecture.md"
OUT = BUILD / "slides"
NAME = re.compile(r"\{\{([^{}]+)\}\}")
EXTENSIONS = "myst_parser sphinx.ext.mathjax sphinx-mathjax-offline sphinx_revealjs"
SCREEN = {"width": 1280, "height": 720, "margin": 0, "center": False}
NOTES = {"src": "revealjs/plugin/notes/notes.js", "name": "RevealNotes"}
SETTINGS = {
    # Without it Sphinx writes into its default, where a later build would find it.
    "source_suffix": {".md": "markdown"},
    "project": "Variational auto-encoders",
    "language": "en",
    "extensions": EXTENSIONS.split(),
    "myst_enable_extensions": ["amsmath", "colon_fence", "dollarmath"],
    "html_copy_source": False,
    "revealjs_style_theme": "white",
    "revealjs_static_path": [str(LECTURE.parent)],
    "revealjs_css_files": ["slides.css"],
    "revealjs_script_conf": SCREEN
    | {"hash": True, "slideNumber": "c/t", "transition": "none"}
    | {"pdfSeparateFragments": False},
    "revealjs_script_plugins": [NOTES],
}


def formulas() -> dict[str, str]:
    """The labelled formulas of the pages, without the mark that ends their sentence."""
    found = {}
    for equation in all_equations():
        formula = re.sub(r"[ .,]+(\n\\end\{aligned\})?$", r"\1", equation.formula)
        found[equation.label] = f"$$\n{formula}\n$$"
    return found


def picture(notebook: str, cell_id: str, folder: Path) -> str:
    """Markdown for a cell's picture, which is written into this folder."""
    shown = book.picture(NOTEBOOKS / f"{notebook}.ipynb", cell_id)
    (folder / f"{notebook}-{cell_id}.png").write_bytes(shown.png)
    return f"![{shown.alt}]({notebook}-{cell_id}.png)"


def filled(source: str, folder: Path) -> str:
    """The lecture with everything that it names; pictures go into this folder.

    Raises:
        ValueError: if the book does not hold what is named.
    """
    equations, alts = formulas(), figures()

    def fill(match: re.Match) -> str:
        name = match[1]
        if name in equations:
            return equations[name]
        if name in alts:
            shutil.copy(STATIC / name, folder)
            return f"![{alts[name]}]({name})"
        notebook, _, cell = name.partition("#")
        if cell and (NOTEBOOKS / f"{notebook}.ipynb").exists():
            return picture(notebook, cell, folder)
        model, _, key = name.partition(".")
        if model in PRETRAINED:
            return f"{load_pretrained(model).record[key]:.2f}".replace("-", "−")
        raise KeyError(name)

    def fill_or_say(match: re.Match) -> str:
        try:
            return fill(match)
        except (KeyError, ValueError) as error:
            kinds = "a formula, figure, picture or record of the book"
            raise ValueError(f"expected {kinds}, got {match[0]}") from error

    return NAME.sub(fill_or_say, source)


def make(out: Path = OUT, lecture: Path = LECTURE) -> Path:
    """Build the slides into this folder, which is made anew: the page to open."""
    source = out / "source"
    shutil.rmtree(out, ignore_errors=True)
    source.mkdir(parents=True)
    (source / "index.md").write_text(
        filled(lecture.read_text("utf-8"), source), "utf-8"
    )
    places = (str(source), None, str(out), str(out / "source" / ".doctrees"))
    with docutils_namespace():
        settings = dict(SETTINGS)
        app = Sphinx(*places, "revealjs", settings, status=None, warningiserror=True)
        app.build()
    for theme in (out / "_static" / "revealjs" / "dist" / "theme").glob("*.css"):
        if theme.stem != SETTINGS["revealjs_style_theme"]:
            theme.unlink()  # some of them load fonts from elsewhere
    shutil.rmtree(source)
    tidy(out / "_static")
    shutil.copy(STATIC / "mathjax" / "LICENSE.txt", out / "_static/mathjax")
    page = out / "index.html"
    # The window of the speaker's notes is written by a script, with scripts in it.
    page.write_text(guarded(page.read_text("utf-8"), own=False), "utf-8")
    return page


def main() -> str | None:
    """Make them and say where they lie."""
    try:
        print(f"The slides: {make()}")
    except (ValueError, SphinxError) as error:
        return f"python -m tools.course.slides: {error}"


if __name__ == "__main__":
    sys.exit(main())
