"""The still pictures of the lab: what it shows after some thousand steps.

    python -m tools.lab_pictures

draws book/_static/lab-NAME.png for each of PICTURES with the built site's own lab, for
paper and for pages without JavaScript.
"""

import sys
from io import BytesIO

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tools.book import SITE, STATIC
from tools.site.browser import launch, wait_until

PAGE = SITE / "book" / "lab.html"
PICTURES = {"fill": 2500, "holes": 2500, "ring": 8000}  # steps, by experiment
LEARN = """async ([name, steps]) => {
  const { live } = document.querySelector("[data-lab]");
  await live.setUp(name);
  for (let i = 0; i < steps; i++) live.run().step();
  live.run().measure();
  live.draw();
}"""


def open_lab(page: Page) -> None:
    """Go to the lab and wait until it stands."""
    page.goto(PAGE.as_uri())
    page.locator("#live-lab").scroll_into_view_if_needed()
    wait_until(page, "() => Boolean(document.querySelector('[data-lab]')?.live?.run)")


def draw(page: Page, name: str) -> None:
    """Train the lab for this experiment and photograph its two planes."""
    page.evaluate(LEARN, [name, PICTURES[name]])
    shot = page.locator("#live-lab .live-twins").screenshot()
    few = Image.open(BytesIO(shot)).convert("RGB").quantize(200, dither=0)
    few.save(STATIC / f"lab-{name}.png", optimize=True)


def main() -> None:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        context = browser.new_context(
            offline=True,
            reduced_motion="reduce",
            viewport={"width": 1300, "height": 1000},
            device_scale_factor=1.5,
        )
        page = context.new_page()
        open_lab(page)
        for name in PICTURES:
            draw(page, name)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
