"""The built site is complete, self-contained and sound: run after `make book`."""

import re
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from built_site import PAGES, anchors

from tools.book import EXERCISES, NOTEBOOKS, ROOT, SITE

pytestmark = pytest.mark.book

MATHJAX = SITE / "_static" / "mathjax" / "LICENSE.txt"
RAW_MARKUP = re.compile(
    r"\{(eq|numref|ref|doc|cite|term|prf:\w+)(:\w)?\}|:::|```\{|\]\("
)


@pytest.fixture(
    scope="module",
    params=PAGES,
    ids=lambda path: path.relative_to(SITE).as_posix(),
)
def path(request):
    assert request.param.exists(), f"{request.param} is missing: run `make book`"
    return request.param


@pytest.fixture(scope="module")
def page(path):
    """Every page, read once for all tests: none of them changes it."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def test_start_page_leads_to_the_index():
    assert "book/index.html" in (SITE / "index.html").read_text("utf-8")


def test_nothing_is_loaded_from_elsewhere(path, page):
    loading = [("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")]
    for tag, attribute in loading:
        for element in page.find_all(tag):
            assert not element.get(attribute, "").startswith(("http", "//")), element
    for link in page.find_all("link"):
        if link.get("rel") != ["canonical"]:
            assert not link.get("href", "").startswith(("http", "//")), link
    assert not re.search(r"unpkg|jsdelivr|cdnjs|googleapis", path.read_text("utf-8"))


def test_scripts_do_not_hold_up_the_page(page):
    for script in page.head.find_all("script", src=True):
        at_once = "documentation_options" in script["src"]  # used by the next line
        assert script.has_attr("defer") or at_once, script


def test_policy_comes_before_all_that_it_is_to_hold_for(page):
    policy = page.head.find_all(True)[1]
    assert policy["http-equiv"] == "Content-Security-Policy"


def test_licences_are_at_hand(path, page):
    links = [link["href"] for link in page.select("footer .licences a")]
    found = [(path.parent / link).resolve() for link in links]
    assert found == [SITE / "LICENSE.txt", SITE / "LICENSE-CONTENT.txt", MATHJAX]


def test_licences_are_whole():
    for name in ("LICENSE", "LICENSE-CONTENT"):
        assert (SITE / f"{name}.txt").read_text("utf-8") == (ROOT / name).read_text()
    text = MATHJAX.read_text("utf-8")
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text


def test_site_weighs_what_its_readers_need():
    files = [path for path in SITE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40e6  # 10e6 are MathJax
    assert not {".map", ".po", ".mo"} & {path.suffix for path in files}


def test_stylesheets_load_nothing_from_elsewhere():
    for path in SITE.rglob("*.css"):
        assert not re.search(
            r"(url\(|@import) *['\"]?(http|//)", path.read_text("utf-8")
        )


def test_formulas_are_set_by_a_script_in_the_site(path, page):
    if page.select(".math"):
        scripts = [s["src"] for s in page.find_all("script", src=True)]
        (mathjax,) = [src for src in scripts if "mathjax" in src.lower()]
        assert (path.parent / urlsplit(mathjax).path).exists()


def test_links_and_anchors_are_alive(path, page):
    for element in page.find_all(["a", "img", "script", "link"]):
        target = urlsplit(element.get("href") or element.get("src") or "")
        if target.scheme or target.netloc:
            continue
        file = (path.parent / unquote(target.path)) if target.path else path
        assert file.exists(), f"{element} leads nowhere"
        if target.fragment and element.name == "a" and file.suffix == ".html":
            assert unquote(target.fragment) in anchors(file.resolve()), element


def test_images_have_alt_texts_that_describe(page):
    for image in page.select("article img"):
        alt = image.get("alt", "")
        assert 20 <= len(alt) <= 250 and not re.search(r"\.(png|svg)$", alt), image


def test_no_markup_is_left_unrendered(page):
    code = {id(element) for element in page.select("pre, code, script, .math")}
    words = [
        words
        for words in page.find("article").strings
        if not code.intersection(map(id, words.parents))
    ]
    assert words and not RAW_MARKUP.search("".join(words))


def test_page_has_one_title_a_language_and_no_leak(path, page):
    assert page.html["lang"] == "en"
    assert len(page.find("article").find_all("h1")) == 1
    assert not re.search(
        r"/home/|/root/|/Users/|ipykernel_|Alias for field", page.get_text()
    )


def built(source):
    """The page that a notebook becomes."""
    return SITE / source.relative_to(ROOT).with_suffix(".html")


@pytest.mark.parametrize("source", sorted(NOTEBOOKS.rglob("*.ipynb")), ids=str)
def test_notebook_page_shows_its_figures(source):
    page = BeautifulSoup(built(source).read_text("utf-8"), "html.parser")
    n_figures = source.read_text("utf-8").count('"image/png"')
    assert len(page.select(".cell_output img")) == n_figures > 0
    assert not page.select(".cell_output .stderr, .cell_output .traceback")


@pytest.mark.parametrize("source", sorted(EXERCISES.glob("*.ipynb")), ids=str)
def test_solutions_of_a_notebook_are_folded_and_marks_are_not_shown(source):
    page = BeautifulSoup(built(source).read_text("utf-8"), "html.parser")
    folded = page.select("details.hide")
    prompts = [fold.summary.get_text(" ", strip=True) for fold in folded]
    answers = source.read_text("utf-8").count('"solution": true')
    assert sum("solution" in prompt for prompt in prompts) == answers > 0
    cells = nbformat.read(source, 4).cells
    checks = sum("check" in cell.metadata.get("tags", []) for cell in cells)
    assert len(folded) == answers + checks + 1  # the setup cell
    assert "###" not in page.find("article").get_text()


def test_colab_buttons_open_files_that_are_published():
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    repository = config.get("repository", {}).get("url", "")
    for source in sorted(NOTEBOOKS.rglob("*.ipynb")):
        html = built(source).read_text("utf-8")
        links = re.findall(
            r"https://colab\.research\.google\.com/github/([^\"]+)", html
        )
        owner = repository.removeprefix("https://github.com/")
        path = source.relative_to(ROOT).as_posix()
        expected = f"{owner}/blob/gh-pages/{path}"
        assert set(links) == ({expected} if repository else set())
