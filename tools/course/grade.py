"""Grade what students handed in: nbgrader, with their code in a box.

    python -m tools.course.grade COURSE ASSIGNMENT      _build/course/autograde 03-elbo
    python -m tools.course.grade COURSE ASSIGNMENT --student "Zoe of Wut"

COURSE is a folder that tools.course.editions made, with submitted/STUDENT/ASSIGNMENT in
it. The points of each exercise are printed, kept in COURSE/gradebook.db and written to
COURSE/grades-ASSIGNMENT.csv; COURSE/feedback gets a page for each student. Submissions
are only read, and nbgrader gets clean copies of their notebooks.
"""

import argparse
import csv
import math
import os
import re
import sys
import tempfile
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import nbformat
from nbconvert.exporters import HTMLExporter
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from tools.course.grade_one import grade, why_it_failed
from tools.course.graded_run import settings, why_no_box
from tools.course.submissions import Refused, no_formula, plain, students

UNGUARDED = "without the box students' code can read and delete files, use the network"
ROOT = "as root nothing limits how many processes a submission starts"


def positive(kind: type, most: int, text: str) -> float:
    """A number above 0 and at most this one, for argparse."""
    with suppress(ValueError, OverflowError):
        value = kind(text)
        if math.isfinite(value) and 0 < value <= most:
            return value
    raise argparse.ArgumentTypeError(f"expected a number in (0, {most}], got {text!r}")


def arguments() -> argparse.Namespace:
    """What to grade and how; exits in one line where that cannot be."""
    about = "Grade the submissions of a course."
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("course", help="folder with source/, submitted/")
    parser.add_argument("assignment", help="04-gaussian-kl, say")
    some = "only these; the other ones' rows of the table stay"
    parser.add_argument("--student", nargs="+", metavar="NAME", default=[], help=some)
    seconds = "for one cell; five times that for a notebook (default: %(default)s)"
    number = partial(positive, int, 86_400)
    parser.add_argument("--seconds", type=number, default=60, help=seconds)
    memory = "GiB of address space for a process (default: %(default)s)"
    number = partial(positive, float, 65_536)
    parser.add_argument("--memory", type=number, default=8, help=memory)
    parser.add_argument("--without-box", action="store_true", help=UNGUARDED)
    options = parser.parse_args()
    course, options.course = options.course, Path(options.course).resolve()
    options.table = options.course / f"grades-{options.assignment}.csv"
    source, submitted = options.course / "source", options.course / "submitted"
    if not course or not source.is_dir():
        parser.error(f"expected COURSE, a folder with source/ in it, got {course!r}")
    known = sorted(path.name for path in source.iterdir() if path.is_dir())
    if options.assignment not in known:
        wanted = f"ASSIGNMENT, one of {', '.join(known)}"
        parser.error(f"expected {wanted}, got {options.assignment!r}")
    options.everybody, others = students(submitted) if submitted.is_dir() else ([], [])
    handed_in = [submitted / name / options.assignment for name in options.everybody]
    if not any(os.path.lexists(folder) for folder in handed_in):
        parser.error(f"expected submitted/STUDENT/{options.assignment}, got no student")
    by_name = {
        unicodedata.normalize("NFC", spelled): student
        for student in options.everybody
        for spelled in (plain(student), student)
    }
    wanted = [unicodedata.normalize("NFC", name) for name in options.student]
    if unknown := [name for name in wanted if name not in by_name]:
        parser.error(f"expected --student, a folder in submitted, got {unknown[0]!r}")
    options.students = [by_name[name] for name in wanted] or options.everybody
    if options.without_box:
        print(f"{UNGUARDED}: {options.seconds} s for a cell is the only limit")
    elif reason := why_no_box(options):
        parser.error(
            "expected Linux 5.12 or newer that lets users make namespaces, got: "
            f"{reason} (--without-box grades without any guard)"
        )
    elif os.geteuid() == 0:
        print(ROOT)
    if others:
        print(f"no students: {', '.join(map(plain, others))}")
    return options


@contextmanager
def address(course: Path) -> Iterator[Path]:
    """The course at a path without the characters that nbgrader gives a meaning."""
    if not re.search(r"[][*?{}]", str(course)):
        yield course
        return
    with tempfile.TemporaryDirectory() as place:
        link = Path(place, "course")
        link.symlink_to(course, target_is_directory=True)
        yield link


class Table:
    """The rows of a table by student, in a file that is whole at any time."""

    def __init__(self, path: Path, columns: list[str]):
        self.path, self.columns, self.rows = path, columns, {}
        trouble = suppress(OSError, ValueError, csv.Error)
        with trouble, open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames == columns:
                self.rows = {row["student"]: row for row in reader}

    def write(self) -> None:
        """utf-8-sig: so that Excel does not take it for another encoding."""
        new = self.path.with_name(f".{self.path.name}")
        with open(new, "w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(row for _, row in sorted(self.rows.items()))
        os.replace(new, self.path)


def warm_up() -> None:
    """Load now what each student's process would load again for its page."""
    cells = [nbformat.v4.new_code_cell("1"), nbformat.v4.new_markdown_cell("*1*")]
    HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=cells))


def blank(options: argparse.Namespace, config: Config) -> dict[str, str]:
    """A row of the table for one who has no points."""
    with Gradebook(CourseDirectory(config=config).db_url) as book:
        assignment = book.find_assignment(options.assignment)
        cells = [c for n in assignment.notebooks for c in n.grade_cells]
        row = {cell.name.removesuffix("-check"): "0" for cell in cells}
        most = f"{assignment.max_score:g}"
    return {"student": ""} | row | {"sum": "0", "of": most, "remarks": ""}


def grade_all(options: argparse.Namespace) -> str | None:
    """Grade everybody who is asked for; what kept the table from being written."""
    config = settings(options)
    course = CourseDirectory(config=config, assignment_id=options.assignment)
    release = GenerateAssignment(coursedir=course, config=config, force=True)
    if reason := why_it_failed(release):
        return f"expected an assignment that nbgrader accepts, got: {reason}"
    warm_up()
    nobody, trouble = blank(options, config), ""
    table = Table(options.table, list(nobody))
    everybody = {no_formula(plain(student)) for student in options.everybody}
    table.rows = {name: table.rows[name] for name in table.rows if name in everybody}
    seen: dict[str, str] = {}
    for student in options.students:
        name = no_formula(plain(student))
        try:
            if seen.setdefault(name, student) != student:
                name = f"{name} (again)"
                raise Refused("another folder has this name")
            row = grade(student, options, config)
        except Exception as error:
            row = nobody | {"student": name, "remarks": "not graded: "}
            row["remarks"] += plain(f"{type(error).__name__}: {error}")
        table.rows[name] = row
        try:
            table.write()
        except OSError as error:
            trouble = f"{table.path} cannot be written: {error.strerror}"
        print(", ".join(f"{key} {value}" for key, value in row.items() if value))
    print(table.path)
    return trouble or None


def main() -> str | None:
    sys.stdout.reconfigure(errors="backslashreplace")  # a terminal's letters are few
    options = arguments()
    warnings.simplefilter("ignore")
    scripts = str(Path(sys.executable).parent)  # nbgrader calls one: alembic
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ["PATH"]])
    try:
        with address(options.course) as options.course:
            return grade_all(options)
    except KeyboardInterrupt:
        return "stopped: the table has the rows of those who were graded"


if __name__ == "__main__":
    sys.exit(main())
