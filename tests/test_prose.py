"""A number in the prose is held against what is computed, whatever surrounds it."""

import math
from fractions import Fraction

import pytest
from prose import in_text

TEXT = """
The detour costs $0.318$
nats, the way back $-1.14$ nats, and $10^{26}$ steps, $5.5\\cdot 10^{8}$ of them twice.
Half, $\\frac12$ or 3/4, of 652{,}824 weights; about 2100 codes, 12,288 pixels,
30&nbsp;min.
| 20 | $−96.1 \\pm 0.1$ | 25.3 |
| beta | costs 0.318 nats |
"""
says = in_text(TEXT, "page.md")


@pytest.mark.parametrize(
    "words, value, wrong",
    [
        ("costs # nats", 0.3184, 0.3186),
        ("the way back # nats", -1.1449, 1.14),
        ("and # steps", 20**20 / 1.0, 1e25),
        ("steps, # of them", 5.54e8, 5.56e8),
        ("Half, #", 0.5, 0.51),
        ("or #, of", 0.75, 0.7501),
        ("of # weights", 652_824, 652_825),
        ("about # codes", 2146.0, 2151.0),
        ("# pixels", 12_288, 12_289),
        ("# min", 30.4, 30.6),
        ("| 20 | # \\pm", -96.07, -96.0),
        ("\\pm # |", Fraction(1, 10), Fraction(1, 9)),
    ],
)
def test_a_number_is_the_computed_one_rounded_as_it_is_printed(words, value, wrong):
    assert says(words, value) == pytest.approx(value, rel=0.05)
    with pytest.raises(AssertionError, match="page.md should say"):
        says(words, wrong)


def test_a_failure_says_what_the_page_should_say():
    with pytest.raises(AssertionError, match="'costs 0.327 nats', got 'costs 0.318"):
        says("costs # nats", 0.3271)
    with pytest.raises(AssertionError, match="should say 'is 0.3271 bits'"):
        says("is # bits", 0.3271)


def test_every_place_with_these_words_counts():
    twice = in_text("it costs 1.5 nats; it costs 1.6 nats", "page.md")
    with pytest.raises(AssertionError, match="got 'costs 1.6 nats'"):
        twice("costs # nats", 1.5)


def test_a_part_of_a_number_is_no_number():
    for words in ("288 #", "# nats", "way back 1.#", "# \\cdot 10"):
        with pytest.raises(AssertionError, match="should say"):
            in_text("12,288 pixels, way back 1.14, 3.0000 nat", "page.md")(words, 8)
    with pytest.raises(AssertionError, match="should say"):
        in_text("it is 0.318", "page.md")("is #", 0)


def test_several_numbers_stand_in_one_place_and_are_read_without_values():
    assert says("| # | # \\pm # | # |", 20, -96.1, 0.1, 25.3) == [20, -96.1, 0.1, 25.3]
    assert says("about # codes") == 2100 and math.isclose(says("and # steps"), 1e26)
    with pytest.raises(AssertionError, match="values"):
        says("| # | # \\pm", 20)


def test_no_more_than_five_words_are_typed_again():
    with pytest.raises(AssertionError, match="expected 5 words"):
        says("Half, # or #, of # weights; about # codes and pixels")
