"""The words of the command line: the library's names, help for each, hints."""

import re
import shlex
from dataclasses import asdict, fields

import pytest

from vae_lib.checkpoints import PRETRAINED
from vae_lib.configs import SequenceConfig, VAEConfig
from vae_lib.layered_configs import HierarchicalConfig
from vae_lib.options import NETWORK, RECIPE, make_parser
from vae_lib.recipes import Recipe

COMMANDS = ("train", "evaluate", "export", "data")


@pytest.fixture
def help_of(capsys, monkeypatch):
    """The help of a command as a user sees it, on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            make_parser().parse_args([*words, "--help"])
        assert stop.value.code == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def refused(capsys):
    """What the parser says of these words before it leaves with exit code 2."""

    def call(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            make_parser().parse_args(words)
        out, err = capsys.readouterr()
        assert stop.value.code == 2 and out == "" and err.count("\n") == 1
        return err

    return call


def parse(*words: str) -> dict:
    return vars(make_parser().parse_args(["train", "--out", "run", *words]))


def test_everything_that_can_be_trained_has_an_option():
    assert set(RECIPE) == {field.name for field in fields(Recipe)}
    configs = VAEConfig(), SequenceConfig(), HierarchicalConfig()
    told = set().union(*map(asdict, configs))
    of_data = {"n_pixels", "shape", "length", "n_tokens"}
    assert set(NETWORK) == told - of_data


def test_the_help_names_each_command(help_of):
    for command in COMMANDS:
        assert re.search(rf"^    {command}  +\w+", help_of(), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_argument_has_help_of_one_sentence(command, help_of):
    listing, _, _ = help_of(command).partition("examples:")
    usage, _, listing = listing.partition("\n\n")
    lines = re.findall(r"^  (-.*|RUN.*)$", listing, re.MULTILINE)
    options = {option for line in lines for option in re.findall(r"--[\w-]+", line)}
    assert options == {*re.findall(r"--[\w-]+", usage), "--help"}
    assert any(line.startswith("RUN") for line in lines) == (" RUN\n" in usage + "\n")
    for line in lines:
        _, _, about = line.partition("  ")
        assert len(about.split()) >= 2 and not about.endswith(".")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_example_of_the_help_is_sound(command, help_of):
    examples = re.findall(r"^  python -m vae_lib (.*)$", help_of(command), re.MULTILINE)
    assert examples
    for example in examples:
        assert make_parser().parse_args(shlex.split(example)).command == command


def test_the_help_spells_the_presets_out(help_of):
    table = help_of("train").partition("presets:\n")[2].rstrip().splitlines()
    rows = [line.split() for line in table]
    assert rows[0] == list(PRETRAINED)
    for column, (config, recipe, *_) in enumerate(PRETRAINED.values()):
        told = [(row[0], row[column + 1]) for row in rows[1:]]
        found = parse(*[word for pair in told if pair[1] != "-" for word in pair])
        network = {name: found[name] for name in NETWORK if name in found}
        known = {field.name for field in fields(config)}
        assert network.keys() == known & NETWORK.keys()
        assert type(config)(**network) == config
        assert Recipe(**{name: found[name] for name in RECIPE}) == recipe


def test_what_is_not_given_is_left_to_the_preset():
    assert not (NETWORK | RECIPE).keys() & parse().keys()


def test_none_stands_for_no_limit_and_no_layer():
    found = parse("--clip-norm", "none", "--hidden-dims", "none")
    assert found["clip_norm"] is None and found["hidden_dims"] == ()
    assert parse("--hidden-dims", "256,128")["hidden_dims"] == (256, 128)
    assert parse("--latent-dims", "20,10")["latent_dims"] == (20, 10)


@pytest.mark.parametrize(
    "option, text, meant",
    [
        ("--preset", "mnst-2d", "mnist-2d"),
        ("--likelihood", "bernouli", "bernoulli"),
        ("--likelihood", "continuous-bernoulli", "continuous_bernoulli"),
        ("--activation", "relo", "relu"),
        ("--objective", "iwea", "iwae"),
        ("--schedule", "cosin", "cosine"),
        ("--encoder", "lader", "ladder"),
        ("--device", "cudda", "cuda"),
        ("--device", "cudda:1", "cuda"),
    ],
)
def test_an_unknown_name_is_answered_by_the_choices_and_the_closest(
    option, text, meant, refused
):
    err = refused("train", "--out", "run", option, text)
    assert f"argument {option}: expected one of" in err
    assert err.endswith(f"did you mean {meant}?\n")
    listed, _, got = err.partition(", got ")
    assert meant in listed and repr(text.partition(":")[0]) in got


@pytest.mark.parametrize("option", ["--preset", "--likelihood", "--device"])
def test_a_name_that_is_close_to_none_gets_no_hint(option, refused):
    for text in ("xyz", "gpu"):
        err = refused("train", "--out", "run", option, text)
        assert "expected one of" in err and "did you mean" not in err


@pytest.mark.parametrize(
    "option, text",
    [
        ("--epochs", "many"),
        ("--epochs", "1.5"),
        ("--seed", "9" * 30),
        ("--latent-dim", str(2**62)),
        ("--hidden-dims", "256,"),
        ("--hidden-dims", "9" * 30),
        ("--latent-dims", "20;10"),
        ("--n-hidden", "two"),
        ("--lr", "fast"),
        ("--clip-norm", "much"),
        ("--epochs", None),
    ],
)
def test_what_is_no_number_is_refused(option, text, refused):
    words = (option,) if text is None else (option, text)
    err = refused("train", "--out", "run", *words)
    assert f"argument {option}: " in err and (text or "expected") in err


def test_a_device_may_have_a_number():
    assert parse("--device", "cuda:1")["device"] == "cuda:1"
