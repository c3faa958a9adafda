"""The lecture's slides are made from the book, fit their screen and need no network."""

import re

import prose
import pytest
from playwright.sync_api import expect

from tools.course import slides

pytestmark = [
    pytest.mark.book,
    # sphinx-revealjs supports more versions of Sphinx than one.
    pytest.mark.filterwarnings("ignore:.*css_files:PendingDeprecationWarning"),
]

LECTURE = slides.LECTURE.read_text("utf-8")
NAMED = slides.NAME.findall(LECTURE)
MINUTES = [
    int(n) for n in re.findall(r"^```\{revealjs-notes\}\n(\d+) min\. ", LECTURE, re.M)
]

# What reaches beyond the screen, of the slide that is shown. The parts of a formula
# have boxes larger than their ink: the formula around them counts.
STICKS_OUT = """n => {
  Reveal.slide(n);
  return [...Reveal.getCurrentSlide().querySelectorAll("*")]
    .filter(element => !element.closest("aside, mjx-container > *"))
    .filter(element => {
      const box = element.getBoundingClientRect();
      return box.left < 0 || box.top < 0 || box.right > 1280 || box.bottom > 700;
    })
    .map(element => `${n + 1}: ${element.outerHTML.slice(0, 100)}`);
}"""


@pytest.fixture(scope="module")
def lecture(tmp_path_factory):
    """The page of the slides, built anew."""
    return slides.make(tmp_path_factory.mktemp("slides"))


@pytest.fixture(scope="module")
def page(lecture, open_page):
    page = open_page(lecture)
    page.set_viewport_size({"width": 1280, "height": 720})
    yield page
    page.context.close()


def test_every_slide_has_its_minutes_and_they_are_those_that_the_lecture_promises(page):
    assert page.evaluate("Reveal.getTotalSlides()") == len(MINUTES)
    assert all(0 < minutes <= 10 for minutes in MINUTES)
    (promised,) = re.findall(r"[Oo]ne lecture of (\d+) minutes", LECTURE)
    assert sum(MINUTES) == int(promised)
    prose.says("instructors")("The slides take # minutes", sum(MINUTES))


def test_every_slide_fits_the_screen(page):
    n_slides = page.evaluate("Reveal.getTotalSlides()")
    found = [page.evaluate(STICKS_OUT, n) for n in range(n_slides)]
    assert not any(found), found


def test_answers_wait_until_the_room_has_voted(page):
    """All items of a list that the lecture lets wait, one by one."""
    votes = [slide for slide in LECTURE.split("\n## ") if " vote" in slide]
    assert votes and all("{revealjs-fragments}" in slide for slide in votes)
    lists = page.locator(".slides").locator("ul, ol").all()
    waiting = [part for part in lists if part.locator("li.fragment").count()]
    assert len(waiting) == LECTURE.count("{revealjs-fragments}") > 0
    for part in waiting:
        assert part.locator("li").count() == part.locator("li.fragment").count()
    assert page.evaluate("Reveal.getConfig().pdfSeparateFragments") is False


def test_slides_need_no_network(lecture, page):
    assert not page.problems
    assert all(address.startswith("file:") for address in page.requests)
    for path in [lecture, *lecture.parent.rglob("*.css")]:
        text = path.read_text("utf-8")
        assert not re.search(r"""(src=|url\(|@import) *["']?(https?:)?//""", text), path


def test_pictures_are_there_and_described(page):
    pictures = page.eval_on_selector_all(
        ".slides img", "all => all.map(image => [image.naturalWidth, image.alt])"
    )
    assert len(pictures) == sum("#" in n or "." in n[-4:] for n in NAMED) > 0
    assert all(width > 100 and 20 <= len(alt) <= 250 for width, alt in pictures)


def test_formulas_and_figures_are_those_of_the_book(lecture, page):
    labels = [name for name in NAMED if name.startswith("eq-")]
    assert page.locator(".slides div.math mjx-container").count() == len(labels) > 0
    assert "$$" not in LECTURE and "![" not in LECTURE  # nothing is typed again
    assert not slides.NAME.search(lecture.read_text("utf-8"))


@pytest.mark.parametrize("name", ["eq-none", "none.svg", "07-vae#none", "none.elbo"])
def test_a_name_that_the_book_does_not_hold_is_refused(name, tmp_path, refuses):
    with refuses(ValueError, "expected", f"got {{{{{name}}}}}"):
        slides.filled(f"{{{{{name}}}}}", tmp_path)


def test_a_number_comes_from_the_record_of_its_model(tmp_path):
    from vae_lib.checkpoints import load_pretrained

    value = load_pretrained("mnist-2d").record["test_elbo"]
    filled = slides.filled("{{mnist-2d.test_elbo}}", tmp_path)
    assert float(filled.replace("−", "-")) == pytest.approx(value, abs=0.005)


def test_window_of_the_speaker_shows_the_notes(page):
    page.evaluate("Reveal.slide(0)")
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes .value")
    expect(notes).to_contain_text("min.")
    opened.value.close()
    assert not page.problems


def test_slides_ask_nobody_and_carry_the_licence_of_their_formulas(lecture, page):
    policy = page.locator("meta[http-equiv='Content-Security-Policy']")
    assert "connect-src 'none'" in policy.get_attribute("content")
    licence = lecture.parent / "_static" / "mathjax" / "LICENSE.txt"
    assert "Apache License" in licence.read_text("utf-8")
