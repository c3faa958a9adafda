"""Grade one submission: a clean copy, the steps of nbgrader, a page for the student."""

import argparse
import io
import logging
import re
import shutil
from functools import partial
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_solution
from traitlets.config import Config

from tools.course.apart import apart
from tools.course.graded_run import GradedRun, kernel, temporary_room
from tools.course.submissions import Refused, no_formula, plain, take
from tools.course.trusted_names import bound, parsed

CAUSES = {"CellTimeoutError": "time", "MemoryError": "memory"}
NO_MEMORY = re.compile(
    "can.?t allocate memory|cannot allocate memory|not enough memory|out of memory"
    "|unable to allocate|bad_alloc",
    re.I,
)
CLEAN, PAGES = ".clean", ".pages"  # folders of the course while a submission is graded
# No browser runs a script in a page, or fetches anything for it.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src '
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
    remarks += run.remarks()
    done = options.course / "autograded" / name / options.assignment
    marks = set().union(*exercises.values())
    remarks += what_stopped(done, list(exercises), marks)
    if failed := why_it_failed(FeedbackOfOne(coursedir=course, config=config)):
        return [*remarks, f"no page: {failed}"]
    for page in exercises:
        made = options.course / PAGES / name / options.assignment / f"{page}.html"
        target = options.course / "feedback" / name / options.assignment / made.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(guarded(made.read_text("utf-8")), "utf-8")
    return remarks


def guarded(html: str) -> str:
    """A page in which no script runs, not even that for formulas, from a network."""
    html = re.sub(r"<script\b.*?</script>", "", html, flags=re.S)
    before, head, after = html.partition("<head>")
    if not head:
        raise ValueError("expected a page with a <head>")
    return f"{before}{head}{POLICY}{after}"


def clear(course: Path) -> None:
    """Remove what an earlier submission left while it was graded."""
    for folder in (CLEAN, PAGES):
        shutil.rmtree(course / folder, ignore_errors=True)


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
    clear(options.course)
    try:
        with temporary_room(options) as room:
            work = partial(graded, student, exercises, room, options, config)
            remarks = apart(work, options)
    finally:
        clear(options.course)
    with Gradebook(url) as book:
        submission = book.find_submission(options.assignment, name)
        grades = [g for n in submission.notebooks for g in n.grades]
        row = {g.name.removesuffix("-check"): f"{g.score:g}" for g in grades}
        row |= {"sum": f"{submission.score:g}", "of": f"{submission.max_score:g}"}
    remarks = "; ".join(dict.fromkeys(plain(remark) for remark in remarks))
    return {"student": no_formula(name)} | row | {"remarks": no_formula(remarks)}
