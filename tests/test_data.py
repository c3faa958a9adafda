"""The bundled digits, binarization and the refusal of bad input."""

import shutil
import socket
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
import torchvision

from vae_lib import data
from vae_lib.data import ImageSet, binarize, check_images, load_mnist

# Digits 0 to 9, counted by others.
COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.fixture(scope="module")
def mnist() -> dict[str, ImageSet]:
    """Both splits, read with every socket forbidden."""

    def forbidden(*args, **kwargs):
        raise AssertionError("MNIST must not need a network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", forbidden)
        return {split: load_mnist(split) for split in COUNTS}


@pytest.mark.parametrize("split, n", [("train", 60_000), ("test", 10_000)])
def test_mnist_has_the_known_counts_shapes_and_ranges(mnist, split, n):
    images, labels = mnist[split]
    assert images.shape == (n, 784) and images.dtype == torch.float32
    assert labels.shape == (n,) and labels.dtype == torch.int64
    assert images.min() == 0 and images.max() == 1
    assert torch.equal((255 * images).round() / 255, images)
    assert labels.bincount().tolist() == COUNTS[split]


def test_mnist_is_in_its_usual_order_and_orientation(mnist):
    images, labels = mnist["train"]
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert float(images.mean()) == pytest.approx(0.1307, abs=5e-5)
    one = images[3].reshape(28, 28)  # a stroke, higher than wide
    assert one.any(1).sum() > one.any(0).sum()


@pytest.mark.parametrize("name", ["t10k-images-idx3", "t10k-labels-idx1"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "swap", "empty", "missing"])
def test_a_damaged_file_is_refused_by_name(
    name, damage, tmp_path, monkeypatch, refuses
):
    for path in data.MNIST_FOLDER.glob("t10k-*"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(data, "MNIST_FOLDER", tmp_path)
    path = tmp_path / f"{name}-ubyte.gz"
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "swap":  # a sound gzip file, but another one
        shutil.copy(next(p for p in tmp_path.iterdir() if p != path), path)
    else:
        content[len(content) // 2] ^= 1
        kept = {"flip": None, "truncate": len(content) // 2, "empty": 0}[damage]
        path.write_bytes(content[:kept])
    with refuses(OSError, path.name):
        load_mnist("test")


def test_threshold_lights_pixels_above_one_half():
    x = torch.tensor([[0.0, 0.49, 0.5, 0.51, 1.0]], dtype=torch.float64)
    assert torch.equal(binarize(x), (x > 0.5).double())


def test_sampled_bits_have_the_grey_levels_as_mean():
    x = torch.linspace(0, 1, 11, dtype=torch.float64).repeat(20_000, 1)
    first, second = (
        binarize(x, "sample", generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert torch.equal(first, second) and first.dtype == x.dtype
    assert set(first.unique().tolist()) == {0.0, 1.0}
    error = (x[0] * (1 - x[0]) / len(x)).sqrt()  # zero where the bit is certain
    assert ((first.mean(0) - x[0]).abs() <= 4 * error).all()


def test_unknown_names_are_refused(refuses):
    with refuses(ValueError, "expected", "got 'otsu'"):
        binarize(torch.zeros(1, 4), "otsu")
    for load in (load_mnist, data.load_fashion_mnist):
        with refuses(ValueError, "expected", "got 'valid'"):
            load("valid")


def bad(row: int, value: float) -> torch.Tensor:
    images = torch.full((4, 6), 0.5)
    images[row, 3] = value
    return images


@pytest.mark.parametrize(
    "images, words",
    [
        (bad(1, 255.0), "divide by 255"),
        (bad(1, -0.1), "-0.1"),
        (bad(2, float("nan")), "row 2"),
        (bad(3, float("inf")), "row 3"),
        (bad(3, -float("inf")), "row 3"),
        (torch.zeros(4, 1, 2, 3), "(4, 1, 2, 3)"),
        (torch.zeros(6), "(6,)"),
        (torch.zeros(4, 5), "(4, 5)"),
        (torch.zeros(0, 6), "(0, 6)"),
        (torch.zeros(4, 6, dtype=torch.uint8), "uint8"),
        (torch.zeros(4, 6).numpy(), "ndarray"),
        (None, "None"),
    ],
)
def test_bad_images_are_refused(images, words, refuses):
    with refuses(ValueError, "expected", "got", words):
        check_images(images, 6)


def test_good_images_pass():
    check_images(torch.rand(4, 6), 6)
    check_images(torch.rand(1, 6, dtype=torch.float64), 6)
    check_images(bad(0, 255.0), 6, unit_interval=False)


@pytest.mark.parametrize(
    "error", [URLError("no route"), RuntimeError("not found\nor corrupted"), OSError()]
)
def test_fashion_mnist_without_a_network_says_so(error, monkeypatch, refuses, tmp_path):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fail)
    with refuses(OSError, "Fashion-MNIST", "network"):
        data.load_fashion_mnist(root=tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_fashion_mnist_comes_in_the_form_of_mnist(split, monkeypatch, tmp_path):
    pixels = torch.randint(256, (3, 28, 28), dtype=torch.uint8)

    def fake(root, train, download):
        assert (root, train, download) == (tmp_path, split == "train", True)
        return SimpleNamespace(data=pixels, targets=torch.tensor([9, 0, 3]))

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fake)
    images, labels = data.load_fashion_mnist(split, root=tmp_path)
    assert torch.equal(images, pixels.flatten(1) / 255)
    assert labels.tolist() == [9, 0, 3]
