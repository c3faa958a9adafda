"""Sphinx extension: chapters have the number of their file, and number what is in them.

Sphinx would count the chapters in the order of _toc.yml: a chapter that is written
before the one with the next smaller number would be called by another number than the
text calls it. What stands in a chapter has its number in front: Theorem 9.2, (9.3).
All kinds of statements share one count, so that a reader finds Theorem 9.2 after
Definition 9.1.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment.collectors.toctree import TocTreeCollector
from sphinx_proof.proof_type import PROOF_TYPES

from tools.book import chapter_number


def number_chapters(collector: TocTreeCollector, env) -> list[str]:
    """Number the titles of the chapters, and say which pages are to be written anew."""
    before, env.toc_secnumbers = env.toc_secnumbers, {}
    for page, contents in env.tocs.items():
        if number := chapter_number(page):
            title, *sections = contents.findall(nodes.reference)
            # Sections have none of their own; without a word they would get the page's.
            numbers = {section["anchorname"]: None for section in sections}
            env.toc_secnumbers[page] = {"": (number,), **numbers}
            env.titles[page]["secnumber"] = title["secnumber"] = (number,)
    now = env.toc_secnumbers
    return [page for page in now if now[page] != before.get(page)]


def name_and_count(app: Sphinx, config: Config) -> None:
    """Let all kinds of statements share one count; a figure is no "Fig."."""
    config.prf_realtyp_to_countertyp = dict.fromkeys(PROOF_TYPES, "theorem")
    config.numfig_format = {"figure": "Figure %s"} | config.numfig_format


def number_rows(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put the number before a chapter's title where a table links to it."""
    titles = app.env.titles.values()
    known = {t.astext(): t["secnumber"][0] for t in titles if t.get("secnumber")}
    for cell in doctree.findall(nodes.entry):
        for words in cell.findall(nodes.inline):
            if "doc" in words["classes"] and words.astext() in known:
                words.insert(0, nodes.Text(f"{known[words.astext()]}. "))


def number_print(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Put the number before the title that a page has when a browser prints it."""
    if number := chapter_number(page):
        context["pagetitle"] = f"{number}. {context['pagetitle']}"


def setup(app: Sphinx) -> dict[str, bool]:
    # Not an event: Sphinx numbers the chapters and what is in them in one go.
    TocTreeCollector.assign_section_numbers = number_chapters
    app.connect("config-inited", name_and_count, priority=400)
    app.connect("doctree-resolved", number_rows)
    # The theme sets it at 500.
    app.connect("html-page-context", number_print, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
