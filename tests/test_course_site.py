"""A site with an address adds much; one without solutions has all the rest.

One build is both: a configured copy of the book, as a course would publish it.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image
from sphinx.errors import ConfigError

from tools import configure as configure_tool
from tools.book import EXERCISES, NOTEBOOKS, ROOT, SITE
from tools.course import editions
from tools.course.extension import hidden

pytestmark = pytest.mark.book

ADDRESS = "https://some-one.github.io/a-fork/"
GITHUB = "https://github.com/Some-One/a-fork"
SOURCES = sorted(
    path.relative_to(ROOT)
    for path in [*(ROOT / "book").glob("*.md"), *NOTEBOOKS.rglob("*.ipynb")]
)
SOLVED = {path.stem: path for path in EXERCISES.glob("*.ipynb")}
FOLDED = re.compile(r"^```+\{solution\} (\S+)\n(?::.*\n)*\n(.*?)^```", re.M | re.S)
OTHERS = ["Hide", "hidden", "hide ", "hide hide", "yes", "1", "true", "show", "0"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The site of a configured copy, without solutions, built where a whole one was."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, copy)
    for name in ("book", "notebooks"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("tools", "vae_lib"):
        (copy / name).symlink_to(ROOT / name)
    configure_tool.configure(copy, "Some-One/a-fork", branch="trunk")
    earlier = copy / "_build" / "html" / "_sources" / "book" / "03-elbo.md"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("the solutions", "utf-8")
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    run = subprocess.run(
        [jupyter_book, "build", copy, "--all", "-W", "-n", "--keep-going"],
        env=os.environ | {"VAE_SOLUTIONS": "hide"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    return copy / "_build" / "html"


@cache
def soup(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def content(page, **attributes):
    """The content of the one <meta> element with these attributes."""
    (element,) = page.find_all("meta", attrs=attributes)
    return element["content"]


def test_every_page_has_a_card_with_its_own_words(published):
    for source in SOURCES:
        page = soup(published / source.with_suffix(".html"))
        assert content(page, property="og:title") == page.h1.get_text()
        url = ADDRESS + source.with_suffix(".html").as_posix()
        assert content(page, property="og:url") == url
        description = content(page, property="og:description")
        assert description == content(page, name="description")
        card = content(page, property="og:image")
        with Image.open(published / card.removeprefix(ADDRESS)) as picture:
            assert picture.size == (1146, 600)


def test_sitemap_lists_every_page(published):
    listed = re.findall("<loc>(.*?)</loc>", (published / "sitemap.xml").read_text())
    pages = {ADDRESS + path.with_suffix(".html").as_posix() for path in SOURCES}
    assert len(listed) == len(set(listed)) and pages <= set(listed)
    assert all((published / url.removeprefix(ADDRESS)).exists() for url in listed)


def test_edit_and_issue_links_lead_to_the_source_on_the_default_branch(published):
    for source in SOURCES:
        page = soup(published / source.with_suffix(".html"))
        links = [a["href"] for a in page.select(".article-header-buttons a[href]")]
        assert f"{GITHUB}/edit/trunk/{source.as_posix()}" in links
        assert GITHUB in links
        (issue,) = (url for url in links if url.startswith(f"{GITHUB}/issues/new?"))
        assert source.with_suffix(".html").as_posix() in issue


def test_notebooks_open_in_colab(published):
    for source in SOURCES:
        page = soup(published / source.with_suffix(".html"))
        colab = [a["href"] for a in page.select('a[href*="colab.research"]')]
        github = f"github/Some-One/a-fork/blob/gh-pages/{source.as_posix()}"
        expected = [f"https://colab.research.google.com/{github}"]
        assert colab == (expected if source.suffix == ".ipynb" else [])


def test_page_for_lost_readers_works_at_any_depth(published):
    page = soup(published / "404.html")
    for element in page.find_all(["a", "img", "script", "link"]):
        target = element.get("href") or element.get("src") or "#"
        if not target.startswith(("#", "https://")):
            assert target.startswith("/a-fork/"), element
            path = urlsplit(target).path.removeprefix("/a-fork/")
            assert (published / path).exists(), element
    links = [a["href"] for a in page.select("article a[href]")]
    assert {"/a-fork/book/index.html", "/a-fork/search.html"} <= set(links)


def words(page):
    """The words of a built page, without what the markup puts between them."""
    html = page.read_text("utf-8")
    return re.sub(r"\s+", "", unescape(re.sub(r"<[^>]+>", "", html)))


def test_pages_have_their_exercises_and_no_solution(published):
    for page in sorted((ROOT / "book").glob("*.md")):
        source = page.read_text("utf-8")
        built = published / "book" / f"{page.stem}.html"
        parsed, found = soup(built), words(built)
        assert not parsed.select(".solution")
        assert len(parsed.select(".exercise")) == source.count("{exercise} ")
        for label, text in FOLDED.findall(source):
            sentences = [line for line in text.splitlines() if re.match("[A-Z]", line)]
            plain = [s for s in sentences if not re.search(r"[$`*\[{]", s)]
            assert all(re.sub(r"\s+", "", s) not in found for s in plain), label


@pytest.mark.parametrize("name", SOLVED)
def test_notebooks_have_stubs_and_no_line_of_a_solution(published, name):
    built = words(published / "notebooks" / "exercises" / f"{name}.html")
    cells = nbformat.read(SOLVED[name], as_version=4).cells
    answers = sum(len(editions.SOLUTION.findall(cell.source)) for cell in cells)
    assert built.count("raiseNotImplementedError()") == answers > 0
    assert "asolution" not in built  # no prompt to unfold one
    kept = "".join(
        editions.HIDDEN.sub("", editions.SOLUTION.sub("", c.source)) for c in cells
    )
    for cell in cells:
        for pattern in (editions.SOLUTION, editions.HIDDEN):
            for match in pattern.finditer(cell.source):
                for line in match[0].splitlines():
                    secret = len(line.strip()) >= 12 and line.strip() not in kept
                    assert not secret or re.sub(r"\s+", "", line) not in built, line


def test_no_source_of_a_page_is_published(published):
    assert not list(published.rglob("*.ipynb"))
    assert not list((published / "_sources").rglob("*.*"))


def test_site_shows_a_repository_only_if_it_has_one():
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    configured = "repository" in config
    for name in ("sitemap.xml", "404.html"):
        assert (SITE / name).exists() == configured
    for source in SOURCES:
        page = soup(SITE / source.with_suffix(".html"))
        buttons = page.select('.article-header-buttons a[href^="http"]')
        cards = page.select('meta[property^="og:"], link[rel="canonical"]')
        assert bool(buttons) == bool(cards) == configured, source


def test_every_source_can_be_downloaded():
    for source in SOURCES:
        page = soup(SITE / source.with_suffix(".html"))
        (download,) = page.select(".btn-download-source-button")
        assert download["href"].endswith(f"_sources/{source.as_posix()}")


def test_every_page_describes_itself():
    described = [path.with_suffix(".html") for path in SOURCES]
    for path in [*described, "search.html", "genindex.html", "py-modindex.html"]:
        description = content(soup(SITE / path), name="description")
        assert 20 <= len(description) <= 200, path
        assert not re.search(r"[\\{}]", description), path


def test_pages_load_icons_once_and_preload_nothing():
    for source in SOURCES:
        page = soup(SITE / source.with_suffix(".html"))
        assert not page.select('script[src*="fontawesome"], link[rel="preload"]')
        assert len(page.select('link[href*="fontawesome"]')) == 1


@pytest.mark.parametrize(
    ("repository", "address"),
    [
        ("Some-One/a-fork", ADDRESS),
        ("someone/Book", "https://someone.github.io/Book/"),
        ("SomeOne/SomeOne.github.io", "https://someone.github.io/"),
    ],
)
def test_address_is_where_the_site_is_published(repository, address):
    assert configure_tool.site_address(repository) == address


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
