"""The grader's command line refuses in one line; its table is whole at any time."""

import errno
import sys

import pytest

pytest.importorskip("nbgrader")
from tools.course import grade, grade_one

BAD_NUMBERS = ["-1", "0", "nan", "inf", "-inf", "1e400", "a", ""]
OUT_OF_MEMORY = [
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.",
    "DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes.",
    "MPS backend out of memory (MPS allocated: 1 MB). Tried to allocate 2 GB",
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "Unable to allocate 298. GiB for an array with shape (200000, 200000)",
    "[Errno 12] Cannot allocate memory",
    "std::bad_alloc",
]


@pytest.fixture
def called(tmp_path, monkeypatch, capsys):
    """The exit code and the last line of what the command says of its arguments."""
    (tmp_path / "source" / "tiny").mkdir(parents=True)
    (tmp_path / "submitted" / "Zoë" / "tiny").mkdir(parents=True)
    monkeypatch.setattr(grade, "why_no_box", lambda options: "")

    def call(*words):
        command = ["grade", str(tmp_path), "tiny", *words]
        monkeypatch.setattr(sys, "argv", command)
        try:
            return 0, grade.arguments()
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err.splitlines()[-1]

    return call


@pytest.mark.parametrize("option", ["--seconds", "--memory"])
@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_limits_that_are_none_are_refused(called, option, number):
    code, line = called(f"{option}={number}")
    assert code == 2 and "expected a number in (0, " in line and repr(number) in line


def test_a_student_is_named_as_typed_on_any_keyboard(called):
    code, options = called("--student=Zoe\u0308", "--seconds=1", "--memory=0.5")
    assert code == 0 and options.students == ["Zoë"]
    code, line = called("--student=nobody")
    assert (
        code == 2 and "expected --student, a folder in submitted, got 'nobody'" in line
    )


def test_a_table_is_read_again_and_never_half_written(tmp_path, monkeypatch):
    path = tmp_path / "grades.csv"
    columns = ["student", "sum", "remarks"]
    table = grade.Table(path, columns)
    table.rows["b"] = {"student": "b", "sum": "1", "remarks": "a, \"quoted\" 'one'"}
    table.rows["ü"] = {"student": "ü", "sum": "2", "remarks": ""}
    table.write()
    assert grade.Table(path, columns).rows == table.rows
    assert grade.Table(path, [*columns, "more"]).rows == {}
    before = path.read_bytes()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(grade.csv.DictWriter, "writerows", full)
    with pytest.raises(OSError):
        table.write()
    assert path.read_bytes() == before
    path.write_bytes(b"\xff\x00")
    assert grade.Table(path, columns).rows == {}


@pytest.mark.parametrize("text", OUT_OF_MEMORY)
def test_that_memory_was_out_is_told_on_every_platform(text):
    assert grade_one.NO_MEMORY.search(text)
    assert not grade_one.NO_MEMORY.search("expected a memory of shape (3,)")
