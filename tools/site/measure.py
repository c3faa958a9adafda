"""What the first view of a page costs: kilobytes as a server sends them, and seconds.

    python -m tools.site.measure book/07-vae notebooks/07-vae    of the built site

Times run from the opening of the file to the first text and to the last formula.
"""

import argparse
import gzip
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from playwright.sync_api import Browser, sync_playwright

from tools.book import SITE
from tools.site.browser import MATHS_IS_SET, launch, wait_until

PAGES = ("book/index", "book/07-vae", "notebooks/07-vae")
PACKED = {".png", ".jpg", ".woff", ".woff2"}  # servers send these as they are


def local_file(url: str) -> Path:
    """The file that an address file://... points to."""
    return Path(url2pathname(unquote(urlsplit(url).path)))


def weight(urls: list[str]) -> int:
    """Bytes that a server transfers for these addresses, text compressed by gzip."""
    files = {local_file(url) for url in urls if url.startswith("file:")}
    return sum(
        path.stat().st_size
        if path.suffix in PACKED
        else len(gzip.compress(path.read_bytes(), 6))
        for path in files
    )


def measure(browser: Browser, file: Path) -> tuple[int, float, float]:
    """Bytes of the first view, seconds until its text and until its maths is there."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    urls = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto(file.as_uri())
    wait_until(page, MATHS_IS_SET)
    maths = page.evaluate("performance.now()")
    text = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    page.close()
    return weight(urls), text / 1000, maths / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", default=PAGES, metavar="PAGE")
    pages = parser.parse_args().pages
    for name in pages:
        if not (SITE / f"{name}.html").is_file():
            parser.error(f"expected a page like {PAGES[1]}, got {name!r}")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for name in pages:
            size, text, maths = measure(browser, SITE / f"{name}.html")
            print(
                f"{name}: {size / 1e3:.0f} kB, text {text:.1f} s, maths {maths:.1f} s"
            )
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
