"""Grade what students handed in: nbgrader, with their code in a box.

    python -m tools.grade COURSE ASSIGNMENT     _build/course/autograde 04-gaussian-kl
    python -m tools.grade COURSE ASSIGNMENT --student "Zoe of Wut"

COURSE is a folder that tools.course made, with submitted/STUDENT/ASSIGNMENT/*.ipynb in
it. The points of each exercise are printed, kept in COURSE/gradebook.db and written to
COURSE/grades-ASSIGNMENT.csv; COURSE/feedback gets a page for each student. Submissions
are only read, and nbgrader gets clean copies of their notebooks.
"""

import argparse
import csv
import io
import logging
import math
import os
import re
import shutil
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
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_solution
from traitlets.config import Config

from tools.apart import apart
from tools.graded_run import GradedRun, kernel, settings, temporary_room, why_no_box
from tools.submissions import Refused, no_formula, plain, students, take
from tools.trusted_names import bound, parsed

CAUSES = {"CellTimeoutError": "time", "MemoryError": "memory"}
NO_MEMORY = re.compile(
    "can.?t allocate memory|cannot allocate memory|not enough memory|out of memory"
    "|unable to allocate|bad_alloc",
    re.I,
)
UNGUARDED = "without the box students' code can read and delete files, use the network"
ROOT = "as root nothing limits how many processes a submission starts"
CLEAN, PAGES = ".clean", ".pages"  # folders of the course while a submission is graded
# No browser runs a script in a page, or fetches anything for it.
POLICY = (
    '<head><meta http-equiv="Content-Security-Policy" content="default-src '
    "'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; form-action "
    "'none'; base-uri 'none'\">"
)


class Exact:
    """A step of nbgrader that takes a student's name for no pattern, as [A2] were."""

    def init_notebooks(self) -> None:
        course = self.coursedir
        folder = self._format_source(course.assignment_id, course.student_id)
        found = sorted(map(str, Path(folder).glob("*.ipynb")))
        self.assignments = {folder: found}


class AutogradeOne(Exact, Autograde):
    """Autograde for one student."""


class FeedbackOfOne(Exact, GenerateFeedback):
    """GenerateFeedback for one student."""


def what_stopped(folder: Path, names: list[str], marks: set[str]) -> list[str]:
    """What the graded notebooks tell: limits that were reached, cells that lack."""
    found = []
    for path in [folder / f"{name}.ipynb" for name in names]:
        if not path.exists():
            return ["nbgrader could not grade it"]
        cells = nbformat.read(path, as_version=4).cells
        have = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in cells}
        found += [f"no cell {mark}" for mark in sorted(marks - have)]
        for output in (o for cell in cells for o in cell.get("outputs", [])):
            if output.get("ename") in CAUSES:
                found.append(CAUSES[output.ename])
            elif NO_MEMORY.search(output.get("evalue", "")):
                found.append("memory")
    return found


def why_it_failed(app: BaseConverter) -> str:
    """Run a step of nbgrader; the last line of its log if it failed, else empty."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    app.log.addHandler(handler)
    try:
        app.start()
        return ""
    except NbGraderException as error:
        tracebacks = re.findall(
            r"^Traceback .*\n(?:  .*\n)*(.+)$", log.getvalue(), re.M
        )
        return plain((tracebacks or [str(error)])[-1])
    finally:
        app.log.removeHandler(handler)


def graded(
    student: str,
    exercises: dict[str, set[str]],
    room: Path,
    options: argparse.Namespace,
    config: Config,
) -> list[str]:
    """Run a submission in this room, give it points and a page; remarks."""
    name = plain(student)  # what nbgrader knows the student by
    folder = options.course / "submitted" / student / options.assignment
    release = options.course / "release" / options.assignment
    clean = options.course / CLEAN / name / options.assignment
    try:
        remarks = take(folder, release, list(exercises), clean)
    except Refused as error:
        return [str(error)]
    course = CourseDirectory(config=config)
    course.assignment_id, course.student_id = options.assignment, name
    course.submitted_directory, course.feedback_directory = CLEAN, PAGES
    sources = [nbformat.read(p, as_version=4).cells for p in release.glob("*.ipynb")]
    stubs = [cell.source for cells in sources for cell in cells if is_solution(cell)]
    answers = {answer for tree in parsed(stubs) for answer in bound(tree)}
    kernel(room, options)
    config.KernelManager.connection_file = f"{room}/run/kernel.json"
    run = GradedRun(answers, config=config)
    app = AutogradeOne(coursedir=course, config=config, force=True)
    app.autograde_preprocessors = [
        run if step is Execute else step for step in app.autograde_preprocessors
    ]
    if failed := why_it_failed(app):
        return [*remarks, failed]
    remarks += [run.stopped] if run.stopped else []
    done = options.course / "autograded" / name / options.assignment
    marks = set().union(*exercises.values())
    remarks += what_stopped(done, list(exercises), marks)
    if failed := why_it_failed(FeedbackOfOne(coursedir=course, config=config)):
        return [*remarks, f"no page: {failed}"]
    for page in exercises:
        made = options.course / PAGES / name / options.assignment / f"{page}.html"
        html = re.sub(r"<script\b.*?</script>", "", made.read_text("utf-8"), flags=re.S)
        target = options.course / "feedback" / name / options.assignment / made.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(html.replace("<head>", POLICY, 1), "utf-8")
    return remarks


def grade(student: str, options: argparse.Namespace, config: Config) -> dict[str, str]:
    """Grade one student's submission anew: points by exercise, their sum, remarks."""
    name = plain(student)
    url = CourseDirectory(config=config).db_url
    with Gradebook(url) as book:
        book.update_or_create_student(name)
        submission = book.update_or_create_submission(options.assignment, name)
        for points in [g for n in submission.notebooks for g in n.grades]:
            points.auto_score = 0  # of an earlier submission, maybe
        exercises = {n.name: {g.name for g in n.grades} for n in submission.notebooks}
        book.db.commit()
    page = options.course / "feedback" / name / options.assignment
    shutil.rmtree(page, ignore_errors=True)  # it tells of an earlier submission, maybe
    try:
        with temporary_room(options) as room:
            work = partial(graded, student, exercises, room, options, config)
            remarks = apart(work, options)
    finally:
        for folder in (CLEAN, PAGES):
            shutil.rmtree(options.course / folder, ignore_errors=True)
    with Gradebook(url) as book:
        submission = book.find_submission(options.assignment, name)
        grades = [g for n in submission.notebooks for g in n.grades]
        row = {g.name.removesuffix("-check"): f"{g.score:g}" for g in grades}
        row |= {"sum": f"{submission.score:g}", "of": f"{submission.max_score:g}"}
    remarks = "; ".join(dict.fromkeys(plain(remark) for remark in remarks))
    return {"student": no_formula(name)} | row | {"remarks": no_formula(remarks)}


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
        with suppress(OSError, ValueError, csv.Error):
            with open(path, newline="", encoding="utf-8-sig") as file:
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
            if seen.setdefault(plain(student), student) != student:
                raise Refused("another folder has the same name")
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
