"""A safetensors file that knows what it holds: two JSON texts, tensors, their sha256.

The header is read first, and the rest only if the caller takes the shapes in it: a
forged file of a few hundred bytes may speak of a terabyte.
"""

import hashlib
import os
from typing import BinaryIO, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from vae_lib.files import parse_json

HEADER_LIMIT = 2**26  # bytes; the rows of 100,000 epochs take half of them
TEXTS = ("config", "record", "sha256")


class Header(NamedTuple):
    """What a container says of itself before its tensors."""

    config: str  # JSON
    record: str  # JSON
    sha256: str
    shapes: dict[str, tuple]


def pack(config: str, record: str, tensors: dict[str, Tensor]) -> tuple[bytes, str]:
    """The content of a file with these texts and tensors, and its sha256.

    Raises ValueError if it could not be read again, or cannot be written.
    """
    # Copies: safetensors refuses two names of one tensor, as tied weights have.
    copies = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    if len({t.data_ptr() for t in copies.values()}) < len(copies):
        copies = {name: t.clone() for name, t in copies.items()}
    sha256 = content_sha256(config, record, copies)
    texts = dict(zip(TEXTS, (config, record, sha256), strict=True))
    try:
        content = to_bytes(copies, metadata=texts)
    except SafetensorError as error:
        raise ValueError(f"expected tensors for a file, got {error}") from error
    check_length(int.from_bytes(content[:8], "little"))
    parse_json(record)
    return content, sha256


def read_header(file: BinaryIO) -> Header:
    """The header of an open file, if what follows is as long as it says.

    Raises ValueError if it is no header of this library.
    """
    length = int.from_bytes(file.read(8), "little")
    check_length(length)
    header = parse_json(file.read(length))
    try:
        metadata = header.pop("__metadata__")
        config, record, sha256 = texts = [metadata[name] for name in TEXTS]
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        end = max(entry["data_offsets"][1] for entry in header.values())
        if not all(isinstance(text, str) for text in texts):
            raise TypeError
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ValueError("expected a header that this library wrote") from None
    expected, size = 8 + length + end, os.fstat(file.fileno()).st_size
    if size != expected:
        raise ValueError(f"expected {expected} bytes, got {size}")
    return Header(config, record, sha256, shapes)


def read_tensors(file: BinaryIO, header: Header) -> dict[str, Tensor]:
    """All tensors of the open file; raises ValueError if the sha256 is not theirs."""
    file.seek(0)
    try:
        tensors = from_bytes(file.read())
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    sha256 = content_sha256(header.config, header.record, tensors)
    if sha256 != header.sha256:
        got = f"expected sha256 {header.sha256}, got {sha256}"
        raise ValueError(f"damaged content, {got}")
    return tensors


def check_length(length: int) -> None:
    """Raise ValueError if a header of so many bytes is too long to be read."""
    if length > HEADER_LIMIT:
        expected = f"expected a header of at most {HEADER_LIMIT:,} bytes"
        raise ValueError(f"{expected}, got {length:,}")


def content_sha256(config: str, record: str, tensors: dict[str, Tensor]) -> str:
    """The sha256 of both texts, and of each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(f"{config}\n{record}\n".encode(errors="surrogatepass"))
    for name, tensor in sorted(tensors.items()):
        text = f"{name} {tensor.dtype} {tuple(tensor.shape)}\n"
        digest.update(text.encode(errors="surrogatepass"))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
