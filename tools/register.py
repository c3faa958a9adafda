"""Write book/equation-register.md: what proves, computes and checks each equation.

Nothing is typed twice. The equations and their statements are read from the pages, the
functions from the `Book:` lines of the library's docstrings, the notebook cells from
their tags, the tests from their `equation` marks.

    python -m tools.register
"""

import ast
import re
import sys
from collections import defaultdict

import nbformat
from mdit_py_plugins.anchors.index import slugify

from tools.book import BOOK, LIBRARY, NOTEBOOKS, ROOT, all_equations, title

PAGE = BOOK / "equation-register.md"
HEAD = """---
myst:
  html_meta:
    description: Every numbered equation with its proof, its function, its check.
---

(equation-register)=
# Register of equations

**For** finding the proof, the function, the cells and the tests of an equation.
**You need** its name or its chapter.
**Time**: look up a row.
**Next**: the place that the row names, or {{doc}}`notation` for its symbols.

Every labelled equation of the book, {n} in all, in the order of the chapters.
A row says where the equation is stated and proved, which function of `vae_lib` computes
it (a dash where none needs to), and which notebook cells and which tests check it.
A cell is named by its notebook, the heading it stands under and its identifier, a test
by its file and its name, which says what holds.
The page is written by a program from those sources, and a test of the book fails when
an equation lacks its row, or a row its cell or its test.
"""


def functions() -> dict[str, list[str]]:
    """By label, links to the library's functions whose `Book:` line names it."""
    found = defaultdict(list)
    for path in sorted(LIBRARY.glob("*.py")):
        for role, name, node in definitions(ast.parse(path.read_text("utf-8"))):
            docstring = ast.get_docstring(node) or ""
            for line in re.findall(r"Book: ([\w, -]+)\.", docstring):
                for label in line.split(", "):
                    link = f"{{py:{role}}}`~vae_lib.{path.stem}.{name}`"
                    found[label].append(link)
    return found


def definitions(module: ast.Module) -> list[tuple[str, str, ast.AST]]:
    """(role, qualified name, node) of functions, classes and their methods."""
    found = []
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            found.append(("func", node.name, node))
        elif isinstance(node, ast.ClassDef):
            found.append(("class", node.name, node))
            for child in node.body:
                if isinstance(child, ast.FunctionDef):
                    role = "attr" if is_property(child) else "meth"
                    found.append((role, f"{node.name}.{child.name}", child))
    return found


def is_property(node: ast.FunctionDef) -> bool:
    return any(getattr(d, "id", "") == "property" for d in node.decorator_list)


def cells() -> dict[str, list[str]]:
    """By label, the notebook cells that carry it as a tag, under their headings."""
    found = Grouped()
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        heading = ""
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                headings = re.findall(r"^#+ (.*)", cell.source, re.MULTILINE)
                heading = headings[-1] if headings else heading
            for label in cell.metadata.get("tags", []):
                if label.startswith("eq-"):
                    target = f"../notebooks/{path.name}#{slugify(heading)}"
                    place = f"[{path.stem[:2]} {heading}]({target})"
                    found[label][place].append(f"`{cell.id}`")
    return found.lists()


def tests() -> dict[str, list[str]]:
    """By label, the tests whose `equation` mark names it, under their files."""
    found = Grouped()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            for mark in getattr(node, "decorator_list", []):
                if ast.unparse(mark).startswith("pytest.mark.equation("):
                    for argument in mark.args:
                        name = node.name.removeprefix("test_").replace("_", " ")
                        found[argument.value][f"`{path.stem}`"].append(name)
    return found.lists()


class Grouped(defaultdict):
    """Names by label and by the place where they stand."""

    def __init__(self):
        super().__init__(lambda: defaultdict(list))

    def lists(self) -> dict[str, list[str]]:
        """By label, one line for each place."""
        return {
            label: [f"{place}: {', '.join(names)}" for place, names in places.items()]
            for label, places in self.items()
        }


def register() -> str:
    """The text of the page."""
    known, by_function, by_cell, by_test = (
        all_equations(),
        functions(),
        cells(),
        tests(),
    )
    text = HEAD.format(n=len(known))
    for page in dict.fromkeys(e.page for e in known):
        text += f"\n## {title(page)}\n\nThe page: {{doc}}`{page}`.\n\n"
        text += (
            "| equation, where stated and proved | computed by | notebook | test |\n"
        )
        text += "|---|---|---|---|\n"
        for label, _, stated, _ in (e for e in known if e.page == page):
            columns = [
                found.get(label, ["–"]) for found in (by_function, by_cell, by_test)
            ]
            lists = " | ".join("<br>".join(column) for column in columns)
            text += f"| {{eq}}`{label}` {stated}<br>`{label}` | {lists} |\n"
    return text


if __name__ == "__main__":
    sys.exit(PAGE.write_text(register(), encoding="utf-8") and None)
