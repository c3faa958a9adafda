"""The script for a GPU: its parts on the CPU, and what it says where there is none."""

import json
import sys

import pytest
import torch

from tools.records import gpu
from vae_lib.checkpoints import PRETRAINED
from vae_lib.models import VAEConfig

SMALL = VAEConfig(2, (5,), n_pixels=6)


def test_a_machine_without_a_gpu_is_told_so_in_one_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / "gpu.json"
    monkeypatch.setattr("sys.argv", ["gpu", "--json", str(path)])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as exit:
        gpu.main()
    assert exit.value.code == 2 and not path.exists()
    said = capsys.readouterr().err
    assert said == "expected a GPU that torch reaches by CUDA, got none\n"


@pytest.mark.parametrize(
    "passed, failed, code", [(5, 0, 0), (5, 1, 1), (0, 0, 1)], ids=["all", "one", "no"]
)
def test_result_is_written_and_a_test_that_failed_is_no_success(
    tmp_path, monkeypatch, passed, failed, code
):
    path = tmp_path / "gpu.json"
    tests = {"passed": passed, "failed": failed, "skipped": 0}
    monkeypatch.setattr("sys.argv", ["gpu", "--json", str(path)])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "environment", lambda: {"gpu": "G9"})
    monkeypatch.setattr(gpu, "tests", lambda: tests)
    monkeypatch.setattr(gpu, "measured", lambda device: {"presets": {device: 1}})
    assert gpu.main() == code
    written = json.loads(path.read_text("utf-8"))
    assert written.pop("seconds") >= 0
    environment = {"environment": {"gpu": "G9"}}
    assert written == environment | {"tests": tests, "presets": {"cuda": 1}}


@pytest.mark.parametrize(
    "said, expected",
    [
        ("..s\n2 passed, 1 skipped, 900 deselected in 3.05s\n", (2, 0, 1)),
        ("F\n3 failed, 11 passed in 3.05s", (11, 3, 0)),
        ("E\n1 failed, 4 passed, 2 errors in 0.1s", (4, 3, 0)),
        ("5 skipped, 900 deselected in 3.05s", (0, 0, 5)),
    ],
)
def test_tests_are_counted_by_what_pytest_says_last(said, expected):
    assert tuple(gpu.counts(said).values()) == expected


def test_steps_say_what_an_image_needs():
    found = gpu.steps(SMALL, 3, "cpu", n=2)
    weights = 6 * 5 + 5 * 4 + 2 * 5 + 5 * 6
    assert found["operations_per_image"] == 6 * weights - 2 * 6 * 5
    assert found["parameters"] == weights + 5 + 4 + 5 + 6 and found["seconds"] > 0


def test_line_through_two_steps_gives_back_what_they_were_made_of():
    both = [
        {"batch": b, "seconds": 2e-3 + 5e-6 * b, "operations_per_image": 1e7}
        for b in (256, 1024)
    ]
    expected = {"t0_ms": 2.0, "t1_us": 5.0, "tera_operations": 2.0}
    assert gpu.line(*both) == pytest.approx(expected)


@pytest.mark.parametrize("preset", PRETRAINED)
def test_an_epoch_of_each_preset_is_timed(preset):
    x, y = gpu.examples_of(preset, "test")
    found = gpu.an_epoch(preset, x[:20], None if y is None else y[:20], "cpu")
    assert found["seconds"] > 0 and found["train_elbo"] < 0


def test_ways_through_an_epoch_are_compared_on_a_named_device(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setenv("CXX", sys.executable)  # none is called
    task = gpu.benchmark.TASK | {"images": 40, "batch_size": 16, "width": 4}
    found = gpu.benchmark.compare(torch.rand(40, 784), 1, "cpu", task)
    assert set(found["ratio_to_products"]) == set(found["seconds_per_epoch"])
    assert found["largest_difference_of_elbo"] < 20
