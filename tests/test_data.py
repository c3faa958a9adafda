"""The bundled digits, binarization and the refusal of bad input."""

import math
import os
import shutil
import tracemalloc
import zlib
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch.testing import assert_close

from vae_lib import data
from vae_lib.data import ImageSet, binarize, check_images, load_mnist

DIGITS = {  # how often each occurs
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.fixture(scope="module")
def mnist(without_sockets) -> dict[str, ImageSet]:
    """Both splits, read with every socket forbidden."""
    with without_sockets():
        return {split: load_mnist(split) for split in DIGITS}


@pytest.mark.parametrize("split, n", [("train", 60_000), ("test", 10_000)])
def test_mnist_has_the_known_counts_shapes_and_ranges(mnist, split, n):
    images, labels = mnist[split]
    assert images.shape == (n, 784) and images.dtype == torch.float32
    assert labels.shape == (n,) and labels.dtype == torch.int64
    assert images.aminmax() == (0, 1) and labels.bincount().tolist() == DIGITS[split]
    assert torch.equal((255 * images).round() / 255, images)


def test_mnist_is_in_its_usual_order_and_orientation(mnist):
    images, labels = mnist["train"]
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert float(images.mean()) == pytest.approx(0.1307, abs=5e-5)
    seven = mnist["test"].images[0].reshape(28, 28)
    assert seven[:10].sum() > seven[-10:].sum()  # its bar is at the top


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
    half = len(content) // 2
    path.unlink()
    if damage == "swap":  # a sound gzip file, but another one
        shutil.copy(next(tmp_path.iterdir()), path)
    elif damage != "missing":
        content[half] ^= damage == "flip"
        path.write_bytes(content[: {"truncate": half, "empty": 0}.get(damage)])
    with refuses(OSError, path.name):
        load_mnist("test")


@pytest.mark.parametrize("kind", ["bomb", "folder", "pipe", "long"])
def test_a_file_that_would_take_all_memory_or_time_is_refused(
    kind, tmp_path, monkeypatch, refuses
):
    monkeypatch.setattr(data, "MNIST_FOLDER", tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    if kind == "bomb":  # a gigabyte in a megabyte
        packer = zlib.compressobj(9, wbits=31)
        zeros = (packer.compress(bytes(2**24)) for _ in range(64))
        path.write_bytes(b"".join(zeros) + packer.flush())
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.touch()
        os.truncate(path, 2**40)
    tracemalloc.start()
    with refuses(OSError, path.name, "is missing or damaged"):
        load_mnist("test")
    assert tracemalloc.get_traced_memory()[1] < 120e6
    tracemalloc.stop()


def test_threshold_lights_pixels_above_one_half():
    x = torch.tensor([[0.0, 0.49, 0.5, 0.51, 1.0]], dtype=torch.float64)
    assert torch.equal(binarize(x), x.new_tensor([[0, 0, 0, 1, 1]]))


def test_sampled_bits_have_the_grey_levels_as_mean():
    x = torch.linspace(0, 1, 11, dtype=torch.float64).repeat(20_000, 1)
    bits = binarize(x, "sample", generator=torch.Generator())
    assert torch.equal(bits, binarize(x, "sample", generator=torch.Generator()))
    assert bits.dtype == x.dtype and bits.unique().tolist() == [0, 1]
    error = (x[0] * (1 - x[0]) / len(x)).sqrt()  # zero where the bit is certain
    assert ((bits.mean(0) - x[0]).abs() <= 4 * error).all()


def test_unknown_names_are_refused(refuses):
    with refuses(ValueError, "expected", "got 'otsu'"):
        binarize(torch.zeros(1, 4), "otsu")
    for load in (load_mnist, data.load_fashion_mnist):
        with refuses(ValueError, "expected", "got 'valid'"):
            load("valid")


def images_with(value: float) -> torch.Tensor:
    return torch.full((4, 6), 0.5).index_fill(0, torch.tensor(2), value)


@pytest.mark.parametrize(
    "images, word",
    [
        (images_with(255.0), "divide by 255"),
        (images_with(-0.1), "-0.1"),
        (images_with(math.nan), "row 2"),
        (images_with(math.inf), "row 2"),
        (images_with(-math.inf), "row 2"),
        (torch.zeros(4, 1, 2, 3), "(4, 1, 2, 3)"),
        (torch.zeros(4, 5), "(4, 5)"),
        (torch.zeros(0, 6), "(0, 6)"),
        (torch.zeros(4, 6, dtype=torch.uint8), "uint8"),
        (torch.zeros(4, 6).numpy(), "ndarray"),
        (None, "None"),
    ],
)
def test_bad_images_are_refused(images, word, refuses):
    with refuses(ValueError, "expected", "got", word):
        check_images(images, 6)


def test_good_images_pass():
    check_images(torch.rand(1, 6, dtype=torch.float64), 6)
    check_images(images_with(0.0) * 2, 6)
    check_images(images_with(255.0), 6, unit_interval=False)


@pytest.mark.parametrize(
    "error", [URLError("no route"), RuntimeError("not found\nor corrupted"), OSError()]
)
def test_fashion_mnist_without_a_network_says_so(error, monkeypatch, refuses):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fail)
    with refuses(OSError, "Fashion-MNIST", "network"):
        data.load_fashion_mnist()


def test_fashion_mnist_laid_by_hand_says_what_is_wrong(tmp_path, monkeypatch, refuses):
    expected = "expected Fashion-MNIST, t10k-images-idx3-ubyte.gz and -labels-idx1-"
    (tmp_path / "file").touch()
    with refuses(OSError, expected, "raw", "or a network, got nei"):
        data.load_fashion_mnist("test", root=tmp_path / "file")
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3")
    for name in (*names, "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"no pictures")
    with refuses(OSError, expected, str(raw), "or a network, got neither"):
        data.load_fashion_mnist("test", root=tmp_path)
    fake = SimpleNamespace(data=torch.zeros(3, 32, 32), targets=torch.zeros(3))
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", lambda *a, **k: fake)
    with refuses(OSError, expected, "got files of shapes (3, 32, 32) and (3,)"):
        data.load_fashion_mnist("test", root=tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_fashion_mnist_comes_in_the_form_of_mnist(split, monkeypatch):
    pixels = torch.randint(256, (3, 28, 28), dtype=torch.uint8)

    def fake(root, train, download):
        assert (root, train, download) == ("here", split == "train", True)
        return SimpleNamespace(data=pixels, targets=torch.tensor([9, 0, 3]))

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fake)
    images, labels = data.load_fashion_mnist(split, root="here")
    assert_close(images, pixels.flatten(1) / 255)
    assert labels.tolist() == [9, 0, 3]
