"""The page on performance shows its record, whatever that says; memory is bounded."""

import json
import math
import re
import subprocess
import sys

import pytest
import torch

from tools.book import ROOT
from tools.records import benchmark, contestants, performance, recipes
from vae_lib.checkpoints import PRETRAINED

ROUNDS = 5
CODE = re.compile(r"^```.*?^```|`[^`]*`", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"\d[\d,.]*\d|\d")


@pytest.fixture
def record():
    return performance.read_record()


def leaves(node) -> list:
    """All numbers and strings in a JSON value."""
    if isinstance(node, dict | list):
        children = node.values() if isinstance(node, dict) else node
        return [leaf for child in children for leaf in leaves(child)]
    return [node]


def numbers_shown(page: str) -> set[str]:
    """Numbers in the page's text, its front matter and its code left out."""
    return set(NUMBER.findall(CODE.sub("", page.split("---\n", 2)[2])))


def other_numbers(node):
    """The same record with every ratio and time made up."""
    if isinstance(node, dict):
        return {key: other_numbers(value) for key, value in node.items()}
    if isinstance(node, list):
        return [other_numbers(value) for value in node]
    return node * 1.37 if isinstance(node, float) else node


@pytest.mark.book
def test_page_is_what_the_record_says(record):
    written = performance.PAGE.read_text("utf-8")
    assert written == performance.page(record), "run tools.records.performance"


@pytest.mark.book
def test_record_has_every_part_and_enough_rounds(record):
    assert record["rounds"] >= ROUNDS
    assert record["task"] == contestants.TASK
    for ratios in (record["ratio_to_products"], record["ratio_to_ours"]):
        assert list(ratios) == list(performance.WAYS)
        assert all(r["min"] <= r["median"] <= r["max"] for r in ratios.values())
    settings = [f"{n}, {how}" for n in (1, 2) for how in ("alone", "beside")]
    assert list(record["threads"]) == settings
    for found in record["threads"].values():
        assert list(found) == ["products", "by hand", "jax", "ours", "dataloader"]
        assert all(r["min"] <= r["median"] <= r["max"] for r in found.values())
    trained = set(performance.WAYS) - {"products"}
    assert set(record["train_elbo_of_last_epoch"]) == trained
    assert set(record["profile_of_ours"]) == {
        *benchmark.GROUPS.values(),
        "all the rest",
    }
    assert math.isclose(sum(record["profile_of_ours"].values()), 1)
    for axis, values in benchmark.GROWTH.items():
        found = record["growth"][axis]
        assert [row["value"] for row in found["rows"]] == list(values)
        (reference,) = (r for r in found["rows"] if r["value"] == found["reference"])
        assert reference["min"] == reference["max"] == 1
    assert set(record["environment"]) == {"device", "cpu", "threads", "torch", "load"}
    assert set(record["compiling"]) == {"new", "kept"}
    assert record["memory"]["added_over_images"] > 1
    for ratios in record["busy"]["ratio_to_alone"].values():
        assert ratios["min"] <= ratios["median"] <= ratios["max"]
    # The promise to whoever trains on a machine that has other work.
    assert record["busy"]["ratio_to_alone"]["a core to spare"]["median"] <= 2.5
    tried = recipes.of_digits_by_the_elbo()
    assert list(record["recipes"]["presets"]) == tried
    for name, found in record["recipes"]["presets"].items():
        config, recipe, *_ = PRETRAINED[name]
        changes = recipes.changes(config, recipe)
        assert list(found["worse_by"]) == list(changes)


@pytest.fixture
def gpu_record() -> dict:
    """What a GPU may have done, all of it made up."""
    ways = ("products", "ours", "compiled", "medium", "dataloader")
    ratio = {"median": 2.31, "min": 2.17, "max": 2.56}
    line = {"t0_ms": 0.37, "t1_us": 0.63, "tera_operations": 5.21}
    line["steps"] = [{"batch": 33}, {"batch": 99}]
    return {
        "environment": {"gpu": "G9", "driver": "1.2", "torch": "9.8", "cuda": "7.6"},
        "tests": {"passed": 14, "failed": 0, "skipped": 3},
        "presets": {"mnist-2d": {"seconds": 0.71, "train_elbo": -163.4}},
        "networks": {"dense": line, "convolutional": line | {"t1_us": 77.25}},
        "ways": {
            "ratio_to_products": dict.fromkeys(ways, ratio),
            "ratio_to_ours": dict.fromkeys(ways, ratio | {"median": 1.83}),
            "train_elbo_of_last_epoch": dict.fromkeys(ways[1:], -118.6),
        },
    }


@pytest.mark.book
@pytest.mark.parametrize("with_gpu", [False, True])
def test_page_shows_no_number_that_is_not_in_the_record(record, gpu_record, with_gpu):
    changed = other_numbers(record | {"gpu": gpu_record if with_gpu else None})
    shown = numbers_shown(performance.page(changed))
    known = {
        form
        for x in leaves(changed)
        if isinstance(x, int | float)
        for form in (
            f"{x:,}",
            *(f"{abs(x):.{n}f}" for n in (0, 1, 2)),
            f"{float(f'{x:.2g}'):g}",
            f"{100 * x:.1f}",
        )
    }
    known |= {"0", "1", "12"}  # of t_0, t_1 and the chapter's number
    assert shown and shown <= known, shown - known


@pytest.mark.book
def test_page_says_nothing_of_a_gpu_until_one_was_measured(record, gpu_record):
    assert "GPU" not in performance.page(record | {"gpu": None})
    page = performance.page(record | {"gpu": gpu_record})
    part = page.split("## On a GPU")[1].split("\n## ")[0]
    assert "`G9`, with the driver `1.2`, CUDA `7.6` and PyTorch `9.8`" in part
    assert "14 passed, 0 failed and 3 were skipped" in part
    assert "| `mnist-2d` | 0.71 | \u2212163.4 |" in part
    assert "| convolutional | 33 and 99 | 0.37 | 77 | 5 |" in part
    assert "| `train` | 2.31 | 2.17 | 2.56 | \u2212118.6 |" in part
    assert "@" not in part


def test_prose_has_no_numbers_of_its_own():
    prose = performance.TEMPLATE.read_text("utf-8")
    prose = re.sub(r"\*\*Time\*\*: \d+ minutes", "", prose)  # of reading
    assert not re.search(r"\d", CODE.sub("", prose))


@pytest.mark.book
def test_words_follow_the_numbers(record):
    straight, crooked = {"fixed": 0.1, "largest_error": 0.01}, {"largest_error": 0.2}
    for waits in record["compiling"].values():
        waits["pays_after_epochs"] = 12.0
    record["largest_difference_of_elbo"] = 0.1
    record["growth"]["width"]["line"] = straight
    page = performance.page(record)
    assert "exceeds the wait after 12 epochs" in page
    assert "differ by at most 0.10 nats, so they do the same work" in page
    assert "no straight line" not in page.split("### With the width")[1]
    for waits in record["compiling"].values():
        waits["pays_after_epochs"] = None
    record["largest_difference_of_elbo"] = 3.0
    record["growth"]["width"]["line"] |= crooked
    page = performance.page(record)
    assert "the wait never pays" in page and "exceeds the wait" not in page
    assert "more than such runs should differ" in page
    assert "no straight line" in page.split("### With the width")[1]


def test_ratios_compare_within_a_round():
    seconds = {"a": [1.0, 2.0, 4.0], "b": [3.0, 4.0, 20.0]}
    assert benchmark.ratios(seconds, "a")["b"] == {
        "median": 3.0,
        "min": 2.0,
        "max": 5.0,
    }


def test_a_warming_round_is_run_and_not_counted():
    calls = []
    seconds, returned = benchmark.measure({"a": lambda: calls.append(1) or 7}, 3)
    assert len(calls) == 4 and len(seconds["a"]) == 3 and returned == {"a": 7}


def test_the_floor_holds_every_product_of_a_step():
    """Its multiplications are those that the profiler counts in one step of train."""
    images = torch.rand(128, 784)
    task = contestants.TASK | {"images": 128}
    ours = contestants.Ours(images, task)
    counted = []
    for run in (lambda: contestants.products(task), ours):
        with torch.profiler.profile(with_flops=True) as profiler:
            run()
        events = [e for e in profiler.events() if e.name in ("aten::mm", "aten::addmm")]
        counted.append((len(events), sum(e.flops for e in events)))
    assert counted[0] == counted[1]


@pytest.mark.long
def test_training_adds_less_than_a_second_copy_of_the_images():
    """Peak of a process that loads the digits and trains, its framework apart."""
    command = [sys.executable, "-m", "tools.records.fresh_process", "memory"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    memory = json.loads(done.stdout)
    assert memory["images_mb"] == 60_000 * 784 * 4 / 1e6
    assert 1 < memory["added_over_images"] < 2
    assert memory["peak_mb"] - memory["framework_mb"] > memory["images_mb"]
