"""The guide for instructors says what is so: minutes, points, commands and code."""

import re
import subprocess

import nbformat
import pytest
from prose import minutes

import vae_lib
from tools.book import EXERCISES, ROOT
from tools.course import guide
from vae_lib.data import ImageSet, load_mnist

pytestmark = pytest.mark.book

PAGE = guide.PAGE.read_text("utf-8")
COMMANDS = [
    command
    for block in re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S)
    for command in block.splitlines()
]
PLANS = dict(
    re.findall(
        r"^### ([^\n]+)\n(.*?)(?=^##)",
        re.search(r"^## Plans\n(.*?^## )", PAGE, re.M | re.S)[1],
        re.M | re.S,
    )
)


def rows(heading):
    """The cells of the table below this heading, without its head and its sums."""
    table = re.search(rf"^#+ {heading}\n.*?(\n\|.*?)\n\n", PAGE, re.M | re.S)[1]
    lines = [line.strip("| ").split(" | ") for line in table.strip().splitlines()]
    return [cells for cells in lines[2:] if cells[0] != "together"]


def pages(cell):
    """The pages that a cell of a table links to."""
    return re.findall(r"\{doc\}`(?:[^`<]*<)?([\w-]+)>?`", cell)


def read_in(plan):
    """The pages that a plan reads, in their order."""
    return [name for cells in rows(plan) for name in pages(cells[1])]


def points_of(stem):
    """The points that nbgrader gives for the exercises of a chapter."""
    path = EXERCISES / f"{stem}.ipynb"
    cells = nbformat.read(path, as_version=4).cells if path.exists() else []
    return sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in cells)


def test_guide_is_what_its_sources_say():
    template = guide.TEMPLATE.read_text("utf-8")
    assert PAGE == guide.filled(template), "run python -m tools.course.guide"


def test_chapters_have_the_minutes_of_the_pages_and_the_points_of_the_notebooks():
    found = rows("The chapters at a glance")
    names = [name for cells in found for name in pages(cells[0])]
    assert {path.stem for path in EXERCISES.glob("*.ipynb")} <= set(names)
    assert {path.stem for path in (ROOT / "book").glob("[0-9]*.md")} <= set(names)
    for name, cells in zip(names, found, strict=True):
        assert cells[1] == " + ".join(str(part) for part in minutes(name) if part)
        assert int(cells[5]) == points_of(name)


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_adds_up(plan):
    for cells in rows(plan):
        read = pages(cells[1])
        assert int(cells[3]) == sum(
            part or 0 for name in read for part in minutes(name)
        )
        assert cells[2] and int(cells[5]) <= sum(map(points_of, read))
    if last := re.search(r"\| together \| \| \| (.*?) \|\n", PLANS[plan]):
        sums = [sum(int(cells[i]) for cells in rows(plan)) for i in (3, 4, 5)]
        assert list(map(int, last[1].split(" | "))) == sums
    else:
        assert len(rows(plan)) == 1


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_says_which_exercises_are_left_out(plan):
    for cells in rows(plan):
        if int(cells[5]) != sum(map(points_of, pages(cells[1]))):
            when = cells[0] if cells[0].isalpha() else f"day {cells[0]}"
            assert f"On {when} the exercises are those of chapter " in PLANS[plan]


@pytest.mark.parametrize("plan", ["One week", "Half a term"])
def test_a_plan_names_the_chapters_that_it_leaves_out(plan):
    left = pages(PLANS[plan].partition("Chapters left")[2].partition("\n")[0])
    chapters = {path.stem for path in (ROOT / "book").glob("[0-9]*.md")}
    assert not set(read_in(plan)) & set(left)
    assert {*read_in(plan), *left} >= chapters


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_reads_nothing_twice_and_what_is_needed_first(plan):
    read = read_in(plan)
    assert len(read) == len(set(read))
    needs = {
        name: {f"{int(number):02}" for number in re.findall(r"\d+", cells[2])}
        for cells in rows("The chapters at a glance")
        for name in pages(cells[0])
    }
    for i, name in enumerate(read):
        later = {other[:2] for other in read[i + 1 :]}
        assert not needs[name] & later, f"{name} comes too early"


def test_the_longest_plan_leaves_no_gap_and_assigns_all_points_of_what_it_reads():
    """To its last chapter; a newer one may wait for a longer plan."""
    plan = max(PLANS, key=lambda plan: len(read_in(plan)))
    read = read_in(plan)
    chapters = sorted(path.stem for path in (ROOT / "book").glob("[0-9]*.md"))
    last = max(name for name in read if name[0].isdigit())
    assert set(chapters[: chapters.index(last) + 1]) <= set(read)
    points = sum(int(cells[5]) for cells in rows(plan))
    assert points == sum(map(points_of, read))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_guide_is_one_that_the_book_has(command):
    if command.startswith("make "):
        words = re.findall(r'[^\s"]+(?:"[^"]*")?', command)
        dry_run = ["make", "-n", *(word.replace('"', "") for word in words[1:])]
        done = subprocess.run(dry_run, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    else:
        assert command.startswith(".venv/bin/python -m pip wheel"), command


def test_chapters_reach_the_program_that_makes_the_editions(tmp_path):
    (command,) = [command for command in COMMANDS if "CHAPTERS" in command]
    chapters = re.search(r'"(.+)"', command)[1]
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nprintf '%s,' \"$@\"\n")
    python.chmod(0o755)
    make = ["make", "--silent", "--old-file=environment", f"BIN={tmp_path}", "student"]
    done = subprocess.run(
        [*make, f"CHAPTERS={chapters}"], cwd=ROOT, capture_output=True, text=True
    )
    module, *given = done.stdout.removeprefix("-m,").split(",")[:-1]
    assert module == "tools.course.editions" and given == chapters.split()


def test_version_is_that_of_the_library_and_of_the_citation():
    assert f"belongs to version {vae_lib.__version__}," in PAGE
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {vae_lib.__version__}\n" in citation


def test_code_for_another_data_set_trains(monkeypatch):
    mnist = load_mnist("test")
    few = ImageSet(mnist.images[:256], mnist.labels[:256])
    monkeypatch.setattr("vae_lib.data.load_fashion_mnist", lambda split: few)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    exec(code, names := {})
    assert (
        names["images"] is few.images and names["model"](few.images).kl.isfinite().all()
    )
