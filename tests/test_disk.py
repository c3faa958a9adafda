"""A disk that is full, or cannot be written: one clear line, and nothing is lost.

Each test is a process with a small disk of its own, which no other process sees.
"""

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vae_lib import __main__ as command_line
from vae_lib import plots, runs
from vae_lib.checkpoints import load
from vae_lib.data import ImageSet
from vae_lib.data_sets import DATA_SETS
from vae_lib.models import VAEConfig
from vae_lib.recipes import Recipe
from vae_lib.runs import MODEL, train_run

MOUNT = ("mount", "-t", "tmpfs", "-o", "size=16M", "none")
SAID = {"full": "No space left on device", "read-only": "Read-only file system"}
LAWS = (
    "a_run_keeps_its_last_checkpoint_and_goes_on_later",
    "the_command_line_says_so_in_one_line",
    "a_trained_model_outlives_the_files_beside_it",
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def failures(tmp_path_factory) -> dict[str, str]:
    """What went wrong with each law and trouble: "" or a traceback."""
    as_root = (
        [] if os.name == "nt" or os.geteuid() == 0 else ["--user", "--map-root-user"]
    )
    command, folder = ["unshare", *as_root, "--mount"], tmp_path_factory.mktemp("disk")
    try:
        subprocess.run([*command, *MOUNT, folder], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a disk in a namespace of its own")
    variables = {"PYTHONPATH": str(Path(__file__).parents[1]), "TQDM_DISABLE": "1"}
    variables = os.environ | variables
    options = {"capture_output": True, "text": True, "env": variables}
    command += [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, **options)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("trouble", SAID)
@pytest.mark.parametrize("law", LAWS)
def test_in_trouble(law, trouble, failures):
    assert failures[f"{law} {trouble}"] == ""


def try_all(folder: Path) -> dict[str, str]:
    """What the process does: each law on a new disk."""
    failures = {}
    for number, (law, trouble) in enumerate(itertools.product(LAWS, SAID)):
        place = folder / str(number)
        place.mkdir()
        subprocess.run([*MOUNT, place], check=True)
        failures[f"{law} {trouble}"] = ""
        try:
            globals()[law](Disk(place, trouble))
        except Exception:
            failures[f"{law} {trouble}"] = traceback.format_exc()
    return failures


class Disk:
    """The disk at folder, and the trouble that it can be in."""

    def __init__(self, folder: Path, trouble: str):
        self.folder, self.trouble = folder, trouble

    def breaks(self) -> None:
        if self.trouble == "read-only":
            self._remount("ro")
            return
        full = contextlib.suppress(OSError)
        with full, open(self.folder / "filler", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def is_mended(self) -> None:
        if self.trouble == "read-only":
            self._remount("rw")
        (self.folder / "filler").unlink(missing_ok=True)

    def _remount(self, how: str) -> None:
        remount = ["mount", "-t", "tmpfs", "-o", f"remount,{how}", "none", self.folder]
        subprocess.run(remount, check=True)

    def files(self) -> dict[str, bytes]:
        """All files by their path on the disk, but for the filler."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        content = {str(path.relative_to(self.folder)): path for path in found}
        content.pop("filler", None)
        return {name: path.read_bytes() for name, path in content.items()}


@contextlib.contextmanager
def after(module, name: str, act: Callable[[], None]):
    """Inside, act once after the first call of this function of the module."""
    function, acts = getattr(module, name), [act]

    def then(*arguments, **options):
        result = function(*arguments, **options)
        while acts:
            acts.pop()()
        return result

    setattr(module, name, then)
    try:
        yield
    finally:
        setattr(module, name, function)


def a_run_keeps_its_last_checkpoint_and_goes_on_later(disk: Disk) -> None:
    images = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
    config = VAEConfig(latent_dim=2, hidden_dims=(8,), n_pixels=6)
    recipe = Recipe(epochs=3, batch_size=16, schedule="cosine")

    def run(name: str, **options):
        options |= {"device": "cpu", "progress": False}
        return train_run(disk.folder / name, images, config, recipe, **options)

    whole, before = run("whole"), {}

    def note_and_break() -> None:
        before.update(disk.files())
        disk.breaks()

    with after(runs, "save", note_and_break):
        said = error_of(lambda: run("pieces"))
    assert str(disk.folder / "pieces" / MODEL) in said and SAID[disk.trouble] in said
    assert before.keys() == {f"whole/{MODEL}", f"pieces/{MODEL}"}
    assert disk.files() == before  # byte for byte, and nothing half written
    assert len(load(disk.folder / "pieces" / MODEL).record["rows"]) == 1
    disk.is_mended()
    pieces = run("pieces", resume=True)
    for name, weight in whole.state_dict().items():
        assert torch.equal(pieces.state_dict()[name], weight)


def error_of(act: Callable[[], object]) -> str:
    """The message of the OSError that comes: one line."""
    try:
        act()
    except OSError as error:
        assert "\n" not in str(error)
        return str(error)
    raise AssertionError("expected an error")


def main(*words: object) -> tuple[int, str]:
    """The command line on forty digits: its exit code and standard error."""
    images = torch.rand(40, 784, generator=torch.Generator().manual_seed(0))
    few = ImageSet(images, torch.arange(40) % 10)
    DATA_SETS["mnist"] = DATA_SETS["mnist"]._replace(load=lambda split: few)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        code = command_line.main([str(word) for word in words])
    return code, err.getvalue()


def check_refused(disk: Disk, path: str, words: list) -> None:
    """The command ends with 2 and one line that names the path and the reason."""
    code, err = main(*words)
    assert code == 2 and err.count("\n") == 1, err
    assert path in err and SAID[disk.trouble] in err, err


def the_command_line_says_so_in_one_line(disk: Disk) -> None:
    folder = disk.folder / "run"
    words = ["train", "--out", folder, "--epochs", 2]
    disk.breaks()
    check_refused(disk, str(folder), words)
    assert disk.files() == {}
    disk.is_mended()
    with after(runs, "save", disk.breaks):
        check_refused(disk, str(folder / MODEL), words)
    assert disk.files().keys() == {f"run/{MODEL}"}
    assert len(load(folder / MODEL).record["rows"]) == 1
    disk.is_mended()
    assert main(*words, "--resume") == (0, "")
    assert len(load(folder / MODEL).record["rows"]) == 2


def a_trained_model_outlives_the_files_beside_it(disk: Disk) -> None:
    folder = disk.folder / "run"
    words, there = ["train", "--out", folder, "--epochs", 1], {f"run/{MODEL}"}
    for module, moment, name in (
        (command_line, "train_run", "history.json"),
        (plots, "plot_history", "history.png"),
        (plots, "plot_images", "samples.png"),
    ):
        with after(module, moment, disk.breaks):
            check_refused(disk, str(folder / name), words)
        assert disk.files().keys() == there
        there.add(f"run/{name}")
        words = [*words[:5], "--resume"]
        assert len(load(folder / MODEL).record["rows"]) == 1
        disk.is_mended()
    assert main(*words) == (0, "") and disk.files().keys() == there
    assert len(json.loads((folder / "history.json").read_text("utf-8"))) == 1


if __name__ == "__main__":
    print(json.dumps(try_all(Path(sys.argv[1]))))
