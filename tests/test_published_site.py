"""What a site with an address adds, and what one without never shows."""

import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image

from tools import configure as configure_tool
from tools.notebooks import NOTEBOOKS, ROOT

pytestmark = pytest.mark.book

SITE = ROOT / "_build" / "html"
ADDRESS = "https://some-one.github.io/a-fork/"
GITHUB = "https://github.com/Some-One/a-fork"
SOURCES = sorted(
    path.relative_to(ROOT)
    for path in [*(ROOT / "book").glob("*.md"), *NOTEBOOKS.rglob("*.ipynb")]
)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The site of a configured copy: built once, for all tests here."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, copy)
    for name in ("book", "notebooks"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("tools", "vae_lib"):
        (copy / name).symlink_to(ROOT / name)
    configure_tool.configure(copy, "Some-One/a-fork", branch="trunk")
    program = Path(sys.executable).parent / "jupyter-book"
    command = [program, "build", copy, "-W", "-n", "--keep-going"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
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


def test_notebooks_open_in_colab_and_download(published):
    for source in SOURCES:
        page = soup(published / source.with_suffix(".html"))
        colab = [a["href"] for a in page.select('a[href*="colab.research"]')]
        github = f"github/Some-One/a-fork/blob/gh-pages/{source.as_posix()}"
        expected = [f"https://colab.research.google.com/{github}"]
        assert colab == (expected if source.suffix == ".ipynb" else [])
        (download,) = page.select(".btn-download-source-button")
        assert download["href"].endswith(f"_sources/{source.as_posix()}")


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
