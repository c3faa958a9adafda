"""Tests run with Python's own names, and tell when what they stand on was replaced."""

import json
import types

import pytest

from tools.course.trusted_names import RestsOn

LOCKED = [
    "import math\nfrom os import path as place",
    "assert max(answer(3), 1) == 6\n"
    "def hidden(x):\n    import random\n    values = sorted(range(3))\n"
    "    assert math.isclose(answer(x), 6)\n"
    "    assert f'{values}' and random.random() < 1\n"
    "hidden(3)",
]


def state(rests_on, names=None):
    with pytest.raises(RuntimeError) as told:
        exec(rests_on.question("word"), names if names is not None else {})
    return json.loads(str(told.value).removeprefix("word"))


def test_a_test_takes_its_names_from_python_whatever_the_notebook_calls_so():
    rests_on = RestsOn(LOCKED, {"answer"})
    names = {"answer": lambda x: 2 * x, "max": None, "math": 3, "sorted": 1, "range": 0}
    with pytest.raises(RuntimeError, match=r'\["max", "range", "sorted"\]'):
        exec(rests_on.holder("own"), names)
    test = rests_on.rewritten(LOCKED[1], "own")
    exec(test, names)
    assert test.startswith("assert own.max(answer(3), 1) == 6\n")
    assert "assert own.math.isclose(answer(x), 6)\n" in test
    assert "own.random" not in test and "own.hidden" not in test


def test_positions_count_in_letters_that_take_several_bytes():
    rests_on = RestsOn(["import math"], set())
    assert rests_on.rewritten("'ü', abs(1), 'ü'", "own") == "'ü', own.abs(1), 'ü'"
    assert rests_on.rewritten("%magic abs", "own") == "%magic abs"


def test_a_replaced_function_is_told_and_an_own_name_is_not(monkeypatch):
    rests_on = RestsOn(LOCKED, {"answer"})
    before = state(rests_on)
    assert {"max", "sorted", "math.isclose", "abs"} <= set(before)
    assert state(rests_on, {"max": 1, "math": 2, "exec": 3}) == before
    import math

    monkeypatch.setattr(math, "isclose", lambda *a: True)
    assert state(rests_on) != before
    monkeypatch.undo()
    assert state(rests_on) == before
    monkeypatch.setitem(__import__("sys").modules, "math", types.ModuleType("math"))
    assert state(rests_on) != before


def test_a_replaced_method_of_a_tensor_is_told(monkeypatch):
    import torch

    rests_on = RestsOn(["import torch", "assert torch.zeros(2).sum() < 1"], set())
    before = state(rests_on)
    monkeypatch.setattr(torch.Tensor, "sum", lambda self: torch.zeros(()))
    assert state(rests_on) != before
    monkeypatch.undo()
    monkeypatch.setattr(torch.Tensor, "__lt__", lambda self, other: True)
    assert state(rests_on) != before


def test_an_assertion_that_is_switched_off_is_told(monkeypatch):
    import torch

    rests_on = RestsOn(["import torch"], set())
    monkeypatch.setattr(torch, "equal", lambda *a: True)
    with pytest.raises(AssertionError):
        exec(rests_on.question("word"), {})
