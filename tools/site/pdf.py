"""Print the built site as one PDF.

    python -m tools.site.pdf     from _build/html, into _build/vae-book.pdf

The live figures stand still on paper, as they are when a reader comes to them.
Chromium sets the formulas and prints the articles, a few at a time, to see how long
each is and which end on a page of a few lines. These are set tighter and printed anew.
With the page numbers that follow from all lengths in the table of contents, and with an
outline and tags, the book is then printed for good.
"""

import argparse
import sys
from io import BytesIO
from itertools import accumulate
from pathlib import Path

from playwright.sync_api import Page as Tab
from playwright.sync_api import sync_playwright
from pypdf import PageObject, PdfReader

from tools.book import BUILD, SITE, pages
from tools.site import browser, single_page

PDF = BUILD / "vae-book.pdf"
# Beside the folder of the site, so that images and styles are found.
SINGLE = BUILD / "vae-book.html"
A4 = {"prefer_css_page_size": True}  # book/_static/print.css has the size and margins
TEXT_WIDTH = round((210 - 2 * 23) / 25.4 * 96)  # CSS pixels between those margins
FEW_LINES = 8  # that an article's last page should not be left with
AT_A_TIME = 8  # articles: Chromium needs more time for a page the more there are

# Formulas and tables that are wider than the page are set smaller until they fit.
FIT = """() => {
  for (const box of document.querySelectorAll("div.math, table")) {
    const room = box.parentElement.clientWidth;
    for (let size = 1; box.scrollWidth > room && size > 0.5; size -= 0.05)
      box.style.fontSize = size + "em";
  }
}"""

# What is kept on one page: short paragraphs, since a line alone at the top of a page
# is easily overlooked, and tables of at most a third of it. Square figures are crowded:
# print.css lets them be taller than others.
KEEP = """() => {
  for (const text of document.querySelectorAll("p"))
    if (text.offsetHeight < 3.5 * parseFloat(getComputedStyle(text).lineHeight))
      text.classList.add("whole");
  for (const table of document.querySelectorAll("table"))
    if (table.offsetHeight < 310) table.classList.add("whole");
  const drawn = ":is(.cell_output, .notebook-figure) img";
  for (const image of document.querySelectorAll(drawn))
    if (image.naturalWidth < 1.3 * image.naturalHeight) image.classList.add("square");
}"""

DRAWN = """box => {
  box.querySelector(".live-body").live.draw();
  const all = [...box.querySelectorAll("canvas")];
  return all.filter(canvas => canvas.clientWidth).map(canvas =>
    [canvas.toDataURL(), canvas.clientWidth, canvas.getAttribute("aria-label")]);
}"""

SHOW = """figures => Promise.all(Object.entries(figures).flatMap(([name, drawn]) => {
  const row = document.createElement("div");
  row.className = "drawn";
  document.getElementById(name).append(row);
  return drawn.map(([address, width, label]) => {
    const image = new Image();
    [image.src, image.alt, image.style.width] = [address, label, 0.75 * width + "px"];
    row.append(image);
    return image.decode();
  });
}))"""

TIGHTEN = """names => {
  for (const name of names) document.getElementById(name).classList.add("tight");
}"""

SHOW_ALONE = """names => {
  for (const article of document.querySelectorAll("article"))
    article.hidden = !names.includes(article.id);
}"""

SHOW_ALL = """() => {
  for (const article of document.querySelectorAll("article")) article.hidden = false;
}"""

NUMBER = """pages => {
  for (const link of document.querySelectorAll("nav a"))
    link.lastChild.textContent = pages[link.getAttribute("href").slice(1)] + 1;
}"""


def live_figures(tab: Tab) -> dict[str, list]:
    """By identifier, what each canvas of a live figure shows: image, width, label."""
    drawn = {}
    tab = tab.context.browser.new_page(
        device_scale_factor=3, viewport={"width": 640, "height": 900}
    )
    # No canvas holds a formula, and those of the text are set in the single page.
    tab.route("**/mathjax/**", lambda request: request.abort())
    for page in pages():
        path = SITE / f"{page.name}.html"
        if 'class="live ' not in path.read_text("utf-8"):
            continue
        tab.goto(path.as_uri())
        for box in tab.locator(".admonition.live").all():
            name = box.get_attribute("id")
            box.scroll_into_view_if_needed()
            browser.wait_until(
                tab, "name => document.querySelector(`#${name} .live-body`)?.live", name
            )
            drawn[f"{page.name}:{name}"] = box.evaluate(DRAWN)
    tab.close()
    return drawn


def set_type(tab: Tab, path: Path) -> None:
    """Open the single page as it will be printed, with all formulas set."""
    tab.set_default_timeout(600_000)  # ms; a busy machine may need minutes
    tab.set_viewport_size({"width": TEXT_WIDTH, "height": 1000})
    tab.emulate_media(media="print")
    tab.goto(path.as_uri())
    tab.evaluate("() => MathJax.startup.promise.then(() => document.fonts.ready)")
    tab.evaluate(SHOW, live_figures(tab))
    tab.evaluate(FIT)
    tab.evaluate(KEEP)


def starts(book: PdfReader, names: list[str] | None = None) -> dict[str, int]:
    """The page, counted from 0, on which each article starts."""
    places = book.named_destinations
    return {
        name: book.get_destination_page_number(places[f"/{name}"])
        for name in names or [page.name for page in pages()]
    }


def draft(tab: Tab, names: list[str]) -> dict[str, list[PageObject]]:
    """The pages of each of these articles, printed without the others."""
    found = {}
    for first in range(0, len(names), AT_A_TIME):
        some = names[first : first + AT_A_TIME]
        tab.evaluate(SHOW_ALONE, some)
        book = PdfReader(BytesIO(tab.pdf(**A4)))
        begin = [*starts(book, some).values(), len(book.pages)]
        for name, start, end in zip(some, begin, begin[1:], strict=False):
            found[name] = book.pages[start:end]
    tab.evaluate(SHOW_ALL)
    return found


def ends_badly(article: list[PageObject]) -> bool:
    """Whether an article leaves a few lines for its last page."""
    return len(article) > 1 and (
        len(article[-1].extract_text().split("\n")) < FEW_LINES
    )


def print_book(tab: Tab) -> bytes:
    """The PDF of the single page that the tab shows."""
    drafts = draft(tab, [page.name for page in pages()])
    badly = [name for name, article in drafts.items() if ends_badly(article)]
    tab.evaluate(TIGHTEN, badly)
    drafts |= draft(tab, badly)
    before = next(iter(drafts.values()))[0].page_number  # pages: title, contents
    lengths = map(len, drafts.values())
    found = dict(zip(drafts, accumulate(lengths, initial=before), strict=False))
    numbers = None
    while found != numbers:  # again if the numbers made a line of the contents too long
        numbers = found
        tab.evaluate(NUMBER, numbers)
        content = tab.pdf(**A4, outline=True, tagged=True)
        found = starts(PdfReader(BytesIO(content)))
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the built site as one PDF.")
    parser.parse_args()
    try:
        SINGLE.write_text(single_page.assemble(), "utf-8")
        with sync_playwright() as playwright:
            tab = browser.launch(playwright).new_page()
            set_type(tab, SINGLE)
            PDF.write_bytes(print_book(tab))
    except FileNotFoundError as error:
        parser.error(f"expected the built site, found no {error.filename}: make book")
    except RuntimeError as error:  # no browser
        parser.error(str(error))
    print(f"The book as a PDF: {PDF}")


if __name__ == "__main__":
    sys.exit(main())
