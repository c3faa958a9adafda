"""What a submission shows is bounded, and nothing in it is for a browser to run."""

import nbformat
import pytest

pytest.importorskip("nbgrader")
from tools.course import graded_run

new = nbformat.v4.new_output


def error(name, **changes):
    fields = {"ename": name, "evalue": "", "traceback": ["line"]} | changes
    return new("error", **fields)


def test_prints_become_one_piece_and_no_warning():
    streams = [new("stream", name="stderr", text="a"), new("stream", text="b")]
    (kept,) = graded_run.kept(streams)
    assert kept.name == "stdout" and kept.text == "ab"
    (kept,) = graded_run.kept([new("stream", text="x" * 10**6)] * 3)
    assert len(kept.text) == graded_run.LONGEST_TEXT


def test_of_many_errors_the_first_and_the_last_are_kept():
    outputs = [error(name) for name in "abcd"] + [new("stream", text="after")]
    names = [output.get("ename") for output in graded_run.kept(outputs)]
    assert names == [None, "a", "d"]
    (kept,) = graded_run.kept([error("a", evalue="x" * 10**6, traceback=["y"] * 10**4)])
    assert len(kept.evalue) == graded_run.LONGEST_LINE
    assert len(kept.traceback) == graded_run.MOST_LINES


def test_a_result_is_a_picture_or_a_text_and_no_number_of_points():
    data = {
        "text/plain": "2",
        "text/html": "<script>",
        "image/svg+xml": "<svg>",
        "image/png": "aGk=",
        "image/jpeg": '"><script>',
    }
    result = new("execute_result", data=data, metadata={"image/png": {"width": "<"}})
    (kept,) = graded_run.kept([result])
    assert kept.output_type == "display_data" and kept.metadata == {}
    assert kept.data == {"text/plain": "2", "image/png": "aGk="}


def test_outputs_are_counted():
    shown = [new("display_data", data={"text/plain": "a"})] * 1000
    assert len(graded_run.kept([*shown, error("a")])) == graded_run.MOST_OUTPUTS + 1
    assert graded_run.weight({"a": ["bc", {"d": "e"}], "f": None}) == 10
