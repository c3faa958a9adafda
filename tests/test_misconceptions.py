"""Every misconception is refuted by a place in the book that is there, and by numbers
that a cell has printed."""

import re

import nbformat
import pytest
from mdit_py_plugins.anchors.index import slugify

from tools.book import NOTEBOOKS, ROOT

pytestmark = pytest.mark.book

PAGE = (ROOT / "book" / "misconceptions.md").read_text("utf-8")
ENTRIES = re.findall(r"^### (.+)\n\n((?:(?!##).*\n)+)", PAGE, re.M)
LINK = re.compile(r"\]\(\.\./notebooks/([\w-]+)\.ipynb#([\w-]+)\)")


@pytest.fixture(params=ENTRIES, ids=lambda entry: slugify(entry[0])[:40])
def entry(request):
    """What people say, and the text below it."""
    return request.param


def read(notebook):
    return nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", as_version=4).cells


def test_every_entry_is_a_sentence_in_quotes_with_a_text_below():
    assert 0 < len(ENTRIES) == PAGE.count("\n### ")
    assert all(re.fullmatch(r'"[A-Z][^"$]+\."', said) for said, _ in ENTRIES)


def test_an_entry_says_what_is_true_and_stays_short(entry):
    truth, _ = entry[1].split("\n\n**Look at** ")
    assert 10 <= len(truth.split()) <= 100


def test_an_entry_links_to_a_section_with_cells_and_to_a_statement(entry):
    _, places = entry[1].split("**Look at** ")
    assert LINK.search(places)
    for notebook, anchor in LINK.findall(places):
        titles = [
            slugify(title)
            for cell in read(notebook)
            if cell.cell_type == "markdown"
            for title in re.findall(r"^## (.+)", cell.source, re.M)
        ]
        assert anchor in titles, f"{notebook} has no section {anchor}"
    assert re.search(r"\{(eq|prf:ref)\}|\]\(.*\]\(", places)


def test_a_number_of_an_entry_is_one_that_a_cell_has_printed(entry):
    truth, places = entry[1].split("**Look at** ")
    printed = "".join(
        output.get("text", "")
        for notebook, _ in LINK.findall(places)
        for cell in read(notebook)
        for output in cell.get("outputs", [])
    )
    for number in re.findall(r"−?\d+\.\d+|\d+ to \d+|\d{3,}", truth):
        assert number.replace("−", "-") in printed, number
