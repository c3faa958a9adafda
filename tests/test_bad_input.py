"""Whatever comes in wrong is refused at each door in one line, and nothing is made.

Doors are the public functions and the command line, which ends with 2. The rules
themselves are tested beside what states them: images in test_data, arguments in
test_training and test_evaluation, names in test_models, files in test_checkpoints; a
full disk is in test_disk, kills, Ctrl-C and other data for a run are in test_runs.
"""

import dataclasses
import json
import math
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vae_lib import data
from vae_lib.animals import load_animals
from vae_lib.checkpoints import PRETRAINED, load, load_pretrained, save
from vae_lib.containers import pack
from vae_lib.data import load_fashion_mnist, load_mnist
from vae_lib.evaluation import active_units, evaluate_elbo, log_likelihood
from vae_lib.guards import pick_device
from vae_lib.models import ACTIVATIONS, LIKELIHOODS, VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.runs import MODEL, train_run
from vae_lib.training import train

CONFIG = VAEConfig(latent_dim=1, hidden_dims=(), n_pixels=6)
SEEN = {"device": "cpu", "progress": False}


def grey(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def with_row_2(value: float) -> torch.Tensor:
    return grey(4, 6).index_fill(0, torch.tensor(2), value)


DOORS = {
    "train": lambda model, x, folder: train(model, x, epochs=1, **SEEN),
    "validation": lambda model, x, folder: train(
        model, grey(4, 6), epochs=1, validation=x, **SEEN
    ),
    "train_run": lambda model, x, folder: train_run(
        folder, x, CONFIG, Recipe(epochs=1), **SEEN
    ),
    "from_data": lambda model, x, folder: VAE.from_data(CONFIG, x),
    "evaluate_elbo": lambda model, x, folder: evaluate_elbo(model, x),
    "log_likelihood": lambda model, x, folder: log_likelihood(model, x, n_samples=2),
    "active_units": lambda model, x, folder: active_units(model, x),
}
IMAGES = {
    "pixels from 0 to 255": (255 * grey(4, 6), "(divide by 255?)"),
    "pixels below zero": (grey(4, 6) - 1, "expected pixels in [0, 1]"),
    "bytes": (grey(4, 6).byte(), "torch.uint8"),
    "integers": (grey(4, 6).long(), "torch.int64"),
    "NaN": (with_row_2(math.nan), "row 2"),
    "infinity": (with_row_2(-math.inf), "row 2"),
    "pictures with channels first": (grey(4, 1, 2, 3), "(4, 1, 2, 3)"),
    "pictures with channels last": (grey(4, 2, 3, 1), "(4, 2, 3, 1)"),
    "another width": (grey(4, 5), "(4, 5)"),
    "one image": (grey(6), "(6,)"),
    "no images": (grey(0, 6), "(0, 6)"),
    "an array": (grey(4, 6).numpy(), "ndarray"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("images", IMAGES)
def test_no_door_takes_bad_images(images, door, tmp_path, refuses):
    model, (x, said) = VAE(CONFIG), IMAGES[images]
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    with refuses(ValueError, "expected", "got", said):
        DOORS[door](model, x, tmp_path)
    assert list(tmp_path.iterdir()) == [] and model.history is None
    assert torch.equal(torch.nn.utils.parameters_to_vector(model.parameters()), before)


@pytest.mark.parametrize("door", sorted(DOORS.keys() - {"from_data"}))
def test_images_have_the_type_of_the_model(door, tmp_path, refuses):
    with refuses(ValueError, "expected images of torch.float32", "got torch.float64"):
        DOORS[door](VAE(CONFIG), grey(4, 6).double(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_batch_larger_than_the_data_is_one_step():
    history = train(VAE(CONFIG), grey(4, 6), epochs=1, batch_size=1000, **SEEN)
    (moments,) = {int(s["step"]) for s in history.optimizer.state.values()}
    assert moments == 1


@pytest.mark.parametrize(
    "words, said",
    [
        ("--epochs 0", "expected epochs >= 1, got 0"),
        ("--epochs -1", "expected epochs >= 1, got -1"),
        ("--epochs 1.5", "--epochs: invalid integer value: '1.5'"),
        ("--batch-size 0", "expected batch_size >= 1, got 0"),
        ("--batch-size -3", "expected batch_size >= 1, got -3"),
        ("--lr 0", "expected finite lr > 0, got 0.0"),
        ("--lr -0.1", "expected finite lr > 0, got -0.1"),
        ("--lr nan", "expected finite lr > 0, got nan"),
        ("--lr inf", "expected finite lr > 0, got inf"),
        ("--warmup -1", "expected finite warmup >= 0, got -1"),
        ("--beta -1", "expected finite beta >= 0, got -1"),
        ("--beta nan", "expected finite beta >= 0, got nan"),
        ("--n-samples 0", "expected n_samples >= 1, got 0"),
        ("--clip-norm 0", "expected finite clip_norm > 0 or None, got 0.0"),
        ("--latent-dim 0", "width >= 1, got (0, "),
        ("--hidden-dims 10,0", "width >= 1, got (2, 10, 0, 784)"),
        ("--hidden-dims 10;20", "--hidden-dims: invalid widths value: '10;20'"),
        (
            "--likelihood gaussian --noise-std 0",
            "expected finite noise_std > 0, got 0.0",
        ),
    ],
)
def test_the_command_line_refuses_arguments_before_it_makes_a_folder(
    words, said, run, few_digits, tmp_path
):
    code, out, err = run("train", "--out", tmp_path / "run", *words.split())
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err
    assert not (tmp_path / "run").exists()


NAMES = {
    "--preset mnist-2f": (PRETRAINED, "mnist-2d"),
    "--activation rellu": (ACTIVATIONS, "relu"),
    "--likelihood bernouli": (LIKELIHOODS, "bernoulli"),
    "--schedule cosin": (("constant", "cosine"), "cosine"),
    "--objective ewae": (("elbo", "iwae"), "iwae"),
    "--binarization sampled": (("none", "sample"), "sample"),
    "--device cdua": (("auto", "cpu", "cuda", "mps"), "cuda"),
}


@pytest.mark.parametrize("words", NAMES)
def test_the_command_line_lists_the_names_it_knows_and_the_closest(
    words, run, few_digits, tmp_path
):
    known, closest = NAMES[words]
    code, out, err = run("train", "--out", tmp_path / "run", *words.split())
    assert code == 2 and out == "" and err.count("\n") == 1
    assert all(name in err for name in known) and f"did you mean {closest}?" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "call, known",
    [
        (lambda: load_pretrained("mnist-3d"), PRETRAINED),
        (lambda: load_mnist("valid"), ("train", "test")),
        (lambda: load_fashion_mnist("valid"), ("train", "test")),
        (lambda: load_animals("valid"), ("train", "test")),
        (lambda: VAEConfig(likelihood="poisson"), LIKELIHOODS),
        (lambda: VAEConfig(activation="gelu"), ACTIVATIONS),
        (lambda: data.binarize(grey(1, 6), "otsu"), ("threshold", "sample")),
    ],
    ids=["model", "MNIST", "Fashion", "animals", "likelihood", "activation", "bits"],
)
def test_the_library_lists_the_names_it_knows(call, known, refuses):
    with refuses(ValueError, "expected", "got", *known):
        call()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "call",
    [
        lambda: pick_device("cuda"),
        lambda: train(VAE(CONFIG), grey(4, 6), epochs=1, device="cuda"),
        lambda: load_mnist("test", device="cuda"),
        lambda: load_fashion_mnist("test", device="cuda"),
        lambda: load_animals("test", device="cuda"),
    ],
    ids=["pick_device", "train", "load_mnist", "load_fashion_mnist", "load_animals"],
)
def test_a_gpu_that_is_not_there_is_refused(call, refuses):
    with refuses(ValueError, "expected", "device", "got 'cuda'"):
        call()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("words", [["train", "--out", "run"], ["evaluate", "mnist-2d"]])
def test_the_command_line_refuses_a_gpu_that_is_not_there(
    words, run, few_digits, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words, "--device", "cuda")
    assert code == 2 and out == "" and err.count("\n") == 1 and "'cuda'" in err
    assert list(tmp_path.iterdir()) == []


PAGE = b"<!DOCTYPE html><title>Moved</title>"


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "web page", "missing"])
@pytest.mark.parametrize("words", [["data"], ["evaluate", "mnist-2d"]], ids=" ".join)
def test_a_damaged_data_file_is_named_with_what_to_do_and_left_alone(
    words, damage, run, tmp_path, monkeypatch
):
    for path in data.MNIST_FOLDER.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(data, "MNIST_FOLDER", tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= damage == "flipped"
    damaged = {"cut": content[:-9], "empty": b"", "web page": PAGE}.get(damage, content)
    path.unlink()
    if damage != "missing":
        path.write_bytes(damaged)
    code, out, err = run(*words)
    assert code == 2 and err.count("\n") == 1 and str(path) in err
    assert data.MNIST_SHA256["t10k-images"] in err and "install vae_lib again" in err
    assert path.exists() == (damage != "missing")
    assert damage == "missing" or path.read_bytes() == damaged


def spoil(path: Path, how: str) -> None:
    """Put there what is no sound checkpoint."""
    path.parent.mkdir()
    if how == "another version":
        foreign = json.dumps(dataclasses.asdict(CONFIG) | {"n_flows": 3})
        path.write_bytes(pack(foreign, "{}", VAE(CONFIG).state_dict())[0])
        return
    save(path, VAE(CONFIG), {"seed": 0})
    content = bytearray(path.read_bytes())
    content[-9] ^= how == "one bit flipped"
    spoilt = {"cut": content[:-1], "empty": b"", "web page": PAGE}
    spoilt["a pickle"] = pickle.dumps({"weights": [1.0]})
    path.write_bytes(spoilt.get(how, content))
    if how == "of torch.save":
        torch.save(VAE(CONFIG).state_dict(), path)


@pytest.mark.parametrize(
    "how",
    [
        *("cut", "empty", "web page", "one bit flipped", "a pickle"),
        *("of torch.save", "another version"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "export", "train"])
def test_no_command_takes_a_file_that_is_no_sound_checkpoint(
    command, how, run, few_digits, tmp_path, monkeypatch
):
    path = tmp_path / "run" / MODEL
    spoil(path, how)
    before = path.read_bytes()
    words = {
        "evaluate": [path.parent],
        "export": [path.parent, "--out", tmp_path / "decoder.json"],
        "train": ["--out", path.parent, "--resume"],
    }
    code, out, err = run(command, *words[command])
    assert code == 2 and out == "" and err.count("\n") == 1 and str(path) in err
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
    assert not (tmp_path / "decoder.json").exists()


def test_ctrl_c_ends_the_command_after_its_step_and_the_printed_one_goes_on(
    run, few_digits, tmp_path, monkeypatch
):
    """In the second of each epoch's three steps."""
    options = ["--epochs", "3", "--batch-size", "16", "--hidden-dims", "4"]
    assert run("train", "--out", tmp_path / "whole", *options)[0] == 0
    calls, encode = [], VAE.encode

    def pressed(self, x):
        calls.append(x)
        if len(calls) % 3 == 2:
            signal.raise_signal(signal.SIGINT)
        return encode(self, x)

    monkeypatch.setattr(VAE, "encode", pressed)
    words = ["train", "--out", str(tmp_path / "my pieces"), *options]
    for taken in (2, 5, 8):
        code, out, err = run(*words)
        assert code == 130 and out == "" and err.count("\n") == 1
        assert len(calls) == taken
        words = shlex.split(err.split("python -m vae_lib ")[1])
    assert run(*words)[0] == 0 and len(calls) == 9
    whole, pieces = (load(tmp_path / name / MODEL) for name in ("whole", "my pieces"))
    for name, weight in whole.state_dict().items():
        assert torch.equal(pieces.state_dict()[name], weight)


WITHOUT = """
import sys
import torch
from vae_lib import __main__ as command_line
from vae_lib.data import ImageSet, load_fashion_mnist
from vae_lib.data_sets import DATA_SETS
assert command_line.main(["data"]) == 0
few = ImageSet(torch.rand(40, 784), torch.arange(40) % 10)
DATA_SETS["mnist"] = DATA_SETS["mnist"]._replace(load=lambda split: few)
assert command_line.main(["train", "--out", sys.argv[1] + "/run", "--epochs", "1"]) == 0
assert command_line.main(["evaluate", sys.argv[1] + "/run", "--n-samples", "2"]) == 0
try:
    load_fashion_mnist(root=sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.long
@pytest.mark.parametrize("home", ["unset", "read-only"])
def test_nothing_needs_a_network_or_a_home(home, tmp_path):
    """The digits ship with the library, and files go only where they are asked for."""
    unshare = ["unshare", "--net", "--mount", "sh", "-c"]
    if os.name == "nt" or os.geteuid() > 0:
        unshare[1:1] = ["--user", "--map-root-user"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"]).returncode:
        pytest.skip("needs the right to have namespaces of its own")
    folders = tmp_path / "home", tmp_path / "results"
    for folder in folders:
        folder.mkdir()
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    variables = {name: variables[name] for name in variables if name != "HOME"}
    first = "true"
    if home == "read-only":
        variables["HOME"], first = str(folders[0]), "mount -t tmpfs -o ro none $HOME"
    command = [*unshare, f'{first} && exec "$@"', "", sys.executable, "-c", WITHOUT]
    options = {"capture_output": True, "text": True, "env": variables}
    done = subprocess.run([*command, str(folders[1])], **options)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "60,000 images" in done.stdout and "or a network, got neither" in done.stdout
    assert (folders[1] / "run" / MODEL).exists()
