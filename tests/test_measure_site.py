"""The weight of a page is what a server sends, each file once."""

import pytest

from tools.site import measure


def test_text_is_compressed_pictures_are_not_and_nothing_counts_twice(tmp_path):
    text, picture = tmp_path / "a page.html", tmp_path / "picture.png"
    text.write_bytes(b"z" * 100_000)
    picture.write_bytes(b"z" * 5_000)
    assert measure.weight([picture.as_uri()] * 2) == 5_000
    assert 0 < measure.weight([text.as_uri()]) < 1_000  # gzip: a thousandth
    both = [text.as_uri() + "#part", picture.as_uri(), "https://example.org/other"]
    assert 5_000 < measure.weight(both) < 6_000


def test_a_page_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["measure_site", "book/nowhere"])
    with pytest.raises(SystemExit) as stop:
        measure.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and "got 'book/nowhere'" in said
