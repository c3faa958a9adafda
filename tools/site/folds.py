"""Sphinx extension: the second layer of a page, which a reader unfolds.

Any box of the class ``dropdown`` (a proof, a remark, a solution, an admonition) becomes
a ``<details>``. It is written open: without scripts, and on paper, nothing is missing.
layout.html closes it before it is seen, and folds.js opens it again where a link leads.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator
from sphinx_proof.nodes import proof_node

BOX = re.compile(
    r'\s*<div class="(?P<classes>[^"]*)"(?P<id>[^>]*)>\s*'
    r'<p class="admonition-title"[^>]*>(?P<title>.*?)</p>(?P<content>.*)</div>\s*',
    re.DOTALL,
)
FOLD = re.compile('<details class="(?![^"]*(?:question|solution))[^"]* fold"')
LINK = re.compile(r"</?a\b[^>]*>")
# Each button says what it does; a style sheet shows the one that is of use.
BUTTON = """
<button class="fold-all d-print-none" type="button">
<span class="unfolds">Unfold all</span><span class="folds">Fold all</span>
</button>"""


class Fold(nodes.General, nodes.Element):
    """What stands around a box that is folded."""


def wrap(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put every box of the class ``dropdown`` into a fold."""
    if app.builder.format != "html":
        return
    for box in [*doctree.findall(nodes.Admonition)]:
        if "dropdown" in box["classes"]:
            fold = Fold()
            box["classes"].remove("dropdown")
            if isinstance(box.parent, proof_node):
                fold["of"] = give_title(box)
            box.parent.replace(box, fold)
            fold += box


def give_title(proof: nodes.admonition) -> str:
    """Turn a proof's first word into its title; the label of what it proves, or ""."""
    first = next(proof.findall(nodes.Text))
    first.parent.replace(first, nodes.Text(first.removeprefix("Proof. ")))
    proof.insert(0, nodes.title("", "Proof"))
    proof["ids"] = []  # the same for all proofs
    proof["classes"].append("proof-text")
    siblings = proof.parent.parent.children
    for before in reversed(siblings[: siblings.index(proof.parent)]):
        if isinstance(before, nodes.Admonition) and "proof" in before["classes"]:
            return before["ids"][0]  # its idea in two sentences may stand between
    return ""


def number(page: str, label: str) -> str:
    """What a page calls its statement with this label: "Theorem 6"."""
    stated = rf' id="{label}".*?<span class="caption-number">(.*?)</span>'
    return re.search(stated, page, re.DOTALL)[1].strip()


def visit(translator: HTML5Translator, fold: Fold) -> None:
    """Remember where the box begins."""
    fold["start"] = len(translator.body)


def depart(translator: HTML5Translator, fold: Fold) -> None:
    """Write the box, which stands there as a <div>, as a <details>."""
    written = translator.body[fold["start"] :]
    del translator.body[fold["start"] :]
    box = BOX.fullmatch("".join(written))
    title = LINK.sub("", box["title"])  # a click on it unfolds, and does nothing else
    if fold.get("of"):
        title += f" of {number(''.join(translator.body), fold['of'])}"
    translator.body.append(
        f'<details class="{box["classes"]} fold"{box["id"]} open="open">\n'
        f'<summary class="admonition-title">{title}</summary>{box["content"]}'
        "</details>\n"
    )


def add_button(
    app: Sphinx, pagename: str, templatename, context: dict, doctree
) -> None:
    """Give a page with folds the button that opens and closes all of them."""
    body = context.get("body", "")
    if FOLD.search(body):
        context["body"] = body.replace("</h1>", f"</h1>{BUTTON}", 1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_node(Fold, html=(visit, depart))
    app.connect("doctree-resolved", wrap)
    app.connect("html-page-context", add_button)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
