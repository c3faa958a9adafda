"""A page shows what a notebook's cell has drawn, or the build fails and says why."""

import base64
import io

import nbformat
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ALT = "A red rectangle that is wider than high."
PAGE = """# A page

```{notebook-figure} 01-toy red
:name: fig-red

It is red, $x > 0$.
```

{numref}`fig-red` and [the cell](../notebooks/01-toy.ipynb#cell-red).
"""
INDEX = """# A book

```{toctree}
book/page
notebooks/01-toy
```
"""
SETTINGS = {
    "extensions": ["myst_nb", "tools.site.notebook_figure"],
    "exclude_patterns": ["_build"],
    "myst_enable_extensions": ["dollarmath"],
    "nb_execution_mode": "off",
    "numfig": True,
}


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


def cell(name, *colours, alt=ALT):
    """A cell of code that has drawn a picture in each of these colours."""
    data = [{"image/png": base64.b64encode(png(c)).decode()} for c in colours]
    outputs = [nbformat.v4.new_output("display_data", drawn) for drawn in data]
    about = {"mystnb": {"image": {"alt": alt}}} if alt else {}
    return nbformat.v4.new_code_cell(
        f"draw({colours})", id=name, outputs=outputs, metadata=about
    )


class Project:
    """A book of one page and one notebook."""

    def __init__(self, folder):
        self.folder, self.built = folder, folder / "_build" / "html"
        self.notebook = folder / "notebooks" / "01-toy.ipynb"
        for name in ("book", "notebooks"):
            (folder / name).mkdir()
        (folder / "index.md").write_text(INDEX, "utf-8")
        self.write_page(PAGE)
        self.write_notebook("red")

    def write_page(self, source):
        (self.folder / "book" / "page.md").write_text(source, "utf-8")

    def write_notebook(self, colour):
        def words(text):
            return nbformat.v4.new_markdown_cell(text)

        cells = [words("# A toy\n\n## Colours"), cell("red", colour), cell("none")]
        cells += [cell("two", "red", "blue"), cell("mute", "red", alt="")]
        notebook = nbformat.v4.new_notebook(cells=[*cells, words("## The end")])
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, self.notebook)

    def build(self):
        """What the build complains about, line by line."""
        said = io.StringIO()
        with docutils_namespace():
            places = (
                self.folder,
                None,
                self.built,
                self.folder / "_build" / "doctrees",
            )
            app = Sphinx(*places, "html", SETTINGS, status=None, warning=said)
            app.build()
        return said.getvalue().splitlines()

    def read(self, name):
        return BeautifulSoup((self.built / name).read_text("utf-8"), "html.parser")

    def pictures(self):
        return [path.read_bytes() for path in (self.built / "_images").iterdir()]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_figure_is_the_picture_of_the_cell_with_its_alt_text_and_a_caption(project):
    assert not project.build()
    page = project.read("book/page.html")
    figure = page.select_one("figure#fig-red")
    assert figure.img["alt"] == ALT
    assert (project.built / "book" / figure.img["src"]).read_bytes() == png("red")
    caption = figure.figcaption.get_text()
    assert "It is red" in caption and figure.figcaption.select_one(".math")
    assert caption.strip().startswith(page.select_one(".std-numref").get_text())


def test_caption_leads_to_the_cell_that_has_drawn_it(project):
    project.build()
    page = project.read("book/page.html")
    notebook = project.read("notebooks/01-toy.html")
    in_caption, in_text = page.select("a[href*='#cell-']")
    assert (
        in_caption.find_parent("figcaption") and in_caption["href"] == in_text["href"]
    )
    assert "Colours" in in_caption.get_text()  # says where it leads, out of context too
    address, anchor = in_caption["href"].split("#")
    assert address == "../notebooks/01-toy.html"
    target = notebook.find(id=anchor)
    assert "draw" in target.get_text()
    assert target.img["src"] == page.select_one("figure img")["src"]


def test_page_and_notebook_share_one_file(project):
    project.build()
    assert project.pictures().count(png("red")) == 1


def test_a_notebook_of_the_exercises_is_named_with_its_folder(project):
    exercises = project.folder / "notebooks" / "exercises"
    exercises.mkdir()
    project.notebook.rename(exercises / "01-toy.ipynb")
    index = project.folder / "index.md"
    index.write_text(INDEX.replace("notebooks/", "notebooks/exercises/"), "utf-8")
    page = PAGE.replace("notebooks/", "notebooks/exercises/")
    project.write_page(page.replace("} 01-toy", "} exercises/01-toy"))
    assert not project.build()
    page = project.read("book/page.html")
    assert page.select_one("figure#fig-red").img["alt"] == ALT
    for link in page.select("a[href*='#cell-']"):
        assert link["href"] == "../notebooks/exercises/01-toy.html#cell-red"


def test_page_follows_the_notebook(project):
    project.build()
    project.write_notebook("green")
    assert not project.build()
    source = project.read("book/page.html").select_one("figure img")["src"]
    assert (project.built / "book" / source).read_bytes() == png("green")


def test_a_picture_that_was_written_in_part_is_written_again(project):
    project.build()
    source = project.read("book/page.html").select_one("figure img")["src"]
    name = source.rpartition("/")[2]
    half = project.folder / "_build" / "jupyter_execute" / name
    half.write_bytes(png("red")[:9])
    project.write_page(f"{PAGE}\nMore.\n")
    project.build()
    assert png("red") in project.pictures()


@pytest.mark.parametrize(
    "named, caption, problem",
    [
        ("02-toy red", "Red.", "expected a notebook in notebooks, got 02-toy"),
        ("../book/01-toy red", "Red.", "expected a notebook in"),
        ("01-toy blue", "Red.", "expected a cell blue in 01-toy.ipynb, got none"),
        (
            "01-toy none",
            "Red.",
            "expected one picture from cell none of 01-toy.ipynb, got 0",
        ),
        (
            "01-toy two",
            "Red.",
            "expected one picture from cell two of 01-toy.ipynb, got 2",
        ),
        (
            "01-toy mute",
            "Red.",
            "expected an alt text in the metadata of cell mute of 01-toy.ipynb",
        ),
        ("01-toy red", "", "expected a caption below cell red, got none"),
        ("01-toy", "Red.", "2 argument(s) required, 1 supplied"),
    ],
)
def test_what_cannot_be_shown_fails_the_build_in_one_line(
    named, caption, problem, project
):
    project.write_page(f"# A page\n\n```{{notebook-figure}} {named}\n{caption}\n```\n")
    (line,) = project.build()
    assert "page.md:3: " in line and problem in line, line


def test_a_link_to_a_cell_that_is_not_there_fails_the_build(project):
    project.write_page("# A page\n\n[No](../notebooks/01-toy.ipynb#cell-blue).\n")
    assert any("cell-blue" in line for line in project.build())
