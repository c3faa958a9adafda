"""Sphinx extension: what the theme leaves to mend, and what a published site adds.

A site has an address when `make configure` gave it one. Then every page has a card and
a link to its source, and there are a sitemap and a page for readers who got lost.
"""

import html
import re
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

# Without a source of their own these pages have no front matter to describe them.
DESCRIPTIONS = {
    "search": "Search the text, the notebooks and the library's documentation.",
    "genindex": "Every term, function and class of the book, with the page it is on.",
    "py-modindex": "The modules of the library vae_lib, with the page they are on.",
    "404": "This page does not exist; the book's index and its search help on.",
    "prf-prf": "Every numbered definition, theorem and lemma of the book.",
}

SCROLLS = '<div class="pst-scrollable-table-container" tabindex="0">'
PROOF = '<div class="proof proof-text admonition">'
FORMULA = '<span class="math[^"]*">[^<]*</span>'
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
    # A proof begins with a word that is to be found at a glance.
    (f"{PROOF}\n<p>Proof. ", f"{PROOF}\n<p><b>Proof.</b> "),
)
LINE_BREAKS = (
    # Browsers break a line beside a formula, even between it and its comma.
    (
        rf"\({FORMULA}[,.;:!?)’”]*|{FORMULA}[,.;:!?)’”]+",
        r'<span class="held">\g<0></span>',
    ),
    # Long names of files and functions break after a word of them.
    (
        '(?<=<span class="pre">)[^<]{29,}',
        lambda name: re.sub("(?<=[a-z]{4})[/_]", r"\g<0><wbr>", name[0]),
    ),
)


def describe(app: Sphinx, pagename: str, templatename, context: dict, doctree) -> None:
    """Give the page a description, and its card (if it has one) the same."""
    tags = context.get("metatags") or ""
    written = re.search(r'<meta content="([^"]*)" name="description"', tags)
    if written:
        text = written[1]
    else:
        text = html.escape(DESCRIPTIONS.get(pagename) or _first_paragraph(doctree))
        context["metatags"] = f'{tags}<meta content="{text}" name="description" />\n'
    context["meta"] = (context.get("meta") or {}) | {
        "og:description": text,
        "og:image:alt": "The page's title and first words beside the book's cover.",
    }


def search_better(app: Sphinx, pagename: str, *args) -> None:
    """Give the page of the search a script of its own."""
    if pagename == "search":
        app.add_js_file("search.js", defer="defer")


def mend(app: Sphinx, pagename: str, templatename, context: dict, doctree) -> None:
    """Give the page's lists, boxes and menus what they lack, and lines good ends."""
    for wrong, right in CORRECTIONS:
        if "body" in context:
            context["body"] = context["body"].replace(wrong, right)
    for pattern, right in LINE_BREAKS:
        if "body" in context:
            context["body"] = re.sub(pattern, right, context["body"])
    if pagename != "search":  # scripts of its own follow these at once
        tag = context["js_tag"]
        context["js_tag"] = lambda script: _waiting(tag(script))
    # The theme keeps the sidebar that it made, but only for a call that looks the same.
    sidebar = context["generate_toctree_html"]
    context["generate_toctree_html"] = lambda **options: _with_names(sidebar(**options))


def _waiting(script: str) -> str:
    """The tag of a script that runs when the page is there, unless a line needs it."""
    if " src=" not in script or "defer" in script or "documentation_options" in script:
        return script
    return script.replace("<script ", '<script defer="defer" ', 1)


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


PUBLISHED = ("sphinxext.opengraph", "sphinx_sitemap", "notfound.extension")


def publish(app: Sphinx, config: Config) -> None:
    """Set what the extensions of a published site need to know of its address."""
    config.ogp_site_url = config.html_baseurl
    config.ogp_site_name = config.html_title
    config.ogp_social_cards = {
        "image": "book/_static/cover.png",
        "image_mini": "book/_static/favicon.png",
        "line_color": "#14808d",
    }
    config.sitemap_url_scheme = "{link}"
    config.sitemap_excludes = ["404.html", "search.html"]
    root = config.notfound_urls_prefix = urlsplit(config.html_baseurl).path
    config.notfound_context = {
        "title": "This page does not exist",
        "body": "<h1>This page does not exist</h1><p>It may have moved. "
        f'<a href="{root}book/index.html">The book\'s first page</a> leads to every '
        f'other one, and <a href="{root}search.html">the search</a> finds every term.'
        "</p>",
    }
    # The theme would take the branch that holds the site.
    settings = yaml.safe_load(Path(app.srcdir, "_config.yml").read_text("utf-8"))
    repository = settings["repository"]
    config.html_context["edit_page_provider_name"] = "GitHub"
    config.html_context["edit_page_url_template"] = (
        f"{repository['url']}/edit/{repository['edits']}/{{{{ file_name }}}}"
    )


def without_numbers(app: Sphinx, what, name, member, options, lines: list) -> None:
    """Do not document the fields of a named tuple by their numbers."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", without_numbers)
    # The theme's functions and those that draw cards run at 500.
    app.connect("html-page-context", describe, priority=400)
    app.connect("html-page-context", mend, priority=600)
    app.connect("html-page-context", search_better)
    if app.config.html_baseurl:
        for extension in PUBLISHED:
            app.setup_extension(extension)
        app.connect("config-inited", publish, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
