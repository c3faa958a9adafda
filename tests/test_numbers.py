"""Chapters, and what is in them, have the same number wherever one looks."""

import re

import pytest
from bs4 import BeautifulSoup
from built_site import SITE
from nbformat import read

from tools.book import NOTEBOOKS, chapter_number, pages, title
from tools.numbers import numbers, with_numbers

pytestmark = pytest.mark.book

IN_CHAPTERS, chapter = {}, 0  # by the number of a chapter, its pages in their order
for page in pages():
    if page.level < 3:
        chapter = chapter_number(page.name)
    if chapter:
        IN_CHAPTERS.setdefault(chapter, []).append(page.name)
NUMBER = re.compile(r"(?:\(|[A-Z][a-z]+ )(\d+\.\d+)\)?")
KINDS = {
    "equations": ".eqno",
    "statements": ".proof > .admonition-title > .caption-number",
    "figures": "figcaption .caption-number",
    "exercises": ".exercise > .admonition-title > .caption-number",
}


@pytest.fixture(scope="module")
def site():
    """Every page by its name."""
    names = [page.name for page in pages()]
    texts = {name: (SITE / f"{name}.html").read_text("utf-8") for name in names}
    return {name: BeautifulSoup(text, "html.parser") for name, text in texts.items()}


@pytest.fixture(scope="module")
def called(site):
    """By page and anchor, what each numbered thing is called there."""
    found = {}
    for name, page in site.items():
        for words in page.article.find_all(class_=["eqno", "caption-number"]):
            box = words.find_parent(id=True)
            for kind, place in KINDS.items():
                if words.css.match(place):
                    found[name, box["id"]] = kind, plain(words)
    return found


@pytest.fixture(scope="module")
def entries(site):
    """By page and anchor, what menus, rows of tables and neighbours call it."""
    found = {}
    for name, page in site.items():
        for link in page.select("nav a.internal, .prev-next-area a, article td a"):
            said = plain(link.select_one(".prev-next-title") or link)
            found.setdefault(target(name, link["href"]), set()).add(said)
    return found


def plain(element):
    """Its text in one line, without the sign of the link that it holds."""
    return " ".join(element.get_text().replace("#", " ").split())


def target(name, href):
    """(page, anchor) to which a link on this page leads."""
    path, _, anchor = href.partition("#")
    file = (SITE / name).parent / path if path else SITE / f"{name}.html"
    file = file.resolve()
    if not file.is_relative_to(SITE):
        return "", anchor
    return file.relative_to(SITE).with_suffix("").as_posix(), anchor


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chapter", IN_CHAPTERS)
def test_numbers_of_a_chapter_run_without_a_gap(chapter, kind, called):
    there = IN_CHAPTERS[chapter]
    found = [
        NUMBER.fullmatch(words)[1]
        for (name, _), (other, words) in called.items()
        if name in there and other == kind
    ]
    assert found == [f"{chapter}.{n}" for n in range(1, len(found) + 1)]
    assert found or kind == "figures", "a chapter may do with its notebook's figures"


def test_sources_give_each_label_the_number_of_the_site(called):
    known = numbers()
    found = {}
    for chapter in IN_CHAPTERS.values():
        for (name, anchor), (kind, words) in called.items():
            if name in chapter and kind != "exercises":
                found[anchor.removeprefix("equation-")] = words
    unlabelled = {at for at in found if re.fullmatch(r"(id|[a-z]+-)\d+", at)}
    assert {at: found[at] for at in found.keys() - unlabelled} == known
    assert len(known) > 3 * len(IN_CHAPTERS)


@pytest.mark.parametrize("chapter", IN_CHAPTERS)
def test_a_chapter_has_its_number_in_its_title_and_wherever_that_stands(
    chapter, site, entries
):
    name = IN_CHAPTERS[chapter][0]
    numbered = title(name.removeprefix("book/"))
    assert numbered.startswith(f"{chapter}. ")
    assert [plain(h1) for h1 in site[name].select("h1")] == [numbered] * 2  # one prints
    by_number = re.compile(rf"(?:chapter )?{chapter}")  # in the text of a table
    named = {said for said in entries[name, ""] if not by_number.fullmatch(said)}
    assert named == {numbered}


def test_nothing_but_chapters_has_a_number_in_its_title(site):
    chapters = {there[0] for there in IN_CHAPTERS.values()}
    for name, page in site.items():
        found = page.select("article :is(h1, h2, h3, h4) .section-number")
        assert len(found) == (name in chapters), name


def test_a_link_calls_what_it_leads_to_by_its_number(site, called):
    """In the pages, the register, the glossary, the notebooks: wherever one stands."""
    n_links = 0
    for name, page in site.items():
        for link in page.select("article a.reference"):
            at = target(name, link["href"])
            said = re.match(r"\(\d[\d.]*\)|[A-Z][a-z]+ \d[\d.]*(?= |$)", plain(link))
            if at in called and said:
                assert said[0] == called[at][1], (name, link)
                n_links += 1
            elif at in called:
                assert not name.startswith("notebooks/"), (name, link)
    assert n_links > 500


def test_a_number_is_put_into_a_link_once_and_corrected():
    known = {"thm-a": "Theorem 9.2", "eq-b": "(9.3)", "fig-c": "Figure 1.1"}
    page = "../book/09-toy.md"
    written = f"In the book: [the sum]({page}#eq-b), theorem [A (of B)\nand C]({page}"
    written += f"#thm-a), by figure [a map](../{page}#fig-c)."
    expected = (
        f"In the book: [(9.3) the sum]({page}#eq-b), [Theorem 9.2 (A (of B)\nand "
    )
    expected += f"C)]({page}#thm-a), by [Figure 1.1 (a map)](../{page}#fig-c)."
    assert with_numbers(written, known) == expected
    assert with_numbers(expected, known) == expected
    moved = {"thm-a": "Lemma 9.10", "eq-b": "(10.1)", "fig-c": "Figure 2.4"}
    assert with_numbers(with_numbers(expected, moved), known) == expected
    other = f"[a section]({page}#sec-d) and theorem [A]({page})"
    assert with_numbers(other, known) == other


def test_notebooks_have_the_numbers_of_the_pages():
    known = numbers()
    for path in sorted(NOTEBOOKS.rglob("*.ipynb")):
        for cell in read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                renewed = with_numbers(cell.source, known)
                assert renewed == cell.source, f"{path.stem}: python -m tools.numbers"
