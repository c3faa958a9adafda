"""Bundled files: whole as they were packed, or refused by name and with the cure."""

import gzip
import hashlib
import tracemalloc

import pytest

from vae_lib.bundled import read_bundled

CONTENT = bytes(range(256)) * 4
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_whole_file_is_extracted(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT))
    assert read_bundled(tmp_path / "a.gz", SHA256, at_most=1024) == CONTENT


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(CONTENT[1:]),
        gzip.compress(CONTENT)[:-9],
        gzip.compress(CONTENT * 2),
        CONTENT,
        b"",
    ],
    ids=["another", "cut", "longer", "not packed", "empty"],
)
def test_anything_else_is_refused_with_the_cure(packed, tmp_path, refuses):
    (tmp_path / "a.gz").write_bytes(packed)
    with refuses(OSError, "a.gz", SHA256, "git checkout"):
        read_bundled(tmp_path / "a.gz", SHA256, at_most=1024)


def test_a_missing_file_and_a_folder_are_refused(tmp_path, refuses):
    for path in (tmp_path / "a.gz", tmp_path):
        with refuses(OSError, str(path), "is missing or damaged"):
            read_bundled(path, SHA256, at_most=1024)


def test_a_file_is_read_no_further_than_its_limit(tmp_path, refuses):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(10_000_000)))  # a bomb
    tracemalloc.start()
    with refuses(OSError, "is missing or damaged"):
        read_bundled(path, SHA256, at_most=20_000)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()
    with refuses(OSError, "expected at most 100 bytes"):
        read_bundled(path, SHA256, at_most=100)
