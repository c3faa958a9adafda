"""The bundled silhouettes: their numbers, and a split that no picture crosses."""

import gzip
import shutil

import numpy as np
import pytest
import torch

from vae_lib import animals
from vae_lib.animals import ANIMALS, N_TEST, load_animals
from vae_lib.data import ImageSet, load_mnist


@pytest.fixture(scope="module")
def splits(without_sockets) -> dict[str, ImageSet]:
    """Both splits, read with every socket forbidden."""
    with without_sockets():
        return {split: load_animals(split) for split in ("train", "test")}


def read_files() -> tuple[np.ndarray, np.ndarray]:
    """The pictures (10000, 784) and labels of the files, as they are in them."""
    packed = [animals.FOLDER / f"animal-{name}-ubyte.gz" for name in animals.SHA256]
    images, labels = (gzip.decompress(path.read_bytes()) for path in packed)
    pixels = np.frombuffer(images[16:], np.uint8).reshape(-1, 784)
    return pixels, np.frombuffer(labels[8:], np.uint8)


def as_bytes(images: torch.Tensor) -> list[bytes]:
    return [picture.tobytes() for picture in (255 * images).round().byte().numpy()]


@pytest.mark.parametrize("split, n", [("train", 7716), ("test", 2000)])
def test_they_have_the_form_of_mnist(splits, split, n):
    images, labels = splits[split]
    assert images.shape == (n, 784) and images.dtype == torch.float32
    assert labels.shape == (n,) and labels.dtype == torch.int64
    assert images.aminmax() == (0, 1) and len(labels.bincount()) == len(ANIMALS)
    assert torch.equal((255 * images).round() / 255, images)


def test_no_picture_is_there_twice_in_a_split_or_across(splits):
    found = [p for split in splits.values() for p in as_bytes(split.images)]
    assert len(found) == len(set(found)) == 9716


def test_the_splits_hold_all_pictures_of_the_files_with_their_labels(splits):
    pixels, labels = read_files()
    in_files = set(zip(map(bytes, pixels), labels.tolist(), strict=True))
    found = set()
    for images, kinds in splits.values():
        found |= set(zip(as_bytes(images), kinds.tolist(), strict=True))
    assert found == in_files and len(labels) == 10_000


def test_the_test_pictures_are_balanced_and_mixed(splits):
    labels = splits["test"].labels
    assert labels.bincount().tolist() == [N_TEST] * len(ANIMALS)
    for kinds in (labels, splits["train"].labels):
        for stretch in kinds.split(100)[:-1]:
            assert len(stretch.unique()) == len(ANIMALS)
    assert splits["train"].labels.bincount().aminmax() == (612, 800)


def test_the_split_does_not_depend_on_the_order_of_the_files(splits):
    pixels, labels = read_files()
    turned = animals._rows_of_splits(pixels[::-1], labels[::-1])["test"]
    images = torch.from_numpy(pixels[::-1][turned].copy()) / 255
    assert torch.equal(images, splits["test"].images)


def test_a_test_picture_is_no_nearer_to_training_than_a_test_digit(splits):
    """Near copies would show here: neither of the two pairs of them crosses."""
    digits = load_mnist("train").images[:7716], load_mnist("test").images[:2000]
    nearest = torch.cdist(splits["test"].images, splits["train"].images).amin(1)
    of_digits = torch.cdist(digits[1], digits[0]).amin(1)
    assert nearest.min() > of_digits.min() and (nearest < 2).sum() < 10


def test_they_are_less_black_and_white_than_digits_and_have_more_ink(splits):
    def grey(images: torch.Tensor) -> float:
        return ((images >= 0.1) & (images <= 0.9)).float().mean().item()

    images, digits = splits["train"].images, load_mnist("train").images
    assert grey(images) == pytest.approx(0.161, abs=5e-4)
    assert grey(digits) == pytest.approx(0.087, abs=5e-4)
    assert images.mean().item() == pytest.approx(0.275, abs=5e-4)
    assert digits.mean().item() == pytest.approx(0.131, abs=5e-4)


@pytest.mark.parametrize("name", ["images-idx3", "labels-idx1"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "swap", "missing"])
def test_a_damaged_file_is_refused_by_name(
    name, damage, tmp_path, monkeypatch, refuses
):
    for path in animals.FOLDER.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(animals, "FOLDER", tmp_path)
    path = tmp_path / f"animal-{name}-ubyte.gz"
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    path.unlink()
    if damage == "swap":  # a sound gzip file, but another one
        shutil.copy(next(tmp_path.iterdir()), path)
    elif damage != "missing":
        content[half] ^= damage == "flip"
        path.write_bytes(content[: half if damage == "truncate" else None])
    with refuses(OSError, path.name, animals.SHA256[name], "install vae_lib again"):
        load_animals("test")


def test_an_unknown_split_is_refused_in_one_line(refuses):
    with refuses(ValueError, "expected", "train", "test", "got 'valid'"):
        load_animals("valid")
