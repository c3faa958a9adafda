"""The built site as one page: its articles in the order of _toc.yml, for printing.

Titles move down a level for each level of the table of contents, identifiers carry the
name of their page, and a link from one page to another leads to an anchor of this one.
"""

import re
from html import escape
from posixpath import normpath
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

from tools.book import ROOT, SITE, Page, pages

KINDS = {"book": "Chapter", "notebooks": "Notebook"}
LONG_LISTING = 25  # lines; a shorter one is kept on one page

HEAD = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head><meta charset="utf-8"><title>{title}</title>
<link rel="stylesheet" href="html/_static/pygments.css">
<link rel="stylesheet" href="html/_static/print.css">
<style>{running_heads}</style>
{mathjax}</head>
<body>
"""


def place(page: Page) -> str:
    """What stands above a title: "Chapter 3", "Notebook 3", or nothing."""
    *_, folder, slug = page.name.split("/")
    number = re.match(r"\d+", slug)
    return f"{KINDS[folder]} {int(number[0])} " if number and folder in KINDS else ""


def below_root(address: str, page: Page) -> str:
    """A relative address on a page, as one below the root of the site."""
    folder = page.name.rpartition("/")[0]
    return normpath(f"{folder}/{unquote(urlsplit(address).path)}")


def retarget(link: Tag, page: Page, names: set[str]) -> None:
    """Point a link to its place in the single page; unwrap it where there is none."""
    target = urlsplit(link.get("href", ""))
    if target.scheme in ("http", "https", "mailto"):
        return
    name = below_root(target.path, page).removesuffix(".html")
    if not target.path:
        name = page.name
    if name in names:
        anchor = f":{unquote(target.fragment)}" if target.fragment else ""
        link["href"] = f"#{name}{anchor}"
    else:
        link.unwrap()


def article(soup: BeautifulSoup, page: Page, names: set[str]) -> Tag:
    """The article of a page, for its place among the pages with these names."""
    body = soup.select_one("article.bd-article")
    for summary in body.select(".fold > summary"):
        summary.name = "p"
    for element in body.select(
        ".headerlink, .section-number, .toctree-wrapper, "
        "script, style, canvas, button, input, summary"
    ):
        element.decompose()
    for details in body.find_all("details"):  # folded on the site, open on paper
        details.name = "div"
        if "fold" not in details["class"]:
            details["class"] = []
    for element in body.find_all(id=True):
        element["id"] = f"{page.name}:{element['id']}"
    for link in body.find_all("a"):
        retarget(link, page, names)
    for image in body.find_all("img"):
        image["src"] = "html/" + below_root(image["src"], page)
        image["loading"] = "eager"
    for listing in body.find_all("pre"):
        if listing.get_text().count("\n") > LONG_LISTING:
            listing.parent["class"].append("long")
    for heading in body.find_all(re.compile(r"^h[1-6]$")):
        depth = int(heading.name[1])
        heading["class"] = f"depth-{depth}"
        heading.name = f"h{min(6, depth + page.level - 1)}"
    if place(page):
        above = soup.new_tag("span", attrs={"class": "place"}, string=place(page))
        body.select_one(".depth-1").insert(0, above)
    if page.part:
        part = soup.new_tag("h1", attrs={"class": "part"}, string=page.part)
        body.insert(0, part)
    body["id"] = page.name
    return body


def mathjax(soup: BeautifulSoup, page: Page) -> str:
    """The scripts of a page that set its formulas."""
    scripts = [s for s in soup.find_all("script") if "mathjax" in str(s).lower()]
    for script in scripts:
        if script.get("src"):
            script["src"] = "html/" + below_root(script["src"], page)
    return "\n".join(map(str, scripts))


def title_page() -> str:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    title, subtitle = cff["title"].split(": ")
    authors = ", ".join(author["name"] for author in cff["authors"])
    date = cff["date-released"]
    return f"""<section class="title-page">
<p class="title">{escape(title)}</p>
<p class="subtitle">{escape(subtitle[0].upper() + subtitle[1:])}</p>
<img src="html/_images/cover.png" alt="">
<p class="authors">{escape(authors)}</p>
<p>Version {cff["version"]}, {date.day} {date:%B %Y}</p>
<p>Text and figures CC BY 4.0, code MIT</p>
</section>"""


def contents(titles: dict[Page, str]) -> str:
    """The table of contents, with room for the page numbers."""
    rows = ""
    for page, title in titles.items():
        if page.part:
            rows += f'<p class="part">{escape(page.part)}</p>\n'
        rows += (
            f'<p class="level-{page.level}"><a href="#{page.name}">'
            f"<span>{escape(title)}</span>"
            '<span class="dots"></span><span class="number"></span></a></p>\n'
        )
    return f'<nav><h1 class="depth-1">Contents</h1>\n{rows}</nav>\n'


def assemble() -> str:
    """The whole book as the text of one page, to lie beside the folder of the site."""
    order = pages()
    names = {page.name for page in order}
    titles, articles, heads, scripts = {}, "", "", ""
    for i, page in enumerate(order):
        path = SITE / f"{page.name}.html"
        soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        scripts = scripts or mathjax(soup, page)
        body = article(soup, page, names)
        if 'class="cell tag_setup' in articles:
            for setup in body.select(".tag_setup"):
                setup.decompose()  # the same in every notebook
        titles[page] = " ".join(body.select_one(".depth-1").get_text().split())
        body["style"] = f"page: p{i}"
        articles += f"{body}\n"
        head = titles[page].replace("\\", "\\\\").replace('"', '\\"')
        heads += f'@page p{i} {{ @top-left {{ content: "{head}" }} }}\n'
    title = escape(titles[order[0]])
    head = HEAD.format(title=title, running_heads=heads, mathjax=scripts)
    return f"{head}{title_page()}{contents(titles)}{articles}</body></html>\n"
