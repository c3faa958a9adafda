"""Make the notebooks of a course from the exercises: student, instructor, autograde.

    python -m tools.course.editions [CHAPTER ...] [--out FOLDER]    4 7, say, or all

student/     stubs for solutions, no hidden tests, no outputs; expected figures stay
instructor/  the solved notebooks as they are, and points.csv
autograde/   a course folder for nbgrader: source/ and nbgrader_config.py
"""

import argparse
import csv
import re
import shutil
import sys
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

from tools.book import BUILD, EXERCISES, ROOT, exercises

OUT = BUILD / "course"
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION$", re.M | re.S)
HIDDEN = re.compile(
    r"\n*^### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS$", re.M | re.S
)
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"
LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|attachment:)([^)]+)\)")
CONFIG = '''"""nbgrader's settings of this course: slow cells are stopped."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "vae"
c.ExecutePreprocessor.timeout = 60  # seconds for one cell
'''


def student_edition(notebook: NotebookNode, site: str = "") -> NotebookNode:
    """A copy without solutions, hidden tests and outputs.

    A figure stays, in a text cell after the code that draws it. Links into the book
    lead to site, the address of the published book, or become plain text without one.
    Cells that grading puts back cannot be edited in JupyterLab, nor they or those for
    answers be deleted.
    """
    copy = nbformat.v4.new_notebook(metadata=dict(notebook.metadata))
    copy.metadata.pop("vae_lib", None)
    for cell in notebook.cells:
        cell = nbformat.from_dict(cell)
        copy.cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, site)
            continue
        figures = [
            o.data["image/png"]
            for o in cell.outputs
            if "image/png" in o.get("data", {})
        ]
        cell.source = HIDDEN.sub("", SOLUTION.sub(STUB, cell.source))
        cell.outputs, cell.execution_count = [], None
        if mark := cell.metadata.get("nbgrader"):
            cell.metadata |= {"editable": not mark.locked, "deletable": False}
        if "setup" not in cell.metadata.get("tags", []):
            cell.metadata.pop("tags", None)
        copy.cells += [expected_figure(cell, png) for png in figures]
    return copy


def expected_figure(cell: NotebookNode, png: str) -> NotebookNode:
    """A text cell that shows this picture, which the cell should draw."""
    alt = cell.metadata.mystnb.image.alt
    return nbformat.v4.new_markdown_cell(
        f"*It should look like this one:*\n\n![{alt}](attachment:expected.png)",
        attachments={"expected.png": {"image/png": png}},
        id=f"{cell.id[:40]}-figure",
    )


def relinked(source: str, site: str) -> str:
    """The text with links that work outside of the book's folder."""

    def link(match: re.Match) -> str:
        words, target = match.groups()
        if not site:  # a link may say no more than "page"
            nameless = words in ("page", "notebook")
            return f"{words} *{Path(target).stem}*" if nameless else words
        page = (EXERCISES / target).resolve().relative_to(ROOT).as_posix()
        page = re.sub(r"\.(md|ipynb)(?=#|$)", ".html", page)
        return f"[{words}]({site}{page})"

    return LINK.sub(link, source)


def site_address() -> str:
    """Where the book is published; empty if no repository is configured."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    return config["html"].get("baseurl", "")


def make(paths: list[Path], out: Path) -> None:
    """Write the three editions of these notebooks into folders that are made anew.

    Of the course for nbgrader only these notebooks: other ones, which may have been
    handed in already, submissions, grades and settings stay.
    """
    for folder in (out / "student", out / "instructor"):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    settings = out / "autograde" / "nbgrader_config.py"
    settings.parent.mkdir(exist_ok=True)
    if not settings.exists():
        settings.write_text(CONFIG, "utf-8")
    rows = []
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        rows += [{"chapter": path.stem} | exercise for exercise in exercises(notebook)]
        nbformat.write(
            student_edition(notebook, site_address()), out / "student" / path.name
        )
        shutil.copy(path, out / "instructor" / path.name)
        source = out / "autograde" / "source" / path.stem
        source.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, source / path.name)
    with open(  # with a mark, without which Excel takes it for another encoding
        out / "instructor" / "points.csv", "w", newline="", encoding="utf-8-sig"
    ) as file:
        fields = ["chapter", "title", "Aim", "Level", "Minutes", "Points"]
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the notebooks of a course.")
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="04, say")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    known = {path.stem: path for path in sorted(EXERCISES.glob("*.ipynb"))}
    chosen = set() if arguments.chapters else set(known)
    for chapter in arguments.chapters:
        named = {n for n in known if f"{n}-".startswith(f"{chapter.zfill(2)}-")}
        if not named:
            parser.error(f"expected chapters of {', '.join(known)}, got {chapter!r}")
        chosen |= named
    try:
        make([known[name] for name in sorted(chosen)], arguments.out)
    except OSError as error:
        parser.error(f"expected a folder to write in, got {arguments.out} ({error})")
    print(f"{len(chosen)} notebooks for each of student, instructor, autograde:")
    print(arguments.out)


if __name__ == "__main__":
    sys.exit(main())
