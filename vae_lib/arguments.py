"""The types of the command line's arguments, and what it says of a wrong one."""

import argparse
import difflib
from collections.abc import Iterable
from pathlib import Path

DEVICES = ("auto", "cpu", "cuda", "mps")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are one line."""

    def error(self, message: str) -> None:
        """Leave with exit code 2 and one line."""
        self.exit(2, f"{self.prog}: {message}\n")


def unknown(text: str, names: Iterable[str]) -> str:
    """What to say of a name that is none of these."""
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.7)  # gpu is no cpu
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"expected one of {', '.join(names)}, got {text!r}{hint}"


def one_of(names: Iterable[str], text: str) -> str:
    """The text, which must be one of these names."""
    if text not in names:
        raise argparse.ArgumentTypeError(unknown(text, names))
    return text


def device(text: str) -> str:
    """One of DEVICES, with or without a number after a colon."""
    one_of(DEVICES, text.partition(":")[0])
    return text


def integer(text: str) -> int:
    """A whole number, far from the limit of torch's 64 bits."""
    if abs(int(text)) >= 2**32:
        raise argparse.ArgumentTypeError(f"expected less than 2**32, got {text}")
    return int(text)


def widths(text: str) -> tuple[int, ...]:
    """Integers with commas between them, or the word none."""
    return () if text == "none" else tuple(integer(part) for part in text.split(","))


def number_or_none(text: str) -> float | None:
    """A number, or the word none."""
    return None if text == "none" else float(text)


def yes_or_no(text: str) -> bool:
    """Whether the word is yes."""
    return one_of(("yes", "no"), text) == "yes"


def place(text: str) -> Path:
    """Where a file or folder is to be: a name, which an empty variable is not."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a name, got {text!r}")
    return Path(text)
