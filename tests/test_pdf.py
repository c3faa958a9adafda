"""The PDF holds the whole site: nothing is cut off, lost or leads nowhere."""

import re
import unicodedata
import zipfile
from base64 import b64decode
from io import BytesIO

import pypdfium2
import pytest
import yaml
from bs4 import BeautifulSoup
from PIL import Image
from pypdf import PdfReader
from pypdf.generic import Destination

from tools.site import pdf, single_page

pytestmark = pytest.mark.book

SITE = single_page.SITE
A4_POINTS = (595, 842)
FOOT = 55  # points; the number of the page stands lower
TOC = (single_page.ROOT / "_toc.yml").read_text("utf-8")
NAMES = re.findall(r"(?:root|file): (\S+)", TOC)

# Whatever ends beyond the edge of the text, or of its own box, by more than a pixel.
# The parts of a formula have boxes wider than their ink: the formula around them
# counts, and its copy for screen readers, which nobody sees, does not.
STICKS_OUT = """width => {
  for (const copy of document.querySelectorAll("mjx-assistive-mml"))
    copy.style.setProperty("display", "none", "important");
  const found = [...document.querySelectorAll("body *")]
    .filter(element => !element.closest("mjx-container > *"))
    .filter(element => {
      const box = element.getBoundingClientRect();
      return box.left < -1 || box.right > width + 1
        || element.clientWidth && element.scrollWidth > element.clientWidth + 1;
    })
    .map(element => element.outerHTML.slice(0, 200));
  for (const copy of document.querySelectorAll("mjx-assistive-mml"))
    copy.style.removeProperty("display");
  return found;
}"""


@pytest.fixture(scope="module")
def site():
    """By name, the articles of the site as a reader sees them."""
    articles = {}
    for name in NAMES:
        page = BeautifulSoup((SITE / f"{name}.html").read_text("utf-8"), "html.parser")
        articles[name] = page.select_one("article.bd-article")
        left = ".headerlink, .section-number, .toctree-wrapper, .hide > summary"
        for element in articles[name].select(left):
            element.decompose()
    return articles


@pytest.fixture(scope="module")
def tab(browser):
    """The single page as it will be printed, opened without a network."""
    pdf.SINGLE.write_text(single_page.assemble(), "utf-8")
    context = browser.new_context(offline=True)
    tab = context.new_page()
    tab.problems = []
    tab.on("requestfailed", lambda request: tab.problems.append(request.url))
    tab.on("pageerror", lambda error: tab.problems.append(str(error)))
    pdf.set_type(tab, pdf.SINGLE)
    yield tab
    context.close()


@pytest.fixture(scope="module")
def printed(tab):
    return pdf.print_book(tab)


@pytest.fixture(scope="module")
def book(printed):
    return PdfReader(BytesIO(printed))


@pytest.fixture(scope="module")
def lines(printed):
    """Of each page the text, and how high its words stand in points."""
    pages = []
    for page in pypdfium2.PdfDocument(printed):  # fifty times as fast as pypdf
        words = page.get_textpage()
        feet = [words.get_rect(n)[1] for n in range(words.count_rects())]
        pages.append((words.get_text_bounded(), feet))
    return pages


@pytest.fixture(scope="module")
def pages(lines):
    """The text of each page."""
    return [text for text, _ in lines]


@pytest.fixture(scope="module")
def text(book, pages):
    """By name, the text of the pages on which an article stands."""
    first = pdf.starts(book)
    ends = [*list(first.values())[1:], len(pages)]
    return {
        name: "\n".join(pages[start:end])
        for (name, start), end in zip(first.items(), ends, strict=True)
    }


def letters(string):
    """Letters and digits alone: how lines break and letters join is no matter."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", string))


def flat(outline):
    """The titles of an outline in their order, with the depth of each."""
    for entry in outline:
        if isinstance(entry, Destination):
            yield 0, entry
        else:
            yield from ((depth + 1, entry) for depth, entry in flat(entry))


def test_every_formula_is_set_and_none_is_wrong(site, tab):
    there = sum(len(article.select(".math")) for article in site.values())
    assert there > 0
    assert tab.locator("article .math").count() == there
    assert tab.locator("article mjx-container").count() == there
    assert tab.locator("mjx-merror").count() == 0
    assert tab.problems == []


def test_every_figure_is_loaded(site, tab):
    there = [image for article in site.values() for image in article.select("img")]
    assert there
    loaded = tab.evaluate(
        """() => [...document.querySelectorAll("article img:not(.drawn > *)")]
          .filter(image => image.complete && image.naturalWidth)
          .map(image => image.src)"""
    )
    names = [image["src"].rpartition("/")[2] for image in there]
    assert [address.rpartition("/")[2] for address in loaded] == names


def test_live_figures_stand_still_on_paper(site, tab):
    drawn = tab.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".live")].map(box =>
          [box.id, [...box.querySelectorAll(".drawn img")].map(image => image.src)]))"""
    )
    assert set(drawn) == {
        f"{name}:{box['id']}" for name in site for box in site[name].select(".live")
    }
    for name, addresses in drawn.items():
        assert addresses, name
        for address in addresses:
            image = Image.open(BytesIO(b64decode(address.partition(",")[2])))
            assert len(image.getcolors(10**7)) > 20, name  # not an empty canvas


def test_titles_of_columns_are_shown(tab):
    hidden = tab.evaluate(
        """() => [...document.querySelectorAll("thead")]
          .filter(head => head.textContent.trim() && !head.checkVisibility())
          .map(head => head.textContent)"""
    )
    assert hidden == []


def test_nothing_sticks_out_of_the_page(tab):
    assert tab.evaluate(STICKS_OUT, pdf.TEXT_WIDTH) == []
    # Else Chromium prints all of the book smaller; this counts what nobody sees, too.
    assert tab.evaluate("document.documentElement.scrollWidth") == pdf.TEXT_WIDTH


def test_links_of_the_site_lead_to_places_in_the_single_page(site, tab):
    targets = tab.evaluate(
        """() => [...document.querySelectorAll("article a")]
          .map(link => link.getAttribute("href"))
          .filter(target => !target.startsWith("http"))"""
    )
    there = tab.evaluate('() => [...document.querySelectorAll("[id]")].map(e => e.id)')
    assert {target[1:] for target in targets} <= set(there)
    known = re.compile(rf"#|(.*/)?({'|'.join(n.split('/')[-1] for n in NAMES)})\.html")
    links = [link["href"] for a in site.values() for link in a.select("a[href]")]
    assert len(targets) == len([href for href in links if known.match(href)]) > 0


def test_pdf_is_a_tagged_book_on_a4(book):
    assert len(book.pages) > len(NAMES)  # each begins on a page of its own
    assert {tuple(map(round, page.mediabox[2:])) for page in book.pages} == {A4_POINTS}
    assert book.metadata.title == "Variational Auto-Encoders"
    assert book.trailer["/Root"]["/Lang"] == "en"
    assert book.trailer["/Root"]["/MarkInfo"]["/Marked"]


def test_outline_names_parts_chapters_and_sections_in_their_order(site, book):
    parts = {
        p["chapters"][0]["file"]: p["caption"] for p in yaml.safe_load(TOC)["parts"]
    }
    expected = ["Contents"]
    for name, article in site.items():
        expected += [parts[name]] if name in parts else []
        for heading in article.select("h1, h2, h3"):
            *_, folder, slug = name.split("/")
            kind = {"book": "Chapter", "notebooks": "Notebook"}.get(folder)
            numbered = heading.name == "h1" and slug[0].isdigit() and kind
            place = f"{kind} {int(slug[:2])} " if numbered else ""
            expected.append(place + heading.get_text())
    entries = list(flat(book.outline))
    assert [letters(e.title) for _, e in entries] == [letters(t) for t in expected]
    pages = [book.get_destination_page_number(entry) for _, entry in entries]
    assert pages == sorted(pages)
    assert {e.title for depth, e in entries if depth == 0} >= set(parts.values())


@pytest.mark.parametrize("name", NAMES)
def test_page_is_there_from_its_first_sentence_to_its_last(name, site, text):
    plain = [p for p in site[name].select("p, dt, td") if not p.select(".math")]
    sentences = [letters(p.get_text()) for p in plain if p.get_text().strip()]
    found = letters(text[name])
    assert sentences[0] in found and sentences[-1] in found


@pytest.mark.parametrize("name", NAMES)
def test_titles_of_what_the_site_folds_are_there(name, site, text):
    titles = [title.get_text() for title in site[name].select(".fold > summary")]
    plain = [title for title in titles if "\\" not in title]
    assert all(letters(title) in letters(text[name]) for title in plain)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n.startswith(("book/0", "book/1"))]
)
def test_numbers_of_equations_and_theorems_are_those_of_the_site(name, site, text):
    for number in site[name].select(
        ".eqno, .proof .caption-number, figcaption p > :first-child"
    ):
        assert number.get_text().strip() in text[name], number


def test_contents_give_the_page_on_which_each_title_stands(tab, book):
    rows = tab.evaluate(
        """() => [...document.querySelectorAll("nav a")].map(link =>
          [link.getAttribute("href").slice(1), Number(link.lastChild.textContent)])"""
    )
    assert [name for name, _ in rows] == NAMES
    assert {name: page - 1 for name, page in rows} == pdf.starts(book)


def test_no_page_holds_a_line_alone(book, pages):
    """Running head and page number are two lines; a chapter's end may be short."""
    for number in range(2, len(pages)):  # after the title and the contents
        picture = "/XObject" in book.pages[number]["/Resources"]
        assert picture or len(pages[number].splitlines()) > 3, number + 1


def test_no_title_stands_last_on_a_page(book, lines):
    last = {}  # title of each page: where it stands, in points from the foot
    for _, entry in flat(book.outline):
        last[book.get_destination_page_number(entry)] = entry.title, float(entry.top)
    for number, (title, top) in last.items():
        _, heights = lines[number]
        assert any(FOOT < height < top - 25 for height in heights), (number + 1, title)


def test_links_of_the_pdf_lead_to_its_own_places_or_to_the_web(book):
    places, n_inside = book.named_destinations, 0
    for page in book.pages:
        for link in page.get("/Annots") or []:
            link = link.get_object()
            if "/Dest" in link:
                assert link["/Dest"] in places, link
                n_inside += 1
            else:
                assert re.match("https?://", link["/A"]["/URI"]), link
    assert n_inside > 1000


def test_without_a_site_one_line_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(single_page, "SITE", tmp_path)
    monkeypatch.setattr("sys.argv", ["pdf"])
    with pytest.raises(SystemExit) as stopped:
        pdf.main()
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 2 and "make book" in message, message


def test_zipped_site_opens_elsewhere_without_a_network(tmp_path, open_page):
    zipfile.main(["-c", str(tmp_path / "site.zip"), str(SITE)])
    zipfile.main(["-e", str(tmp_path / "site.zip"), str(tmp_path / "elsewhere")])
    start = tmp_path / "elsewhere" / "html" / "index.html"
    assert "book/index.html" in start.read_text("utf-8")
    page = open_page(start.parent / "book" / "03-elbo.html")
    assert page.problems == []
    page.locator("article a[href='../notebooks/03-elbo.html']").first.click()
    assert page.url == (start.parent / "notebooks" / "03-elbo.html").as_uri()
    for path in start.parent.rglob("*.html"):
        assert str(single_page.ROOT) not in path.read_text("utf-8")
