"""Numbers that the book states in words, held against what is computed.

    says = prose.says("02-kl-divergence")
    says("costs # nats", kl(narrow, wide))

Wherever that page has these words around a number, the number is the one that is
computed, rounded as it is printed: a whole number that ends in zeros to its first two
digits, and not at all where an int or a Fraction was computed. Where values are left
out the number is read, for a test to do with it what it says.
"""

import re
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import nbformat

from tools.book import BOOK, TIME

DECIMAL = r"\d+(?:,\d{3})*(?:\.\d+)?"
POWER = r"10\^(?:\d|\{-?\d+\})"
NUMBER = rf"(?<![\d.,])-?(?:{DECIMAL} ?\\cdot ?{POWER}|{POWER}|{DECIMAL}/\d+|{DECIMAL})"
PARTS = re.compile(r"(-?)(?:([\d.]+)(?:/(\d+)| ?\\cdot ?)?)?(?:10\^\{?(-?\d+)\}?)?")
END = r"(?!\d|[.,/]\d|\^\{| ?\\cdot ?10)"
MOST_WORDS = 5  # of three letters and more: else it is the sentence typed again


def says(page: str):
    """A function that compares the numbers of this page of the book."""
    return in_text((BOOK / f"{page}.md").read_text("utf-8"), f"book/{page}.md")


def in_text(text: str, name: str):
    """Such a function for a text of this name."""
    text = folded(text)

    def says(words: str, *values: float):
        """What the text says instead of each #: a number, or a list of them.

        Without values to compare it with, it is read only.
        """
        plain = re.findall(r"(?<!\\)\b[a-z]{3,}", words, re.I)
        assert len(plain) <= MOST_WORDS, f"expected {MOST_WORDS} words, got {words!r}"
        n_numbers = words.count("#")
        assert n_numbers and len(values) in {0, n_numbers}, f"values for {words!r}?"
        parts = map(re.escape, folded(words).split("#"))
        places = list(re.finditer(f"({NUMBER}){END}".join(parts), text))
        assert places, f"{name} should say {filled(words, values)!r}"
        for place in places:
            expected = filled(words, values, place.groups())
            for printed, value in zip(place.groups(), values, strict=False):
                assert is_rounded(printed, value), (
                    f"{name} should say {expected!r}, got {place[0]!r} for {value}"
                )
        found = [float(parsed(printed)[0]) for printed in places[0].groups()]
        return found[0] if len(found) == 1 else found

    return says


def shown(path: Path) -> str:
    """What the cells of a notebook print and show as text."""
    cells = nbformat.read(path, 4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for output in outputs
    )


def minutes(page: str) -> tuple[int, int | None]:
    """Minutes that a page states for itself, and for its notebook if it has one."""
    text = (BOOK / f"{page}.md").read_text("utf-8")
    alone, notebook = TIME.search(text).groups()
    return int(alone), int(notebook) if notebook else None


def folded(text: str) -> str:
    """One way to write a number: no dollars, and white space made one space."""
    text = text.replace("$", "").replace("\u2212", "-").replace("{,}", ",")
    text = re.sub(r"\\[dt]?frac(?:(\d)(\d)|\{(\d+)\}\{(\d+)\})", r"\1\3/\2\4", text)
    return re.sub(r"(?:\s|&nbsp;|\\[,;])+", " ", text)


def parsed(printed: str) -> tuple[Fraction, Fraction]:
    """The number that is printed, and the unit it is rounded to; 0 for a quotient."""
    sign, digits, below, power = PARTS.fullmatch(printed.replace(",", "")).groups()
    digits, scale = digits or "1", Fraction(10) ** int(power or 0)
    if below:
        return Fraction(int(sign + digits), int(below)), Fraction(0)
    whole, _, decimals = digits.partition(".")
    zeros = 0 if decimals else max(0, len(whole) - max(2, len(whole.rstrip("0"))))
    unit = Fraction(10) ** (zeros - len(decimals))
    return Fraction(sign + digits) * scale, unit * scale


def is_rounded(printed: str, value: float) -> bool:
    """Whether this value may be printed so."""
    number, unit = parsed(printed)
    if isinstance(value, int | Fraction):
        return number == value
    return abs(number - Fraction(float(value))) <= max(unit / 2, abs(number) / 10**9)


def filled(words: str, values: tuple, printed: tuple = ()) -> str:
    """The words with these values, written as the printed numbers are."""
    for value, like in zip_longest(values, printed[: len(values)], fillvalue=""):
        decimals = len(like.partition(".")[2])
        plain = like and not re.search(r"[/^]", like)
        text = f"{float(value):.{decimals}f}" if plain else f"{float(value):.5g}"
        words = words.replace("#", text, 1)
    return words
