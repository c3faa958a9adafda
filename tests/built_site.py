"""What `make book` has built: its pages, and the places on them that links name."""

from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup
from playwright.sync_api import Locator, expect

from tools.book import BOOK, NOTEBOOKS, ROOT, SITE

SOURCES = [*BOOK.glob("*.md"), *NOTEBOOKS.rglob("*.ipynb")]
PAGES = sorted(
    SITE / path.relative_to(ROOT).with_suffix(".html") for path in SOURCES
) + [SITE / "genindex.html"]


@cache
def anchors(file: Path) -> set[str]:
    """Every identifier on a page that a link may point to."""
    page = BeautifulSoup(file.read_text("utf-8"), "html.parser")
    return {element["id"] for element in page.find_all(id=True)}


def search_results(page) -> Locator:
    """The links that a search has found, once it is over.

    At its end a line appears above them: a click before, pressed on a link and released
    below it, would lead nowhere.
    """
    title = page.locator("#search-results h2")
    expect(title).to_have_text("Search Results", timeout=30_000)  # ms
    return page.locator("#search-results li a")
