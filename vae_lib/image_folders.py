"""A data set of the user's own in a folder of pictures, named by their labels or not.

Nothing is resized, converted or guessed: what does not fit is refused in one line that
names the file.
"""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_lib.data import ImageSet
from vae_lib.domains import require
from vae_lib.files import one_line, read_plain
from vae_lib.image_arrays import Shape, as_splits, check_size, flat, in_words

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
CHANNELS = {"1": 1, "L": 1, "RGB": 3}  # by Pillow's modes
MOST_BYTES = 2**28  # of one file


def read_folder(folder: Path) -> tuple[dict[str, ImageSet], Shape]:
    """The training and test images of a folder, and the shape of each picture.

    All pictures have one size and are grey or RGB. Where they lie in folders, the
    first folder's name is their label, and labels are numbers in the order of names.
    If there are folders ``train`` and ``test``, these are the two splits, and one of
    them alone is refused; else every tenth image, in the order of names, is kept for
    the test. Names that begin with a
    dot, and files that are no pictures by their suffix, are left out.

    Raises ValueError if pictures differ in size or colour, or some have labels and
    others none; OSError if one cannot be read.
    """
    parts = [folder / "train", folder / "test"]
    there = [part.is_dir() for part in parts]
    alone = f"{parts[0]} and {parts[1]}, or neither"
    require(there[0] == there[1], alone, f"one of them in {folder}")
    if all(there):
        found = [pictures_in(part) for part in parts]
    else:
        found = [pictures_in(folder)]
    first = next(iter(found[0]))
    shape = shape_of(first)
    names = sorted({name for name in found[0].values() if name is not None})
    splits = []
    for pictures in found:
        check_size(len(pictures), shape, folder)
        images = torch.stack([read_picture(path, shape, first) for path in pictures])
        strange = set(pictures.values()) - {None, *names}
        expected = f"the labels of {parts[0]} in {parts[1]}"
        require(not strange, expected, ", ".join(map(str, sorted(strange, key=str))))
        labels = None
        if names:
            require(None not in pictures.values(), f"labels in {parts[1]}", "none")
            labels = torch.tensor([names.index(name) for name in pictures.values()])
        splits.append(ImageSet(images, labels))
    return as_splits(splits, folder), shape


def pictures_in(folder: Path) -> dict[Path, str | None]:
    """All pictures in a folder, in the order of their names, with their labels."""
    found: dict[Path, str | None] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        hidden = any(name.startswith(".") for name in inside)
        if not hidden and path.suffix.lower() in SUFFIXES and not path.is_dir():
            found[path] = inside[0] if len(inside) > 1 else None
    require(len(found) > 0, f"pictures ({', '.join(SUFFIXES)}) in {folder}", "none")
    bare = [path.name for path, name in found.items() if name is None]
    expected = f"all pictures of {folder} in folders named by their labels, or none"
    require(len(bare) in (0, len(found)), expected, f"{len(bare)} outside of them")
    return found


def shape_of(path: Path, content: bytes | None = None) -> Shape:
    """Channels, height and width that a picture's header tells."""
    picture = opened(path, content)
    known = picture.mode in CHANNELS
    require(known, "grey or RGB pictures", f"mode {picture.mode} in {path}")
    return CHANNELS[picture.mode], picture.height, picture.width


def opened(path: Path, content: bytes | None = None):
    """A picture whose pixels are not yet read."""
    from PIL import Image, UnidentifiedImageError  # a moment that MNIST does without

    content = read_plain(path, MOST_BYTES) if content is None else content
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        got = f"{len(content):,} bytes of something else"
        raise OSError(f"expected a picture in {path}, got {got}") from None
    except Exception as error:  # Pillow's plugins raise what they like
        raise OSError(f"{path} cannot be read: {one_line(error)}") from error


def read_picture(path: Path, shape: Shape, first: Path) -> Tensor:
    """The pixels of one picture in [0, 1], (D,), channel by channel."""
    content = read_plain(path, MOST_BYTES)
    found = shape_of(path, content)
    expected = f"pictures like {first.name}, {in_words(shape)}"
    require(found == shape, expected, f"{in_words(found)} in {path}")
    try:
        picture = opened(path, content)
        picture = picture.convert("L" if shape[0] == 1 else "RGB")  # pixels are read
    except Exception as error:
        raise OSError(f"{path} cannot be read: {one_line(error)}") from error
    return flat(np.asarray(picture)[None])[0]
