"""Write the skeleton of a new chapter, for `make chapter`.

    python -m tools.new_chapter [--part="Beyond images"] 13 molecules "Molecules"

The files in tools/skeleton are filled in: a page, a notebook, exercises, their checks
and answers, a test. They hold a small true statement and say TODO wherever the chapter
itself belongs; every test passes but the one that looks for TODO. Table of contents,
README and index get their rows; what is made from all these is made anew.
Without --part the chapter follows the one with the next smaller number in its part.
"""

import argparse
import json
import keyword
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import diagrams, notebooks, numbers, register
from tools.book import (
    BOOK,
    EXERCISES,
    LIBRARY,
    NOTEBOOKS,
    ROOT,
    STATIC,
    Template,
    chapter_pages,
    gaps,
    parts,
    toc,
)
from tools.course import guide
from vae_lib import checks

SKELETON = Path(__file__).with_name("skeleton")
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
WORDS = re.compile(r"[^\W_](?:[^\W_]|[ ,.:;!?'’&()+–—-]){0,59}")
CELL = re.compile(r"^%%% (\w+) ?([\w-]*) ?(\{.*\})?\n", re.M)
BLOCK = """\
      - file: book/{stem}
        sections:
          - file: notebooks/{stem}
          - file: notebooks/exercises/{stem}
"""


def fault(number: str, slug: str, title: str, part: str) -> str:
    """What is wrong with these words, in a line; nothing if they are right."""
    pages = {path.stem: path.read_text("utf-8") for path in BOOK.glob("*.md")}
    if not re.fullmatch("[0-9]{1,2}", number) or not int(number):
        return f"expected N, a number from 1 to 99, got {number!r}"
    for page in pages:
        if page.startswith(f"{int(number):02}-"):
            return f"expected N, the number of a new chapter, got {number}: {page}"
    if not SLUG.fullmatch(slug) or len(slug) > 40 or keyword.iskeyword(slug):
        return f"expected SLUG, such as toy-chapter, got {slug!r}"
    for page, text in pages.items():
        if page.lstrip("0123456789-") == slug or slug in labels_of(text):
            return f"expected SLUG, a name that is free, got {slug!r}: {page} has it"
    if hasattr(checks, slug.replace("-", "_")):
        return f"expected SLUG, a name that is free, got {slug!r}: checks has it"
    if not WORDS.fullmatch(title) or title != title.strip():
        return f"expected TITLE, at most 60 letters in a line, got {title!r}"
    for page, text in pages.items():
        if f"\n# {title}\n".casefold() in text.casefold():
            return f"expected TITLE, one that is free, got {title!r}: {page} has it"
    if part and (not WORDS.fullmatch(part) or part != part.strip()):
        return f"expected PART, at most 60 letters in a line, got {part!r}"
    before, after = neighbours(int(number))
    known = {entry["caption"] for entry in toc()["parts"]}
    if part in known and part not in (before, after):
        return f"expected PART, {before!r} or a new one here, got {part!r}"
    if part and part not in known and before == after:
        return f"expected PART {before!r}, which goes on after N, got {part!r}"
    return ""


def labels_of(text: str) -> set[str]:
    """The slugs whose labels this page has taken."""
    found = re.findall(r"^\$\$ \((\S+)\)$|^:label: (\S+)$|^\((\S+)\)=$", text, re.M)
    names = {name for names in found for name in names if name}
    return {re.sub("^(eq|prp|ex|ch)-", "", name) for name in names}


def neighbours(number: int) -> tuple[str, str]:
    """The parts of the chapters before and after this number; empty for none."""
    of = {chapter: part for part, chapters in parts().items() for chapter in chapters}
    smaller = [chapter for chapter in of if chapter < number]
    larger = [chapter for chapter in of if chapter > number]
    return of[max(smaller)], of[min(larger)] if larger else ""


def in_toc(text: str, stem: str, part: str) -> str:
    """The table of contents with the chapter in it."""
    block = BLOCK.format(stem=stem)
    stems = [page.stem for page in chapter_pages()]
    previous = max(other for other in stems if other < stem)
    found = re.search(rf"^      - file: book/{previous}\n(?:        .*\n)*", text, re.M)
    end, (before, after) = found.end(), neighbours(int(stem[:2]))
    if part in ("", before):
        return text[:end] + block + text[end:]
    if part == after:
        following = min(other for other in stems if other > stem)
        start = text.index(f"      - file: book/{following}\n")
        return text[:start] + block + text[start:]
    end = text.index("  - caption: ", end)
    caption = f"  - caption: {json.dumps(part, ensure_ascii=False)}\n    chapters:\n"
    return text[:end] + caption + block + text[end:]


def before_row(path: Path, start: str, row: str) -> str:
    """The text of this file with a row of a table before the one that starts so."""
    text = path.read_text("utf-8")
    found = re.search(rf"^\|[^|\n]*{re.escape(start)}", text, re.M)
    if found is None:
        raise ValueError(f"expected a row with {start} in {path.name}, got none")
    return f"{text[: found.start()]}{row}\n{text[found.start() :]}"


def first_cells() -> tuple[NotebookNode, str]:
    """The setup cell of all notebooks, and what all exercises say of own imports."""
    cells = nbformat.read(min(EXERCISES.glob("*.ipynb")), as_version=4).cells
    setup = next(c for c in cells if "setup" in c.metadata.get("tags", []))
    said = cells[0].source.split("\n\n")
    return setup, next(part for part in said if part.startswith("**Your own imports"))


def notebook(text: str) -> str:
    """A notebook, not yet executed, of the cells that begin with %%% in this text."""
    _, *rest = CELL.split(text)
    cells = []
    for kind, name, metadata, source in zip(*[iter(rest)] * 4, strict=True):
        if kind == "setup":
            setup = first_cells()[0]
            setup.outputs, setup.execution_count = [], None
            cells.append(setup)
            continue
        make = getattr(nbformat.v4, f"new_{kind}_cell")
        known = json.loads(metadata or "{}")
        cells.append(make(source.strip("\n"), id=name, metadata=known))
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells)) + "\n"


def sources(number: int, slug: str, title: str, part: str) -> dict[Path, str]:
    """Every file that is written or changed, with its text."""
    stem, module = f"{number:02}-{slug}", slug.replace("-", "_")
    test = f"tests/chapters/test_{number:02}_{module}.py"
    known = {"number": number, "slug": slug, "title": title, "stem": stem}
    known |= {"module": module, "test": test, "own_imports": first_cells()[1]}
    known["needed"] = max(p.stem for p in chapter_pages() if p.stem < stem)
    files = {
        BOOK / f"{stem}.md": "page.md",
        NOTEBOOKS / f"{stem}.ipynb": "notebook.txt",
        EXERCISES / f"{stem}.ipynb": "exercises.txt",
        LIBRARY / "checks" / f"{module}.py": "checks.txt",
        ROOT / "tests" / "answers" / f"{module}.py": "answers.txt",
        ROOT / test: "test.txt",
    }
    found = {}
    for path, name in files.items():
        if path.exists():
            raise ValueError(f"expected no file {path.relative_to(ROOT)}, got one")
        text = Template((SKELETON / name).read_text("utf-8")).substitute(known)
        found[path] = notebook(text) if path.suffix == ".ipynb" else text
    contents = ROOT / "_toc.yml"
    found[contents] = in_toc(contents.read_text("utf-8"), stem, part)
    pages = re.findall(r"^      - file: (book/\S+)$", found[contents], re.M)
    following = pages[pages.index(f"book/{stem}") + 1]
    page, code = f"book/{stem}.md", f"notebooks/{stem}.ipynb"
    row = f"| {number} {title} | [{page}]({page}) | [{code}]({code}) | TODO modules |"
    readme, index = ROOT / "README.md", BOOK / "index.md"
    found[readme] = before_row(readme, f" | [{following}.md](", row)
    row = f"| {{doc}}`{stem}` | TODO what it does | [TODO](../{code}) | 10 + 5 |"
    found[index] = before_row(index, f"{{doc}}`{following.removeprefix('book/')}`", row)
    return found


def derive(stem: str) -> None:
    """Make anew what is made from the sources of a chapter."""
    for folder in (NOTEBOOKS, EXERCISES):
        notebooks.execute(folder / f"{stem}.ipynb")
    diagrams.draw(names=["concept-map.svg"])
    diagrams.describe()
    register.PAGE.write_text(register.register(), "utf-8")
    guide.PAGE.write_text(guide.filled(guide.TEMPLATE.read_text("utf-8")), "utf-8")
    numbers.renew()


def main() -> int:
    parser = argparse.ArgumentParser(description="Write a new chapter's skeleton.")
    parser.add_argument("number", metavar="N", help="13, say")
    parser.add_argument("slug", metavar="SLUG", help="its name in addresses")
    parser.add_argument("title", metavar="TITLE")
    parser.add_argument("--part", default="", help="of the book; made if it is new")
    given = parser.parse_args()
    words = (given.number, given.slug, given.title, given.part)
    wrong = fault(*words)
    try:
        files = {} if wrong else sources(int(given.number), *words[1:])
    except ValueError as error:
        wrong = str(error)
    if wrong:
        print(f"chapter: {wrong}", file=sys.stderr)
        return 2
    for path, text in files.items():
        path.parent.mkdir(exist_ok=True)
        print("changed" if path.exists() else "written", path.relative_to(ROOT))
        path.write_text(text, "utf-8", newline="\n")
    derive(f"{int(given.number):02}-{given.slug}")
    for path in (STATIC / "concept-map.svg", register.PAGE, guide.PAGE):
        print("changed", path.relative_to(ROOT))
    print("\nTo do, then `make derived` and `make test` (see CONTRIBUTING.md):")
    print("\n".join(gaps()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
