"""What `make book` has built: its pages, and the places on them that links name."""

import re
from functools import cache
from html import unescape
from pathlib import Path

from playwright.sync_api import Locator, expect

from tools.book import BOOK, NOTEBOOKS, ROOT, SITE

SOURCES = [*BOOK.glob("*.md"), *NOTEBOOKS.rglob("*.ipynb")]
PAGES = sorted(
    SITE / path.relative_to(ROOT).with_suffix(".html") for path in SOURCES
) + [SITE / "genindex.html"]
IDENTIFIER = re.compile(r'\sid="([^"]+)"')


@cache
def anchors(file: Path) -> set[str]:
    """Every identifier on a page that a link may point to.

    No text looks like one, for its quotes are entities; a parser takes seventy times as
    long.
    """
    return {unescape(name) for name in IDENTIFIER.findall(file.read_text("utf-8"))}


def search_results(page) -> Locator:
    """The links that a search has found, once it is over.

    At its end a line appears above them: a click before, pressed on a link and released
    below it, would lead nowhere.
    """
    title = page.locator("#search-results h2")
    expect(title).to_have_text("Search Results", timeout=30_000)  # ms
    return page.locator("#search-results li a")
