"""The rhythm of pages and notebooks: how much is read before a picture or a word comes.

    python -m tools.rhythm      a number beyond its floor has a mark, 3400!

A word is what stands between spaces and has a letter or a digit. A formula, code inside
a sentence and a reference are one word each; blocks of code, options, labels and
comments have none. Headings, captions and cells of tables are read like other text.

A page has a main line, which one reads without unfolding anything. Folded are proofs,
solutions and what has the class `dropdown` or `fold`, but for its title. Apart stand
exercises, and what is not folded under the headings in APART. Only pictures of the main
line count, still and live; without any, its words are divided by one. Only chapters
need so many of them; the other floors are those of every page that is read like one.

Of a notebook, cells that the book folds do not count (setup, checks, answers), nor do
hidden tests. Lines are those that are not empty, with their indentation. Silence is the
code, of one cell or of several, between two cells of text.
"""

import re
import statistics
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from tools.book import BOOK, EXERCISES, NOTEBOOKS, ROOT, chapter_pages
from tools.course.editions import HIDDEN

AT_MOST = {"main line": 3200, "words per picture": 600}
AT_MOST |= {"median cell": 3, "silence": 16, "characters": 45}
AT_LEAST = {"pictures": 5, "words per line": 11}
OF_CHAPTERS = {"pictures"}  # a short page needs no more pictures than it has matter

LIKE_CHAPTERS = (  # pages that are read from end to end
    *("gradient-by-hand", "lab", "loss-scale", "molecule-search"),
    *("quieter-gradients", "spot-the-bug"),
)
APART = "Checked by machine|Quick questions|Exercises|Further reading|What to read next"
FOLDED_CELLS = {"setup", "check", "hide-input"}

FRONT = re.compile(r"\A---\n.*?^---\n", re.M | re.S)
FORMULA = re.compile(r"\$\$.+?\$\$(?: \(eq-[\w-]+\))?|(?<!\\)\$[^$\n]+\$", re.S)
ROLE = re.compile(r"\{[\w:-]+\}`([^`<]*)(?:<[^`]*>)?`")
CODE = re.compile(r"`[^`]+`")
TARGET = re.compile(r"\]\([^)]*\)")  # where a link leads
DIRECTIVE = re.compile(r"(`{3,}|:{3,})\{([\w:-]+)\} *(.*)")
OPTION = re.compile(r"\s*:([\w-]+):(.*)")
STILL = re.compile(r"(notebook-)?figure")
TITLED = re.compile(r"admonition|exercise|prf:")  # after others stands no title
NO_TEXT = re.compile(r"%|\([\w-]+\)=$")  # a comment, a label


class Part(NamedTuple):
    """A line that is read: its layer, its words, the kind of picture that it opens."""

    layer: str
    words: int
    picture: str = ""


def words(text: str) -> int:
    """How many words a line has that holds no formula."""
    text = TARGET.sub("]", CODE.sub("code", ROLE.sub(r"\1", text)))
    return sum(bool(re.search(r"\w", word)) for word in re.split(r"[\s|]+", text))


def parts(source: str) -> Iterator[Part]:
    """The lines of a page that are read, in their order."""
    text = FORMULA.sub("formula", FRONT.sub("", source))
    lines = deque(line.strip() for line in text.splitlines())
    section = "main line"
    within: list[tuple[str, str]] = []  # the fences that are open, and their layers
    while lines:
        line = lines.popleft()
        if line.startswith("## ") and not within:
            section = "apart" if line[3:] in APART.split("|") else "main line"
        layer = within[-1][1] if within else section
        if within and line == within[-1][0]:
            within.pop()
        elif layer == "code" or NO_TEXT.match(line):
            continue
        elif opening := DIRECTIVE.fullmatch(line):
            fence, kind, title = opening.groups()
            classes: set[str] = set()
            while lines and (option := OPTION.match(lines[0])):
                classes |= set(option[2].split()) if option[1] == "class" else set()
                lines.popleft()
            n_words = words(title) if TITLED.match(kind) else 0
            live = "live" if "live" in classes else ""
            yield Part(layer, n_words, "still" if STILL.fullmatch(kind) else live)
            within.append((fence, layer_inside(layer, kind, classes)))
        elif block := re.match("```+", line):
            within.append((block[0], "code"))
        else:
            yield Part(layer, words(line))


def layer_inside(layer: str, kind: str, classes: set[str]) -> str:
    """The layer of what stands in this directive, which stands in this layer."""
    if kind in ("prf:proof", "solution") or classes & {"dropdown", "fold"}:
        return "folded"
    return "apart" if kind == "exercise" and layer == "main line" else layer


def page_rhythm(source: str) -> dict[str, float]:
    """What is printed of a page."""
    found = list(parts(source))
    main = [part for part in found if part.layer == "main line"]
    kinds = [part.picture for part in main if part.picture]
    stretches = [0]
    for part in main:
        if part.picture:
            stretches.append(0)
        stretches[-1] += part.words
    return {
        "main line": sum(stretches),
        "folded": sum(part.words for part in found if part.layer == "folded"),
        "apart": sum(part.words for part in found if part.layer == "apart"),
        "still": kinds.count("still"),
        "live": kinds.count("live"),
        "pictures": len(kinds),
        "words per picture": sum(stretches) / max(len(kinds), 1),
        "before the first": stretches[0],
        "longest stretch": max(stretches),
    }


def code_lines(cell: NotebookNode) -> list[str]:
    """The lines of code that this cell shows."""
    if cell.cell_type != "code" or FOLDED_CELLS & set(cell.metadata.get("tags", [])):
        return []
    source = HIDDEN.sub("", cell.source)
    return [line for line in source.splitlines() if line.strip()]


def notebook_rhythm(notebook: NotebookNode) -> dict[str, float]:
    """What is printed of a notebook."""
    prose, figures, silence, sizes, code = 0, 0, [0], [], []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            prose += sum(part.words for part in parts(cell.source))
            silence.append(0)
        outputs = cell.get("outputs", [])
        figures += sum("image/png" in output.get("data", {}) for output in outputs)
        if lines := code_lines(cell):
            sizes.append(len(lines))
            silence[-1] += len(lines)
            code += lines
    return {
        "cells": len(sizes),
        "median cell": statistics.median(sizes),
        "longest cell": max(sizes),
        "silence": max(silence),
        "characters": statistics.mean(map(len, code)),
        "words": prose,
        "words per line": prose / len(code),
        "over 72": sum(len(line) > 72 for line in code),
        "figures": figures,
        "words per figure": prose / max(figures, 1),
    }


def faults(name: str, rhythm: dict[str, float]) -> list[str]:
    """The numbers of this page or notebook that are beyond their floor."""
    much = [what for what, most in AT_MOST.items() if rhythm.get(what, most) > most]
    few = [what for what, least in AT_LEAST.items() if rhythm.get(what, least) < least]
    chapter = re.match(r"book/\d", name)
    return [what for what in much + few if chapter or what not in OF_CHAPTERS]


def measured(path: Path) -> dict[str, float]:
    """The rhythm of a page or of a notebook."""
    if path.suffix == ".md":
        return page_rhythm(path.read_text("utf-8"))
    return notebook_rhythm(nbformat.read(path, as_version=4))


def rhythms() -> list[dict[str, dict[str, float]]]:
    """Of the pages, of the notebooks, of the exercises: a rhythm for each name."""
    pages = [*chapter_pages(), *(BOOK / f"{page}.md" for page in LIKE_CHAPTERS)]
    kinds = pages, sorted(NOTEBOOKS.glob("*.ipynb")), sorted(EXERCISES.glob("*.ipynb"))
    return [
        {p.relative_to(ROOT).with_suffix("").as_posix(): measured(p) for p in paths}
        for paths in kinds
    ]


def table(found: dict[str, dict[str, float]]) -> str:
    """A row for each, with a mark at the numbers that are beyond their floor."""
    width = max(map(len, found))
    rows = [[" " * width, *next(iter(found.values()))]]
    for key, rhythm in found.items():
        rows.append([key.ljust(width)])
        for what, number in rhythm.items():
            mark = "!" if what in faults(key, rhythm) else ""
            rows[-1].append(f"{round(number, 1):g}{mark}".rjust(len(what)))
    return "\n".join(" | ".join(row) for row in rows)


if __name__ == "__main__":
    print(*map(table, rhythms()), sep="\n\n")
