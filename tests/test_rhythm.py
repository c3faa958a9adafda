"""Words, pictures and lines are counted as the tool says, and the floors hold."""

import re

import nbformat
import pytest

from tools import book, rhythm

# The words of its main line are numbered; each formula is one of them.
PAGE = """---
myst:
  html_meta:
    description: Five words that nobody reads.
---

(ch-toy)=
# One two

:::{admonition} Three
:class: tip
- four $a + b$ six, {term}`seven <another name>`
:::

```{notebook-figure} 09-toy some-cell
:name: fig-toy
eight
```

````{prf:theorem} Nine
:label: thm-toy
Ten

$$
x = y
$$ (eq-toy)
````

````{prf:proof}
folded folded

```{figure} folded.svg
:alt: Not of the main line.
```
````

% a comment

```md
## Exercises

:::{figure} none.svg
```

::::{admonition} Twelve
:class: live live-toy
:name: live-toy
| thirteen | **fourteen** |
|---|---|
::::

## Fifteen

::::{admonition} Sixteen
:class: fold
folded

:::{exercise} folded
folded
:::
::::

seventeen `eighteen, in code` [nineteen](../twenty.md#none)

## Quick questions

:::{admonition} apart?
:class: dropdown question

folded
:::

````{exercise} apart
:label: ex-toy

apart
````

````{solution} ex-toy
:class: dropdown

folded
````

## Twenty

twenty-one
"""


def without(words, page=PAGE):
    """The page with other names for these directives or classes."""
    return re.sub(words, "tip", page)


@pytest.mark.parametrize(
    "text, n",
    [
        ("", 0),
        ("a b\tc", 3),
        ("- one – two", 2),
        ("| 1 | −2.5 |", 2),
        ("|---|:-:|", 0),
        ("well-known", 1),
        ("{term}`latent variable`", 2),
        ("{term}`one <two three>`, four", 2),
        ("{cite:t}`kingma2014` in {eq}`eq-elbo`", 3),
        ("`a = b + c` is code", 3),
        ("[two words](https://example.org/a b)", 2),
    ],
)
def test_a_word_has_a_letter_or_a_digit(text, n):
    assert rhythm.words(text) == n


def test_a_page_has_a_main_line_and_what_is_folded_or_apart():
    found = rhythm.page_rhythm(PAGE)
    assert found["main line"] == 21
    assert found["folded"] == 7 and found["apart"] == 5


def test_pictures_of_the_main_line_divide_it():
    found = rhythm.page_rhythm(PAGE)
    assert (found["still"], found["live"], found["pictures"]) == (1, 1, 2)
    assert found["words per picture"] == 21 / 2
    assert found["before the first"] == 7
    assert found["longest stretch"] == 10


def test_a_page_without_pictures_is_one_stretch():
    found = rhythm.page_rhythm(without("notebook-figure|live"))
    assert found["pictures"] == 0
    assert found["before the first"] == found["longest stretch"] == found["main line"]


@pytest.mark.parametrize("path", book.chapter_pages(), ids=lambda path: path.stem)
def test_folding_moves_words_and_loses_none(path):
    page = path.read_text("utf-8")
    folded = rhythm.page_rhythm(page)
    flat = rhythm.page_rhythm(without("prf:proof|dropdown", page))
    layers = ("main line", "folded", "apart")
    assert sum(flat[a] for a in layers) == sum(folded[a] for a in layers)
    assert flat["main line"] > folded["main line"]


def notebook(*cells):
    """A notebook of these cells: text, or the tags of a cell and its code."""
    return nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(cell)
            if isinstance(cell, str)
            else nbformat.v4.new_code_cell(cell[1], metadata={"tags": cell[0].split()})
            for cell in cells
        ]
    )


def test_code_is_measured_by_the_lines_that_are_shown():
    long = "x" * 69
    found = rhythm.notebook_rhythm(
        notebook(
            "# One two\n\n$$a = b$$",
            ("setup", "import sys\n" * 9),
            ("eq-toy", "a = 1\n  \nb = 2\n"),
            ("check hide-input", "assert a < b\n" * 9),
            ("", f"def f():\n    {long}\n    return 1"),
            "four",
            ("", "f()"),
        )
    )
    assert (found["cells"], found["median cell"], found["longest cell"]) == (3, 2, 3)
    assert found["silence"] == 5
    assert found["characters"] == (5 + 5 + 8 + 73 + 12 + 3) / 6
    assert found["over 72"] == 1
    assert found["words"] == 4 and found["words per line"] == 4 / 6


def test_answers_and_hidden_tests_do_not_count():
    hidden = "check.f(f)\n\n\n### BEGIN HIDDEN TESTS\nf()\n### END HIDDEN TESTS"
    found = rhythm.notebook_rhythm(
        notebook(("", "import f"), ("hide-input", "def f():\n    pass"), ("", hidden))
    )
    assert found["silence"] == 2 and found["longest cell"] == 1


def test_figures_are_the_pictures_that_cells_show():
    one = notebook("Six words for each of them.", ("", "draw()"), ("", "draw()"))
    png = {"image/png": "iVBORw0KGgo="}
    shown = nbformat.v4.new_output("display_data", data=png)
    for cell in one.cells[1:]:
        cell.outputs = [nbformat.v4.new_output("stream", text="1"), shown]
    found = rhythm.notebook_rhythm(one)
    assert found["figures"] == 2 and found["words per figure"] == 3


def test_a_number_beyond_its_floor_is_named_and_marked():
    at = {**rhythm.AT_MOST, **rhythm.AT_LEAST}
    assert not rhythm.faults("book/01-toy", at)
    for what in rhythm.AT_MOST:
        assert rhythm.faults("book/01-toy", {what: at[what] + 0.1}) == [what]
    for what in rhythm.AT_LEAST:
        assert rhythm.faults("book/01-toy", {what: at[what] - 0.1}) == [what]
    pages = {"book/01-good": at, "book/02-bad": at | {"pictures": 4}}
    head, *rows = rhythm.table(pages).splitlines()
    assert [row.count("!") for row in rows] == [0, 1] and "4! |" in rows[1]
    assert {len(row) for row in rows} == {len(head)}


def test_a_page_that_is_no_chapter_may_have_fewer_pictures_and_no_other_fault():
    for what in rhythm.OF_CHAPTERS:
        assert not rhythm.faults("book/toy", {what: 0})
    for what in rhythm.AT_MOST:
        assert rhythm.faults("book/toy", {what: rhythm.AT_MOST[what] + 0.1}) == [what]


@pytest.mark.book
def test_pages_and_notebooks_keep_to_their_floors():
    """But for those of a chapter that is begun, with a TODO."""
    begun = {gap.split(".")[0] for gap in book.gaps()}
    found = {name: one for table in rhythm.rhythms() for name, one in table.items()}
    faults = {
        name: rhythm.faults(name, found[name]) for name in found if name not in begun
    }
    assert faults and not {name: each for name, each in faults.items() if each}
