"""Submissions get the points they deserve, whatever they try, and harm nothing."""

import argparse
import ctypes
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import nbformat
import pytest
from graded_course import (
    RIGHT,
    answered,
    grades,
    hand_in,
    linux,
    make,
    run,
    source_notebook,
    table,
)

from tools.book import EXERCISES, ROOT
from tools.course import editions, grade, graded_run

pytestmark = pytest.mark.long

KEYS = {"x86_64": (248, 249)}  # add_key(2), request_key(2); other numbers elsewhere
REFUSED = {
    "tiny": "--without-box",
    "other": "expected ASSIGNMENT, one of tiny, got 'other'",
    "": "expected ASSIGNMENT, one of tiny, got ''",
}


def contents(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and {"source", "submitted"} & set(path.parts)
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A course with an assignment of two exercises."""
    return make(tmp_path_factory.mktemp("course"))


@pytest.fixture
def server():
    """Somebody who listens on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def cheats(folder, port):
    """Answers to the first exercise by who gives them; the second one is right."""
    source, book = folder / "source/tiny/tiny.ipynb", folder / "gradebook.db"
    # Were there no box, it would delete nothing but this test's own folders.
    places = [".", "..", str(folder), str(folder.parent / "home")]
    honest = "double = lambda x: 2 * x"
    return {
        "wrong": "double = lambda x: 6",
        "endless": "double = lambda x: sum(0 for _ in iter(int, 1))",
        "hog": "double = lambda x: bytearray(4 * 2**30)",
        "deleter": "import shutil\n"
        f"for place in {places}:\n    shutil.rmtree(place, ignore_errors=True)\n"
        f"{honest}",
        "reader": f"for path in {[str(source), str(book), str(EXERCISES)]}:\n"
        f"    try:\n        open(path).close()\n        {honest}\n"
        "    except FileNotFoundError:\n        pass",
        "shower": "double = lambda x: get_ipython().displayhook(2)",
        "warner": "import warnings\n"
        "def double(x):\n    warnings.warn('slow')\n    return 2 * x",
        "silencer": "shell = get_ipython()\nrun = shell.run_code\n"
        "async def silent(code, result=None, **options):\n"
        "    await run(code, result, **options)\n"
        "    result.error_in_exec = None\n"
        "    return False\n"
        "shell.run_code, shell.showtraceback = silent, lambda *a, **k: None",
        "caller": "import socket\n"
        f"socket.create_connection(('127.0.0.1', {port}), timeout=2)\n{honest}",
    }


@linux
def test_each_submission_gets_the_points_it_deserves_and_harms_nothing(tiny, server):
    notebook = source_notebook()
    port = server.getsockname()[1]
    for student, answer in cheats(tiny, port).items():
        hand_in(tiny, student, answered(notebook, RIGHT | {"double": answer}))
    hand_in(tiny, "empty", editions.student_edition(notebook))
    hand_in(tiny, "broken", '{"cells": [')

    skipper = editions.student_edition(notebook)
    for cell in skipper.cells:
        cell.metadata.tags = ["skip-execution"]
    hand_in(tiny, "skipper", skipper)

    editor = editions.student_edition(notebook)
    editor.cells = [
        nbformat.v4.new_markdown_cell("", metadata=cell.metadata)
        for cell in editor.cells
    ]
    hand_in(tiny, "editor", editor)

    quitter = answered(notebook, RIGHT | {"square": "import os\nos._exit(0)"})
    hand_in(tiny, "quitter", quitter)
    blind = "get_ipython().input_transformers_cleanup.append(lambda lines: [])"
    hand_in(tiny, "blind", answered(notebook, RIGHT | {"double": blind}))

    (tiny / "submitted" / "misplaced").mkdir()
    nbformat.write(notebook, tiny / "submitted" / "misplaced" / "tiny.ipynb")

    (tiny.parent / "home").mkdir()
    (tiny.parent / "home" / "thesis.txt").write_text("years of work")
    before = contents(tiny)
    found = grades(tiny, "--seconds", 8, "--memory", 2)
    points = {name: (row["double"], row["square"]) for name, row in found.items()}
    assert points == {
        "wrong": ("0", "3"),
        "endless": ("0", "3"),
        "hog": ("0", "3"),
        "deleter": ("2", "3"),
        "reader": ("0", "3"),
        "shower": ("0", "3"),
        "warner": ("2", "3"),
        "caller": ("0", "3"),
        "empty": ("0", "0"),
        "broken": ("0", "0"),
        "skipper": ("0", "0"),
        "editor": ("0", "0"),
        "quitter": ("2", "0"),
        "blind": ("0", "0"),
        "silencer": ("0", "0"),
        "misplaced": ("0", "0"),
    }
    remarks = {name: row["remarks"] for name, row in found.items() if row["remarks"]}
    assert remarks.pop("broken").startswith("not a notebook: ")
    assert remarks == {
        "endless": "time",
        "hog": "memory",
        "editor": "put back: imports, double-check, square-check",
        "quitter": "the kernel died",
        "blind": "replaces what tests stand on",
        "silencer": "replaces what tests stand on",
        "misplaced": "expected tiny/tiny.ipynb, got tiny.ipynb",
    }
    assert all(row["of"] == "5" for row in found.values())
    assert contents(tiny) == before
    assert (tiny.parent / "home" / "thesis.txt").exists()
    pages = {path.parent.parent.name for path in tiny.glob("feedback/*/tiny/tiny.html")}
    assert pages == set(found) - {"broken", "misplaced"}


def test_a_later_submission_replaces_the_points_of_an_earlier_one(tmp_path):
    path, folder = tmp_path / "tiny.ipynb", make(tmp_path)
    handed_in = folder / "submitted/someone/tiny/tiny.ipynb"
    page = folder / "feedback/someone/tiny/tiny.html"
    hand_in(folder, "someone", answered(source_notebook(), RIGHT))
    assert grades(folder, "--without-box")["someone"]["sum"] == "5"
    assert "(Score: 5.0 / 5.0)" in page.read_text("utf-8")
    editions.make([path], tmp_path)  # what students handed in stays
    nbformat.write(answered(source_notebook(), {"double": RIGHT["double"]}), handed_in)
    assert grades(folder, "--without-box")["someone"]["sum"] == "2"
    assert "(Score: 2.0 / 5.0)" in page.read_text("utf-8")
    handed_in.write_text("{}")
    assert grades(folder, "--without-box")["someone"]["sum"] == "0"
    assert not page.exists()


def test_the_source_passes_nbgrader_and_what_students_get_does_not(tmp_path):
    notebook, path = source_notebook(), tmp_path / "tiny.ipynb"
    for edition, passes in (
        (notebook, True),
        (editions.student_edition(notebook), False),
    ):
        nbformat.write(edition, path)
        done = run("nbgrader", "validate", path)
        assert ("Success!" in done.stdout) == passes, done.stdout + done.stderr


@linux
def test_a_chapter_is_graded_and_patched_tests_earn_nothing(tmp_path):
    path = EXERCISES / "04-gaussian-kl.ipynb"
    notebook = nbformat.read(path, as_version=4)
    editions.make([path], tmp_path)
    solutions = {
        cell.metadata.nbgrader.grade_id.removesuffix("-answer"): cell.source
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    folder = tmp_path / "autograde"
    hand_in(folder, "right", answered(notebook, solutions))
    patch = (
        "from vae_lib import checks\n"
        "check.closed_form = checks.compare = lambda *a, **k: None\n"
        "def kl_to_prior(mu, logvar): return mu.sum(-1)\n"
    )
    hand_in(folder, "friendly", answered(notebook, solutions | {"closed-form": patch}))
    patch += "torch.testing.assert_close = torch.allclose = lambda *a, **k: True\n"
    hand_in(folder, "patcher", answered(notebook, solutions | {"closed-form": patch}))
    star = "from torch import *\n" + solutions["closed-form"]
    hand_in(folder, "star", answered(notebook, solutions | {"closed-form": star}))
    found = grades(folder)
    assert found["right"]["sum"] == found["right"]["of"] == "10"
    assert found["right"]["remarks"] == ""
    # The last answer's own ``range`` is torch's by then, as it was at home.
    assert found["star"]["sum"] == "8" and found["star"]["std-for-price"] == "0"
    assert found["star"]["remarks"].startswith("not Python's own: abs, all, ")
    assert found["friendly"]["closed-form"] == "0"
    assert found["friendly"]["general"] == "3"
    assert found["patcher"]["sum"] == "0"
    assert found["patcher"]["remarks"] == "replaces what tests stand on"


@linux
def test_a_course_that_the_box_would_show_is_refused(tiny, monkeypatch):
    for name in ("JUPYTER_PATH", "JUPYTER_RUNTIME_DIR"):  # set again after the test
        monkeypatch.setenv(name, "")
    options = argparse.Namespace(without_box=False, memory=8, seconds=60, course=tiny)
    assert graded_run.why_no_box(options) == ""
    options.course = Path(sys.prefix)
    assert str(options.course) in graded_run.why_no_box(options)


@pytest.fixture
def refused(monkeypatch, capsys):
    """The exit code and the last line of what the command line says."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["grade", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            grade.arguments()
        return stop.value.code, capsys.readouterr().err.splitlines()[-1]

    return call


@pytest.mark.parametrize("assignment, words", REFUSED.items())
def test_what_cannot_be_graded_is_refused_in_one_line(
    tiny, assignment, words, monkeypatch, refused
):
    """Without a box, without such an assignment, or without any."""
    for name in ("PATH", "JUPYTER_PATH", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, "/nowhere")
    code, line = refused(tiny, assignment)
    assert code == 2 and words in line


def test_a_course_that_is_not_there_is_refused_in_one_line(tmp_path, refused):
    for folder in ("", tmp_path):
        code, line = refused(folder, "tiny")
        assert code == 2
        last = "expected COURSE, a folder with source/ in it, got "
        assert line.endswith(f"{last}{str(folder)!r}")


@linux
def test_who_stops_the_grader_keeps_the_rows_that_are_there(tmp_path):
    folder = make(tmp_path)
    endless = RIGHT | {"double": "while True: pass"}
    hand_in(folder, "a", answered(source_notebook(), RIGHT))
    hand_in(folder, "b", answered(source_notebook(), endless))
    command = [sys.executable, "-m", "tools.course.grade", str(folder), "tiny"]
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    listens = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, text=True, preexec_fn=listens, **options) as grader:
        for line in grader.stdout:
            if line.startswith("student a"):
                break
        time.sleep(2)  # the other one is being graded
        grader.send_signal(signal.SIGINT)
        _, said = grader.communicate(timeout=60)
    assert grader.returncode != 0 and "Traceback" not in said
    assert said.splitlines()[-1].startswith("stopped: ")
    rows = table(folder)
    assert set(rows) == {"a"} and rows["a"]["sum"] == "5"
    assert not (folder / ".clean").exists()


@linux
def test_a_box_has_no_key_of_the_session_and_its_folder_is_removed():
    """A child has the keyring; where the system has none, there is nothing to see."""
    libc = ctypes.CDLL(None, use_errno=True)
    add, search = KEYS.get(os.uname().machine, (217, 218))
    made = libc.syscall(add, b"user", b"vae-test", b"secret", 6, -3)
    if made < 0:
        pytest.skip("the system keeps no keys here")
    options = argparse.Namespace(without_box=False, memory=2, seconds=8)
    code = (
        "import ctypes, sys; libc = ctypes.CDLL(None); "
        f"found = libc.syscall({search}, b'user', b'vae-test', None, 0); "
        "open(sys.argv[1], 'w').write(str(found))"
    )
    with graded_run.temporary_room(options) as room:
        answer = room / "run" / "answer"
        command = [*graded_run.kernel(room, options), "-c", code, str(answer)]
        subprocess.run(command, check=True)
        assert libc.syscall(search, b"user", b"vae-test", None, 0) == made
        assert answer.read_text() == "-1"
    assert not room.exists()
