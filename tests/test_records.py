"""Shipped records are whole and belong to the code that is there."""

import importlib
import json
import math
from dataclasses import replace
from statistics import mean

import pytest
import torch
from torch.testing import assert_close

from tools.records import ledger, measures, studies
from vae_lib import records
from vae_lib.checkpoints import PRETRAINED, load_pretrained
from vae_lib.data import load_mnist
from vae_lib.distributions import gaussian_kl
from vae_lib.models import VAE, VAEConfig
from vae_lib.recipes import Recipe, from_file
from vae_lib.records import load_record

NAMES = sorted(path.stem for path in records.FOLDER.glob("*.json"))
ROWS = list(ledger.ROWS)


def numbers(value):
    """Every number in a record."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield value


def as_json(value):
    return json.loads(json.dumps(value))


def test_every_study_and_row_has_its_record_and_no_record_is_left_over():
    rows = {f"ledger-{name}" for name in ledger.ROWS}
    assert set(NAMES) == {*studies.STUDIES, *studies.OTHERS} | rows


def test_an_unknown_record_is_refused_in_one_line(refuses):
    with refuses(ValueError, "expected one of", "latent-dimensions", "got 'beta-vae'"):
        load_record("beta-vae")


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_what_made_it_and_holds_no_broken_number(name):
    record = load_record(name)
    assert record["command"].startswith("python -m tools.")
    module, *words = record["command"].removeprefix("python -m ").split()
    assert importlib.import_module(module).main and words == [
        name.removeprefix("ledger-")
    ]
    assert record["python"] and record["torch"] and record["threads"] >= 1
    assert all(math.isfinite(x) for x in numbers(record))
    assert (records.FOLDER / f"{name}.json").stat().st_size < 300_000


@pytest.mark.parametrize("name", studies.STUDIES)
def test_runs_of_a_study_have_its_networks_recipes_and_seeds(name):
    runs = {(run["run"], run["seed"]): run for run in load_record(name)["runs"]}
    expected = [(run, seed) for run in studies.STUDIES[name] for seed in measures.SEEDS]
    assert list(runs) == expected
    for (run, _), found in runs.items():
        network, changes = studies.STUDIES[name][run]
        config = VAEConfig(**measures.ONE_LAYER | network)
        assert VAEConfig(**found["config"]) == config
        assert from_file(found["recipe"]) == replace(measures.RECIPE, **changes)
        assert found["elbo"] == pytest.approx(found["log_p_x_given_z"] - found["kl"])
        assert sum(found["kl_per_dimension"]) == pytest.approx(found["kl"], rel=1e-3)
        assert 0 <= found["active_units"] <= config.latent_dim


def test_a_study_judges_by_the_kl_of_each_dimension(few_images, monkeypatch):
    model = VAE(VAEConfig(3, (8,)))
    model.record = {
        "recipe": {"epochs": 2},
        "seed": 5,
        "rows": [{"seconds": 2}, {"seconds": 3}],
    }
    found = measures.judge(model)
    mu, logvar = (part.detach() for part in model.encode(few_images))
    by_dimension = [gaussian_kl(mu[:, [j]], logvar[:, [j]]).mean() for j in range(3)]
    assert_close(
        torch.tensor(found["kl_per_dimension"]),
        torch.stack(by_dimension),
        rtol=0,
        atol=1e-5,
    )
    assert found["kl"] == pytest.approx(sum(by_dimension).item(), rel=1e-5)
    assert found["seed"] == 5 and found["seconds"] == 5


@pytest.fixture
def few_images(monkeypatch):
    images = torch.rand(50, 784)
    few = type(load_mnist("test"))(images, torch.arange(50) % 10)
    for module in (measures, ledger):
        monkeypatch.setattr(module, "load_mnist", lambda split: few)
    return images


def test_a_run_of_a_study_is_trained_once(few_images, monkeypatch, tmp_path):
    monkeypatch.setattr(measures, "RUNS", tmp_path)
    config, recipe = VAEConfig(2, (8,)), Recipe(epochs=2)
    first = measures.trained("study/run-seed1", config, recipe, 1)
    again = measures.trained("study/run-seed1", config, recipe, 1)
    assert first.record == again.record and len(first.record["rows"]) == 2
    assert first.record["seed"] == 1


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_ledger_has_its_setup(name):
    record, row = load_record(f"ledger-{name}"), ledger.ROWS[name]
    preset = PRETRAINED.get(row.shipped, row)
    assert VAEConfig(**record["config"]) == preset.config
    assert from_file(record["recipe"]) == preset.recipe
    told = ledger.setup(preset.config, preset.recipe)
    words = told.keys() - {"config", "recipe"}
    assert {key: record[key] for key in words} == {key: told[key] for key in words}
    assert ledger.about(row).items() <= record.items()
    assert record["value"] == pytest.approx(mean(record["values"]))
    assert len(record["values"]) == len(record["seeds"])
    assert record["K"] == (ledger.N_SAMPLES if row.shipped else None)


@pytest.mark.long
@pytest.mark.parametrize("name", [n for n in ROWS if ledger.ROWS[n].shipped])
def test_a_shipped_model_of_the_ledger_is_the_one_that_was_judged(name):
    record = load_record(f"ledger-{name}")
    model = load_pretrained(record["checkpoint"])
    assert model.record["test_elbo"] == pytest.approx(record["test_elbo"], abs=1e-6)
    images = from_file(record["recipe"]).as_trained(load_mnist("test").images)
    assert ledger.check(model, images) == pytest.approx(
        record["check"]["value"], abs=0.01
    )
    assert record["value"] > record["test_elbo"]


def test_the_page_is_what_the_records_say():
    assert ledger.PAGE.read_text("utf-8") == ledger.page(), (
        "run `python -m tools.records.ledger --page`"
    )


@pytest.mark.parametrize(
    "above, said", [(0.5, "better than published, by 0.50"), (-0.5, "short by 0.50")]
)
def test_a_verdict_says_on_which_side_a_row_falls(above, said):
    record = {"title": "t", "tolerance": 0.3, "theirs": -86.0, "value": -86 + above}
    record["status"] = ledger.PUBLISHED
    assert said in ledger.verdict(record)
    within = record | {"tolerance": 0.6}
    assert "t: reached; the" in ledger.verdict(within)
    assert "see the remark" in ledger.verdict(within | {"remark": "half as long"})


def test_only_a_number_in_a_paper_can_be_reached():
    record = {"title": "t", "tolerance": 0.3, "theirs": -86.0, "value": -86.1}
    said = ledger.verdict(record | {"status": ledger.REPORTED})
    assert "reached" not in said and "agrees with what was reported" in said


def test_numbers_in_papers_are_counted_and_those_of_programs_are_not():
    paper = {"status": ledger.PUBLISHED, "tolerance": 0.3, "theirs": -86.0}
    program = paper | {"status": ledger.REPORTED, "value": -99.0}
    rows = [paper | {"value": -86.1}, paper | {"value": -86.7}, program]
    said = ledger.count_of_papers(dict(enumerate(rows)))
    assert "Of the 2 numbers" in said and "1 is reached" in said
    assert "short by 0.70 nats" in said and "13" not in said
    assert "short" not in ledger.count_of_papers(dict(enumerate(rows[::2])))


def test_the_first_draw_of_the_bits_is_the_one_that_the_ledger_scores():
    scored = {}
    for name in ROWS:
        record = load_record(f"ledger-{name}")
        scored[record["checkpoint"]] = record.get("test_elbo")
    for run in load_record("bits")["runs"]:
        assert run["elbo"][0] == pytest.approx(scored[run["run"]], abs=1e-3)
        assert max(run["elbo"]) - min(run["elbo"]) > 0.05


def test_minutes_are_not_those_of_the_neighbours():
    quiet = [{"seconds": 2.0}] * 9
    assert ledger.undisturbed([*quiet, {"seconds": 500.0}]) == 20
