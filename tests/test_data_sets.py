"""Images of the user's own: what is read, and one clear line on what cannot be."""

import io
import itertools
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vae_lib.checkpoints import load
from vae_lib.configs import SequenceConfig, VAEConfig
from vae_lib.data import SHAPE, load_mnist
from vae_lib.data_sets import DATA_SETS, find_data_set, kinds_in_words
from vae_lib.molecules import load_molecules, standardized

LEVELS = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 3), dtype=np.uint8)
KINDS = np.arange(30) % 3
EXPECTED = torch.from_numpy(np.moveaxis(LEVELS, 3, 1).reshape(30, -1) / np.float32(255))
SMALL = ("--hidden-dims", 4, "--epochs", 1, "--batch-size", 7)


def kept_for_test(n: int) -> torch.Tensor:
    """Which of so many images are kept for the test."""
    return torch.arange(n) % 10 == 9


def npz(path, **arrays) -> str:
    np.savez(path, **arrays)
    return str(path)


def folder(path, levels=LEVELS, kinds=None, suffix=".png", first=0) -> str:
    """Pictures in a folder, in folders by their kinds if there are any."""
    for n, picture in enumerate(levels):
        place = path if kinds is None else path / f"kind {kinds[n]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{first + n:03}{suffix}")
    return str(path)


def test_the_shape_of_a_named_set_is_that_of_its_pictures():
    assert DATA_SETS["mnist"].shape == SHAPE and find_data_set("mnist").ink
    assert load_mnist("test").images.shape[1] == np.prod(SHAPE)


def test_a_model_is_told_as_many_properties_as_its_head_tells():
    data, known = DATA_SETS["molecules"], load_molecules("test")
    for k in range(6):
        x, y = data.examples_for(SequenceConfig(n_properties=k), "test")
        assert torch.equal(x, known.tokens)
        if k == 0:
            assert y is None
        else:
            assert torch.equal(y, standardized(known.properties)[:, :k])


def test_a_model_of_images_is_told_nothing_of_them():
    x, y = DATA_SETS["animals"].examples_for(VAEConfig(), "test")
    assert len(x) == 2_000 and y is None


@pytest.mark.parametrize(
    "colour, suffix",
    [*itertools.product(["grey", "RGB"], [".png", ".PNG", ".bmp", ".ppm"])],
)
def test_a_folder_of_pictures_is_read_as_it_is(colour, suffix, tmp_path):
    levels, expected = LEVELS, EXPECTED
    if colour == "grey":
        levels, expected = LEVELS[..., 0], EXPECTED[:, :30]
    data = find_data_set(folder(tmp_path, levels, suffix=suffix))
    assert data.shape == (1 if colour == "grey" else 3, 6, 5) and not data.ink
    kept, (images, labels) = kept_for_test(30), data.load("train")
    assert torch.equal(images, expected[~kept]) and labels is None
    assert torch.equal(data.load("test").images, expected[kept])


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_pictures_that_were_pressed_are_read_as_nearly(suffix, tmp_path):
    data = find_data_set(folder(tmp_path, np.full_like(LEVELS, 51), suffix=suffix))
    nearly = {"rtol": 0, "atol": 0.01}
    images = data.load("train").images
    torch.testing.assert_close(images, torch.full_like(images, 0.2), **nearly)


def test_folders_in_it_are_labels_in_the_order_of_their_names(tmp_path):
    data = find_data_set(folder(tmp_path, kinds=KINDS))
    images, labels = data.load("train")
    assert labels.tolist() == [0] * 9 + [1] * 9 + [2] * 9
    assert torch.equal(data.load("test").labels, torch.arange(3))
    order = torch.arange(30).reshape(10, 3).T.flatten()
    torch.testing.assert_close(images, EXPECTED[order][~kept_for_test(30)])


def test_folders_train_and_test_are_the_splits(tmp_path):
    folder(tmp_path / "train", LEVELS[:8], KINDS[:8])
    folder(tmp_path / "test", LEVELS[8:9], [2])
    data = find_data_set(str(tmp_path))
    assert len(data.load("train").images) == 8
    assert torch.equal(data.load("test").images, EXPECTED[8:9])
    assert data.load("test").labels.tolist() == [2]


def test_what_is_no_picture_and_what_is_hidden_is_left_out(tmp_path):
    name = folder(tmp_path, kinds=KINDS)
    (tmp_path / "README.md").write_text("ten of each")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "kind 0" / "._000.png").write_bytes(b"\0")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "a.png").write_bytes(b"\0")
    assert len(find_data_set(name).load("train").images) == 27


@pytest.mark.parametrize(
    "names",
    [("train_images", "train_labels"), ("x_train", "y_train"), ("images", "labels")],
)
@pytest.mark.parametrize("sort", ["grey", "one channel", "RGB", "float32", "float64"])
def test_an_npz_is_read_as_it_is(sort, names, tmp_path):
    levels = LEVELS if sort == "RGB" else LEVELS[..., :1]
    images = levels / np.dtype(sort).type(255) if "float" in sort else levels
    images = images[..., 0] if sort == "grey" else images
    labels = KINDS[:, None] if sort == "RGB" else KINDS
    arrays = dict(zip(names, (images, labels), strict=True)) | {"other": np.zeros(2)}
    data = find_data_set(npz(tmp_path / "own.npz", **arrays))
    expected = EXPECTED if sort == "RGB" else EXPECTED[:, :30]
    assert data.shape == (3 if sort == "RGB" else 1, 6, 5)
    found = data.load("train")
    torch.testing.assert_close(found.images, expected[~kept_for_test(30)])
    assert found.labels.tolist() == KINDS[~kept_for_test(30).numpy()].tolist()
    assert found.images.dtype == torch.float32 and found.labels.dtype == torch.int64


def test_an_npz_may_have_a_test_of_its_own_and_no_labels(tmp_path):
    arrays = {"train_images": LEVELS[:4], "test_images": LEVELS[4:]}
    data = find_data_set(npz(tmp_path / "own.npz", **arrays))
    assert torch.equal(data.load("train").images, EXPECTED[:4])
    assert torch.equal(data.load("test").images, EXPECTED[4:])
    assert data.load("train").labels is None is data.load("test").labels


def empty(path):
    path.mkdir()
    return path


def with_file(name: str, content: bytes):
    """A folder of pictures with one more file."""

    def make(path):
        folder(path)
        (path / name).write_bytes(content)
        return path

    return make


def png(levels, mode=None) -> bytes:
    content, picture = io.BytesIO(), Image.fromarray(levels)
    (picture if mode is None else picture.convert(mode)).save(content, "png")
    return content.getvalue()


def mixed(path):
    folder(path, kinds=KINDS)
    return folder(path, LEVELS[:1])


def strange_test(path):
    folder(path / "train", LEVELS[:4], KINDS[:4])
    folder(path / "test", LEVELS[:1], [7])
    return path


def unlabelled_test(path):
    folder(path / "train", LEVELS[:4], KINDS[:4])
    folder(path / "test", LEVELS[:1])
    return path


def pipe(path):
    folder(path)
    os.mkfifo(path / "zz.png")
    return path


def half_split(path):
    """Else "train" would pass for a label."""
    folder(path / "train", LEVELS, KINDS)
    return path


WHOLE = png(LEVELS[0])
NO_FOLDER = {
    "empty": (empty, "expected pictures (.bmp, "),
    "of another size": (with_file("zz.png", png(LEVELS[0, :4])), "4 x 5 in RGB in"),
    "of another colour": (with_file("zz.png", png(LEVELS[0, ..., 0])), "6 x 5 in grey"),
    "transparent": (with_file("zz.png", png(LEVELS[0], "RGBA")), "mode RGBA in"),
    "of a palette": (with_file("zz.png", png(LEVELS[0], "P")), "mode P in"),
    "of sixteen bits": (with_file("zz.png", png(np.ones((6, 5), np.uint16))), "mode I"),
    "an empty picture": (with_file("zz.png", b""), "zz.png, got 0 bytes of something"),
    "half a picture": (with_file("zz.png", WHOLE[:80]), "zz.png cannot be read"),
    "a damaged picture": (
        with_file("zz.png", WHOLE[:60] + b"\xff" * 20 + WHOLE[80:]),
        "zz.png cannot be read",
    ),
    "a text": (with_file("zz.png", b"not a picture"), "got 13 bytes of something else"),
    "a pipe": (pipe, "expected a plain file"),
    "some labelled": (
        mixed,
        "named by their labels, or none, got '1 outside",
    ),
    "a strange test": (strange_test, "expected the labels of"),
    "a test without": (unlabelled_test, "expected labels in"),
    "a split alone": (half_split, "or neither, got 'one of them in"),
    "too few": (lambda path: folder(path, LEVELS[:9]), "at least 10 images in"),
}


@pytest.mark.parametrize("make, said", NO_FOLDER.values(), ids=NO_FOLDER)
def test_a_folder_that_is_no_data_set_is_refused(make, said, tmp_path, refuses):
    place = make(tmp_path / "own")
    with refuses((ValueError, OSError), said):
        find_data_set(str(place))


def forged(path, header: bytes) -> str:
    """An .npz whose one array says of itself what this header says."""
    text = header.ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(90)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content)
    return str(path)


BAD = {
    "no array": (
        {"pictures": LEVELS},
        "an array train_images in",
    ),
    "a test alone": ({"x_test": LEVELS}, "training images in"),
    "labels alone": ({"labels": KINDS}, "expected images in"),
    "two of them": ({"images": LEVELS, "x_train": LEVELS}, "to have one array of"),
    "rows": ({"images": LEVELS.reshape(30, -1)}, "shape (N, H, W), or (N, H, W, C)"),
    "channels first": ({"images": np.moveaxis(LEVELS, 3, 1)}, "1 or 3 channels"),
    "four channels": ({"images": LEVELS.repeat(2, 3)[..., :4]}, "1 or 3 channels"),
    "no images": ({"images": LEVELS[:0]}, "of shape"),
    "whole numbers": ({"images": LEVELS.astype(int)}, "in uint8, or in float32"),
    "float levels": ({"images": LEVELS.astype("f4")}, "in [0, 1], got '0 to 255'"),
    "normalised": ({"images": LEVELS / 127.5 - 1}, "in [0, 1], got '-1 to 1'"),
    "not a number": ({"images": LEVELS / np.nan}, "in [0, 1], got 'nan"),
    "objects": ({"images": np.full((30, 6, 5), None)}, "numbers in images.npy"),
    "one label too few": ({"images": LEVELS, "labels": KINDS[:29]}, "30 labels"),
    "labels as floats": ({"images": LEVELS, "labels": KINDS / 2}, "whole numbers"),
    "one-hot labels": ({"images": LEVELS, "labels": np.eye(30)}, "labels (N,) of"),
    "labels of one split": (
        {"train_images": LEVELS, "train_labels": KINDS, "test_images": LEVELS},
        "labels of both splits",
    ),
    "two sizes": (
        {"train_images": LEVELS, "test_images": LEVELS[:, :4]},
        "test images like the others, 6 x 5 in RGB, got '4 x 5 in RGB'",
    ),
}


@pytest.mark.parametrize("arrays, said", BAD.values(), ids=BAD)
def test_an_npz_that_is_no_data_set_is_refused(arrays, said, tmp_path, refuses):
    with refuses((ValueError, OSError), said):
        find_data_set(npz(tmp_path / "own.npz", **arrays))


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"x" * 500])
def test_what_only_has_the_name_of_an_npz_is_refused(content, tmp_path, refuses):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with refuses(OSError, "own.npz cannot be read: "):
        find_data_set(str(path))


def test_a_damaged_npz_is_refused_and_one_that_lies_takes_no_memory(tmp_path, refuses):
    path = tmp_path / "own.npz"
    content = bytearray(Path(npz(path, images=LEVELS)).read_bytes())
    content[1000] ^= 255
    path.write_bytes(content)
    with refuses(OSError, "own.npz cannot be read: "):
        find_data_set(str(path))
    lie = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999, 9999, 9999), }"
    with refuses(OSError, "999,800,109,980,001 bytes in images.npy, got 218"):
        find_data_set(forged(path, lie.replace(b"9999999,", b"10000001,")))
    code = b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }"
    with refuses(OSError, "own.npz cannot be read: "):
        find_data_set(forged(path, code))


def test_more_than_memory_holds_is_refused_before_it_is_read(
    tmp_path, refuses, monkeypatch
):
    monkeypatch.setattr("vae_lib.image_arrays.MOST_NUMBERS", 30 * 90 - 1)
    for make in (folder, lambda path: npz(path.with_suffix(".npz"), images=LEVELS)):
        with refuses(ValueError, "at most 2,699 numbers in the pictures of", "2,700"):
            find_data_set(make(tmp_path / "own"))


@pytest.mark.parametrize("name", ["", " ", "mnis", "nowhere", "/dev/null", "a.npz"])
def test_a_name_of_nothing_is_told_what_there_is(name, refuses):
    with refuses(ValueError, "a folder, an .npz file, mnist, animals, fashion-mnist"):
        find_data_set(name)


def test_labels_are_counted_in_words():
    assert kinds_in_words(None) == "no labels"
    assert kinds_in_words(torch.tensor([3, 0, 3])) == "of each label: 1 2"
    assert kinds_in_words(torch.arange(1234)) == "1,234 labels"


@pytest.mark.parametrize("sort", ["grey", "RGB"])
@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_own_pictures_are_trained_on_judged_and_drawn(network, sort, run, tmp_path):
    levels = LEVELS if sort == "RGB" else LEVELS[..., 0]
    own, out = folder(tmp_path / "own", levels, KINDS), tmp_path / "run"
    words = ("--out", out, "--network", network, "--likelihood", "gaussian", *SMALL)
    code, said, err = run("data", "--data", own)
    assert code == 0 and "train 27 images, 6 x 5 in" in said and err == ""
    assert "of each label: 9 9 9" in said
    assert run("train", "--data", own, *words)[::2] == (0, "")
    model = load(out / "model.safetensors")
    assert model.config.picture == (3 if sort == "RGB" else 1, 6, 5)
    assert model.record["data"]["source"] == own
    sheet = np.asarray(Image.open(out / "samples.png").convert("RGB")).astype(int)
    assert np.ptp(sheet, axis=2).any() == (sort == "RGB")
    few = ("--n-samples", 2, "--json")
    code, said, err = run("evaluate", out, *few)
    assert code == 0 and json.loads(said)["images"] == 3, err
    assert run("evaluate", out, "--data", own, *few)[1] == said
    assert run("train", "--out", out, "--resume", "--epochs", 2)[0] == 0  # knows them
    if network == "mlp":
        assert run("export", out, "--out", tmp_path / "net.json")[0] == 0
        shape = json.loads((tmp_path / "net.json").read_text())["shape"]
        assert shape == list(model.config.picture)


def test_other_images_than_the_runs_are_refused(run, tmp_path):
    own = folder(tmp_path / "own", LEVELS[..., 0])
    other = folder(tmp_path / "other", LEVELS[::-1, ..., 0])
    large = npz(tmp_path / "large.npz", images=LEVELS)
    words = ("--out", tmp_path / "run", *SMALL)
    assert run("train", "--data", own, *words)[0] == 0
    for asked, said in ((other, "others"), (large, "shape"), ("mnist", "shape")):
        code, out, err = run("train", "--data", asked, *words, "--resume")
        assert code == 2 and said in err and err.count("\n") == 1
        code, out, err = run("evaluate", tmp_path / "run", "--data", asked)
        assert code == 2 and out == "" and err.count("\n") == 1
        assert "was not trained on" in err and "--data" in err


def test_own_pictures_that_are_no_data_set_end_the_command_in_one_line(run, tmp_path):
    own = with_file("zz.png", b"")(tmp_path / "own")
    for words in (
        ("data",),
        ("train", "--out", tmp_path / "run"),
        ("evaluate", "mnist-2d"),
    ):
        code, out, err = run(*words, "--data", own)
        assert (code, out) == (2, "") and err.count("\n") == 1 and "zz.png" in err
    assert not (tmp_path / "run").exists()


def test_a_source_that_is_no_name_is_refused(run, tmp_path):
    from vae_lib.checkpoints import save

    own, out = folder(tmp_path / "own", LEVELS[..., 0]), tmp_path / "run"
    assert run("train", "--data", own, "--out", out, *SMALL)[0] == 0
    model = load(out / "model.safetensors")
    record = model.record | {"data": model.record["data"] | {"source": ["own"]}}
    save(tmp_path / "forged", model, {k: v for k, v in record.items() if k != "sha256"})
    code, _, err = run("evaluate", tmp_path / "forged")
    assert code == 2 and "a source that is a name" in err
