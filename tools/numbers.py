"""Give the links of the notebooks the numbers of what they lead to.

A notebook is plain Markdown: where it names an equation, a statement or a figure of a
page, nothing but this puts the number there that the page has.

    python -m tools.numbers
"""

import re
import sys
from collections import Counter
from pathlib import Path

import nbformat

from tools.book import EXERCISES, NOTEBOOKS, ROOT, chapter_number, pages

EQUATION = re.compile(r"^ *\$\$ \(([\w-]+)\)$", re.M)
STATEMENT = re.compile(
    r"^[`:]{3,}\{prf:(?!proof)(\w+)\}.*\n(?::(?!label).*\n)*(?::label: (\S+)$)?", re.M
)
FIGURE = re.compile(
    r"^[`:]{3,}\{(?:notebook-)?figure\}.*\n(?::(?!name).*\n)*(?::name: (\S+)$)?", re.M
)
# A link to a label, with the word before it, which may say what it leads to.
LINK = re.compile(r"(\b[a-z]+ )?\[([^\]]*)\](\((?:\.\./)+book/[\w-]+\.md#([\w-]+)\))")
WITH_NUMBER = re.compile(r"\([\d.]+\) (.*)|[A-Z][a-z]+ [\d.]+ \((.*)\)", re.S)


def numbers() -> dict[str, str]:
    """By label, what the book calls what is in a chapter: (9.3), Theorem 9.2."""
    found, counted, chapter = {}, Counter(), 0

    def following(counter: str) -> str:
        counted[chapter, counter] += 1
        return f"{chapter}.{counted[chapter, counter]}"

    for page in pages():
        if page.level < 3:  # else it belongs to the chapter before it
            chapter = chapter_number(page.name)
        path = ROOT / f"{page.name}.md"
        if not chapter or not path.exists():
            continue
        source = path.read_text("utf-8")
        for label in EQUATION.findall(source):
            found[label] = f"({following('equation')})"
        for kind, label in STATEMENT.findall(source):
            found[label] = f"{kind.title()} {following('statement')}"
        for label in FIGURE.findall(source):
            found[label] = f"Figure {following('figure')}"
    found.pop("", None)  # what has no label, which counts as well
    return found


def with_numbers(text: str, known: dict[str, str]) -> str:
    """The Markdown with these numbers in the links to what has one."""

    def renewed(link: re.Match) -> str:
        before, words, target, label = link.groups(default="")
        if label not in known:
            return link[0]
        number = known[label]
        kind = number.split()[0]
        if before.strip() == kind.lower():
            before = ""  # "theorem [Gibbs' inequality](...)", as it is first written
        if old := WITH_NUMBER.fullmatch(words):
            words = old[1] or old[2]
        named = f"{number} {words}" if number[0] == "(" else f"{number} ({words})"
        return f"{before}[{named}]{target}"

    return LINK.sub(renewed, text)


def renew() -> list[Path]:
    """Write the numbers into the notebooks; those that changed."""
    known, changed = numbers(), []
    for path in sorted([*NOTEBOOKS.glob("*.ipynb"), *EXERCISES.glob("*.ipynb")]):
        notebook = nbformat.read(path, as_version=4)
        before = [cell.source for cell in notebook.cells]
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = with_numbers(cell.source, known)
        if before != [cell.source for cell in notebook.cells]:
            nbformat.write(notebook, path)
            changed.append(path)
    return changed


def main() -> None:
    for path in renew():
        print("changed", path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
