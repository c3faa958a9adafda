"""Ways through the book: paths, terms, and links between page and notebook."""

import re
from typing import NamedTuple

import nbformat
import pytest
from mdit_py_plugins.anchors.index import slugify
from prose import minutes

from tools.book import NOTEBOOKS, ROOT, all_equations, companions, notebooks_of

pytestmark = pytest.mark.book

PAGES = sorted((ROOT / "book").glob("*.md"))
CHAPTERS = [path for path in PAGES if path.stem[0].isdigit()]
WITH_NOTEBOOK = [p for p in PAGES if p in CHAPTERS or p.stem in companions()]
CHECKED = [p for p in WITH_NOTEBOOK if "## Checked by machine" in p.read_text("utf-8")]
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def stem(path):
    return path.stem


def glossary():
    """The terms of the glossary and the text that defines them."""
    body = (ROOT / "book" / "glossary.md").read_text("utf-8")
    body = body.split("```{glossary}")[1].split("```")[0]
    return dict(re.findall(r"^(\S.*)\n((?:  .*\n)+)", body, re.MULTILINE))


# A term counts in the running text of a chapter, before its table of checks: not in
# headings, tables, formulas, code, titles and options of directives, nor in the boxes
# that state the goals or hold a live figure.
NOT_RUNNING_TEXT = [
    r"\A---\n.*?\n---\n",
    r"^:::\{admonition\} (?:Goals|Try it).*?^:::$",
    r"^```(?:\w+|\{(?:literalinclude|raw|code-block)\}).*?^```$",
    r"^\$\$.*?\$\$[^\n]*$",
    r"^#+ [^\n]*$",
    r"^[`:]{3,}[^\n]*$",
    r"^:[\w-]+:[^\n]*$",
    r"^\|[^\n]*$",
]
FORMULA_ROLE_OR_CODE = r"\$[^$]+\$|`[^`]*`"
TERM_LINK = re.compile(r"\{term\}`(?:[^`<]+<)?([^`<>]+)>?`")
# Words of everyday language: they are the term only on a page that links them.
EVERYDAY = {"gap", "rate"}
ALSO = {"variational auto-encoder": "VAE"}


def blank(pattern, text):
    """The text with each match replaced by as many spaces."""
    flags = re.DOTALL | re.MULTILINE | re.IGNORECASE
    return re.sub(pattern, lambda m: re.sub(r"\S", " ", m[0]), text, flags=flags)


def word(term):
    """Pattern of a term in any case, singular or plural, across a line's end."""
    forms = [re.escape(form) for form in (term, ALSO.get(term)) if form]
    forms = [form.replace(r"\ ", r"\s+").removesuffix("y") for form in forms]
    return rf"(?<![\w-])(?:{'|'.join(forms)})(?:s|es|y|ies)?(?![\w-])"


def first_uses(page, terms):
    """(place of the first link, place of the first plain use) by term, None if none."""
    text = page.split("\n## Checked by machine")[0]
    for pattern in NOT_RUNNING_TEXT:
        text = blank(pattern, text)
    linked = {m[1]: m.start() for m in reversed([*TERM_LINK.finditer(text)])}
    text, used = blank(FORMULA_ROLE_OR_CODE, blank(TERM_LINK.pattern, text)), {}
    # Longest first: an importance-weighted bound is not the word "bound" in it.
    for term in sorted(terms, key=len, reverse=True):
        found = re.search(word(term), text, re.IGNORECASE)
        used[term] = found.start() if found else None
        text = blank(word(term), text)
    return {term: (linked.get(term), used[term]) for term in terms}


def unlinked(page, terms):
    """The terms that a page uses before it links them, with the place of that use."""
    return {
        term: use
        for term, (link, use) in first_uses(page, terms).items()
        if use is not None
        and (use < link if link is not None else term not in EVERYDAY)
    }


@pytest.mark.parametrize("path", CHAPTERS, ids=stem)
def test_a_term_is_linked_where_a_chapter_first_uses_it(path):
    page = path.read_text("utf-8")
    late = unlinked(page, glossary())
    lines = {term: page[:use].count("\n") + 1 for term, use in late.items()}
    assert not lines, f"{path.name}, term and line: {lines}"


@pytest.mark.parametrize("path", CHAPTERS, ids=stem)
def test_notation_is_linked_before_the_first_formula_of_the_text(path):
    _, goals, text = path.read_text("utf-8").split("\n:::", 2)
    assert "{doc}`notation`" in goals and "{doc}`glossary`" in goals
    assert "$" in text


def chapter(page):
    """The stem of the chapter that a page is, or belongs to."""
    return companions().get(page.stem, page.stem)


def sections(path):
    """(heading, Markdown, tags) of the sections of a notebook, title first."""
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            found[-1][2].extend(cell.metadata.get("tags", []))
            continue
        for part in re.split(r"(?m)^(?=#+ )", cell.source):
            if part.startswith("#"):
                found.append([part.splitlines()[0].lstrip("# "), part, []])
            elif part:
                found[-1][1] += part
    return found


def sections_of(page):
    """The Markdown of each section of a chapter's notebooks, by its slug."""
    found = [part for path in notebooks_of(chapter(page)) for part in sections(path)]
    return {slugify(heading): markdown for heading, markdown, _ in found}


def labels_linked(markdown):
    """(page, label) of every link to something numbered on a page."""
    return set(re.findall(r"\]\(\.\./book/([\w-]+)\.md#([\w-]+)\)", markdown))


@pytest.mark.parametrize("path", PATHS, ids=stem)
def test_a_section_of_a_notebook_links_to_each_equation_that_it_checks(path):
    pages = {equation.label: equation.page for equation in all_equations()}
    for heading, markdown, tags in sections(path):
        checked = {(pages[tag], tag) for tag in tags if tag.startswith("eq-")}
        assert checked <= labels_linked(markdown), (heading, checked)


def rows_of_checks(page):
    """(labels of statements, slugs of the notebook's sections) by row of the table."""
    table = page.read_text("utf-8").split("## Checked by machine")[1].split("\n## ")[0]
    for row in table.splitlines():
        left, _, right = row.partition(" | ")
        labels = set(re.findall(r"\{prf:ref\}`([\w-]+)`", left))
        yield (
            row,
            labels,
            set(re.findall(rf"/{chapter(page)}(?:-\d)?\.ipynb#([\w-]+)\)", right)),
        )


def test_each_chapter_says_what_is_checked():
    assert set(CHAPTERS) <= set(CHECKED)


@pytest.mark.parametrize("page", CHECKED, ids=stem)
def test_theorem_and_the_section_that_checks_it_link_to_each_other(page):
    markdown = sections_of(page)
    found = False
    for row, labels, slugs in rows_of_checks(page):
        assert bool(slugs) == ("notebook" in row), row
        found |= bool(slugs)
        for slug in slugs:
            back = {label for _, label in labels_linked(markdown[slug])}
            assert labels <= back, (slug, labels - back)
    assert found, "no row names a section of the notebook"


@pytest.mark.parametrize("page", CHECKED, ids=stem)
def test_figure_and_the_section_that_draws_it_link_to_each_other(page):
    markdown = sections_of(page)
    figures = re.findall(r"^```\{figure\}.*?^```", page.read_text("utf-8"), re.S | re.M)
    for figure in figures:
        label = re.search(r":name: (\S+)", figure)[1]
        slugs = re.findall(rf"/{chapter(page)}(?:-\d)?\.ipynb#([\w-]+)\)", figure)
        assert slugs, f"{label}: its caption names no section of the notebook"
        for slug in slugs:
            assert (page.stem, label) in labels_linked(markdown[slug]), label


@pytest.mark.parametrize("path", PATHS, ids=stem)
def test_a_notebook_ends_with_the_way_back_and_a_next_step(path):
    cells = nbformat.read(path, as_version=4).cells
    first, last = cells[0].source, [c for c in cells if c.cell_type == "markdown"][-1]
    assert re.search(r"minute|second", first)
    chapter = re.sub(r"-\d$", "", path.stem)
    assert f"](../book/{chapter}.md)" in first
    end = last.source.split("\n\n")[-1]
    back, onward = end.split("Next: ")
    assert "Back to the page: [" in back and f"](../book/{chapter}.md)" in back
    targets = re.findall(r"\]\(([^)]+)\)", onward)
    assert targets and f"../book/{chapter}.md" not in targets
    assert all((path.parent / target).exists() for target in targets)
    following = notebooks_of(chapter)[notebooks_of(chapter).index(path) + 1 :]
    assert not following or following[0].name in targets


def section_words(target):
    """Words, a formula counting as one, of a section of a page."""
    name, _, slug = target.partition("#")
    page = (ROOT / "book" / name).read_text("utf-8")
    parts = {slugify(p.splitlines()[0]): p for p in re.split(r"(?m)^## ", page)[1:]}
    text = re.sub(r"\$\$.*?\$\$|\$[^$]+\$", " formula ", parts[slug], flags=re.DOTALL)
    return len(re.findall(r"[\w'-]+", re.sub(r"\]\([^)]*\)|\{[^}]*\}", "", text)))


class Way(NamedTuple):
    """A card of the index that tells what to read in which order."""

    title: str
    minutes: int  # in all
    text: str
    lines: list[str]  # of its list


def ways():
    index = (ROOT / "book" / "index.md").read_text("utf-8")
    card = r"(?sm)\{grid-item-card\} ([^\n:]+):(?: (\d+) h)?(?: (\d+) min)?\n(.*?)^:"
    for title, hours, rest, body in re.findall(card, index):
        text, *lines = re.split(r"\n\d+\. ", body)
        yield Way(title, 60 * int(hours or 0) + int(rest or 0), text, lines)


WAYS = list(ways())
NAMES_OF_NUMBERS = (
    "One Two Three Four Five Six Seven Eight Nine Ten Eleven Twelve".split()
)


def test_the_shortest_way_of_the_index_takes_half_an_hour_at_most():
    assert min(way.minutes for way in WAYS) <= 30


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title)
def test_a_way_says_what_for_and_its_steps_add_up(way):
    assert "Afterwards you can " in way.text or "afterwards you can " in way.text
    steps = [int(m) for line in way.lines for m in re.findall(r"(\d+)&nbsp;min", line)]
    assert sum(steps) == way.minutes, f"{sum(steps)} minutes"
    if days := re.search(r"(\w+) days", way.text):
        assert NAMES_OF_NUMBERS.index(days[1]) + 1 == len(way.lines)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title)
def test_a_way_states_the_minutes_that_its_pages_state(way):
    for step in (step for line in way.lines for step in line.split("min, and ")):
        said = int(re.search(r", (\d+)", step)[1])
        target = re.search(r"\]\(([^)]+)\)|`[^<]+<([\w-]+)>`", step)
        if target[2]:  # a figure to play with, which states no time
            assert any(
                f":name: {target[2]}\n" in p.read_text("utf-8") for p in CHAPTERS
            )
            assert 0 < said <= 10, step
        elif target[1].startswith("../notebooks/"):
            name, _, section = (
                target[1].removeprefix("../notebooks/").partition(".ipynb")
            )
            whole = minutes(name)[1]
            assert said < whole if section else said == whole, step
        elif "#" in target[1]:
            # A slow reader's 40 to a fast one's 150 words in a minute.
            assert 40 <= section_words(target[1]) / said <= 150, step
        else:
            page, notebook = minutes(target[1].removesuffix(".md"))
            with_notebook = "then its notebook" in way.text
            assert said == page + with_notebook * (notebook or 0), step


def test_table_of_the_index_states_the_minutes_of_each_page():
    index = (ROOT / "book" / "index.md").read_text("utf-8")
    rows = re.findall(r"^\| \{doc\}`([\w-]+)` .* \| ([\d +]+) \|$", index, re.MULTILINE)
    assert {path.stem for path in CHAPTERS} <= {name for name, _ in rows}
    for name, said in rows:
        expected = " + ".join(str(part) for part in minutes(name) if part)
        assert said == expected, name


@pytest.mark.parametrize("width", [1300, 375])
def test_the_first_button_of_the_index_opens_the_explorer_itself(open_page, width):
    page = open_page(ROOT / "_build/html/book/index.html", width=width)
    button = page.locator("article a.sd-btn").first
    box = button.bounding_box()
    assert "explorer" in button.inner_text() and box["y"] + box["height"] < 900
    button.click()
    page.wait_for_url("**/07-vae.html#live-latent-explorer")
    explorer = page.locator("#live-latent-explorer")
    explorer.locator("canvas").first.wait_for(timeout=15_000)
    assert "decoder" in explorer.inner_text()
    top = explorer.bounding_box()["y"]
    assert 0 <= top < 450, "the explorer is not what the reader sees first"


@pytest.mark.parametrize("path", [p for p in PAGES if p not in CHAPTERS], ids=stem)
def test_an_appendix_says_what_it_is_for_what_it_takes_and_where_to_go_next(path):
    page = path.read_text("utf-8")
    if path.stem == "index":
        return
    head = re.search(r"^# .*\n\n((?:\*\*.*\n)+)", page, re.MULTILINE)[1]
    parts = re.findall(r"^\*\*(For|You need|Time|Next)\*\*", head, re.MULTILINE)
    assert parts == ["For", "You need", "Time", "Next"]
    onward = head.split("**Next**")[1]
    assert re.search(r"\{(doc|ref)\}`|the place|the page", onward)


@pytest.mark.parametrize("path", CHAPTERS, ids=stem)
def test_a_chapter_ends_with_its_notebook_and_the_next_chapter(path):
    end = path.read_text("utf-8").split("## What to read next")[1]
    assert f"../notebooks/{path.stem}" in end
    onward = set(re.findall(r"\{(?:doc|ref)\}`(?:[^`<]+<)?([\w-]+)>?`", end))
    assert onward & ({chapter.stem for chapter in CHAPTERS} | {"ways"}) - {path.stem}
