"""The book without solutions has none, and all the rest."""

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from sphinx.errors import ConfigError

from tools import course
from tools.course_extension import hidden
from tools.notebooks import EXERCISES, ROOT

pytestmark = pytest.mark.book

SOLVED = {path.stem: path for path in EXERCISES.glob("*.ipynb")}
FOLDED = re.compile(r"^```+\{solution\} (\S+)\n(?::.*\n)*\n(.*?)^```", re.M | re.S)


OTHERS = ["Hide", "hidden", "hide ", "hide hide", "yes", "1", "true", "show", "0"]


@pytest.mark.parametrize("wish", OTHERS)
def test_a_wish_that_may_mean_hide_builds_nothing(wish, monkeypatch):
    for name in ("SOLUTIONS", "VAE_SOLUTIONS"):
        settings = {"SOLUTIONS": "", "VAE_SOLUTIONS": "", name: wish}
        done = subprocess.run(
            ["make", "--no-print-directory", "-n", "book"],
            env=os.environ | settings,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2 and not done.stdout
        (line,) = done.stderr.splitlines()
        assert f'expected SOLUTIONS=hide, or none, got "{wish}"' in line
    monkeypatch.setenv("VAE_SOLUTIONS", wish)
    with pytest.raises(ConfigError, match=f"VAE_SOLUTIONS=hide, or none, got '{wish}'"):
        hidden()


@pytest.mark.parametrize("name", ["SOLUTIONS", "VAE_SOLUTIONS"])
@pytest.mark.parametrize("wish, hides", [("hide", True), ("", False)])
def test_the_wish_reaches_the_build(name, wish, hides, monkeypatch, tmp_path):
    (tmp_path / "makefile").write_text(
        f'include {ROOT}/Makefile\nwish:\n\t@echo "<$$VAE_SOLUTIONS>"\n'
    )
    done = subprocess.run(
        ["make", "-f", tmp_path / "makefile", "--no-print-directory", "wish"],
        env=os.environ | {"SOLUTIONS": "", "VAE_SOLUTIONS": "", name: wish},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout == f"<{wish}>\n", done.stderr
    monkeypatch.setenv("VAE_SOLUTIONS", wish)
    assert hidden() == hides


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site that `make book SOLUTIONS=hide` builds where the whole one was."""
    out = tmp_path_factory.mktemp("hidden")
    earlier = out / "_build" / "html" / "_sources" / "book" / "03-elbo.md"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("the solutions", "utf-8")
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    options = ["--all", "-W", "-n", "--keep-going", "--path-output", str(out)]
    done = subprocess.run(
        [jupyter_book, "build", ".", *options],
        env=os.environ | {"VAE_SOLUTIONS": "hide"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out / "_build" / "html"


def words(page):
    """The words of a built page, without what the markup puts between them."""
    html = page.read_text("utf-8")
    return re.sub(r"\s+", "", unescape(re.sub(r"<[^>]+>", "", html)))


def test_pages_have_their_exercises_and_no_solution(site):
    for page in sorted((ROOT / "book").glob("*.md")):
        source = page.read_text("utf-8")
        built = site / "book" / f"{page.stem}.html"
        parsed = BeautifulSoup(built.read_text("utf-8"), "html.parser")
        assert not parsed.select(".solution")
        assert len(parsed.select(".exercise")) == source.count("{exercise} ")
        for label, text in FOLDED.findall(source):
            sentences = [line for line in text.splitlines() if re.match("[A-Z]", line)]
            plain = [s for s in sentences if not re.search(r"[$`*\[{]", s)]
            assert all(re.sub(r"\s+", "", s) not in words(built) for s in plain), label


@pytest.mark.parametrize("name", SOLVED)
def test_notebooks_have_stubs_and_no_line_of_a_solution(site, name):
    built = words(site / "notebooks" / "exercises" / f"{name}.html")
    cells = nbformat.read(SOLVED[name], as_version=4).cells
    answers = sum(len(course.SOLUTION.findall(cell.source)) for cell in cells)
    assert built.count("raiseNotImplementedError()") == answers > 0
    assert "asolution" not in built  # no prompt to unfold one
    kept = "".join(
        course.HIDDEN.sub("", course.SOLUTION.sub("", c.source)) for c in cells
    )
    for cell in cells:
        for pattern in (course.SOLUTION, course.HIDDEN):
            for match in pattern.finditer(cell.source):
                for line in match[0].splitlines():
                    secret = len(line.strip()) >= 12 and line.strip() not in kept
                    assert not secret or re.sub(r"\s+", "", line) not in built, line


def test_no_source_of_a_page_is_published(site):
    assert not list(site.rglob("*.ipynb")) + list((site / "_sources").rglob("*.*"))
