"""What a student handed in is read without trust, and named in one harmless line."""

import os

import nbformat
import pytest
from graded_course import RIGHT, answered, source_notebook

pytest.importorskip("nbgrader")
from tools.course import editions, submissions

SHOWN = {
    "Zoë von Wut": "Zoë von Wut",
    "李雷": "李雷",
    "a\nb\tc": "a%0Ab%09c",
    "\x1b[2K\rx": "%1B[2K%0Dx",
    "M\udcfcller": "M%FCller",
    "\ud800": "%ED%A0%80",
    "\u202egnp.exe": "%E2%80%AEgnp.exe",
    "x" * 300: "x" * 197 + "...",
}
IN_A_TABLE = {
    "=1+1": "'=1+1",
    "@sum": "'@sum",
    "+49 30": "'+49 30",
    "-rf": "'-rf",
    "＝1": "'＝1",
    "a; =1+1": "a; '=1+1",
    'a,"=1': "a,\"'=1",
    "a - b": "a - b",
    "no cell double-check": "no cell double-check",
}


@pytest.mark.parametrize("text, shown", SHOWN.items())
def test_a_text_is_shown_in_one_printable_line(text, shown):
    assert submissions.plain(text) == shown


@pytest.mark.parametrize("text, shown", IN_A_TABLE.items())
def test_a_text_is_no_formula_whatever_separates_cells(text, shown):
    assert submissions.no_formula(text) == shown


def test_folders_that_an_unpacked_archive_leaves_are_no_students(tmp_path):
    others = [".ipynb_checkpoints", "__MACOSX", "lost+found", "@eaDir", ".git"]
    for name in ["b", "a", *others]:
        (tmp_path / name).mkdir()
    (tmp_path / "all.zip").touch()
    assert submissions.students(tmp_path) == (["a", "b"], sorted(others))


def test_only_a_plain_file_of_bounded_size_is_read(tmp_path):
    file, link, pipe = (tmp_path / name for name in ("file", "link", "pipe"))
    file.write_bytes(b"12345")
    assert submissions.content(file) == b"12345"
    link.symlink_to(file)
    odd = [link, tmp_path]
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
        odd.append(pipe)
    for path in odd:
        with pytest.raises(submissions.Refused, match="expected the file"):
            submissions.content(path)
    with pytest.raises(submissions.Refused, match="expected at most"):
        submissions.content(file, 4)
    os.link(file, tmp_path / "other")
    with pytest.raises(submissions.Refused, match="got a link"):
        submissions.content(file)


def test_an_untouched_submission_is_copied_without_a_remark():
    released = editions.student_edition(source_notebook())
    submitted = answered(source_notebook(), RIGHT)
    clean, remarks = submissions.cleaned(submitted, released)
    assert remarks == []
    assert [cell.source for cell in clean.cells] == [c.source for c in submitted.cells]
    nbformat.validate(clean)


def test_of_a_submission_only_texts_marks_and_pictures_are_kept():
    released = editions.student_edition(source_notebook())
    submitted = answered(source_notebook(), RIGHT)
    submitted.metadata.update(widgets={}, colab={})
    for cell in submitted.cells:
        cell.metadata.update(tags=["skip-execution"], other=1)
        cell.outputs = [nbformat.v4.new_output("stream", text="a")]
        cell.metadata.nbgrader.points = 100
    picture = nbformat.v4.new_markdown_cell("![](attachment:a.png) a < b <b>")
    picture.attachments = {"a.png": {"image/png": "aGk=", "text/html": "<script>"}}
    submitted.cells.append(picture)
    clean, remarks = submissions.cleaned(submitted, released)
    assert remarks == [] and clean.metadata == {}
    for cell, origin in zip(clean.cells, released.cells, strict=False):
        assert cell.metadata == origin.metadata and cell.outputs == []
    assert clean.cells[-1].attachments == {"a.png": {"image/png": "aGk="}}
    assert clean.cells[-1].source == "![](attachment:a.png) a < b &lt;b>"


def test_a_notebook_is_known_by_its_checks_whatever_the_file_is_called(tmp_path):
    released = editions.student_edition(source_notebook())
    path = tmp_path / "Copy of tiny.ipynb"
    for forget in (False, True):
        submitted = answered(source_notebook(), RIGHT)
        for cell in submitted.cells if forget else []:
            cell.metadata.pop("nbgrader")
        nbformat.write(submitted, path)
        found, remarks = submissions.chosen(tmp_path, ["tiny"], {"tiny": released})
        assert found == {"tiny": path} and "Copy of tiny.ipynb" in remarks[0]
    nbformat.write(nbformat.v4.new_notebook(), path)
    with pytest.raises(submissions.Refused, match="expected tiny.ipynb, got Copy of"):
        submissions.chosen(tmp_path, ["tiny"], {"tiny": released})
