"""Files are read if they are plain and as long as expected, and written whole."""

import errno
import os

import pytest
import torch

from vae_lib import files
from vae_lib.files import (
    one_line,
    parse_json,
    read_plain,
    to_json,
    try_to_write,
    write_atomically,
)


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The seconds that were waited, which pass at once."""
    waited = []
    monkeypatch.setattr(files.time, "sleep", waited.append)
    return waited


def held(monkeypatch, times: int) -> None:
    """Another program holds the file at so many calls of os.replace."""
    replace, calls = os.replace, []

    def replace_held(source, target):
        calls.append(target)
        if len(calls) <= times:
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_held)


@pytest.mark.parametrize("times", [1, 3, 5])
def test_a_file_that_is_held_for_a_while_is_written(
    times, pauses, tmp_path, monkeypatch
):
    held(monkeypatch, times)
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new" and len(pauses) == times
    assert sum(pauses) < 2 and [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_that_is_held_for_ever_stays_and_is_named(
    pauses, tmp_path, monkeypatch, refuses
):
    (tmp_path / "a").write_bytes(b"old")
    held(monkeypatch, 10**6)
    with refuses(
        OSError, str(tmp_path / "a"), "an older one stays", "Access is denied"
    ):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old" and sum(pauses) < 2
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_another_error_is_not_waited_for(pauses, tmp_path, refuses):
    with refuses(OSError, "nowhere"):
        write_atomically(tmp_path / "nowhere" / "a", b"new")
    assert pauses == []


def test_a_trial_leaves_nothing_and_touches_nothing(tmp_path, refuses):
    (tmp_path / "a").write_bytes(b"old")
    try_to_write(tmp_path / "a", [0, 1, 200_001])
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with refuses(OSError, "it is a folder"):
        try_to_write(tmp_path, [1])
    with refuses(OSError, "could not be written after the work", "No such file"):
        try_to_write(tmp_path / "nowhere" / "a", [1])


@pytest.mark.parametrize("room, fits", [(300_000, True), (299_999, False)])
def test_a_trial_takes_the_room_of_all_files_at_once(room, fits, tmp_path, monkeypatch):
    written = []

    class File:
        def __init__(self, path, mode):
            assert mode == "wb" and path.parent == tmp_path

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def write(self, content: bytes) -> None:
            written.append(len(content))
            if sum(written) > room:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "open", File, raising=False)
    if fits:
        try_to_write(tmp_path / "a", [100_000, 200_000])
        return
    with pytest.raises(OSError, match="No space left"):
        try_to_write(tmp_path / "a", [100_000, 200_000])


def test_what_is_longer_than_expected_is_not_read(tmp_path, refuses):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_plain(tmp_path / "a", 5) == b"12345"
    with refuses(OSError, "at most 4 bytes", "got 5"):
        read_plain(tmp_path / "a", 4)
    with refuses(OSError, "a plain file"):
        read_plain(tmp_path, 5)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 10**5, b"\xff", "[" + "0," * 3_000_001]
)
def test_bad_json_is_a_value_error_of_one_line(text, refuses):
    with refuses(ValueError, ""):
        parse_json(text)


def test_numbers_of_tensors_are_numbers_in_json(refuses):
    given = {"b": torch.tensor(2.5), "a": torch.tensor(True)}
    assert to_json(given, "x") == '{"a": true, "b": 2.5}'
    loop: list = []
    loop.append(loop)
    for value in ({1, 2}, torch.zeros(2), loop, {1: 2, "a": 3}, object()):
        with refuses(ValueError, "expected a recipe that JSON can hold, got"):
            to_json(value, "a recipe")


def test_one_line_is_what_a_terminal_can_show():
    assert one_line(ValueError("a\n b\x1b[2Jü\u202e")) == "a b?[2Jü?"
    assert one_line(MemoryError()) == "MemoryError"
    assert len(one_line(ValueError("x" * 10**6))) < 1100
