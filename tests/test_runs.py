"""A run in pieces, stopped anywhere, gives the bits of a run in one go."""

import errno
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vae_lib import files, runs, training
from vae_lib.autoencoder import AutoEncoder
from vae_lib.checkpoints import CheckpointError, load, save
from vae_lib.configs import SequenceConfig
from vae_lib.guards import NonFiniteLossError
from vae_lib.kinds import class_for
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe, from_file
from vae_lib.runs import MODEL, train_run

CONFIG = VAEConfig(latent_dim=2, hidden_dims=(8,), n_pixels=6)
RECIPE = {"epochs": 4, "batch_size": 16, "lr": 1e-2, "schedule": "cosine"}
RECIPE |= {"warmup": 0.5, "binarization": "sample"}
IWAE = {"objective": "iwae", "n_samples": 3}
STEPS = 16  # an epoch of fifty images has four


def digits() -> torch.Tensor:
    return torch.rand(50, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def images() -> torch.Tensor:
    return digits()


def run(folder, images, **changes) -> VAE:
    options = {"seed": 3, "device": "cpu", "progress": False} | changes
    recipe = options.pop("recipe", {})
    if isinstance(recipe, dict):
        recipe = Recipe(**RECIPE | recipe)
    return train_run(folder, images, options.pop("config", CONFIG), recipe, **options)


def bits(model: VAE) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


def elbos(model: VAE) -> list[float]:
    return [row["elbo"] for row in model.history.rows]


def rows_of(path: Path) -> list[dict]:
    """The history in a checkpoint, but for the seconds."""
    return [row | {"seconds": 0.0} for row in load(path).record["rows"]]


@pytest.fixture
def no_clock(monkeypatch) -> None:
    """Epochs that take zero seconds, so that a file's sha256 can be compared."""
    stopped = SimpleNamespace(perf_counter=lambda: 0.0)
    monkeypatch.setattr(training, "time", stopped)


@pytest.fixture
def steps(monkeypatch) -> SimpleNamespace:
    """Counts the steps; ``then`` says what happens inside each, by its number."""
    steps, encode = SimpleNamespace(taken=0, then={}), VAE.encode

    def counted(self, x):
        steps.taken += 1
        steps.then.get(steps.taken, lambda: None)()
        return encode(self, x)

    monkeypatch.setattr(VAE, "encode", counted)
    return steps


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def ctrl_c_twice() -> None:
    ctrl_c()
    ctrl_c()


def crash() -> None:
    raise MemoryError


@pytest.mark.parametrize("step", [1, 4, 5, 8, 10, 15])
def test_a_run_that_crashed_at_any_step_gives_the_same_bits(
    step, images, tmp_path, steps
):
    whole = run(tmp_path / "whole", images)
    steps.then = {STEPS + step + 1: crash}
    with pytest.raises(MemoryError):
        run(tmp_path / "pieces", images)
    torch.manual_seed(99)  # another process would start elsewhere
    seed = 3 if step < 4 else 4  # nothing saved before the first epoch's end
    pieces = run(tmp_path / "pieces", images, seed=seed, resume=True)
    assert torch.equal(bits(whole), bits(pieces)) and elbos(whole) == elbos(pieces)
    saved = load(tmp_path / "pieces" / MODEL)
    assert torch.equal(bits(saved), bits(whole)) and saved.record["seed"] == 3


@pytest.mark.parametrize("recipe", [{}, IWAE], ids=["elbo", "iwae"])
@pytest.mark.parametrize(
    "stops", [[1], [3], [4], [6], [STEPS], [5, 7], [1, 2, 3], range(1, STEPS)], ids=str
)
def test_ctrl_c_ends_the_step_and_the_run_goes_on_as_if_nothing_was(
    recipe, stops, images, tmp_path, steps, no_clock
):
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    run(whole, images, recipe=recipe)
    steps.taken, steps.then = 0, dict.fromkeys(stops, ctrl_c)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run(pieces, images, recipe=recipe, resume=True)
        saved = load(pieces / MODEL)
        assert steps.taken == stop and len(saved.record["rows"]) == stop // 4
        assert len(saved.extra.get("epoch.sums", ())) == stop % 4
        assert ("epoch.order" in saved.extra) == (stop % 4 > 0)
        torch.manual_seed(99)
    run(pieces, images, recipe=recipe, resume=True)
    expected, found = load(whole / MODEL), load(pieces / MODEL)
    assert steps.taken == STEPS and torch.equal(bits(expected), bits(found))
    assert found.record == expected.record  # the rows, and a sha256 over all there is
    assert [path.name for path in pieces.iterdir()] == [MODEL]


@pytest.mark.parametrize("step", [2, 6])
def test_a_second_ctrl_c_acts_at_once_and_the_file_of_before_stays(
    step, images, tmp_path, steps
):
    whole = run(tmp_path / "whole", images)
    steps.taken, steps.then = 0, {step: ctrl_c_twice}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "pieces", images)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    left = [path.name for path in (tmp_path / "pieces").iterdir()]
    assert steps.taken == step and left == ([MODEL] if step > 4 else [])
    if left:
        saved = load(tmp_path / "pieces" / MODEL)
        assert len(saved.record["rows"]) == 1 and "epoch.order" not in saved.extra
    pieces = run(tmp_path / "pieces", images, resume=True)
    assert torch.equal(bits(whole), bits(pieces)) and elbos(whole) == elbos(pieces)


@pytest.mark.parametrize("own", [True, False], ids=["generator", "global"])
def test_a_notebook_goes_on_after_ctrl_c_without_a_folder(own, images, steps):
    results, options = [], {"device": "cpu", "progress": False} | RECIPE | IWAE
    for stops in ([], [3, 6, 7, 12]):
        torch.manual_seed(5)
        model = VAE.from_data(CONFIG, images)
        options["generator"] = torch.Generator().manual_seed(6) if own else None
        steps.taken, steps.then = 0, dict.fromkeys(stops, ctrl_c)
        for resume in range(len(stops)):
            with pytest.raises(KeyboardInterrupt):
                training.train(model, images, **options, resume=resume > 0)
            assert steps.taken == stops[resume]
        training.train(model, images, **options, resume=bool(stops))
        results.append((bits(model), [row["elbo"] for row in model.history.rows]))
    assert torch.equal(results[0][0], results[1][0]) and results[0][1] == results[1][1]


def test_training_in_another_thread_holds_nothing_back(images, tmp_path):
    handlers, models, before = [], [], signal.getsignal(signal.SIGINT)

    def work() -> None:
        save = lambda model: handlers.append(signal.getsignal(signal.SIGINT))  # noqa: E731
        options = {"device": "cpu", "progress": False, "save": save}
        models.append(VAE.from_data(CONFIG, images))
        training.train(models[0], images, **RECIPE, **options)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(models[0].history.rows) == 4 and handlers == [before] * 4


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_an_ignored_ctrl_c_stays_ignored(handler, images, tmp_path, steps):
    """As the shell asks for what runs in the background; a program's own acts after."""
    signal.signal(signal.SIGINT, handler)
    handlers, then = [], lambda: handlers.append(signal.getsignal(signal.SIGINT))
    steps.then = {2: then, 3: ctrl_c}
    if handler is signal.SIG_IGN:
        assert len(run(tmp_path, images).history.rows) == 4
        assert handlers == [signal.SIG_IGN]
    else:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, images)
        assert handlers != [handler]
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("stop", [3, 4, STEPS])
@pytest.mark.parametrize("n_images", [40, 60])
def test_going_on_with_another_number_of_images_is_refused(
    stop, n_images, images, tmp_path, steps, refuses
):
    steps.then = {stop: ctrl_c}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, images)
    before = (tmp_path / MODEL).read_bytes()
    with refuses(ValueError, "n_images = ", str(n_images), "50"):
        run(tmp_path, torch.rand(n_images, 6), resume=True)
    assert steps.taken == stop and (tmp_path / MODEL).read_bytes() == before


@pytest.mark.parametrize("n_images", [40, 60])
def test_a_notebook_cannot_end_an_epoch_with_another_number_of_images(
    n_images, images, steps, refuses
):
    options = {"device": "cpu", "progress": False} | RECIPE
    model, steps.then = VAE.from_data(CONFIG, images), {3: ctrl_c}
    with pytest.raises(KeyboardInterrupt):
        training.train(model, images, **options)
    with refuses(ValueError, "50 images", str(n_images)):
        training.train(model, torch.rand(n_images, 6), **options, resume=True)
    assert steps.taken == 3


def test_what_a_killed_save_left_is_swept_away(images, tmp_path):
    run(tmp_path, images)
    (tmp_path / f".{MODEL}.123.tmp").write_bytes(b"half a file")
    run(tmp_path, images, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == [MODEL]


def test_resume_with_nothing_there_starts_afresh(images, tmp_path):
    fresh = run(tmp_path / "a", images, resume=True)
    assert torch.equal(bits(fresh), bits(run(tmp_path / "b", images)))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({}, "without a model"),
        ({"resume": True, "recipe": {"lr": 0.5}}, "lr = 0.5, got lr = 0.01"),
        ({"resume": True, "recipe": {"beta": 2.0}}, "beta = 2.0, got beta = 1.0"),
        ({"resume": True, "config": VAEConfig(3, (8,), n_pixels=6)}, "latent_dim = 3"),
    ],
)
def test_a_run_made_otherwise_is_refused_and_left_alone(
    changes, said, images, tmp_path, refuses
):
    run(tmp_path, images)
    before = (tmp_path / MODEL).read_bytes()
    with refuses(ValueError, said):
        run(tmp_path, images, **changes)
    assert (tmp_path / MODEL).read_bytes() == before


def test_a_damaged_run_is_refused_and_left_alone(images, tmp_path, refuses):
    run(tmp_path, images)
    damaged = (tmp_path / MODEL).read_bytes()[:-1]
    (tmp_path / MODEL).write_bytes(damaged)
    with refuses(CheckpointError, MODEL):
        run(tmp_path, images, resume=True)
    assert (tmp_path / MODEL).read_bytes() == damaged


def test_a_run_starts_from_the_weights_of_a_model_and_goes_on(images, tmp_path):
    run(tmp_path / "first", images)
    start = load(tmp_path / "first" / MODEL)
    changes = {"start": start, "recipe": IWAE | {"lr": 1e-12, "epochs": 2}}
    near = run(tmp_path / "second", images, **changes)
    assert (bits(near) - bits(start)).abs().max() < 1e-9 < bits(start).abs().max()
    assert len(near.history.rows) == 2 and bits(start).equal(
        bits(load(tmp_path / "first" / MODEL))
    )
    again = run(tmp_path / "second", images, resume=True, **changes)
    assert bits(again).equal(bits(near))


@pytest.mark.parametrize("there", [False, True])
def test_a_start_that_no_file_holds_is_refused(there, images, tmp_path, refuses):
    if there:
        run(tmp_path / "run", images)
    with refuses(ValueError, "a start that was loaded"):
        run(tmp_path / "run", images, resume=True, start=VAE(CONFIG))


def test_a_run_goes_on_by_what_its_file_says(images, tmp_path, steps):
    whole = run(tmp_path / "whole", images)
    steps.taken, steps.then = 0, {6: ctrl_c}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "pieces", images)
    options = {"resume": True, "device": "cpu", "progress": False}
    pieces = train_run(tmp_path / "pieces", images, **options)
    assert torch.equal(bits(whole), bits(pieces)) and elbos(whole) == elbos(pieces)


def test_a_new_run_needs_a_config_and_a_recipe(images, tmp_path, refuses):
    for given in ((), (CONFIG,)):
        with refuses(ValueError, "a config and a recipe for a new run"):
            train_run(tmp_path / "run", images, *given, resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stops", [[], [10], [3, 10, 13]], ids=str)
def test_more_epochs_of_a_constant_step_size_are_those_of_one_go(
    stops, images, tmp_path, steps
):
    constant = {"schedule": "constant", "warmup": 1.5}
    whole = run(tmp_path / "whole", images, recipe=constant)
    steps.taken, steps.then = 0, dict.fromkeys(stops, ctrl_c)
    for epochs in (2, 3, 4):
        recipe = constant | {"epochs": epochs}
        while True:
            try:
                model = run(tmp_path / "run", images, recipe=recipe, resume=True)
                break
            except KeyboardInterrupt:
                continue
    assert torch.equal(bits(whole), bits(model)) and elbos(whole) == elbos(model)
    assert load(tmp_path / "run" / MODEL).record["recipe"]["epochs"] == 4


def test_more_epochs_of_a_cosine_are_a_cosine_of_their_own(
    images, tmp_path, steps, no_clock
):
    """As a second call of train has it; stopped or not, the bits are the same."""
    found = []
    for name, stops in (("a", []), ("b", [6, 14])):
        steps.taken, steps.then = 0, dict.fromkeys(stops, ctrl_c)
        for epochs in (2, 4):
            recipe = {"epochs": epochs}
            for _ in stops:
                if steps.taken < stops[epochs // 2 - 1]:
                    with pytest.raises(KeyboardInterrupt):
                        run(tmp_path / name, images, recipe=recipe, resume=True)
            model = run(tmp_path / name, images, recipe=recipe, resume=True)
        found.append(bits(model))
        assert load(tmp_path / name / MODEL).record["began"] == 2
    torch.manual_seed(3)
    model = VAE.from_data(CONFIG, images)
    for _ in range(2):
        options = RECIPE | {"epochs": 2, "device": "cpu", "progress": False}
        training.train(model, images, **options)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], bits(model))


def test_a_cosine_under_way_keeps_its_epochs_and_no_run_loses_any(
    images, tmp_path, steps, refuses
):
    steps.then = {6: ctrl_c}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, images)
    before = (tmp_path / MODEL).read_bytes()
    for epochs, said in ((5, "epochs = 4 until they are done"), (3, "or fewer")):
        with refuses(ValueError, said, f"epochs = {epochs}"):
            run(tmp_path, images, recipe={"epochs": epochs}, resume=True)
    assert (tmp_path / MODEL).read_bytes() == before


def test_a_default_that_is_spelt_out_is_no_other_recipe(images, tmp_path):
    run(tmp_path, images)
    again = run(tmp_path, images, recipe={"beta": 1.0, "clip_norm": None}, resume=True)
    assert len(again.history.rows) == 4


def test_going_on_with_other_images_is_refused(images, tmp_path, refuses):
    run(tmp_path, images)
    with refuses(ValueError, "the images of this run"):
        run(tmp_path, images.flip(0), resume=True)
    model = load(tmp_path / MODEL)
    del model.record["data"]["first_image"]  # as an earlier version saved it
    save(tmp_path / MODEL, model, model.record, model.extra)
    run(tmp_path, images.flip(0), resume=True)


def test_a_model_that_no_run_saved_does_not_go_on(images, tmp_path, refuses):
    save(tmp_path / MODEL, VAE(CONFIG), {"recipe": RECIPE, "seed": 0})
    with refuses(CheckpointError, "a model that a run saved", MODEL):
        run(tmp_path, images, resume=True)
    save(tmp_path / MODEL, AutoEncoder(CONFIG))
    with refuses(CheckpointError, "a model that a run saved", "AutoEncoder"):
        run(tmp_path, images, resume=True)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"recipe": [4]}, "a Recipe, got [4]"),
        ({"recipe": {"lr": {1}}}, "lr"),
        ({"recipe": {"lr": "fast"}}, "lr"),
        ({"recipe": {"epochs": 10**6}}, "epochs <= 100,000"),
        ({"seed": Path("x")}, "that JSON can hold"),
        ({"generator": torch.Generator()}, "generator"),
        ({"validation": torch.rand(5, 7)}, "(5, 7)"),
        ({"device": "abacus"}, "abacus"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_what_could_not_be_saved_or_kept_is_refused_before_a_folder_is_made(
    changes, said, images, tmp_path, steps, refuses
):
    with refuses(ValueError, said):
        run(tmp_path / "run", images, **changes)
    assert steps.taken == 0 and not (tmp_path / "run").exists()


def test_numbers_of_numpy_and_torch_are_kept_as_numbers(images, tmp_path):
    odd = {"epochs": np.int64(1), "lr": torch.tensor(0.5, dtype=torch.float64)}
    model = run(tmp_path, images, recipe=odd, seed=np.int64(3))
    record = load(tmp_path / MODEL).record
    assert from_file(record["recipe"]) == Recipe(**RECIPE | {"epochs": 1, "lr": 0.5})
    assert record["seed"] == 3
    assert len(model.history.rows) == 1


@pytest.mark.parametrize("room", [0, 20_000, 40_000])
def test_too_little_room_is_said_before_the_first_step(
    room, images, tmp_path, steps, refuses, monkeypatch
):
    """For two models with their moments, one beside the other, and the figures."""
    left = [room]

    class Full(io.BytesIO):
        def write(self, content: bytes) -> int:
            left[0] -= len(content)
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    monkeypatch.setattr(files, "open", lambda path, mode: Full(), raising=False)
    with refuses(OSError, str(tmp_path / "run" / MODEL), os.strerror(errno.ENOSPC)):
        run(tmp_path / "run", images)
    assert steps.taken == 0 and list((tmp_path / "run").iterdir()) == []


def test_a_stop_after_nan_leaves_the_file_of_before(
    images, tmp_path, steps, monkeypatch
):
    """In the middle of an epoch whose sums nobody has looked at yet."""
    encode, steps.then = VAE.encode, {6: ctrl_c}

    def spoilt(self, x):
        mu, logvar = encode(self, x)
        return mu * (float("nan") if steps.taken == 5 else 1), logvar

    monkeypatch.setattr(VAE, "encode", spoilt)
    with pytest.raises(NonFiniteLossError, match="in step 1 of epoch 2"):
        run(tmp_path, images)
    assert len(load(tmp_path / MODEL).record["rows"]) == 1


def test_a_start_of_another_kind_is_refused(images, tmp_path, refuses):
    run(tmp_path / "first", images)
    start = load(tmp_path / "first" / MODEL)
    wider = VAEConfig(latent_dim=3, hidden_dims=(8,), n_pixels=6)
    with refuses(ValueError, "a start with latent_dim = 3, got latent_dim = 2"):
        run(tmp_path / "second", images, config=wider, start=start)
    assert not (tmp_path / "second").exists()
    with refuses(ValueError, "start", "None"):  # the first had new weights
        run(tmp_path / "first", images, start=start, resume=True)


def test_a_run_goes_on_that_knew_fewer_fields_of_the_config(images, tmp_path):
    run(tmp_path, images, recipe={"epochs": 2})
    model = load(tmp_path / MODEL)
    del model.record["config"]["learn_noise"]
    save(tmp_path / MODEL, model, model.record, model.extra)
    again = run(tmp_path, images, recipe={"epochs": 2}, resume=True)
    assert len(again.history.rows) == 2


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_run_from_a_gpu_goes_on_without_one(
    device, images, tmp_path, steps, monkeypatch
):
    """With the state of random numbers that only the GPU has."""
    state_of, steps.then = runs.state_of, {5: ctrl_c}
    foreign = {f"rng.{device}": torch.zeros(16, dtype=torch.uint8)}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runs, "state_of", lambda model: state_of(model) | foreign)
        run(tmp_path, images)
    run(tmp_path, images, resume=True)
    assert len(rows_of(tmp_path / MODEL)) == 4


TOLD = SequenceConfig(2, 4, 3, n_tokens=3, length=3, n_properties=2)
STRINGS = torch.tensor([[1, 2, 0], [1, 0, 0], [0, 0, 0], [2, 2, 0], [2, 1, 0]])
STRINGS = STRINGS.repeat(10, 1)
OF_STRINGS = {"binarization": "none", "schedule": "constant"}


def properties() -> torch.Tensor:
    return torch.randn(50, 2, generator=torch.Generator().manual_seed(0))


def run_of_strings(folder, epochs=4, config=TOLD, **changes):
    recipe = OF_STRINGS | {"epochs": epochs}
    changes = {"resume": True, "labels": properties()} | changes
    return run(folder, STRINGS, config=config, recipe=recipe, **changes)


def with_last(value: float) -> torch.Tensor:
    return properties().index_fill(0, torch.tensor(49), value)


def test_a_run_that_is_told_labels_gives_the_bits_of_one_go_and_of_train(tmp_path):
    pieces = [run_of_strings(tmp_path / "a", epochs) for epochs in (1, 3, 4)][-1]
    whole = run_of_strings(tmp_path / "b")
    torch.manual_seed(3)
    model = class_for(TOLD).from_data(TOLD, STRINGS)
    options = RECIPE | OF_STRINGS | {"device": "cpu", "progress": False}
    training.train(model, STRINGS, labels=properties(), **options)
    assert torch.equal(bits(whole), bits(pieces)) and elbos(whole) == elbos(pieces)
    assert torch.equal(bits(whole), bits(model)) and elbos(whole) == elbos(model)
    other = run_of_strings(tmp_path / "c", labels=with_last(0.0))
    assert not torch.equal(bits(whole), bits(other))


@pytest.mark.parametrize(
    "labels, said",
    [
        (None, "expected labels of the 50 images, which this SequenceVAE is told"),
        (properties()[:, :1], "expected properties (50, 2), finite"),
        (properties()[:49], "expected properties (50, 2), finite"),
        (properties().flatten(), "expected properties (50, 2), finite"),
        (properties().double(), "of torch.float32, or None, got Tensor of shape"),
        (with_last(float("nan")), "got 'NaN or infinity'"),
        ("gap", "got 'gap'"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_labels_that_the_model_cannot_be_told_are_refused_before_the_first_step(
    there, labels, said, tmp_path, refuses, monkeypatch
):
    if there:
        run_of_strings(tmp_path / "run", 1)
        before = (tmp_path / "run" / MODEL).read_bytes()
    monkeypatch.setattr(runs, "train", None)
    with refuses(ValueError, said):
        run_of_strings(tmp_path / "run", 2, labels=labels)
    if there:
        assert (tmp_path / "run" / MODEL).read_bytes() == before
    else:
        assert not (tmp_path / "run").exists()


def test_a_model_that_is_told_nothing_takes_no_labels(images, tmp_path, refuses):
    with refuses(ValueError, "no properties, for this model has no head"):
        run_of_strings(tmp_path / "run", config=replace(TOLD, n_properties=0))
    with refuses(ValueError, "no labels, for VAE is told none"):
        run(tmp_path / "run", images, labels=torch.zeros(50).long())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("labels", [with_last(0.0), properties().flip(0)])
def test_going_on_with_other_labels_is_refused(labels, tmp_path, refuses):
    """Were it the last one alone."""
    run_of_strings(tmp_path, 1)
    before = (tmp_path / MODEL).read_bytes()
    with refuses(ValueError, "expected the labels of this run, got 'others'"):
        run_of_strings(tmp_path, 2, labels=labels)
    assert (tmp_path / MODEL).read_bytes() == before


def test_a_run_of_before_is_loaded_and_goes_on_as_it_was_told(tmp_path, refuses):
    """Its file says nothing of labels: it had none."""
    silent = replace(TOLD, n_properties=0)
    run_of_strings(tmp_path / "silent", 1, config=silent, labels=None)
    assert "labels" not in load(tmp_path / "silent" / MODEL).record["data"]
    more = run_of_strings(tmp_path / "silent", 2, config=silent, labels=None)
    assert len(more.history.rows) == 2
    run_of_strings(tmp_path / "told", 1)
    model = load(tmp_path / "told" / MODEL)
    del model.record["data"]["labels"]
    save(tmp_path / "told" / MODEL, model, model.record, model.extra)
    assert load(tmp_path / "told" / MODEL).config == TOLD
    with refuses(ValueError, "expected no labels, as in this run so far, got 'others'"):
        run_of_strings(tmp_path / "told", 2)


class Killable:
    """A process that trains in a child of its own at each call, and may kill it.

    A child starts within milliseconds: torch is imported once, before the fork.
    """

    def __init__(self, folder: Path, epochs: int):
        command = [sys.executable, __file__, str(folder), str(epochs)]
        path = str(Path(__file__).parents[1])
        variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=variables, **pipes)
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self) -> "Killable":
        return self

    def __exit__(self, *error) -> None:
        self.process.communicate()  # no more lines: it ends

    def train(self, name: str, *, after: float | None = None, at: str = "") -> float:
        """Train in this folder, unless killed: the seconds it took.

        It is killed after so many seconds, or at a call of a function of os: "sync 2"
        is the second call of os.sync.
        """
        began = time.perf_counter()
        print(json.dumps([name, after, at]), file=self.process.stdin, flush=True)
        code = int(self.process.stdout.readline())
        assert code == (0 if after is None and not at else -signal.SIGKILL)
        return time.perf_counter() - began


def obey(folder: Path, epochs: int) -> None:
    """What the process of ``Killable`` does."""
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # imports for seconds, once
    print("ready", flush=True)
    for line in sys.stdin:
        name, after, at = json.loads(line)
        child = os.fork()
        if child == 0:
            if at:
                die_at(*at.split())
            run(folder / name, digits(), recipe={"epochs": epochs}, resume=True)
            os._exit(0)
        if after is not None:
            time.sleep(after)
            os.kill(child, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def die_at(function: str, number: str) -> None:
    """Die by SIGKILL at this call of this function of os."""
    calls, call = [], getattr(os, function)

    def called(*arguments) -> None:
        calls.append(arguments)
        if len(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        call(*arguments)

    setattr(os, function, called)


def check_equal(path: Path, expected: Path) -> None:
    """Both files hold the same: rows but for the seconds, weights, moments, states."""
    assert rows_of(path) == rows_of(expected)
    models = load(path), load(expected)
    found, wanted = (model.state_dict() | model.extra for model in models)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.mark.long
@needs_fork
def test_killed_at_random_moments_a_run_is_never_lost_and_ends_with_the_same_bits(
    kills, tmp_path
):
    """SIGKILL, which no handler sees; with --kills N as often as you like.

    The kills use up some 2.5 epochs each: there are many more, so that on a busy
    machine no run is at its end before a kill that comes late.
    """
    done, pieces, epochs = 0, tmp_path / "pieces", 40 * kills
    with Killable(tmp_path, epochs=epochs) as process:
        an_epoch = process.train("whole") / epochs
        start = process.train("whole")  # nothing to do but to load
        for _ in range(kills):
            process.train("pieces", after=start + random.uniform(0, 5 * an_epoch))
            left = {path.name for path in pieces.glob("*")}
            assert len(left - {MODEL}) <= 1  # what an earlier one left is swept away
            if MODEL in left:
                assert done <= (done := len(rows_of(pieces / MODEL)))
        process.train("pieces")
    assert [path.name for path in pieces.iterdir()] == [MODEL]
    check_equal(pieces / MODEL, tmp_path / "whole" / MODEL)


@pytest.mark.long
@needs_fork
def test_killed_inside_a_save_the_file_of_before_stays(tmp_path):
    pieces, epochs_done = tmp_path / "pieces", 0
    with Killable(tmp_path, epochs=4) as process:
        process.train("whole")
        for at, epochs in [("fsync 1", 0), ("replace 1", 0), ("fsync 2", 1)] + [
            ("fsync 1", 0),
            ("replace 1", 0),
            ("replace 2", 1),
        ]:
            process.train("pieces", at=at)
            epochs_done += epochs
            assert (pieces / MODEL).exists() == (epochs_done > 0)
            assert not epochs_done or len(rows_of(pieces / MODEL)) == epochs_done
            assert len(list(pieces.glob(f".{MODEL}.*.tmp"))) == 1
        process.train("pieces")
    assert [path.name for path in pieces.iterdir()] == [MODEL]
    check_equal(pieces / MODEL, tmp_path / "whole" / MODEL)


if __name__ == "__main__":
    obey(Path(sys.argv[1]), int(sys.argv[2]))
