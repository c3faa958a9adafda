"""Write book/instructors.md: its template with minutes, exercises and points filled in.

    python -m tools.course.guide

Minutes of reading are those of the pages' **Time** lines, exercises, their minutes and
points those of the pages and of notebooks/exercises. In instructors.template.md
{{chapters}}                       is the table of all chapters
{{row LABEL | 03 04 | 04 | AIM}}   is a row of a plan: chapters to read, exercises, aim
{{sum}}                            is the last row of that plan
{{rest}}                           names the chapters that the plan does not read
:alt: {{map}}                      describes the concept map
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.book import BOOK, Chapter, chapters, map_in_words, needs

PAGE = BOOK / "instructors.md"
TEMPLATE = Path(__file__).with_name("instructors.template.md")


def filled(template: str) -> str:
    """The template with all that stands in double braces."""
    known, lines, rows, seen = chapters(), [], [], []
    for line in template.splitlines():
        if line == "{{chapters}}":
            lines += table(known)
        elif line == "{{sum}}":
            lines.append("| together | | | " + " | ".join(sums(rows)) + " |")
        elif line.startswith("|---"):
            lines, rows, seen = [*lines, line], [], []
        elif line == "{{rest}}":
            lines += rest(chapter for chapter in known.values() if chapter not in seen)
        elif line == ":alt: {{map}}":
            lines.append(f":alt: {map_in_words()}")
        elif row := re.fullmatch(r"\{\{row (.+)\}\}", line):
            label, read, work, aim = (part.strip() for part in row[1].split("|"))
            read, work = ([known[n] for n in part.split()] for part in (read, work))
            seen += read
            minutes = sum(sum(chapter.reading) for chapter in read)
            exercises = sum(sum(chapter.theory + chapter.code) for chapter in work)
            rows.append((minutes, exercises, sum(chapter.points for chapter in work)))
            links = ", ".join(chapter.link for chapter in read) or "–"
            numbers = " | ".join(map(str, rows[-1]))
            lines.append(f"| {label} | {links} | {aim} | {numbers} |")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def rest(chapters: Iterable[Chapter]) -> list[str]:
    """A sentence on the numbered ones of these chapters, if there are any."""
    links = [chapter.link for chapter in chapters if chapter.number]
    return ["", f"Chapters left for the curious: {', '.join(links)}."] if links else []


def sums(rows: list[tuple[int, ...]]) -> list[str]:
    return [str(sum(column)) for column in zip(*rows, strict=True)]


def table(known: dict[str, Chapter]) -> list[str]:
    """All chapters: reading, what they build on, exercises and points."""
    lines = [
        "| chapter | page + notebook, min | builds on | on paper | in code | points |",
        "|---|---|---|---|---|---|",
    ]
    for chapter in known.values():
        before = needs().get(int(chapter.number or 0), ())
        cells = [
            f"{{doc}}`{chapter.stem}`",
            " + ".join(map(str, chapter.reading)),
            ", ".join(map(str, sorted(before))) or "–",
            counted([chapter.theory]),
            counted([chapter.code]),
            str(chapter.points),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    every = list(known.values())
    reading = sum(sum(chapter.reading) for chapter in every)
    on_paper = counted([chapter.theory for chapter in every])
    in_code = counted([chapter.code for chapter in every])
    points = sum(chapter.points for chapter in every)
    last = f"| together | {reading} | | {on_paper} | {in_code} | {points} |"
    return [*lines, last]


def counted(minutes: list[list[int]]) -> str:
    """How many exercises, and their minutes in all."""
    every = sum(minutes, [])
    return f"{len(every)}: {sum(every)} min" if every else "–"


if __name__ == "__main__":
    text = filled(TEMPLATE.read_text("utf-8"))
    sys.exit(PAGE.write_text(text, encoding="utf-8") and None)
