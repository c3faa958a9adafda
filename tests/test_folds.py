"""What is folded opens for a link, a search, a button and paper: after `make book`.

Without scripts nothing is folded at all.
"""

import re

import pypdfium2
import pytest
from bs4 import BeautifulSoup
from built_site import PAGES, SITE, search_results
from playwright.sync_api import expect

from tools.site.browser import MATHS_IS_SET, wait_until

pytestmark = pytest.mark.book

FILE = SITE / "book" / "03-elbo.html"
OTHER = SITE / "book" / "04-gaussian-kl.html"
OPEN = "[...document.querySelectorAll('.fold')].map(fold => fold.open)"
CLOSE = "document.querySelectorAll('.fold').forEach(fold => { fold.open = false; })"
LINK = """name => {
    const way = `<p><a href="#${name}">the way there</a></p>`;
    document.querySelector("article h1").insertAdjacentHTML("afterend", way);
}"""
WATCH = """window.seen = new Set();
requestAnimationFrame(function look() {
    document.querySelectorAll(".fold[open]").forEach(fold => seen.add(fold));
    requestAnimationFrame(look);
});"""


def soup(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def letters(text):
    return re.sub(r"[\W_]", "", text)


def opened(open_page, file):
    """An open page that has no problems until it is closed."""
    page = open_page(file)
    yield page
    # A page that is left at once says that some of its files have not come.
    assert [p for p in page.problems if not p.startswith("request")] == []
    page.context.close()


@pytest.fixture
def page(open_page):
    """A page of which much is folded, as a reader comes to it."""
    yield from opened(open_page, FILE)


@pytest.fixture
def start(open_page):
    """A page with little on it, from which a reader goes elsewhere."""
    yield from opened(open_page, SITE / "search.html")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_folds_are_open_in_the_file_and_have_names_of_their_own(path):
    folds = soup(path).select("details.fold")
    assert all(fold.has_attr("open") for fold in folds)
    names = [fold.summary.get_text(" ", strip=True) for fold in folds]
    assert all(names) and len(set(names)) == len(names)


def test_a_folded_proof_says_what_it_proves():
    proofs = soup(FILE).select("details.proof-text")
    assert proofs
    for proof in proofs:
        before = proof.find_previous_sibling("div", class_="proof")
        stated = before.select_one(".caption-number")
        assert proof.summary.get_text() == f"Proof of {stated.get_text().strip()}"
        assert not proof.p.get_text().startswith("Proof")


def test_without_scripts_nothing_is_folded(browser):
    page = browser.new_page(java_script_enabled=False)
    page.goto(FILE.as_uri())
    for text in page.locator(".fold > p").all():
        expect(text).to_be_visible()
    expect(page.locator(".fold-all")).to_be_hidden()
    page.context.close()


def test_no_frame_shows_what_is_about_to_be_folded(start):
    page = start
    page.context.add_init_script(WATCH)
    page.goto(OTHER.as_uri())
    page.wait_for_timeout(500)
    assert not any(page.evaluate(OPEN)) and page.evaluate("seen.size") == 0


@pytest.mark.parametrize("place", [".fold[id]", ".fold [id]"])
def test_a_link_opens_the_fold_that_it_leads_into_and_no_other(open_page, place):
    name = soup(FILE).select_one(place)["id"]
    page = open_page(FILE, query=f"#{name}")
    target = page.locator(f'[id="{name}"]').first

    def arrived():
        expect(target).to_be_in_viewport()
        return sum(page.evaluate(OPEN)) == 1

    assert arrived()
    page.evaluate(LINK, name)
    for _ in range(2):  # the second time the address stays as it is
        page.evaluate(CLOSE)
        page.get_by_text("the way there").click()
        assert arrived()
    page.evaluate(CLOSE)
    page.evaluate("location.hash = 'quick-questions'")
    page.go_back()
    assert arrived()
    page.context.close()


def test_a_link_opens_folds_around_folds(page):
    page.evaluate("""() => {
        const [outer, inner] = document.querySelectorAll(".fold");
        outer.append(inner);
        inner.lastElementChild.id = "deep";
        location.hash = "deep";
    }""")
    expect(page.locator("#deep")).to_be_in_viewport()


def test_a_search_opens_what_holds_its_words(start):
    """A word that stands on the page in folds alone."""
    page = start
    article = soup(FILE).article
    for formula in article.select(".math"):
        formula.decompose()
    folds = [fold.extract() for fold in article.select(".fold")]
    inside = {word for fold in folds for word in re.findall("[a-z]+", fold.get_text())}
    word = max(inside - set(re.findall("[a-z]+", article.get_text())), key=len)
    page.goto((SITE / "search.html").as_uri() + f"?q={word}")
    result = search_results(page).and_(page.locator(f"[href*='{FILE.name}']")).first
    expect(result).to_be_visible()
    assert page.evaluate("localStorage.getItem('sphinx_highlight_terms')") == word
    # A file may be shown by a process that knows nothing of what another has kept.
    page.goto(FILE.as_uri() + f"?highlight={word}")
    wait_until(page, MATHS_IS_SET)  # words are marked once all scripts have come
    found = page.locator(".fold .highlighted").first
    expect(found).to_be_visible()
    holds = [word in fold.get_text() for fold in folds]
    assert page.evaluate(OPEN) == holds and not all(holds)


ANSWERS = "[...document.querySelectorAll('.fold')].map(f => f.matches(%r))"
KEPT = "localStorage.getItem('folds')"


def folds_that_answer(page):
    return page.evaluate(ANSWERS % ".question, .solution")


def test_the_button_opens_and_closes_all_but_answers_and_is_remembered(page):
    page.get_by_role("button", name="Unfold all").click()
    assert True in page.evaluate(OPEN) and False in page.evaluate(OPEN)
    assert page.evaluate(OPEN) == [not answer for answer in folds_that_answer(page)]
    assert page.evaluate(KEPT) == "open"
    page.get_by_role("button", name="Fold all", exact=True).click()
    assert not any(page.evaluate(OPEN)) and page.evaluate(KEPT) == "closed"


@pytest.mark.parametrize("kept", ["open", "closed"])
def test_what_is_remembered_holds_for_a_page_as_it_arrives(start, kept):
    """It is put there by hand: of files, what one page has kept another, if Chromium
    shows it by a process of its own, learns late or never.
    """
    page = start
    page.context.add_init_script(f"localStorage.folds = '{kept}'")
    page.goto(OTHER.as_uri())
    opened = [kept == "open" and not answer for answer in folds_that_answer(page)]
    assert page.evaluate(OPEN) == opened and any(opened) == (kept == "open")
    name = {"open": "Fold all", "closed": "Unfold all"}[kept]
    expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()


def test_paper_shows_all_and_the_screen_what_it_did(page):
    page.locator(".fold > summary").nth(1).click()
    before = page.evaluate(OPEN)
    sheets = pypdfium2.PdfDocument(page.pdf())
    printed = letters("".join(s.get_textpage().get_text_bounded() for s in sheets))
    plain = [p for p in soup(FILE).select(".fold p") if not p.select(".math")]
    assert plain and all(letters(p.get_text()) in printed for p in plain)
    assert page.evaluate(OPEN) == before == [n == 1 for n in range(len(before))]


def test_formulas_are_as_large_in_folds_as_elsewhere(page):
    sizes = page.evaluate("""() => [".fold p", "section > p"].map(place => {
        const formulas = document.querySelectorAll(`${place} mjx-container`);
        return [...new Set([...formulas].map(formula => formula.style.fontSize))];
    })""")
    assert len(sizes[0]) == 1 and sizes[0] == sizes[1]
