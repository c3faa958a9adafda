"""What a student handed in, read without trust: a clean copy of it, and remarks.

Only plain files of bounded size are opened, and only notebooks are copied. The copy has
the marks that nbgrader needs, each once, and of the student's notebook only the text of
its cells and the pictures in it.
"""

import codecs
import copy
import os
import re
import stat
from collections import Counter
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_locked, parse_utc

MEGABYTE = 2**20
MOST_BYTES, MOST_CELLS, MOST_TEXT, MOST_FILES = 20 * MEGABYTE, 1000, MEGABYTE, 1000
NO_STUDENT = re.compile(
    r"\..*|__.*|@.*|\$.*|lost\+found|System Volume Information", re.S
)
JOINERS = "\u200c\u200d"  # invisible, but letters of some names need them
WHERE_A_CELL_STARTS = re.compile(r"(^|[;,|]\s*[\"']*)([=+\-@＝＋－＠])")
PICTURES = ("image/png", "image/jpeg")
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


class Refused(ValueError):
    """Why a submission cannot be graded, in one line."""


def plain(text: str, most: int = 200) -> str:
    """One printable line of bounded length: controls and broken letters as %1B."""
    line = "".join(
        letter if letter.isprintable() or letter in JOINERS else escaped(letter)
        for letter in text[: most + 1]
    )
    return line if len(line) <= most else line[: most - 3] + "..."


def escaped(letter: str) -> str:
    byte = "\udc80" <= letter <= "\udcff"  # of a file's name that is no UTF-8
    return quote(letter.encode("utf-8", "surrogateescape" if byte else "surrogatepass"))


def no_formula(text: str) -> str:
    """A text that no spreadsheet computes, whatever it takes for a separator."""
    return WHERE_A_CELL_STARTS.sub(r"\1'\2", text)


def students(submitted: Path) -> tuple[list[str], list[str]]:
    """The folders (and links) in submitted/, and those that are no student's."""
    names = sorted(
        entry.name
        for entry in os.scandir(submitted)
        if entry.is_symlink() or entry.is_dir()
    )
    others = [name for name in names if NO_STUDENT.fullmatch(name)]
    return [name for name in names if name not in others], others


def content(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a plain file; of nothing else is anything read."""
    kind, name = os.lstat(path), plain(path.name)
    if not stat.S_ISREG(kind.st_mode) or kind.st_nlink > 1:
        what = "a link" if stat.S_ISLNK(kind.st_mode) or kind.st_nlink > 1 else "none"
        raise Refused(f"expected the file {name}, got {what}")
    if kind.st_size > most:
        raise Refused(
            f"expected at most {most // MEGABYTE} MB, got {kind.st_size // MEGABYTE}"
        )
    options = ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")  # what the system has of them
    flags = sum(getattr(os, option, 0) for option in options)
    with open(os.open(path, os.O_RDONLY | flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise Refused(f"expected the file {name}, got another one")
        return file.read(most)


def notebook(path: Path) -> NotebookNode:
    """A notebook of any version in the present form, not validated."""
    raw = content(path)
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Refused("expected UTF-8, got UTF-16")
    try:
        read = nbformat.convert(nbformat.reader.reads(raw.decode("utf-8-sig")), 4)
        texts = [cell.source for cell in read.cells]
        text = sum(map(len, texts))
    except UnicodeDecodeError:
        raise Refused("expected UTF-8, got another encoding") from None
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Refused(f"not a notebook: {plain(reason, 80)}") from None
    if len(texts) > MOST_CELLS:
        raise Refused(f"expected at most {MOST_CELLS} cells, got {len(texts)}")
    if text > MOST_TEXT:
        raise Refused(f"expected at most {MOST_TEXT} letters, got {text}")
    return read


def mark(cell: NotebookNode) -> str:
    """The name that nbgrader gave a cell; empty without one."""
    marks = cell.get("metadata", {})
    marks = marks.get("nbgrader") if isinstance(marks, dict) else None
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    return name if isinstance(name, str) else ""


def lines(cell: NotebookNode) -> list[str]:
    """The lines of a cell, blank ones and spaces at the ends left out."""
    return [line.rstrip() for line in cell.source.splitlines() if line.strip()]


def unmarked(cell: NotebookNode) -> NotebookNode:
    """A new cell with this one's text, without markup that a browser would obey."""
    text = cell.source.encode("utf-8", "replace").decode()
    if cell.cell_type == "code":
        return nbformat.v4.new_code_cell(text)
    safe = nbformat.v4.new_markdown_cell(re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text))
    pictures = cell.get("attachments", {})
    if isinstance(pictures, dict):
        safe.attachments = {
            name: {kind: data[kind]}
            for name, data in pictures.items()
            for kind in PICTURES
            if isinstance(data, dict) and is_picture(data.get(kind))
        }
    return safe


def is_picture(data: object) -> bool:
    return isinstance(data, str) and BASE64.fullmatch(data) is not None


def cleaned(
    submitted: NotebookNode, released: NotebookNode
) -> tuple[NotebookNode, list[str]]:
    """The submission with each mark of the released notebook once, and remarks.

    Locked cells are as they were released. What a student added to one runs before it,
    in a cell of its own; those without points are put back where they are missing.
    """
    marks = {mark(cell): cell for cell in released.cells if mark(cell)}
    names = [mark(cell) if mark(cell) in marks else "" for cell in submitted.cells]
    remarks = recovered(names, submitted, marks)
    twice = [name for name, times in Counter(names).items() if name and times > 1]
    remarks += [f"{name} twice: the last one counts" for name in twice]
    last = {name: index for index, name in enumerate(names)}
    cells, back = [], []
    for index, (name, cell) in enumerate(zip(names, submitted.cells, strict=True)):
        if not name or last[name] != index:
            cells.append(unmarked(cell))
        elif not is_locked(marks[name]):
            answer = copy.deepcopy(marks[name])
            answer.source = cell.source.encode("utf-8", "replace").decode()
            cells.append(answer)
        else:
            if lines(cell) != lines(marks[name]):
                back.append(name)
                known = {line.strip() for line in lines(marks[name])}
                if any(line.strip() not in known for line in lines(cell)):
                    cells.append(unmarked(cell))
            cells.append(copy.deepcopy(marks[name]))
    before = 0
    for name, cell in marks.items():
        if name in last:
            before = 1 + [mark(other) for other in cells].index(name)
        elif is_locked(cell) and not is_grade(cell):
            cells.insert(before, copy.deepcopy(cell))
            before, back = before + 1, [*back, name]
    remarks += [f"put back: {', '.join(back)}"] if back else []
    return nbformat.v4.new_notebook(cells=cells), remarks


def recovered(
    names: list[str], submitted: NotebookNode, marks: dict[str, NotebookNode]
) -> list[str]:
    """Name cells again that have lost their mark, but not their text; remarks."""
    lost = [name for name in marks if is_locked(marks[name]) and name not in names]
    by_text = {
        "\n".join(lines(cell)): index
        for index, cell in enumerate(submitted.cells)
        if not names[index] and cell.cell_type == "code"
    }
    found = {n: by_text.get("\n".join(lines(marks[n])), -1) for n in lost}
    for name, index in found.items():
        if index >= 0 and not names[index]:
            names[index] = name
    if not any(names):
        return ["has lost nbgrader's marks"]
    back = [name for name in lost if found[name] >= 0]
    return [f"has lost nbgrader's marks: {', '.join(back)}"] if back else []


def timestamp(folder: Path) -> tuple[str, list[str]]:
    """When it was handed in, for nbgrader, and a remark if that cannot be read."""
    path = folder / "timestamp.txt"
    if not os.path.lexists(path):
        return "", []
    try:
        return str(parse_utc(content(path, 100).decode("utf-8-sig").strip())), []
    except Exception:
        return "", ["timestamp.txt is no time"]


def chosen(
    folder: Path, names: list[str], released: dict[str, NotebookNode]
) -> tuple[dict[str, Path], list[str]]:
    """The files to grade by the notebook's name, and remarks on their names.

    A single file that has another name, but this notebook's marks, is taken for it.
    """
    there = sorted(
        entry.name
        for entry in islice(os.scandir(folder), MOST_FILES)
        if not entry.is_dir(follow_symlinks=False)
    )
    found = {n: folder / f"{n}.ipynb" for n in names if f"{n}.ipynb" in there}
    others = [
        name
        for name in there
        if ".ipynb" in name.lower() and folder / name not in found.values()
    ]
    remarks, missing = [], [name for name in names if name not in found]
    if len(missing) == 1:
        wanted = released[missing[0]]
        marked = [name for name in others[:9] if carries_marks(folder / name, wanted)]
        if len(marked) == 1:
            found[missing.pop()] = folder / marked[0]
            others.remove(marked[0])
            remarks = [f"{plain(marked[0])} is not its name, but was graded"]
    if missing:
        files = ", ".join(map(plain, there[:9])) or "nothing"
        raise Refused(f"expected {missing[0]}.ipynb, got {files}")
    return found, remarks + [f"{plain(name)} is not graded" for name in others[:9]]


def carries_marks(path: Path, released: NotebookNode) -> bool:
    """Whether a check of the released notebook is there, by its mark or its text."""
    try:
        cells = notebook(path).cells
    except (Refused, OSError):
        return False
    known = {(mark(cell), *lines(cell)) for cell in cells}
    checks = [cell for cell in released.cells if is_grade(cell)]
    names, texts = {first for first, *_ in known}, {tuple(rest) for _, *rest in known}
    return any(mark(c) in names or tuple(lines(c)) in texts for c in checks)


def take(folder: Path, release: Path, names: list[str], target: Path) -> list[str]:
    """Copy a submission, cleaned, to target; remarks on what is not as it should be."""
    for place in (folder.parent, folder):
        if place.is_symlink():
            raise Refused(f"expected the folder {plain(place.name)}, got a link")
    if not folder.is_dir():
        files = sorted(e.name for e in islice(os.scandir(folder.parent), MOST_FILES))
        there = ", ".join(map(plain, files[:9])) or "nothing"
        raise Refused(f"expected {folder.name}/{names[0]}.ipynb, got {there}")
    released = {n: nbformat.read(release / f"{n}.ipynb", as_version=4) for n in names}
    found, remarks = chosen(folder, names, released)
    target.mkdir(parents=True)
    for name, path in found.items():
        clean, more = cleaned(notebook(path), released[name])
        nbformat.write(clean, target / f"{name}.ipynb")
        remarks += more
    when, more = timestamp(folder)
    if when:
        (target / "timestamp.txt").write_text(when, "utf-8")
    return remarks + more
