"""Grade what students handed in: nbgrader, with their code in a box.

    python -m tools.grade COURSE ASSIGNMENT     _build/course/autograde 04-gaussian-kl

COURSE is a folder that tools.course made, with submitted/STUDENT/ASSIGNMENT/*.ipynb in
it. The points of each exercise are printed, kept in COURSE/gradebook.db and written to
COURSE/grades-ASSIGNMENT.csv; COURSE/feedback gets a page for each student. Submissions
are only read.
"""

import argparse
import csv
import io
import logging
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import BaseConverter, NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from sqlalchemy.exc import SAWarning
from traitlets.config import Config

from tools.graded_run import GradedRun, kernel, settings, temporary_room, why_no_box

CAUSES = {"CellTimeoutError": "time", "MemoryError": "memory", "Stopped": ""}
UNGUARDED = "without the box students' code can read and delete files, use the network"
MEGABYTE = 2**20


def whats_wrong(folder: Path, names: list[str]) -> str:
    """Why a submission cannot be run at all; empty if it can."""
    for name in names:
        path = folder / f"{name}.ipynb"
        if path.is_symlink() or not path.is_file():
            there = folder if folder.is_dir() else folder.parent
            found = ", ".join(sorted(file.name for file in there.iterdir()))
            wanted = path.relative_to(there)
            return f"expected {wanted}, got {found or 'nothing'}"
        if path.stat().st_size > 20 * MEGABYTE:
            return f"expected at most 20 MB, got {path.stat().st_size // MEGABYTE}"
        try:
            nbformat.read(path, as_version=4).cells.copy()
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            return f"not a notebook: {reason[:80]}"
    return ""


def not_graded(folder: Path, names: list[str]) -> list[str]:
    """Notebooks that nobody asked for: the answers may be in them."""
    return [
        f"{path.name} is not graded"
        for path in sorted(folder.glob("*.ipynb"))
        if path.stem not in names
    ]


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
                found.append(CAUSES[output.ename] or output.evalue)
            elif "can't allocate memory" in output.get("evalue", ""):
                found.append("memory")
    return list(dict.fromkeys(found))


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
        return (tracebacks or [str(error)])[-1]
    finally:
        app.log.removeHandler(handler)


def grade(student: str, options: argparse.Namespace, config: Config) -> dict:
    """Grade one student's submission anew: points by exercise, their sum, remarks."""
    course = CourseDirectory(config=config)
    course.assignment_id, course.student_id = options.assignment, student
    with Gradebook(course.db_url, course.course_id) as book:
        book.update_or_create_student(student)
        submission = book.update_or_create_submission(options.assignment, student)
        for points in [g for n in submission.notebooks for g in n.grades]:
            points.auto_score = 0  # of an earlier submission, maybe
        names = [notebook.name for notebook in submission.notebooks]
        book.db.commit()
    folder = options.course / "submitted" / student / options.assignment
    page = options.course / "feedback" / student / options.assignment
    shutil.rmtree(page, ignore_errors=True)  # it tells of an earlier submission, maybe
    remarks = [whats_wrong(folder, names)]
    if not remarks[0]:
        with temporary_room(options) as room:
            kernel(Path(room), options)
            config.KernelManager.connection_file = f"{room}/run/kernel.json"
            app = Autograde(coursedir=course, config=config, force=True)
            app.autograde_preprocessors = [
                GradedRun if step is Execute else step
                for step in app.autograde_preprocessors
            ]
            remarks = [why_it_failed(app)]
    if not remarks[0]:
        remarks = [why_it_failed(GenerateFeedback(coursedir=course, config=config))]
    with Gradebook(course.db_url, course.course_id) as book:
        submission = book.find_submission(options.assignment, student)
        grades = [g for n in submission.notebooks for g in n.grades]
        marks = {grade.name for grade in grades}
        row = {g.name.removesuffix("-check"): f"{g.score:g}" for g in grades}
        row |= {"sum": f"{submission.score:g}", "of": f"{submission.max_score:g}"}
    if not remarks[0]:
        done = options.course / "autograded" / student / options.assignment
        remarks = what_stopped(done, names, marks) + not_graded(folder, names)
    return {"student": student} | row | {"remarks": "; ".join(remarks)}


def arguments() -> argparse.Namespace:
    """What to grade and how; exits in one line where that cannot be."""
    about = "Grade the submissions of a course."
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("course", help="folder with source/, submitted/")
    parser.add_argument("assignment", help="04-gaussian-kl, say")
    seconds = "for one cell; five times that for a notebook (default: %(default)s)"
    parser.add_argument("--seconds", type=int, default=60, help=seconds)
    memory = "GiB of address space for a process (default: %(default)s)"
    parser.add_argument("--memory", type=float, default=8, help=memory)
    parser.add_argument("--without-box", action="store_true", help=UNGUARDED)
    options = parser.parse_args()
    course, options.course = options.course, Path(options.course).resolve()
    source, submitted = options.course / "source", options.course / "submitted"
    if not course or not source.is_dir():
        parser.error(f"expected COURSE, a folder with source/ in it, got {course!r}")
    known = sorted(path.name for path in source.iterdir() if path.is_dir())
    if options.assignment not in known:
        wanted = f"ASSIGNMENT, one of {', '.join(known)}"
        parser.error(f"expected {wanted}, got {options.assignment!r}")
    if not list(submitted.glob(f"*/{options.assignment}")):
        parser.error(f"expected submitted/STUDENT/{options.assignment}, got no student")
    options.students = sorted(
        path.name for path in submitted.iterdir() if path.is_dir()
    )
    if options.without_box:
        print(f"{UNGUARDED}: {options.seconds} s for a cell is the only limit")
    elif reason := why_no_box(options):
        parser.error(
            "expected Linux 5.12 or newer that lets users make namespaces, got: "
            f"{reason} (--without-box grades without any guard)"
        )
    return options


def main() -> None:
    options = arguments()
    warnings.simplefilter("ignore", SAWarning)
    scripts = str(Path(sys.executable).parent)  # nbgrader calls one: alembic
    os.environ["PATH"] = os.pathsep.join([scripts, os.environ["PATH"]])
    config = settings(options)
    course = CourseDirectory(config=config, assignment_id=options.assignment)
    release = GenerateAssignment(coursedir=course, config=config, force=True)
    if reason := why_it_failed(release):
        sys.exit(f"expected an assignment that nbgrader accepts, got: {reason}")
    rows = []
    for student in options.students:
        rows.append(grade(student, options, config))
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items() if value))
    path = options.course / f"grades-{options.assignment}.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
