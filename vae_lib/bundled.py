"""Gzipped files that ship with the library: each is checked whenever it is read."""

import gzip
import hashlib
import io
import zlib
from pathlib import Path

from vae_lib.files import read_plain


def read_bundled(path: Path, sha256: str, *, at_most: int) -> bytes:
    """The extracted bytes of a file that has this sha256 when extracted.

    It holds at most so many bytes, packed or extracted, and no more are read. Raises
    OSError, naming the file and how to get it back, if it is missing or holds anything
    else.
    """
    try:
        packed = io.BytesIO(read_plain(path, at_most))
        with gzip.GzipFile(fileobj=packed) as file:
            content = file.read(at_most + 1)  # and not all that may be packed in it
        found = hashlib.sha256(content).hexdigest()
    except (OSError, EOFError, zlib.error) as error:
        content, found = b"", str(error)
    if found != sha256:
        raise OSError(
            f"{path} is missing or damaged: expected content of sha256"
            f" {sha256}, got {found}; to get it back, install vae_lib again"
            " or, in a clone, run git checkout on it"
        )
    return content
