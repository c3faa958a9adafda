"""make chapter refuses what cannot be, and writes all of a chapter but its matter."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tools import new_chapter
from tools.book import ROOT, chapter_pages, parts

LAST = chapter_pages()[-1].stem
NEXT = str(int(LAST[:2]) + 1)  # whatever chapters the book has gained since
WORDS = (NEXT, f"toy-{NEXT}", f"A toy {NEXT}", "")
STEM, PART = f"{NEXT}-toy-{NEXT}", f"Toys {NEXT}: more & more"
TOC = (ROOT / "_toc.yml").read_text("utf-8")


@pytest.mark.parametrize(
    ("place", "got"),
    [
        *((0, got) for got in ("", "x", "0", "-1", "1.5", "100", "٣", "7", "07")),
        *((1, got) for got in ("", "Toy", "toy_chapter", "-toy", "a/b", "toy\n", "7a")),
        *((1, got) for got in ("elbo", "ledger", "joint", "import", "number")),
        *((1, got) for got in ("a" * 41, "a--b")),
        *((2, got) for got in ("", " A toy", "A\ntoy", "A | toy", "`toy`", "a" * 61)),
        *((2, got) for got in ("Auto-encoders", "GLOSSARY")),
        *((3, got) for got in ("The model", "Practice", "A\nB", "{x}")),
    ],
)
def test_a_word_that_cannot_be_is_refused_in_one_line(place, got):
    name = ("N", "SLUG", "TITLE", "PART")[place]
    words = [*WORDS[:place], got, *WORDS[place + 1 :]]
    said = new_chapter.fault(*words)
    assert said.startswith(f"expected {name}") and "\n" not in said
    assert f"got {got!r}" in said or f"got {got}:" in said


def test_a_refusal_ends_with_2_and_writes_nothing(capsys, monkeypatch):
    monkeypatch.setattr(new_chapter.Path, "write_text", None)
    monkeypatch.setattr(sys, "argv", ["chapter", "7", *WORDS[1:3]])
    assert new_chapter.main() == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and "07-vae" in err


@pytest.mark.parametrize("number", [NEXT, "98", "99"])
def test_words_that_can_be_are_taken(number):
    last = list(parts())[-1]
    for part in ("", last, PART):
        assert not new_chapter.fault(number, WORDS[1], "What's next?", part)


@pytest.mark.parametrize("part", ["", PART, "What's new: flows"])
def test_the_chapter_follows_the_last_one_in_the_part_that_is_asked_for(part):
    before = yaml.safe_load(TOC)["parts"]
    after = yaml.safe_load(new_chapter.in_toc(TOC, STEM, part))["parts"]
    files = [c["file"] for p in after for c in p["chapters"]]
    assert files[files.index(f"book/{STEM}") - 1] == f"book/{LAST}"
    captions = [p["caption"] for p in after]
    named = part or list(parts())[-1]
    (home,) = [p for p in after if f"book/{STEM}" in [c["file"] for c in p["chapters"]]]
    assert home["caption"] == named and captions.count(named) == 1
    for p in after:  # and all the rest is as it was
        p["chapters"] = [c for c in p["chapters"] if c["file"] != f"book/{STEM}"]
    assert [p for p in after if p["chapters"]] == before


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The book's sources with a new chapter in a new part, by make chapter."""
    folder = tmp_path_factory.mktemp("copy") / "book"
    left = shutil.ignore_patterns("_build", ".*", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=left)
    words = ["--part=Toys", "--", *WORDS[:3]]
    done = run(folder, "tools.new_chapter", *words)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def run(folder, *command):
    environment = os.environ | {"PYTHONPATH": str(folder), "TQDM_DISABLE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.book
@pytest.mark.long
def test_a_new_chapter_passes_every_test_but_that_of_its_gaps(copy):
    folder, _ = copy
    names = "book notebooks ways exercises checks instructors rhythm".split()
    files = [f"tests/test_{name}.py" for name in names]
    files.append(f"tests/chapters/test_{NEXT}_toy_{NEXT}.py")
    # Those of the chapter and of the sources; whether all is fresh is no matter here.
    mine = "(toy or test_book or test_instructors or test_ways or test_rhythm)"
    mine += " and not configure and not button"
    done = run(folder, "pytest", "-q", "-p", "no:cacheprovider", "-k", mine, *files)
    failed = re.findall(r"^FAILED \S+::(\w+)", done.stdout, re.M)
    gaps = "test_nothing_that_is_still_to_be_written_is_left"
    assert failed == [gaps], done.stdout[-3000:]
    again = ("-m", "not long", "tests/test_new_chapter.py")  # for the next chapter
    done = run(folder, "pytest", "-q", "-p", "no:cacheprovider", *again)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.book
@pytest.mark.long
def test_a_new_chapter_is_in_the_normal_form_and_says_what_it_lacks(copy):
    folder, said = copy
    assert run(folder, "ruff", "check", ".").returncode == 0
    assert run(folder, "ruff", "format", "--check", ".").returncode == 0
    for line in said.splitlines():
        if found := re.match(r"(?:written|changed) (\S+)$", line):
            assert (folder / found[1]).exists()
    assert f"book/{STEM}.md:" in said and "README.md:" in said
