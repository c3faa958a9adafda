"""A live figure of the built site, as a reader and as a test drives it."""

import base64
import json
from statistics import median

import numpy as np
import torch
from barriers import barriers

from tools.book import SITE
from tools.site.browser import wait_until

BOOK = SITE / "book"
MARGIN = {"top": 4, "right": 4, "bottom": 26, "left": 4}  # of a plane, in pixels
FRAMES = """host => Array.from({length: 30}, () => {
    const start = performance.now();
    host.live.draw();
    return performance.now() - start;
})"""

DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
SWITCH = f"""theme => {{
    Object.assign(document.documentElement.dataset, {{ theme, mode: theme }});
    return {DRAWN};
}}"""


class LiveFigure:
    """The box with this name on an open page, scrolled to and built.

    `problems` is what went wrong on the page since then, `loaded_before` the scripts
    of live figures that it had loaded until then; `page` is Playwright's.
    """

    def __init__(self, page, name: str):
        self.page, self.known = page, len(page.problems)
        self.box = page.locator(f"#{name}")
        self.loaded_before = self.loaded
        self.box.scroll_into_view_if_needed()
        self.body = self.box.locator(".live-body")
        wait_until(
            page,
            "name => document.getElementById(name).querySelector('.live-body')?.live",
            name,
        )

    def on_plane(self, z, edge: float, index: int = 0) -> tuple[float, float]:
        """Where a code lies on a plane from -edge to edge: fractions of the canvas."""
        side = self.canvas(index).bounding_box()["width"]  # it is as high as wide
        across = side - MARGIN["left"] - MARGIN["right"]
        down = side - MARGIN["top"] - MARGIN["bottom"]
        x = MARGIN["left"] + (z[0] + edge) / (2 * edge) * across
        y = MARGIN["top"] + (edge - z[1]) / (2 * edge) * down
        return x / side, y / side

    @property
    def problems(self) -> list[str]:
        return self.page.problems[self.known :]

    @property
    def loaded(self) -> set[str]:
        """The scripts of live figures that the page has loaded."""
        sources = "all => all.map(script => new URL(script.src).pathname)"
        paths = self.page.eval_on_selector_all("script[src]", sources)
        folder = "/_static/live/"
        return {path.split(folder)[1] for path in paths if folder in path}

    @property
    def numbers(self) -> dict:
        """What the figure shows, to full precision."""
        return self.body.evaluate("host => host.live.numbers()")

    @property
    def state(self) -> dict:
        """What the reader has set."""
        return self.body.evaluate("host => host.live.state")

    @property
    def text(self) -> str:
        """The line below the figure."""
        return self.body.locator(".live-readout").inner_text()

    def switch(self, theme: str) -> None:
        """Show the page in this theme; the figure follows."""
        self.page.evaluate(SWITCH, theme)

    def set(self, **values) -> dict:
        """The numbers once these values are set."""
        return self.body.evaluate(
            "(host, values) => { host.live.set(values); return host.live.numbers(); }",
            values,
        )

    def picture(self, index: int = 0) -> str:
        """What a canvas shows once all that was asked for is drawn."""
        self.page.evaluate(DRAWN)
        return self.canvas(index).evaluate("canvas => canvas.toDataURL()")

    def control(self, label: str):
        """The slider, number or selection with this label."""
        return self.body.get_by_label(label, exact=True)

    def canvas(self, index: int = 0):
        return self.body.locator("canvas").nth(index)

    def check_fits_and_has_no_barrier(self) -> None:
        """A finger hits each control, nothing sticks out, and axe finds nothing."""
        root = "document.documentElement"
        widths = f"[{root}.scrollWidth, {root}.clientWidth]"
        page_is, window_is = self.page.evaluate(widths)
        assert page_is == window_is
        inside = self.body.bounding_box()
        controls = self.body.locator("canvas, input, select, button").all()
        boxes = [control.bounding_box() for control in controls]
        for box in filter(None, boxes):  # none: hidden in this mode
            assert box["height"] >= 24 and box["width"] >= 24
            assert inside["x"] <= box["x"]
            assert box["x"] + box["width"] <= inside["x"] + inside["width"]
        found = barriers(self.page, f"#{self.box.get_attribute('id')}")
        assert not found, "\n".join(found)

    def drag(self, start, end, index: int = 0) -> None:
        """Move the mouse, held down, between two points: fractions of the canvas."""
        canvas, mouse = self.canvas(index), self.page.mouse
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()

        def point(fraction):
            across, down = fraction
            return box["x"] + across * box["width"], box["y"] + down * box["height"]

        mouse.move(*point(start))
        mouse.down()
        mouse.move(*point(end), steps=5)
        mouse.up()

    def frame_time(self) -> float:
        """Milliseconds that painting takes: the median of thirty frames."""
        return median(self.body.evaluate(FRAMES))


def figures_of(open_page, file):
    """A function that gives a figure of this page, by its name, at a width.

    One page a width serves all tests and figures, which are as they first came.
    """
    pages, figures, first = {}, {}, {}

    def open_figure(name, width=1300):
        if width not in pages:
            pages[width] = open_page(file, width)
        if (name, width) not in figures:
            figures[name, width] = figure = LiveFigure(pages[width], name)
            first[name, width] = figure.state
        figure = figures[name, width]
        figure.set(**first[name, width])
        return figure

    return open_figure


def handed_over(script) -> dict:
    """The object that this script of a live figure hands to the page."""
    text = script.read_text("ascii")
    head = f'live.provide("{script.stem}", '
    assert text.startswith(head) and text.endswith(");\n")
    return json.loads(text[len(head) : -3])


def numbers(text: str, dtype: str) -> torch.Tensor:
    """The numbers that a script has in base64."""
    return torch.tensor(np.frombuffer(base64.b64decode(text), dtype).astype("f4"))
