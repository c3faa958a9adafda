"""Ways through the book: paths, terms, and links between page and notebook."""

import re

import nbformat
import pytest
import yaml
from mdit_py_plugins.anchors.index import slugify

from tools import register
from tools.notebooks import NOTEBOOKS, ROOT

pytestmark = pytest.mark.book

PAGES = sorted((ROOT / "book").glob("*.md"))
CHAPTERS = [path for path in PAGES if path.stem[0].isdigit()]
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
