"""Sphinx extension: what the theme leaves to mend in the pages' HTML."""

import html
import re

from docutils import nodes
from sphinx.application import Sphinx

# Without a source of their own these pages have no front matter to describe them.
DESCRIPTIONS = {
    "search": "Search the text, the notebooks and the library's documentation.",
    "genindex": "Every term, function and class of the book, with the page it is on.",
    "py-modindex": "The modules of the library vae_lib, with the page they are on.",
    "prf-prf": "Every numbered definition, theorem and lemma of the book.",
}

SCROLLS = '<div class="pst-scrollable-table-container" tabindex="0">'
PROOF = '<div class="proof proof-text admonition">'
CORRECTIONS = (
    # The bibliography: a role that ARIA retires, in lists that hold bare links as well.
    (' role="doc-biblioentry"', ""),
    ('<div role="list" class="', '<div class="'),
    # Proofs without a label of their own share one identifier.
    ('<div class="proof admonition" id="proof">', PROOF),
    # A box that scrolls must be within reach of the keyboard.
    ('<div class="pst-scrollable-table-container">', SCROLLS),
    # Folded cells: the name hides the words that are to be seen.
    ('<summary aria-label="Toggle hidden content">', "<summary>"),
)


def mend(app: Sphinx, pagename: str, templatename, context: dict, doctree) -> None:
    """Describe the page, and give its lists and menus the roles and names they lack."""
    tags = context.get("metatags") or ""
    if 'name="description"' not in tags:
        text = html.escape(DESCRIPTIONS.get(pagename) or _first_paragraph(doctree))
        context["metatags"] = f'{tags}<meta name="description" content="{text}" />\n'
    for wrong, right in CORRECTIONS:
        if "body" in context:
            context["body"] = context["body"].replace(wrong, right)
    sidebar = context["generate_toctree_html"]
    context["generate_toctree_html"] = lambda kind, **options: _with_names(
        sidebar(kind, **options)
    )


def _first_paragraph(doctree) -> str:
    """The first paragraph's text, cut at a word to 200 characters."""
    text = " ".join(next(doctree.findall(nodes.paragraph)).astext().split())
    text = re.sub(r"\\math\w+ ?|[\\{}]", "", text)  # TeX, as it would be read aloud
    return text if len(text) <= 200 else text[:198].rsplit(" ", 1)[0] + " …"


def _with_names(toctree):
    """The sidebar's table of contents, each arrow named after the entry it unfolds."""
    for summary in toctree.select("summary"):
        chapter = summary.find_parent("li").find("a").get_text()
        summary["aria-label"] = f"Pages under {chapter}"
    return toctree


def setup(app: Sphinx) -> dict[str, bool]:
    # After the theme's own functions, which run at 500.
    app.connect("html-page-context", mend, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
