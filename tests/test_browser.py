"""The built site as a browser shows it, without a network: run after `make book`.

Each check takes an open page and lists its faults; the pages have none, and every check
finds the fault that is put into a page on purpose.
"""

import os
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from urllib.parse import quote, unquote

import pytest
from barriers import barriers
from built_site import PAGES, SITE, anchors, search_results
from conftest import ALARMS
from live_figure import DRAWN
from playwright.sync_api import expect
from pypdf import PdfReader

from tools.site.browser import MATHS_IS_SET, wait_until
from tools.site.measure import local_file, weight

pytestmark = pytest.mark.book

ALL_PAGES = [*PAGES, SITE / "search.html", *SITE.glob("404.html")]
WIDTHS = (1300, 375, 320)
UNFOLD = "document.querySelectorAll('.fold').forEach(fold => { fold.open = true; })"
PAUSE = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 400)))"
# The theme gives what scrolls a tab stop 0.3 s after the window has a new width.
SETTLED = """() => {
    const moves = document.getAnimations().some(move => move.playState == "running");
    const boxes = [...document.querySelectorAll("pre, .cell_output > .output")];
    const scrolls = ({ scrollWidth, clientWidth, scrollHeight, clientHeight }) =>
        scrollWidth > clientWidth || scrollHeight > clientHeight;
    return !moves && boxes.every(box => (box.tabIndex == 0) == scrolls(box));
}"""


@pytest.fixture(scope="module")
def window_of_pages(open_page):
    """A window for page after page: a new one takes three times as long."""
    page = open_page(SITE / "book" / "index.html")
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def window(open_page):
    """Another one, for what loads a page of its own."""
    page = open_page(SITE / "book" / "index.html")
    yield page
    page.context.close()


def load(window, file, query=""):
    """Load a page for one test, and forget what the page before it said."""
    window.goto("about:blank")  # by then it has said all
    window.problems.clear()
    window.set_viewport_size({"width": 1300, "height": 900})
    window.goto(file.as_uri() + query)
    wait_until(window, MATHS_IS_SET)
    return window


@pytest.fixture(
    scope="module",
    params=ALL_PAGES,
    ids=lambda path: path.relative_to(SITE).as_posix(),
)
def page(request, window_of_pages):
    """Every page of the site, loaded and unfolded once for all tests."""
    page = load(window_of_pages, request.param)
    page.evaluate(UNFOLD)
    return page


@pytest.fixture
def index(window):
    """The index, loaded for one test."""
    return load(window, SITE / "book" / "index.html")


def show(page, width, theme):
    """Give the open page this width and theme."""
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(
        "theme => Object.assign(document.documentElement.dataset,"
        " { theme, mode: theme })",
        theme,
    )


def unfit_for_paper(page):
    """Words that are pale, and boxes that are dark, when the page is printed."""
    page.emulate_media(media="print")
    faults = page.evaluate("""() => {
        dispatchEvent(new Event("beforeprint"));
        const faults = [], seen = new Set();
        const light = colour => {
            const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
            const [R, G, B] = [r, g, b].map(v => 255 - a * (255 - v)).map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * R + 0.7152 * G + 0.0722 * B;
        };
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            const { data, parentElement } = texts.currentNode;
            if (!data.trim() || !parentElement.checkVisibility()) continue;
            const { color } = getComputedStyle(parentElement);
            if (1.05 / (light(color) + 0.05) < 4)
                faults.push(`pale, ${color}: ${data.trim().slice(0, 60)}`);
            let box = parentElement;
            for (; box && !seen.has(box); seen.add(box), box = box.parentElement) {
                const { backgroundColor } = getComputedStyle(box);
                if (light(backgroundColor) < 0.8)
                    faults.push(`dark, ${backgroundColor}: <${box.tagName}`
                        + ` class="${box.className}">`);
            }
        }
        dispatchEvent(new Event("afterprint"));
        return faults;
    }""")
    page.emulate_media(media="null")
    return faults


def none(faults):
    assert not faults, "\n" + "\n".join(faults)


def sticking_out(page):
    """What reaches beyond the page's right edge where nothing scrolls to it."""
    return page.evaluate("""() => {
        const root = document.scrollingElement, faults = [];
        if (root.scrollWidth > root.clientWidth)
            faults.push(`the page is ${root.scrollWidth} px wide`);
        for (const element of document.querySelectorAll(".prev-next-area *"))
            if (element.getBoundingClientRect().right > root.clientWidth)
                faults.push(`beyond the edge: ${element.outerHTML.slice(0, 80)}`);
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


def stray_signs(page):
    """Punctuation that the end of a line cuts off from the formula before it."""
    return page.evaluate("""() => {
        const faults = [], sign = document.createRange();
        for (const formula of document.querySelectorAll("article .math")) {
            const next = formula.nextSibling;
            if (next?.nodeType != Node.TEXT_NODE || !/^[,.;:!?)’”]/.test(next.data))
                continue;
            sign.setStart(next, 0);
            sign.setEnd(next, 1);
            const { right } = formula.getBoundingClientRect();
            if (sign.getBoundingClientRect().left < right - 2)
                faults.push(`alone on its line: ${next.data.slice(0, 40)}`);
        }
        return faults;
    }""")


def covered_words(page):
    """Titles that unfold whose words lie under an icon of the theme."""
    return page.evaluate("""() => [...document.querySelectorAll(".fold > summary")]
        .filter(title => getComputedStyle(title, "::after").content != "none")
        .map(title => `under an icon: ${title.textContent}`)""")


def alarms(page):
    """What the console, the scripts and the requests complained of."""
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
        file = local_file(url)
        if not file.is_file():
            faults.append(f"no file: {link}")
        elif (
            fragment
            and file.suffix == ".html"
            and unquote(fragment) not in anchors(file)
        ):
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
            const short = image.closest("article") && alt.length < 20;
            const name = /\.(png|svg|jpe?g)\b|[0-9a-f]{20}/.test(alt);
            if (short || name || alt.length > 250)
                faults.push(`poor alt text: ${shown}`);
        }
        return faults;
    }""")


def focus_is_seen(page):
    """Whether the element in focus looks different from itself out of focus."""
    x, y, width, height = page.evaluate("""async () => {
        await Promise.all(document.getAnimations().map(moving => moving.finished));
        const box = document.activeElement.getBoundingClientRect();
        return [box.x, box.y, box.width, box.height];
    }""")
    left, top = max(0, x - 30), max(0, y - 30)
    box = {"x": left, "width": x + width + 30 - left}
    box |= {"y": top, "height": y + height + 30 - top}
    if min(box.values()) < 0 or top >= 900:
        return False  # it is beyond the window's edge
    focused = page.screenshot(clip=box)
    page.evaluate("document.activeElement.blur()")  # Tab goes on from here all the same
    return focused != page.screenshot(clip=box)


def keyboard_faults(page):
    """What a reader with a keyboard misses: skip link, search, article, the focus."""
    faults, stops = [], []
    while "article" not in stops and len(stops) < 100:
        page.keyboard.press("Tab")
        stop, html = page.evaluate("""() => {
            const element = document.activeElement;
            const stop = element.closest("article") ? "article"
                : element.matches("[href='#main-content']") ? "skip link"
                : element.closest("[class*=search]") ? "search" : "other";
            return [stop, element.outerHTML.slice(0, 120)];
        }""")
        stops.append(stop)
        if not focus_is_seen(page):
            faults.append(f"no visible focus: {html}")
    if stops[0] != "skip link":
        faults.append("the first stop is no skip link")
    return faults + [
        f"no {stop}" for stop in ("search", "article") if stop not in stops
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_has_its_place(page, width):
    show(page, width, "light")
    page.evaluate(DRAWN)
    none(sticking_out(page) + stray_signs(page) + covered_words(page))


def test_text_may_be_twice_as_large(page):
    show(page, 640, "light")
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    page.evaluate(DRAWN)  # live figures, at their new size
    none(sticking_out(page))
    page.evaluate("document.documentElement.style.fontSize = ''")


def test_maths_is_set(page):
    none(unset_maths(page))


def test_links_lead_to_what_is_there(page):
    none(dead_links(page))


def test_images_load_and_are_described(page):
    none(poor_images(page))


def test_page_has_no_barrier(page):
    """Notebooks are of one make, cell by cell, and looked at once each."""
    wide = [] if "/notebooks/" in page.url else [(1300, "light")]
    for width, theme in (*wide, (375, "dark")):
        show(page, width, theme)
        page.evaluate(DRAWN)
        wait_until(page, SETTLED)
        none(barriers(page))


def test_console_is_silent_and_nothing_is_asked_elsewhere(page):
    none(alarms(page))


def test_keyboard_reaches_all_and_shows_where_it_is(index):
    none(keyboard_faults(index))


def test_skip_link_leads_past_the_menu(index):
    index.keyboard.press("Tab")
    index.keyboard.press("Enter")
    index.keyboard.press("Tab")
    assert index.evaluate("!!document.activeElement.closest('main')")


def test_menu_opens_on_a_phone(index):
    show(index, 375, "light")
    chapter = index.locator(".bd-sidebar-primary a[href='07-vae.html']")
    expect(chapter).not_to_be_in_viewport()
    index.locator(".primary-toggle:visible").click()
    expect(chapter).to_be_in_viewport()
    chapter.click()
    assert index.url.endswith("07-vae.html")


def test_theme_switches_and_is_remembered(browser):
    """In a page that no script of ours has told which theme to start with."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.goto((SITE / "book" / "index.html").as_uri())

    def look():
        return page.evaluate(
            "[document.documentElement.dataset.theme,"
            " getComputedStyle(document.body).backgroundColor]"
        )

    light, white = look()
    button = page.locator(".theme-switch-button:visible")
    for _ in range(3):  # light, dark, as the system has it
        if look()[0] != "dark":
            button.click()
    dark, black = look()
    assert (light, dark) == ("light", "dark") and white != black
    page.reload()
    assert look() == [dark, black]
    page.context.close()


REFUSED = (
    "Object.defineProperty(window, '{}', {{ get() {{ {} }}, configurable: true }})"
)
STORES = {
    "refused": "throw new DOMException('denied', 'SecurityError')",
    "missing": "return null",
    "full": "return { getItem: () => null, setItem() { throw Error('full') } }",
}


@pytest.mark.parametrize("trouble", STORES)
def test_theme_and_folds_switch_where_nothing_can_be_kept(browser, trouble):
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    for store in ("localStorage", "sessionStorage"):
        page.add_init_script(REFUSED.format(store, STORES[trouble]))
    for name in ("book/07-vae", "search"):
        page.goto((SITE / f"{name}.html").as_uri() + "?q=evidence")
        seen = set()
        for _ in range(3):
            page.locator(".theme-switch-button:visible").click()
            seen.add(page.evaluate("document.documentElement.dataset.theme"))
        assert seen == {"light", "dark"}
        for button in page.locator(".fold-all").all():
            button.click()
            proofs = page.locator(".fold.proof:not([open])")
            expect(proofs).to_have_count(0)
    expect(page.locator("#search-results li").first).to_be_visible()
    assert not problems
    page.context.close()


ODD = [
    *("constructor", "__proto__", "toString", "hasOwnProperty", "valueOf", "prototype"),
    *("__defineGetter__", "constructor __proto__", "-constructor", "undefined", "null"),
    *(
        " ",
        "%",
        "\\",
        "*",
        "(",
        "[a-",
        "<b>",
        "&amp;",
        "😀",
        "a",
        "the",
        "42",
        "x" * 5000,
    ),
]


@pytest.mark.parametrize("words", ODD, ids=lambda words: ascii(words[:30]))
def test_search_answers_whatever_is_asked(window, words):
    page = load(window, SITE / "search.html", query=f"?q={quote(words)}")
    links = search_results(page).evaluate_all(
        "links => links.map(link => [link.innerText, link.href])"
    )
    none([title for title, _ in links if "undefined" in title])
    assert all(local_file(target).is_file() for _, target in links)
    none(alarms(page))


def printed(page):
    """What stands on each sheet of paper, colours included.

    The sheets are as long as a PDF allows: between short ones Chromium breaks a page
    now here and now there, from one print to the next.
    """
    content = page.pdf(print_background=True, width="8.5in", height="200in")
    sheets = PdfReader(BytesIO(content)).pages
    return [sheet.get_contents().get_data() for sheet in sheets]


@pytest.mark.parametrize("name", ["book/07-vae", "notebooks/07-vae", "book/api"])
def test_a_dark_page_is_printed_dark_on_white(open_page, name):
    page = open_page(SITE / f"{name}.html", theme="dark")
    none(unfit_for_paper(page))
    dark = printed(page)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    show(page, 1300, "light")
    assert dark == printed(page)
    page.context.close()


def test_search_finds_every_term_of_the_glossary(open_page):
    glossary = open_page(SITE / "book" / "glossary.html")
    terms = glossary.evaluate("""[...document.querySelectorAll("dl.glossary dt")]
        .map(term => term.firstChild.textContent.trim())""")
    assert terms
    search = open_page(SITE / "search.html", query="?q=evidence")
    none(alarms(search))
    for term in terms:
        found = search.evaluate(
            """async term => {
                document.getElementById("search-results").replaceChildren();
                Search.performSearch(term);
                // All results, lest the last come among those of the next term.
                while (!Search.status.textContent)
                    await new Promise(resolve => setTimeout(resolve, 10));
                return [...Search.output.querySelectorAll("a")].map(link => link.href);
            }""",
            term,
        )
        assert found, f"the search does not find {term!r}"
        assert all(local_file(link).is_file() for link in found), found
    none(alarms(search))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["02-kl-divergence", "07-vae"])
def test_a_link_shows_its_place_however_late_the_formulas(open_page, name, width):
    page = open_page(SITE / "book" / "index.html", width=width)
    page.emulate_media(reduced_motion="no-preference")  # the theme scrolls smoothly
    page.goto((SITE / "book" / f"{name}.html").as_uri() + "#checked-by-machine")
    wait_until(page, MATHS_IS_SET)
    page.evaluate(PAUSE)
    assert 0 <= page.locator("#checked-by-machine").bounding_box()["y"] < 100

    page.mouse.move(width / 2, 400)
    page.mouse.wheel(0, -3000)  # from now on the reader decides
    page.evaluate(PAUSE)
    seen = page.evaluate("scrollY")
    page.evaluate(PUT.format("<p>what comes late</p>"))
    page.evaluate(PAUSE)
    assert page.evaluate("scrollY") == seen
    page.context.close()


@pytest.mark.parametrize("name", ["book/index", "book/07-vae", "notebooks/07-vae"])
def test_first_view_is_light(open_page, name):
    page = open_page(SITE / f"{name}.html")
    assert weight(page.requests) < 1.5e6


ELSEWHERE = "https://example.org/"
FORBIDDEN = {
    "img-src": f"new Image().src = '{ELSEWHERE}'",
    "connect-src": f"fetch('{ELSEWHERE}').catch(() => {{}})",
    "script-src-elem": f"add('script', {{ src: '{ELSEWHERE}' }})",
    "script-src-elem ": "add('script', { textContent: 'window.ran = true' })",
    "script-src-attr": "add('b', {}).setAttribute('onclick', 'window.ran = true')",
    "script-src": "setTimeout(() => Function('window.ran = true')())",
    "style-src-elem": f"add('link', {{ rel: 'stylesheet', href: '{ELSEWHERE}' }})",
    "font-src": f"new FontFace('f', 'url({ELSEWHERE})').load().catch(() => {{}})",
    "frame-src": f"add('iframe', {{ src: '{ELSEWHERE}' }})",
    "object-src": f"add('object', {{ data: '{ELSEWHERE}' }})",
    "media-src": f"add('video', {{ src: '{ELSEWHERE}' }})",
    "form-action": f"add('form', {{ action: '{ELSEWHERE}' }}).submit()",
    "base-uri": f"add('base', {{ href: '{ELSEWHERE}' }})",
}
TRY = """() => new Promise(done => {
    const add = (tag, values) => {
        const element = Object.assign(document.createElement(tag), values);
        document.body.append(element);
        return element;
    };
    document.addEventListener("securitypolicyviolation",
        ({ effectiveDirective }) => done(effectiveDirective));
    ACT;
    document.querySelector("body > b")?.click();
    setTimeout(() => done("nothing was refused"), 3000);
})"""


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_policy_refuses_what_no_page_does(index, rule):
    act = TRY.replace("ACT", FORBIDDEN[rule])
    assert index.evaluate(act) == rule.strip()
    assert not index.evaluate("window.ran")


@pytest.fixture(params=["Bücher #1, 100 %25?", "a+b & 'c' \"d\" [e]"])
def odd_place(request, tmp_path):
    """The site in a folder whose name an address cannot hold as it is."""
    if os.name == "nt":
        pytest.skip("Windows has no such names")
    (tmp_path / request.param).symlink_to(SITE)
    return tmp_path / request.param


def test_site_works_wherever_it_lies(open_page, odd_place):
    page = open_page(odd_place / "book" / "index.html")
    page.locator(".bd-sidebar-primary a[href='07-vae.html']").click()
    wait_until(page, MATHS_IS_SET)
    figure = page.locator(".admonition.live").first
    figure.scroll_into_view_if_needed()
    expect(figure.locator("canvas").first).to_be_visible()
    page.goto((odd_place / "search.html").as_uri() + "?q=evidence")
    search_results(page).first.click()
    expect(page.locator("article h1")).to_be_visible()
    none(alarms(page))
    page.context.close()


class Quiet(SimpleHTTPRequestHandler):
    """A server that lends fonts to frames, as that of GitHub Pages does."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *words) -> None:
        """Print nothing."""


@pytest.fixture
def address():
    """The site on a server of this machine."""
    handler = partial(Quiet, directory=SITE)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_site_works_in_a_frame_that_may_keep_nothing(browser, address):
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    source = f"{address}/book/07-vae.html"
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: m.type in ALARMS and problems.append(m.text))
    page.set_content(
        f"<iframe sandbox='allow-scripts' width=1250 height=850 src='{source}'>"
    )
    inside = page.frame_locator("iframe")
    inside.locator(".theme-switch-button:visible").click()
    figure = inside.locator(".admonition.live").first
    figure.scroll_into_view_if_needed()
    expect(figure.locator("canvas").first).to_be_visible()
    expect(inside.locator("mjx-container").first).to_be_visible()
    none(problems)
    page.context.close()


def test_page_without_scripts_says_what_is_missing(browser):
    page = browser.new_page(java_script_enabled=False)
    page.goto((SITE / "book" / "03-elbo.html").as_uri())
    expect(page.locator(".no-script")).to_contain_text("TeX source")
    expect(page.locator(".proof").first).to_be_visible()
    page.context.close()


def test_formulas_are_read_aloud_from_disk(open_page):
    page = open_page(SITE / "notebooks" / "11-applications-3.html")  # it has few
    page.evaluate("""() => {
        const { pool } = MathJax.startup.document.menu.menu;
        pool.lookup("explorer").setValue(true);
    }""")
    formula = "mjx-container [data-semantic-speech]"
    spoken = page.locator(formula).first
    spoken.wait_for(state="attached")
    assert "Subscript theta" in spoken.get_attribute("data-semantic-speech")
    none(alarms(page))
    page.context.close()


PUT = "document.querySelector('article').insertAdjacentHTML('beforeend', `{}`)"
STYLE = "document.head.insertAdjacentHTML('beforeend', `<style>{}</style>`)"
DEFECTS = [
    (sticking_out, PUT, "<table><td style='min-width: 3000px'>wide</table>"),
    (sticking_out, PUT, "<pre style='width: 3000px'>wide</pre>"),
    (
        sticking_out,
        PUT,
        "<div style='overflow: hidden; width: 9px'><mjx-mi style='margin-left: 99px'>x",
    ),
    (
        stray_signs,
        PUT,
        "<p style='width: 0'><b class='math' style='display: inline-block'>z</b>, y",
    ),
    (
        covered_words,
        PUT,
        "<style>summary::after { content: 'x' }</style>"
        "<details class='fold'><summary>y</summary></details>",
    ),
    (unfit_for_paper, PUT, "<p style='color: #bbb'>pale</p>"),
    (unfit_for_paper, PUT, "<pre style='background: #333'>dark</pre>"),
    (alarms, "console.{}('told')", "error"),
    (alarms, "console.{}('told')", "warn"),
    (alarms, "setTimeout({})", "() => { throw Error('thrown') }"),
    (alarms, PUT, "<img src='https://example.org/image.png'>"),
    (alarms, PUT, "<img src='nowhere.png'>"),
    (unset_maths, PUT, "<p>the code \\\\(z\\\\)</p>"),
    (unset_maths, PUT, "<p>the code $z$</p>"),
    (unset_maths, PUT, "<span class='math'>z</span>"),
    (unset_maths, PUT, "<mjx-merror>z</mjx-merror>"),
    (dead_links, PUT, "<a href='#nowhere'>x</a>"),
    (dead_links, PUT, "<a href='nowhere.html'>x</a>"),
    (dead_links, PUT, "<a href='07-vae.html#nowhere'>x</a>"),
    (dead_links, PUT, "<a href='#gone'>x</a><p id='gone' hidden>y</p>"),
    (poor_images, PUT, "<img src='nowhere.png' alt='An image that is described'>"),
    (poor_images, "document.querySelector('article img').alt = '{}'", ""),
    (
        poor_images,
        "document.querySelector('article img').alt = '{}'",
        "../_images/digits-of-the-model.png",
    ),
    (barriers, PUT, "<p style='color: #999; background: white'>pale</p>"),
    (
        barriers,
        PUT,
        "<style>.pale { color: #999 }</style><pre style='background: white'>"
        "<span class='pale'>words of code</span></pre>",
    ),
    (barriers, PUT, "<button></button>"),
    (barriers, PUT, "<button aria-label='other'>words</button>"),
    (barriers, PUT, "<a href='#' style='font-size: 5px'>a</a>" * 3),
    (keyboard_faults, "document.querySelector('{}').remove()", "#pst-skip-link"),
    (keyboard_faults, STYLE, ":focus { outline: none !important; }"),
    (keyboard_faults, STYLE, "[class*=search] { display: none !important; }"),
    (keyboard_faults, STYLE, "article { display: none; }"),
]


@pytest.mark.parametrize("check, spoil, defect", DEFECTS)
def test_a_defect_is_found(index, check, spoil, defect):
    """Each check, tried on a page that is broken on purpose."""
    index.evaluate(f"() => {{ {spoil.format(defect)} }}")
    tries = 50 if check is alarms else 1  # what a page says takes a moment to arrive
    for _ in range(tries):
        if faults := check(index):
            break
        index.wait_for_timeout(100)
    assert faults
