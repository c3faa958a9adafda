"""Forged and odd files end in one line of the library's own, before memory is taken."""

import json
import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from vae_lib import records, runs
from vae_lib.checkpoints import CheckpointError, load, save
from vae_lib.containers import HEADER_LIMIT, content_sha256
from vae_lib.evaluation import evaluate_elbo
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.records import load_record
from vae_lib.runs import MODEL, train_run

CONFIG = VAEConfig(latent_dim=2, hidden_dims=(4,), n_pixels=6)
RECIPE = Recipe(epochs=4, batch_size=16, lr=1e-2, schedule="cosine")
MUTATIONS, MOST_MEMORY = 10_000, 200e6
DEEP, LONG = "@deep@", "@long@"  # stand for JSON that is too much for json.dumps
ODD = [
    *(None, True, False, -1, 0, 1, 1.5, 7, 2**31, 2**62, 2**63, 2**70, 1e308, -1e-9),
    *(
        math.nan,
        math.inf,
        "",
        "x",
        "bernoulli",
        "gaussian",
        "AutoEncoder",
        "é\n\x1b[2J",
    ),
    *([], {}, [1], [1] * 300, [[[[]]]], {"a": 1}, [60_000, 60_000], "1" * 5000, DEEP),
    LONG,
]


def images() -> torch.Tensor:
    return torch.rand(50, 6, generator=torch.Generator().manual_seed(0))


def stopped_run(folder: Path) -> Path:
    """The file of a run that was stopped in the first step of its third epoch."""
    steps, encode = [], VAE.encode

    def pressed(self, x):
        steps.append(x)
        if len(steps) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return encode(self, x)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VAE, "encode", pressed)
        go_on(folder, config=CONFIG, recipe=RECIPE)
    return folder / MODEL


def go_on(folder: Path, **options) -> VAE:
    options = {"resume": True, "device": "cpu", "progress": False} | options
    return train_run(folder, images(), **options)


def parts(content: bytes) -> tuple[dict, bytes]:
    """The header of a checkpoint as a dict, and its tensors' bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def joined(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else as_text(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def as_text(value: object) -> str:
    """JSON, with what it cannot write put in by hand."""
    text = json.dumps(value)
    text = text.replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000)
    return text.replace(f'"{LONG}"', "[" + "1," * 50_000 + "1]")


def with_right_sha256(content: bytes) -> bytes:
    """The same with the sha256 that belongs to it, if it can have one."""
    try:
        metadata = parts(content)[0]["__metadata__"]
        tensors = safetensors.torch.load(content)
        sha256 = content_sha256(metadata["config"], metadata["record"], tensors)
        return content.replace(metadata["sha256"].encode(), sha256.encode(), 1)
    except Exception:  # whatever the forger meets, he hands in what he has
        return content


def nodes(value: object) -> list[tuple[object, object]]:
    """Each place in a tree of JSON, as a container and the key in it."""
    found = []
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            found += [(value, key), *nodes(value[key])]
    return found


def mutated_tree(value: object, chance: random.Random) -> object:
    """A tree with one to three places changed, taken out or doubled."""
    root = {"root": value}
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        container, key = chance.choice(nodes(root))
        how = chance.random()
        # What is long takes its time, and is not the usual case.
        odd = chance.choice(ODD if chance.random() < 0.1 else ODD[:-3])
        if how < 0.2 and container is not root:
            del container[key]
        elif how < 0.3 and isinstance(container, dict) and container is not root:
            container[chance.choice(("x", "", "kind", "began", "é"))] = odd
        elif how < 0.4 and isinstance(container[key], int | float):
            container[key] *= chance.choice((-1, 10, 0.5, 2**40))
        else:
            container[key] = json.loads(json.dumps(odd))
    return root.get("root")


def mutated_bytes(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        place = chance.randrange(len(changed) + 1)
        how = chance.randrange(3)
        new = bytes(chance.choices(range(256), k=chance.choice((1, 2, 8))))
        changed[place : place + (len(new) if how else 0)] = new if how < 2 else b""
        changed = changed or bytearray(b"{")
    return bytes(changed)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A checkpoint changed in its bytes, header, texts or tensors."""
    header, data = parts(content)
    how = chance.choice(
        ("file", "text", "header", "config", "record", "record", "data")
    )
    if how == "file":
        return mutated_bytes(content, chance)
    if how == "text":
        header = mutated_bytes(json.dumps(header).encode(), chance)
    elif how == "header":
        header = mutated_tree(header, chance)
    elif how == "data":
        data = mutated_bytes(data, chance)
        if chance.random() < 0.8:  # of the same length, or nobody looks at it
            data = data[: len(parts(content)[1])].ljust(len(parts(content)[1]), b"\x7f")
    else:
        text = header["__metadata__"][how]
        header["__metadata__"][how] = as_text(mutated_tree(json.loads(text), chance))
    return with_right_sha256(joined(header, data))


def try_all(folder: Path) -> dict:
    """What the process does: its failures, and how far the mutations came."""
    torch.set_num_threads(1)
    path = stopped_run(folder / "run")
    content, chance = path.read_bytes(), random.Random(0)
    runs.train = lambda *arguments, **options: None  # an hour of epochs is no error
    runs.try_to_write = lambda path, sizes: None
    found = {"failures": [], "taken": 0, "hash": 0, "other": 0}
    before = None
    for number in range(-20, MUTATIONS):
        forged = content if number < 0 else mutated(content, chance)
        path.unlink()  # to write over a file waits for the disk, 5 ms each time
        path.write_bytes(forged)
        if number == 0:
            before = peak_memory()
        try:
            evaluate_elbo(load(path), images())
            go_on(path.parent)
            found["taken"] += 1
        except (OSError, ValueError) as error:
            sound = number >= 0 and "\n" not in str(error) and len(str(error)) < 2000
            if not sound:
                found["failures"].append(f"{number}: {error!r}"[:500])
            found["hash" if "sha256" in str(error) else "other"] += 1
        except BaseException as error:
            found["failures"].append(f"{number}: {type(error)} {error!r}"[:500])
    return found | {"memory": peak_memory() - before}


def peak_memory() -> int:
    """The most address space that this process ever had, in bytes; Linux knows."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmPeak:")[1].split()[0])


@pytest.fixture
def sound(tmp_path) -> Path:
    """The file of a model that was never trained."""
    save(tmp_path / MODEL, VAE(CONFIG), {"recipe": {}})
    return tmp_path / MODEL


def forge(path: Path, config: str | None = None, record: str | None = None) -> None:
    """Put texts into a checkpoint, with the sha256 that belongs to them."""
    header, data = parts(path.read_bytes())
    texts = {"config": config, "record": record}
    header["__metadata__"] |= {name: text for name, text in texts.items() if text}
    path.write_bytes(with_right_sha256(joined(header, data)))


CONFIGS = {
    "wide": '{"hidden_dims": [60000, 60000]}',
    "deep": json.dumps({"hidden_dims": [1] * 200_000}),
    "beyond 64 bits": json.dumps({"latent_dim": 2**70}),
    "beyond all memory": json.dumps({"latent_dim": 2**62, "n_pixels": 2**62}),
    "a list": "[1]",
    "null": "null",
    "nested": "[" * 100_000 + "]" * 100_000,
    "of a class": '{"kind": ["VAE"]}',
    "of another class": '{"kind": "Flow"}',
    "of a class of other weights": '{"kind": "Diffusion"}',
    "hidden layers without end": '{"kind": "HierarchicalVAE", "n_hidden": 2147483648}',
    "steps without end": '{"kind": "Diffusion", "n_steps": 2147483648}',
    "wide codes": json.dumps({"kind": "HierarchicalVAE", "latent_dims": [2**31] * 2}),
    "no order": '{"kind": "HierarchicalVAE", "encoder": ["ladder"]}',
    "wrong types": '{"hidden_dims": "abc", "noise_std": "x"}',
}
RECORDS = {
    "a list": "[1]",
    "null": "null",
    "a string": '"x"',
    "nested": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "no JSON": "{",
    "of millions of values": "[" + "0," * 3_000_001 + "0]",
    "a number of many digits": '{"a": ' + "1" * 5000 + "}",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_forged_configuration_is_refused_before_anything_of_its_size_is_made(
    name, sound, refuses, monkeypatch
):
    forge(sound, config=CONFIGS[name])
    monkeypatch.setattr(nn.Module, "to", None)  # what is made for real is moved
    with refuses(CheckpointError, MODEL):
        load(sound)


@pytest.mark.parametrize("name", RECORDS)
def test_a_forged_record_is_refused(name, sound, refuses):
    forge(sound, record=RECORDS[name])
    with refuses(CheckpointError, MODEL):
        load(sound)


@pytest.mark.parametrize(
    "content",
    [
        joined(b'{"__metadata__": null}', b""),
        joined(b'{"__metadata__": 1}', b""),
        joined(b'{"__metadata__": {"config": 1, "record": 2, "sha256": 3}}', b""),
        joined(b"[]", b""),
        joined(b"[" * 100_000, b""),
        joined(b"\xff\xfe", b""),
        (HEADER_LIMIT + 1).to_bytes(8, "little"),
        b"\xff" * 8,
        b"",
    ],
    ids=[*("null", "a number", "numbers", "a list", "nested", "no text"), "longer"]
    + ["longest", "empty"],
)
def test_a_forged_header_is_refused(content, sound, refuses):
    sound.write_bytes(content)
    with refuses(CheckpointError, MODEL):
        load(sound)


def test_a_file_longer_than_its_header_says_is_not_read(sound, refuses):
    size = sound.stat().st_size
    with open(sound, "r+b") as file:
        file.truncate(2**40)  # a hole: a terabyte that takes no room
    with refuses(CheckpointError, f"expected {size} bytes", str(2**40)):
        load(sound)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_numbers_are_neither_saved_nor_loaded(
    number, sound, refuses
):
    header, data = parts(sound.read_bytes())
    start, _ = header["decoder.0.bias"]["data_offsets"]
    odd = torch.tensor(number).numpy().tobytes()
    forged = joined(header, data[:start] + odd + data[start + 4 :])
    sound.write_bytes(with_right_sha256(forged))
    with refuses(CheckpointError, "finite numbers in decoder.0.bias"):
        load(sound)
    model = VAE(CONFIG)
    model.decoder[0].bias.data[0] = number
    with refuses(ValueError, "finite numbers in decoder.0.bias"):
        save(sound, model)
    assert sound.read_bytes() == with_right_sha256(forged)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop", "dangling link"])
@pytest.mark.parametrize("words", [["evaluate"], ["export", "--out", "new.json"]])
def test_only_plain_files_are_read(kind, words, run, tmp_path, monkeypatch):
    """A pipe would keep the reader waiting, a device would never end."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / MODEL
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        targets = {"device": "/dev/zero", "loop": MODEL, "dangling link": "nowhere"}
        path.symlink_to(targets[kind])
    code, out, err = run(words[0], "run", *words[1:])
    assert code == 2 and out == "" and err.count("\n") == 1 and MODEL in err
    assert not Path("new.json").exists()


@pytest.mark.parametrize(
    "change, said",
    [
        ({"recipe": [1]}, "recipe that is a dict"),
        ({"recipe": {"epochs": "many"}}, "epochs"),
        ({"recipe": {"lr": 0.1}}, "a recipe with epochs"),
        ({"recipe": {"epochs": 4, "depth": 3}}, "depth"),
        ({"recipe": {"epochs": 10**6}}, "epochs <= "),
        ({"rows": {}}, "rows"),
        ({"rows": [{"epoch": 2}]}, "row"),
        ({"rows": [{}] * 9}, "row"),
        ({"seed": "x"}, "a seed"),
        ({"data": 5}, "data by name"),
        ({"data": {"n_images": "50"}}, "n_images"),
        ({"began": 3}, "began"),
        ({"began": -1}, "began"),
    ],
    ids=str,
)
def test_a_forged_record_of_a_run_is_refused(change, said, tmp_path, refuses):
    path = stopped_run(tmp_path)
    model = load(path)
    save(path, model, model.record | change, model.extra)
    before = path.read_bytes()
    with refuses((CheckpointError, ValueError), said):
        go_on(tmp_path)
    assert path.read_bytes() == before


def swap(name: str, value: torch.Tensor | None):
    """Put this tensor beside the model, or take it away."""
    return lambda extra: (
        extra.pop(name) if value is None else extra.update({name: value})
    )


@pytest.mark.parametrize(
    "change, said",
    [
        (swap("rng.cpu", None), "random numbers"),
        (swap("rng.cpu", torch.zeros(16, dtype=torch.uint8)), "RNG state"),
        (swap("rng.cpu", torch.zeros(5056, dtype=torch.uint8)), "state"),
        (swap("rng.cpu", torch.zeros(5056)), "ByteTensor"),
        (swap("adam.0.exp_avg", None), "adam.0.exp_avg"),
        (swap("adam.0.exp_avg", torch.zeros(3)), "adam.0.exp_avg of torch.float32 (4"),
        (swap("adam.0.step", torch.tensor(math.nan)), "adam.0.step finite"),
        (swap("adam.1.exp_avg_sq", -torch.ones(4)), "no square below 0"),
        (swap("adam.99.step", torch.tensor(1.0)), "adam.99.step"),
        (swap("adam.x", torch.tensor(1.0)), "adam.x"),
        (swap("epoch.order", None), "an order and its sums"),
        (swap("epoch.sums", None), "an order and its sums"),
        (swap("epoch.order", torch.zeros(50, dtype=torch.int64)), "each once"),
        (swap("epoch.order", torch.arange(49)), "each once"),
        (swap("epoch.order", torch.arange(50.0)), "each once"),
        (swap("epoch.sums", torch.zeros(4, 3)), "fewer than 4 steps"),
        (swap("epoch.sums", torch.zeros(1, 2)), "sums (n, 3)"),
    ],
)
def test_a_forged_state_of_a_run_is_refused(change, said, tmp_path, refuses):
    path = stopped_run(tmp_path)
    model = load(path)
    change(model.extra)
    save(path, model, model.record, model.extra)
    before = path.read_bytes()
    with refuses(CheckpointError, said):
        go_on(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_record_is_named(content, tmp_path, monkeypatch, refuses):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    (tmp_path / "beta.json").write_bytes(content)
    with refuses(OSError, "beta.json is damaged"):
        load_record("beta")


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_ten_thousand_mutations_of_a_run_end_in_one_line_and_take_no_memory(tmp_path):
    """Most have the right sha256: behind it stands what is to be tested."""
    variables = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, __file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert done.returncode == 0 and done.stderr == "", done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["failures"] == [] and found["memory"] < MOST_MEMORY
    assert found["other"] > MUTATIONS / 2 and found["taken"] > MUTATIONS / 50


if __name__ == "__main__":
    print(json.dumps(try_all(Path(sys.argv[1]))))
