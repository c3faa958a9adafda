"""A tiny course of two exercises, and what students hand in, for tests of grading."""

import csv
import subprocess
import sys

import nbformat
import pytest

from tools.book import ROOT
from tools.course import editions

linux = pytest.mark.skipif(sys.platform != "linux", reason="the box is made of Linux")
TASKS = {"double": ("2 * x", 2, "== 6"), "square": ("x**2", 3, "== 9")}
RIGHT = {"double": "double = lambda x: 2 * x", "square": "square = lambda x: x * x"}
IMPORTS = "import math\nimport random"
HIDDEN = """
def hidden():
    x = random.randrange(10**6)
    assert math.isclose({name}(x), {formula})
    assert max({name}(x), -1) == {formula}

hidden()
"""


def marked(source, name, points=None, solution=False):
    cell = nbformat.v4.new_code_cell(source)
    cell.metadata.nbgrader = dict(
        grade=points is not None,
        grade_id=name,
        locked=not solution,
        schema_version=3,
        solution=solution,
        task=False,
        **({} if points is None else {"points": points}),
    )
    return cell


def source_notebook():
    """Cells: imports, then answer and check of double, then those of square."""
    cells = [marked(IMPORTS, "imports")]
    for name, (formula, points, visible) in TASKS.items():
        solution = f"    ### BEGIN SOLUTION\n    return {formula}\n    ### END SOLUTION"
        hidden = HIDDEN.strip().format(name=name, formula=formula)
        cells += [
            marked(f"def {name}(x):\n{solution}", f"{name}-answer", solution=True),
            marked(
                f"assert {name}(3) {visible}\n"
                f"### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS",
                f"{name}-check",
                points,
            ),
        ]
    return nbformat.v4.new_notebook(cells=cells)


def answered(notebook, answers):
    """What a student hands in who wrote these answers into the student edition."""
    copy = editions.student_edition(notebook)
    for cell in copy.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name.removesuffix("-answer") in answers:
            cell.source = answers[name.removesuffix("-answer")]
    return copy


def make(folder):
    """The course of the tiny notebook, ready for submissions."""
    path = folder / "tiny.ipynb"
    nbformat.write(source_notebook(), path)
    editions.make([path], folder)
    return folder / "autograde"


def hand_in(folder, student, notebook):
    assignment = next((folder / "source").iterdir()).name
    path = folder / "submitted" / student / assignment / f"{assignment}.ipynb"
    path.parent.mkdir(parents=True)
    if isinstance(notebook, str):
        path.write_text(notebook)
    else:
        nbformat.write(notebook, path)


def run(*arguments, **settings):
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **settings)


def table(folder):
    """The rows of the table by student."""
    assignment = next((folder / "source").iterdir()).name
    path = folder / f"grades-{assignment}.csv"
    with open(path, newline="", encoding="utf-8-sig") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def grades(folder, *options):
    """The table after grading everybody."""
    assignment = next((folder / "source").iterdir()).name
    done = run("tools.course.grade", folder, assignment, *options)
    assert done.returncode == 0, done.stderr
    return table(folder)
