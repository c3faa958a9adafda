"""The book as data: where its parts lie and what they say, read nowhere else."""

import ast
import base64
import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
STATIC = BOOK / "_static"
NOTEBOOKS = ROOT / "notebooks"
EXERCISES = NOTEBOOKS / "exercises"
LIBRARY = ROOT / "vae_lib"
BUILD = ROOT / "_build"
SITE = BUILD / "html"

DERIVATIONS = "The derivations"  # the part whose chapters train nothing
TIME = re.compile(r"^\*\*Time\*\*: (\d+) minutes(?:.*?, then (\d+) for)?", re.M)
FIGURE = re.compile(r"^```\{figure\} _static/(\S+)\n(?::.*\n)*?:alt: (.+)$", re.M)
# The line of an exercise of a page that follows its name.
ON_PAPER = re.compile(r"^```+\{exercise\} .+\n:label: ex-[\w-]+\n+(.+)", re.M)
FIELD = re.compile(
    r"\*\*(Aim|Level|Minutes|Points):\*\* (.+?)(?:\.?$|\. (?=\*\*))", re.M
)


class Template(string.Template):
    """A page with fields for what comes from elsewhere: @name or @{name}."""

    delimiter = "@"  # the dollar is for formulas


class Page(NamedTuple):
    """A page of the book: its name below the root and where it stands in the book."""

    name: str
    level: int  # of its title: 1 stands alone, 2 is in a part, 3 belongs to a chapter
    part: str  # the part that it opens, else empty


class Equation(NamedTuple):
    """A labelled equation: its page, the statement or section it is in, its TeX."""

    label: str
    page: str
    stated: str
    formula: str


class Picture(NamedTuple):
    """What a cell of a notebook has drawn, and the section that the cell stands in."""

    png: bytes
    alt: str
    section: str


class Chapter(NamedTuple):
    """What a plan needs to know of a chapter; times are in minutes."""

    stem: str
    reading: list[int]  # its page, its notebook
    theory: list[int]
    code: list[int]
    points: int

    @property
    def number(self) -> str:
        return self.stem[:2].lstrip("0") if self.stem[0].isdigit() else ""

    @property
    def link(self) -> str:
        words = f"{self.number} <{self.stem}>" if self.number else self.stem
        return f"{{doc}}`{words}`"


def toc() -> dict:
    """The table of contents as it is written."""
    return yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))


def pages() -> list[Page]:
    """The pages in the order of the table of contents."""
    found = [Page(toc()["root"], 1, "")]
    for part in toc()["parts"]:
        for i, chapter in enumerate(part["chapters"]):
            found.append(Page(chapter["file"], 2, "" if i else part["caption"]))
            sections = chapter.get("sections", [])
            found += [Page(section["file"], 3, "") for section in sections]
    return found


def parts() -> dict[str, list[int]]:
    """The chapters of each part of the book, by the part's title."""
    found, part = {}, ""
    for page in pages():
        part = page.part or part
        if number := chapter_number(page.name):
            found.setdefault(part, []).append(number)
    return found


def chapter_pages() -> list[Path]:
    """The pages of the chapters, in their order."""
    return sorted(BOOK.glob("[0-9]*.md"))


def notebooks_of(stem: str) -> list[Path]:
    """The notebooks of a chapter: NN-slug, and NN-slug-2 where one is not enough."""
    found = [NOTEBOOKS / f"{stem}.ipynb", *NOTEBOOKS.glob(f"{stem}-[2-9].ipynb")]
    return sorted(found, key=lambda path: path.stem)


def derivations() -> list[Path]:
    """The notebooks that must yield every output again: those of this part."""
    numbers = parts()[DERIVATIONS]
    pages = [page for page in chapter_pages() if int(page.stem[:2]) in numbers]
    return [path for page in pages for path in notebooks_of(page.stem)]


def chapter_number(page: str) -> int:
    """The number of a chapter by the name of its page below the root, else 0."""
    number = re.match(r"book/(\d\d)-", page)
    return int(number[1]) if number else 0


def companions() -> dict[str, str]:
    """The chapter that each page without a number of its own belongs to, by stems."""
    chapters = [chapter for part in toc()["parts"] for chapter in part["chapters"]]
    return {
        Path(section["file"]).stem: Path(chapter["file"]).stem
        for chapter in chapters
        for section in chapter.get("sections", [])
        if section["file"].startswith("book/")
    }


def title(page: str) -> str:
    """Title of a page, with the number of a chapter before it."""
    source = (BOOK / f"{page}.md").read_text("utf-8")
    words = re.search(r"^# (.*)", source, re.MULTILINE)[1]
    return f"{int(page[:2])}. {words}" if page[0].isdigit() else words


def equations(page: str, source: str) -> list[Equation]:
    """The labelled equations of one page in their order."""
    found, fence, anchor, stated, formula = [], "", "", "", None
    for line in source.splitlines():
        if formula is not None:
            if end := re.fullmatch(r"\$\$(?: \((eq-[\w-]+)\))?", line):
                tex = "\n".join(formula)
                found += [Equation(end[1], page, stated, tex)] if end[1] else []
                formula = None
            else:
                formula.append(line)
        elif line == "$$":
            formula = []
        elif opening := re.fullmatch(r"(`{3,}|:{3,})\{prf:(\w+)\} ?(.*)", line):
            fence, kind, named = opening.groups()
            # A proof belongs to the statement before it.
            stated = stated if kind == "proof" else named
        elif fence and (label := re.fullmatch(r":label: (\S+)", line)):
            stated = f"{{prf:ref}}`{label[1]}`: {stated}"
        elif line == fence:
            fence = ""
        elif target := re.fullmatch(r"\((\S+)\)=", line):
            anchor = target[1]
        elif heading := re.fullmatch(r"#+ (.*)", line):
            stated = f"{{ref}}`{anchor}`" if anchor else f"section *{heading[1]}*"
            anchor = ""
    return found


def all_equations() -> list[Equation]:
    """The equations of the chapters and their companions, in the order of the book."""
    after = companions().items()
    pages = [
        BOOK / f"{stem}.md"
        for page in chapter_pages()
        for stem in (page.stem, *(name for name, of in after if of == page.stem))
    ]
    return [e for p in pages for e in equations(p.stem, p.read_text("utf-8"))]


def figures() -> dict[str, str]:
    """The alternative texts of the pages' figures, by file name."""
    return {
        name: alt
        for page in sorted(BOOK.glob("*.md"))
        for name, alt in FIGURE.findall(page.read_text("utf-8"))
    }


def picture(notebook: Path, cell_id: str) -> Picture:
    """The picture of a notebook's cell.

    Raises:
        ValueError: if there is no such cell, or it has not one picture and an alt text.
    """
    folder = notebook.parent
    if notebook not in folder.glob("*.ipynb"):
        raise ValueError(f"expected a notebook in {folder.name}, got {notebook.stem}")
    section = ""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.id == cell_id:
            return _picture(cell, section, f"cell {cell_id} of {notebook.name}")
        if cell.cell_type == "markdown":
            *_, section = [section, *re.findall(r"^#+ (.+)$", cell.source, re.M)]
    raise ValueError(f"expected a cell {cell_id} in {notebook.name}, got none")


def _picture(cell: NotebookNode, section: str, place: str) -> Picture:
    found = [output.get("data", {}) for output in cell.get("outputs", [])]
    pngs = [data["image/png"] for data in found if "image/png" in data]
    if len(pngs) != 1:
        raise ValueError(f"expected one picture from {place}, got {len(pngs)}")
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    if not alt:
        raise ValueError(f"expected an alt text in the metadata of {place}, got none")
    return Picture(base64.b64decode(pngs[0]), alt, section)


def needs() -> dict[int, set[int]]:
    """The chapters that each chapter's page names under "You need"."""
    found = {}
    for page in chapter_pages():
        (line,) = re.findall(r"^\*\*You need\*\*.*$", page.read_text("utf-8"), re.M)
        named = re.findall(r"\{doc\}`(?:[^`<]*<)?(\d\d)-", line)
        found[int(page.stem[:2])] = {int(number) for number in named}
    return found


def reduced(needed: dict[int, set[int]]) -> dict[int, set[int]]:
    """The same without what another needed chapter needs already."""
    known = {}  # all that a chapter needs, directly or not; earlier chapters first
    for chapter in sorted(needed):
        known[chapter] = needed[chapter].union(*(known[n] for n in needed[chapter]))
    return {
        chapter: direct - set().union(*(known[n] for n in direct))
        for chapter, direct in needed.items()
    }


def map_in_words() -> str:
    """What the map of the chapters shows, for those who do not see it."""
    alike = {}
    for chapter, needed in reduced(needs()).items():
        if needed:
            alike.setdefault(tuple(sorted(needed)), []).append(chapter)
    told = [
        f"{listed(chapters)} need{'s' * (len(chapters) == 1)} {listed(needed)}"
        for needed, chapters in alike.items()
    ]
    return f"Boxes for the chapters, joined by arrows. Chapter {'; '.join(told)}."


def listed(numbers: Iterable[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


def exercises(notebook: NotebookNode) -> list[dict[str, str]]:
    """Title, aim, level, minutes and points of each exercise of a notebook."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.match(r"## [A-Z]\. ", cell.source):
            named = cell.source.splitlines()[0].removeprefix("## ")
            found.append({"title": named} | dict(FIELD.findall(cell.source)))
    return found


def printed_functions(path: Path) -> dict:
    """The functions of a notebook, its imports and its constants, with nothing run.

    So that a study and a test use what the reader sees. Constants have capital names.
    """
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(
        cell.source
        for cell in cells
        if cell.cell_type == "code" and "setup" not in cell.metadata.get("tags", [])
    )
    body = [node for node in ast.parse(source).body if _defines(node)]
    names: dict = {}
    exec(compile(ast.Module(body, []), str(path), "exec"), names)
    return names


def _defines(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        stored = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        return all(name.isupper() for name in stored)
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)


def chapters() -> dict[str, Chapter]:
    """The chapters by their two digits, other pages with exercises by their name."""
    found = {}
    for page in sorted(BOOK.glob("*.md")):
        source = page.read_text("utf-8")
        numbered = page.stem[0].isdigit()
        if not ON_PAPER.search(source) and not numbered:
            continue
        (minutes,) = TIME.findall(source)
        on_paper = [dict(FIELD.findall(line)) for line in ON_PAPER.findall(source)]
        notebook, in_code = EXERCISES / f"{page.stem}.ipynb", []
        if notebook.exists():
            in_code = exercises(nbformat.read(notebook, as_version=4))
        found[page.stem[:2] if numbered else page.stem] = Chapter(
            page.stem,
            [int(part) for part in minutes if part],
            [int(exercise["Minutes"]) for exercise in on_paper],
            [int(exercise["Minutes"]) for exercise in in_code],
            sum(int(exercise["Points"]) for exercise in in_code),
        )
    return found


def gaps() -> list[str]:
    """What is still to be written: every TODO in the sources, with its place."""
    paths = [ROOT / "README.md", BOOK / "index.md", *chapter_pages()]
    paths += [*sorted(NOTEBOOKS.rglob("*.ipynb")), *sorted(LIBRARY.rglob("*.py"))]
    for folder in ("answers", "chapters"):
        paths += sorted((ROOT / "tests" / folder).glob("*.py"))
    return [
        f"{path.relative_to(ROOT).as_posix()}:{number}: {found[0]}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if (found := re.search(r"\bTODO\b.{,60}", line))
    ]
