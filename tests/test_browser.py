"""The built site as a browser shows it, without a network: run after `make book`.

Each check takes an open page and lists its faults; the pages have none, and every check
finds the fault that is put into a page on purpose.
"""

import gzip
import re
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import pytest
from axe_playwright_python.sync_playwright import Axe
from test_site import PAGES, ROOT, SITE, anchors

pytestmark = pytest.mark.book

EXTRA = [SITE / name for name in ("search.html", "404.html")]
ALL_PAGES = PAGES + [path for path in EXTRA if path.exists()]
WIDTHS = (1300, 375)
THEMES = ("light", "dark")
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},
    "resultTypes": ["violations"],
}


@pytest.fixture(
    scope="module",
    params=ALL_PAGES,
    ids=lambda path: path.relative_to(SITE).as_posix(),
)
def page(request, open_page):
    """Every page of the site, opened once for all tests."""
    page = open_page(request.param)
    yield page
    page.context.close()


@pytest.fixture
def chapter(open_page):
    """A page to spoil."""
    page = open_page(SITE / "book" / "02-kl-divergence.html")
    yield page
    page.context.close()


def show(page, width, theme):
    """Give the open page this width and theme."""
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(
        "theme => Object.assign(document.documentElement.dataset,"
        " { theme, mode: theme })",
        theme,
    )


def none(faults):
    assert not faults, "\n" + "\n".join(faults)


def sticking_out(page):
    """What reaches beyond the page's right edge where nothing scrolls to it."""
    return page.evaluate("""() => {
        const root = document.scrollingElement, faults = [];
        if (root.scrollWidth > root.clientWidth)
            faults.push(`the page is ${root.scrollWidth} px wide`);
        const article = document.querySelector("article") ?? document.body;
        const content = "mjx-mi, mjx-mo, mjx-mn, mjx-mtext, img, canvas, td, th, pre";
        for (const element of article.querySelectorAll(content)) {
            if (element.closest("mjx-assistive-mml") || !element.checkVisibility())
                continue;
            const { right } = element.getBoundingClientRect();
            for (let box = element.parentElement; box; box = box.parentElement) {
                const { overflowX } = getComputedStyle(box);
                if (["auto", "scroll"].includes(overflowX)) break;
                const edge = box.getBoundingClientRect().right;
                if (right > edge + 1 && (overflowX != "visible" || box == article)) {
                    faults.push(`${element.outerHTML.slice(0, 80)} ends at ${right},`
                        + ` ${box.tagName} ${box.className} at ${edge}`);
                    break;
                }
            }
        }
        return faults;
    }""")


def alarms(page):
    """Errors and warnings of the console, of scripts, of requests that fail or leave."""
    return page.problems


def unset_maths(page):
    """Formulas that are not set, that MathJax refuses, and TeX that is left as text."""
    return page.evaluate(r"""() => {
        const faults = [...document.querySelectorAll(".math")]
            .filter(formula => formula.querySelectorAll("mjx-container").length != 1)
            .map(formula => `not set: ${formula.outerHTML.slice(0, 80)}`);
        for (const refused of document.querySelectorAll("mjx-merror"))
            faults.push(`refused: ${refused.outerHTML.slice(0, 80)}`);
        const article = document.querySelector("article") ?? document.body;
        const texts = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
        const code = "pre, code, script, style, mjx-container, textarea";
        while (texts.nextNode()) {
            const { data, parentElement } = texts.currentNode;
            if (!parentElement.closest(code) && /\$|\\[a-zA-Z()[\]{}]/.test(data))
                faults.push(`TeX as text: ${data.trim().slice(0, 80)}`);
        }
        return faults;
    }""")


def dead_links(page):
    """Links to files and anchors that are not there, or that are there but hidden."""
    here = page.url.split("#")[0].split("?")[0]
    faults = page.evaluate("""() => [...document.querySelectorAll("a[href^='#']")]
        .filter(link => link.hash.length > 1)
        .filter(link => {
            const id = decodeURIComponent(link.hash.slice(1));
            const target = document.getElementById(id);
            return !target?.getClientRects().length && !target?.closest("details");
        })
        .map(link => `no visible target: ${link.outerHTML.slice(0, 120)}`)""")
    for link in page.evaluate("[...document.links].map(link => link.href)"):
        url, _, fragment = link.partition("#")
        if not url.startswith("file:") or url == here:
            continue
        file = SITE.__class__(url2pathname(unquote(urlsplit(url).path)))
        if not file.is_file():
            faults.append(f"no file: {link}")
        elif fragment and file.suffix == ".html":
            if unquote(fragment) not in anchors(file):
                faults.append(f"no anchor: {link}")
    return faults


def poor_images(page):
    """Images that do not load, or whose alt text says nothing."""
    return page.evaluate(r"""async () => {
        const faults = [];
        for (const image of document.images) {
            image.loading = "eager";
            await image.decode().catch(() => {});
            const { naturalWidth, alt } = image, shown = image.outerHTML.slice(0, 120);
            if (!naturalWidth) faults.push(`does not load: ${shown}`);
            const short = image.closest("article") ? alt.length < 20 : !alt;
            if (short || alt.length > 250 || /\.(png|svg|jpe?g)\b|[0-9a-f]{20}/.test(alt))
                faults.push(`poor alt text: ${shown}`);
        }
        return faults;
    }""")


def barriers(page):
    """What axe-core finds against the WCAG 2.2 rules A and AA, in this theme."""
    response = Axe().run(page, options=RULES).response
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary'][:300]}"
        for rule in response["violations"]
        for node in rule["nodes"]
    ]


def keyboard_faults(page):
    """What a reader with a keyboard misses: the skip link, the search, the article."""
    faults, reached = [], []
    for _ in range(150):
        page.keyboard.press("Tab")
        what, focus_is_seen = page.evaluate("""() => {
            const element = document.activeElement, style = getComputedStyle(element);
            const outline = style.outlineStyle != "none" && style.outlineWidth != "0px";
            const name = element.closest("article") ? "article"
                : element.matches("[href='#main-content']") ? "skip link"
                : element.closest("[class*=search]") ? "search" : element.outerHTML;
            return [name, outline || style.boxShadow != "none"];
        }""")
        if not focus_is_seen:
            faults.append(f"no visible focus: {what[:120]}")
        reached.append(what)
        if what == "article":
            break
    if reached[0] != "skip link":
        faults.append(f"the first stop is no skip link: {reached[0][:120]}")
    faults += [f"not reached: {what}" for what in ("search", "article") if what not in reached]
    return faults


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out(page, width, theme):
    show(page, width, theme)
    none(sticking_out(page))


def test_maths_is_set(page):
    none(unset_maths(page))


def test_links_lead_to_what_is_there(page):
    none(dead_links(page))


def test_images_load_and_are_described(page):
    none(poor_images(page))


@pytest.mark.parametrize("width, theme", [(1300, "light"), (375, "dark")])
def test_page_has_no_barrier(page, width, theme):
    show(page, width, theme)
    none(barriers(page))


def test_console_is_silent_and_nothing_is_asked_elsewhere(page):
    none(alarms(page))
