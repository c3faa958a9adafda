"""The exercises' checks accept every right answer and say what is wrong with others."""

import importlib
import inspect
from types import FunctionType

import pytest
import torch

from tools.book import LIBRARY
from vae_lib import checks

CHAPTERS = sorted(p.stem for p in (LIBRARY / "checks").glob("[a-z]*.py"))


def parts(chapter):
    """The chapter's module of checks, and the answers to try on it."""
    module = importlib.import_module(f"vae_lib.checks.{chapter}")
    return module, importlib.import_module(f"tests.answers.{chapter}")


def names(chapter):
    """The checks of a chapter: the functions that exercises call."""
    module, _ = parts(chapter)
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
        and value.__module__ == module.__name__
        and (inspect.getdoc(value) or "").startswith("Exercise ")
    ]


def every(kind):
    """(chapter, check, answer) of all right or wrong answers."""
    return [
        pytest.param(chapter, name, answer, id=f"{chapter}-{name}-{i}")
        for chapter in CHAPTERS
        for name in names(chapter)
        for i, answer in enumerate(getattr(parts(chapter)[1], kind)[name])
    ]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_check_is_tried_on_three_right_and_five_wrong_answers(chapter):
    _, answers = parts(chapter)
    assert names(chapter)
    for name in names(chapter):
        assert len(answers.RIGHT[name]) >= 3 and len(answers.WRONG[name]) >= 5, name


@pytest.mark.parametrize("chapter, name, answer", every("RIGHT"))
def test_a_right_answer_passes(chapter, name, answer, capsys):
    torch.manual_seed(0)
    getattr(parts(chapter)[0], name)(answer)
    assert "right" in capsys.readouterr().out


@pytest.mark.parametrize("chapter, name, answer", every("WRONG"))
def test_a_wrong_answer_is_told_why(chapter, name, answer):
    torch.manual_seed(0)
    wrong, word = answer
    with pytest.raises(AssertionError) as caught:
        getattr(parts(chapter)[0], name)(wrong)
    message = str(caught.value)
    assert word in message and "\n" not in message and len(message) < 300


def test_a_stub_is_called_one():
    def stub(x):
        raise NotImplementedError()

    with pytest.raises(AssertionError, match="replace the stub"):
        checks.compare(stub, lambda x: x, {"one": (1.0,)})


def test_arguments_that_an_answer_changes_do_not_change_what_is_expected(capsys):
    def in_place(x):
        return x.mul_(2)

    checks.compare(in_place, lambda x: 2 * x, {"three": (torch.full((2,), 3.0),)})
    with pytest.raises(AssertionError, match="should be 9, got 6"):
        checks.compare(in_place, lambda x: 3 * x, {"three": (torch.full((2,), 3.0),)})


def test_of_several_values_the_worst_is_named():
    with pytest.raises(AssertionError, match="value 2 of 3 should be 2, got 9"):
        checks.compare(lambda: [1.0, 9.0, 3.1], lambda: [1.0, 2.0, 3.0], {"here": ()})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "x", [1.0]])
def test_a_value_that_is_no_number_never_passes(bad):
    with pytest.raises(AssertionError):
        checks.compare(lambda: bad, lambda: 1.0, {"here": ()})


def told(number):
    """What the check of a number says, without the number itself."""
    with pytest.raises(AssertionError) as caught:
        checks.number(number, 2.0, tolerance=0.1, hint="square it: 4")
    return str(caught.value).removeprefix(f"{number:.6g}")


def test_a_number_is_not_found_by_asking_on_which_side_it_lies():
    assert "square it" in told(1.5) == told(2.5) == told(-1e9) == told(1e9)
    assert "finite" in told(float("nan")) and "finite" in told(float("inf"))


def test_a_hint_is_given_only_if_all_cases_agree_with_the_mistake():
    mistakes = {"You forgot the square.": lambda x: x}
    cases = {"two": (2.0,), "three": (3.0,)}
    with pytest.raises(AssertionError, match="square"):
        checks.compare(lambda x: x, lambda x: x**2, cases, mistakes)
    with pytest.raises(AssertionError, match=r"^At three it should be 9, got 4"):
        checks.compare(lambda x: 4, lambda x: x**2, cases, mistakes)


def test_a_choice_gives_the_reason_and_not_the_key(capsys):
    reasons = {"a": "the sum is missing", "b": "both are sums"}
    checks.choice("b", "b", reasons)
    assert "both are sums" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="the sum is missing"):
        checks.choice("a", "b", reasons)
    for other in ("c", ["b"]):
        with pytest.raises(AssertionError, match="expected one of 'a', 'b', got "):
            checks.choice(other, "b", reasons)
