"""Files, in and out: only plain ones are read, and what is written is whole or nothing.

A name that somebody gives may lead to a pipe that never answers, to a device that never
ends, or to text that takes a thousand times its size. Whoever reads says how much he
expects, and is told in one line if it is not that.
"""

import contextlib
import json
import os
import stat
import time
from pathlib import Path
from typing import Any, BinaryIO

LONGEST = 1000  # characters of a message
MOST_VALUES = 3_000_000  # in one JSON text: some 200 MB in memory
NOISE = os.urandom(2**16)  # what no disk can press together
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)  # seconds, while another program holds a file


def one_line(error: BaseException) -> str:
    """What an error says, in one line that a terminal can show and a reader read."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def open_plain(path: str | Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises OSError if there is none, or a folder, a pipe or a device.
    """
    path = Path(path)
    if not stat.S_ISREG(path.stat().st_mode):  # before a pipe could keep us waiting
        raise OSError(f"expected a plain file, got {str(path)!r}")
    return open(path, "rb")


def read_plain(path: str | Path, at_most: int) -> bytes:
    """The bytes of a plain file; raises OSError if there are more than at_most."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise OSError(f"expected at most {at_most:,} bytes in {path}, got {size:,}")
        return file.read(size)


def parse_json(text: str | bytes) -> Any:
    """What a JSON text holds; raises ValueError if it is none, too deep or too much."""
    if isinstance(text, bytes):
        text = text.decode()
    if sum(map(text.count, ",[{")) > MOST_VALUES:
        raise ValueError(f"expected JSON of at most {MOST_VALUES:,} values, got more")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("expected JSON of a few levels, got too many") from None


def to_json(value: object, what: str) -> str:
    """The value as JSON, keys in order; numpy's numbers and torch's become Python's.

    Raises ValueError, which names what it is, if JSON cannot hold it.
    """
    try:
        return json.dumps(value, sort_keys=True, default=_as_number)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected {what} that JSON can hold, got {error}") from error


def _as_number(value: object) -> object:
    """The one number of a numpy scalar or a tensor."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a {type(value).__name__}")


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file in one step: a reader finds the old content or the new, whole.

    Raises OSError if it cannot be written; an older file at path is then untouched.
    """
    path = Path(path)
    temporary = temporary_beside(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"{path} cannot be written, an older one stays: {why}") from error
    finally:
        with contextlib.suppress(OSError):  # it is gone, or the disk is read-only
            temporary.unlink()


def temporary_beside(path: Path, number: int = 0) -> Path:
    """Where this process writes before the file is put in place."""
    return path.with_name(f".{path.name}.{os.getpid()}.{number}.tmp")


def _replace(temporary: Path, path: Path) -> None:
    """Put the file in place; a virus scanner may hold the old one for a while."""
    for pause in PAUSES:
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(temporary, path)


def try_to_write(path: Path, sizes: list[int]) -> None:
    """Raise OSError unless files of so many bytes fit beside path; none of them stays.

    What is free is not asked but tried, for quotas and limits know better.
    """
    tried = []
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        for number, size in enumerate(sizes):
            tried.append(temporary_beside(path, number))
            with open(tried[-1], "wb") as file:
                for done in range(0, size, len(NOISE)):
                    file.write(NOISE[: size - done])
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"{path} could not be written after the work: {why}") from error
    finally:
        for temporary in tried:
            with contextlib.suppress(OSError):
                temporary.unlink()
